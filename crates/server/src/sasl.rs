//! SASL PLAIN, the one mechanism there is.

use std::sync::Arc;

use larder_protocol::{ProtocolError, Response, Sasl};

use crate::counters::Counters;
use crate::users::Users;

const PLAIN: &str = "PLAIN";

/// What came of a SASL command.
pub(crate) enum Outcome {
    /// Nothing is decided by it.
    Undecided(Response<'static>),
    /// The client is who it says.
    Entered(Arc<str>),
    /// It is not.
    Refused,
}

impl Outcome {
    pub(crate) fn response(&self) -> Response<'static> {
        match self {
            Outcome::Undecided(response) => *response,
            Outcome::Entered(_) => Response::Authenticated,
            Outcome::Refused => Response::Error(ProtocolError::AuthFailure),
        }
    }
}

/// Judges a command, and counts it.
pub(crate) fn judge(users: &Users, counters: &Counters, command: &Sasl<'_>) -> Outcome {
    let (mechanism, data) = match command {
        Sasl::List => return Outcome::Undecided(Response::SaslMechanisms(PLAIN)),
        // The client waits to be asked before it says who it is.
        Sasl::Auth { mechanism, data: [] } if *mechanism == PLAIN.as_bytes() => {
            return Outcome::Undecided(Response::AuthContinue(&[]));
        }
        Sasl::Auth { mechanism, data } | Sasl::Step { mechanism, data } => (mechanism, data),
    };
    counters.auth_cmds.add(1);
    let entered = users.enter_plain(data).filter(|_| *mechanism == PLAIN.as_bytes());
    match entered {
        Some(user) => Outcome::Entered(user),
        None => {
            counters.auth_errors.add(1);
            Outcome::Refused
        }
    }
}
