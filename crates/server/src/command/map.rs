//! Between the protocols' words and the engines'.

use larder_engine::{ClockChange, EngineError, ErrorKind, Expiry, Timestamp};
use larder_protocol::{self as protocol, ExpTime, Failure, FailureKind, ProtocolError, Response};

/// What the client wrote, as an absolute time.
#[inline]
pub(crate) fn expiry(exptime: ExpTime, now: Timestamp) -> Expiry {
    match exptime.resolve(now.0) {
        larder_protocol::Expiry::Never => Expiry::NEVER,
        larder_protocol::Expiry::Past => Expiry::PAST,
        larder_protocol::Expiry::At(second) => Expiry::at(second),
    }
}

/// How far a test wants the clock moved.
pub(crate) fn clock_change(change: protocol::ClockChange) -> ClockChange {
    match change {
        protocol::ClockChange::Forward { seconds } => ClockChange::Forward { seconds },
        protocol::ClockChange::Pause => ClockChange::Pause,
        protocol::ClockChange::Resume => ClockChange::Resume,
    }
}

/// The seconds until a moment that is no expiry but is written like one; 0 if it is none, or past.
#[inline]
pub(crate) fn seconds_left(exptime: ExpTime, now: Timestamp) -> u32 {
    match exptime.resolve(now.0) {
        larder_protocol::Expiry::At(second) => second.saturating_sub(now.0),
        larder_protocol::Expiry::Never | larder_protocol::Expiry::Past => 0,
    }
}

/// How an engine's error is answered.
pub(crate) fn response(error: &EngineError) -> Response<'_> {
    let kind = match error.kind() {
        ErrorKind::NotFound => return Response::NotFound,
        ErrorKind::Exists => return Response::Exists,
        ErrorKind::NotStored => return Response::NotStored,
        ErrorKind::TooLarge => return Response::Error(ProtocolError::ValueTooLarge),
        ErrorKind::NotNumeric => return Response::Error(ProtocolError::NonNumeric),
        ErrorKind::OutOfMemory => return Response::Error(ProtocolError::OutOfMemoryStoring),
        ErrorKind::BadArgument => FailureKind::Client,
        ErrorKind::Unavailable => FailureKind::Unavailable,
        ErrorKind::TimedOut => FailureKind::TimedOut,
        ErrorKind::OutcomeUnknown => FailureKind::OutcomeUnknown,
        ErrorKind::Damaged => FailureKind::Damaged,
        ErrorKind::Unsupported => FailureKind::Unsupported,
        ErrorKind::Disabled => FailureKind::Disabled,
        ErrorKind::TryAgain => FailureKind::Busy,
        ErrorKind::NotPermitted => FailureKind::NotPermitted,
        _ => FailureKind::Internal,
    };
    Response::Failure(Failure { kind, text: error.text() })
}
