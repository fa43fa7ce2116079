//! What clients are told of an error of the database: no SQL, no value, no password.

use larder_engine::{EngineError, ErrorKind};

use crate::dialect::Class;
use crate::driver::DbError;

/// Why a transaction did not take place, or why nobody knows whether it did.
#[derive(Debug)]
pub(crate) enum Failure {
    /// There is no connection.
    NotConnected(EngineError),
    /// The database refused.
    Database(DbError),
    /// The database did not answer in time; nothing was changed.
    TimedOut,
    /// The connection was lost in the commit.
    Unknown(String),
}

impl Failure {
    /// As the answer of a command of `container`.
    pub fn answer(&self, container: &str) -> EngineError {
        match self {
            Failure::NotConnected(error) => error.repeat(),
            Failure::TimedOut => EngineError::new(ErrorKind::TimedOut, "database timed out"),
            Failure::Unknown(text) => {
                EngineError::caused(ErrorKind::OutcomeUnknown, "outcome unknown", text.clone())
            }
            Failure::Database(error) => answer(error, container),
        }
    }
}

fn answer(error: &DbError, container: &str) -> EngineError {
    let code = &error.code;
    let (kind, text) = match error.class {
        Class::Duplicate | Class::Constraint => {
            (ErrorKind::Internal, format!("constraint violation ({code})"))
        }
        Class::TooLarge => (ErrorKind::TooLarge, ErrorKind::TooLarge.text().into()),
        Class::BadValue => (ErrorKind::BadArgument, format!("bad value for container {container}")),
        Class::Denied => (ErrorKind::Internal, "not permitted by database".into()),
        Class::Conflict | Class::LockWait | Class::Busy => (ErrorKind::TryAgain, "temporary failure".into()),
        Class::Lost => (ErrorKind::Unavailable, "database unavailable".into()),
        Class::SchemaChanged => (ErrorKind::Unavailable, format!("container {container} unavailable")),
        Class::Other => (ErrorKind::Internal, "internal error".into()),
    };
    EngineError::caused(kind, text, error.to_string())
}
