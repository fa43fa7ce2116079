//! What went wrong, and whose fault it is.

use std::error::Error;
use std::fmt;

/// The kind of an error: what a caller may decide on. The text may say anything; only the kind is interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    // States: the condition of the command was not met.
    /// No item under the key.
    NotFound,
    /// There is an item, or it has another CAS.
    Exists,
    /// The condition of the store command was not met.
    NotStored,

    // The caller's fault.
    /// Larger than the engine keeps.
    TooLarge,
    /// The stored value is not a decimal number below 2^64.
    NotNumeric,
    /// An argument that makes no sense here.
    BadArgument,

    // The store's fault.
    /// No room, and nothing may be evicted. Nothing changed.
    OutOfMemory,
    /// The store cannot be reached or does not accept the write. Nothing changed.
    Unavailable,
    /// No answer in time. Nothing changed.
    TimedOut,
    /// The store was asked and may or may not have done it.
    OutcomeUnknown,
    /// What the store holds is damaged.
    Damaged,
    /// A fault of larder's own.
    Internal,

    // Policy.
    /// The engine cannot do this.
    Unsupported,
    /// It can, but it was switched off.
    Disabled,
    /// Not now: a queue is full. Nothing changed.
    TryAgain,
    /// This user may not.
    NotPermitted,
    /// The engine wants this connection closed.
    Disconnect,
    /// A code of a foreign engine that has no kind here.
    Foreign(u32),
}

/// An error of an engine, with a text that is safe to show to a client: one line, no secret, no path.
///
/// Small, and free of allocation for the states a command may meet in ordinary work.
pub struct EngineError {
    kind: ErrorKind,
    detail: Option<Box<Detail>>,
}

struct Detail {
    text: Box<str>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl EngineError {
    /// An error with a text for the client, such as `the data file is full`.
    pub fn new(kind: ErrorKind, text: impl Into<Box<str>>) -> Self {
        EngineError { kind, detail: Some(Box::new(Detail { text: text.into(), source: None })) }
    }

    /// The same with its cause, for the log only.
    pub fn caused(
        kind: ErrorKind,
        text: impl Into<Box<str>>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        EngineError {
            kind,
            detail: Some(Box::new(Detail { text: text.into(), source: Some(source.into()) })),
        }
    }

    /// What a caller may decide on.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The text for the client.
    pub fn text(&self) -> &str {
        match &self.detail {
            Some(detail) => &detail.text,
            None => self.kind.text(),
        }
    }

    /// The same error once more, for another waiter; the cause stays with the first.
    pub fn repeat(&self) -> Self {
        match &self.detail {
            Some(detail) => EngineError::new(self.kind, detail.text.clone()),
            None => EngineError::from(self.kind),
        }
    }
}

impl ErrorKind {
    /// A plain text for the kind.
    pub fn text(self) -> &'static str {
        match self {
            ErrorKind::NotFound => "not found",
            ErrorKind::Exists => "exists",
            ErrorKind::NotStored => "not stored",
            ErrorKind::TooLarge => "object too large for cache",
            ErrorKind::NotNumeric => "cannot increment or decrement non-numeric value",
            ErrorKind::BadArgument => "invalid arguments",
            ErrorKind::OutOfMemory => "out of memory storing object",
            ErrorKind::Unavailable => "store unavailable",
            ErrorKind::TimedOut => "store timed out",
            ErrorKind::OutcomeUnknown => "outcome unknown",
            ErrorKind::Damaged => "stored data is damaged",
            ErrorKind::Internal => "internal error",
            ErrorKind::Unsupported => "not supported",
            ErrorKind::Disabled => "disabled",
            ErrorKind::TryAgain => "temporary failure",
            ErrorKind::NotPermitted => "not permitted",
            ErrorKind::Disconnect => "closed by the engine",
            ErrorKind::Foreign(_) => "engine error",
        }
    }

    /// Whether the command simply met a state (not found, exists, not stored), not a fault.
    pub fn is_state(self) -> bool {
        matches!(self, ErrorKind::NotFound | ErrorKind::Exists | ErrorKind::NotStored)
    }
}

impl From<ErrorKind> for EngineError {
    fn from(kind: ErrorKind) -> Self {
        EngineError { kind, detail: None }
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl fmt::Debug for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.text())?;
        if let Some(source) = self.source() {
            write!(f, " (because: {source})")?;
        }
        Ok(())
    }
}

impl Error for EngineError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let source = self.detail.as_ref()?.source.as_ref()?;
        Some(source.as_ref())
    }
}
