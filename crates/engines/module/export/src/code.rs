//! From errors of the engine trait to the interface's numbers.

use larder_engine::{EngineError, ErrorKind};
use larder_module::raw::layout::Code;

/// What the server is told.
pub(crate) fn code(error: &EngineError) -> Code {
    match error.kind() {
        ErrorKind::NotFound => Code::KEY_ENOENT,
        ErrorKind::Exists => Code::KEY_EEXISTS,
        ErrorKind::NotStored => Code::NOT_STORED,
        ErrorKind::TooLarge => Code::E2BIG,
        ErrorKind::NotNumeric | ErrorKind::BadArgument => Code::EINVAL,
        ErrorKind::OutOfMemory => Code::ENOMEM,
        ErrorKind::Unavailable | ErrorKind::TimedOut | ErrorKind::TryAgain => Code::TMPFAIL,
        ErrorKind::Unsupported | ErrorKind::Disabled => Code::ENOTSUP,
        ErrorKind::NotPermitted => Code::EACCESS,
        ErrorKind::Disconnect => Code::DISCONNECT,
        ErrorKind::Foreign(number) => Code(number as i32),
        _ => Code::FAILED,
    }
}
