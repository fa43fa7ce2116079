//! From the interface's numbers to errors of the engine trait.

use std::sync::atomic::Ordering;

use larder_engine::{EngineError, ErrorKind};

use crate::raw::cookie::Cookie;
use crate::raw::layout::Code;
use crate::raw::module::Module;

/// What a code other than success means to a caller.
pub(crate) fn error(code: Code) -> EngineError {
    let kind = match code {
        Code::KEY_ENOENT => ErrorKind::NotFound,
        Code::KEY_EEXISTS => ErrorKind::Exists,
        Code::NOT_STORED => ErrorKind::NotStored,
        Code::ENOMEM => ErrorKind::OutOfMemory,
        Code::EINVAL => ErrorKind::BadArgument,
        Code::ENOTSUP => ErrorKind::Unsupported,
        Code::E2BIG => ErrorKind::TooLarge,
        // The server has no use for "want more": whoever asked cannot go on.
        Code::DISCONNECT | Code::WANT_MORE => ErrorKind::Disconnect,
        Code::TMPFAIL => ErrorKind::TryAgain,
        Code::EACCESS => return EngineError::new(ErrorKind::NotPermitted, "access control violation"),
        Code::ERANGE => return EngineError::new(ErrorKind::BadArgument, "value out of range"),
        Code::NOT_MY_VBUCKET => return foreign(code, "not my vbucket"),
        Code::FAILED => return EngineError::new(ErrorKind::Internal, "failure"),
        other => return foreign(other, "internal"),
    };
    kind.into()
}

fn foreign(code: Code, text: &str) -> EngineError {
    EngineError::new(ErrorKind::Foreign(code.0 as u32), text)
}

/// The same with what the engine itself says of it, where it says anything.
pub(crate) fn error_of(module: &'static Module, cookie: &'static Cookie, code: Code) -> EngineError {
    let error = error(code);
    if error.kind().is_state() || matches!(error.kind(), ErrorKind::Disconnect) {
        return error;
    }
    let text = module.error_text(cookie);
    let text = text.lines().next().unwrap_or_default().trim();
    if text.is_empty() {
        return error;
    }
    EngineError::new(error.kind(), format!("{}: {text}", error.text()))
}

/// A failed `allocate`: whatever the reason, the value finds no room. A value too large is told apart.
pub(crate) fn allocate_error(code: Code) -> EngineError {
    match code {
        Code::E2BIG | Code::DISCONNECT | Code::WANT_MORE => error(code),
        _ => ErrorKind::OutOfMemory.into(),
    }
}

/// An incr or decr that failed.
pub(crate) fn arithmetic_error(module: &'static Module, cookie: &'static Cookie, code: Code) -> EngineError {
    match code {
        Code::EINVAL => ErrorKind::NotNumeric.into(),
        code => error_of(module, cookie, code),
    }
}

/// The engine broke a rule of the interface: `rule` names the function and what it must do.
#[cold]
pub(crate) fn breach(module: &Module, rule: &str) -> EngineError {
    let before = module.counters.breaches.fetch_add(1, Ordering::Relaxed);
    // An engine that does it always must not fill the disk with lines about it.
    if before < 16 || before.is_power_of_two() {
        tracing::error!(
            "module {}: it breaks a rule of the interface: {rule} ({} times so far)",
            module.name,
            before + 1
        );
    }
    EngineError::new(ErrorKind::Internal, format!("the storage module breaks a rule: {rule}"))
}
