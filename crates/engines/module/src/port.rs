//! The engine's functions as they are used: asked again until they answer, their items held, their answers checked.
//!
//! All of it on a cookie whose turn it is.

use larder_engine::{EngineError, ErrorKind, Expiry, Found};

use crate::Profile;
use crate::error::{allocate_error, breach, error_of};
use crate::raw::cookie::Cookie;
use crate::raw::held::Held;
use crate::raw::host;
use crate::raw::layout::{Code, StoreOperation};
use crate::raw::module::{Described, KeyBuffer, Module, Step};
use crate::session::call;

/// A client's number for what has expired long ago: relative seconds end one below it.
const LONG_PAST: u32 = 60 * 60 * 24 * 30 + 1;

/// An engine and a cookie of it.
#[derive(Clone, Copy)]
pub(crate) struct Port {
    pub(crate) module: &'static Module,
    pub(crate) cookie: &'static Cookie,
}

/// What is known of an item besides its value.
pub(crate) fn found(described: &Described<'_>) -> Found {
    let expiry = expiry(described.exptime);
    Found {
        flags: u32::from_be(described.flags),
        cas: described.cas,
        expiry,
        expiry_before: expiry,
        ..Found::default()
    }
}

/// From a second of the engines' clock.
fn expiry(exptime: u32) -> Expiry {
    match exptime {
        0 => Expiry::NEVER,
        second => Expiry::at(u32::try_from(host::abstime(second)).unwrap_or(u32::MAX)),
    }
}

/// The number that a client would write for this expiry, or what the server makes of it where that is its business.
pub(crate) fn exptime(module: &Module, expiry: Expiry) -> u32 {
    let number = match expiry.raw() {
        0 => 0,
        1..=LONG_PAST => LONG_PAST,
        second => second,
    };
    match module.profile {
        Profile::Y2010M04 => host::realtime(number.into()),
        _ => number,
    }
}

/// Flags as engines are given them: in network byte order.
pub(crate) fn flags_given(flags: u32) -> u32 {
    flags.to_be()
}

/// An item that was read, with its value in one piece.
pub(crate) struct Read {
    pub(crate) found: Found,
    pub(crate) value: Vec<u8>,
}

impl Port {
    pub(crate) fn error(self, code: Code) -> EngineError {
        error_of(self.module, self.cookie, code)
    }

    pub(crate) fn breach(self, rule: &str) -> EngineError {
        breach(self.module, rule)
    }

    /// The item under a key. `is_blocked` here and below: the function was called already, and answers later.
    pub(crate) async fn get(self, key: &KeyBuffer, is_blocked: bool) -> Result<Option<Held>, EngineError> {
        let mut item = std::ptr::null_mut();
        let code =
            call(self.module, self.cookie, is_blocked, || self.module.get(self.cookie, key, &mut item)).await;
        match code {
            Code::SUCCESS => self.hold(item, "get: success, but no item").map(Some),
            Code::KEY_ENOENT => Ok(None),
            code => Err(self.error(code)),
        }
    }

    /// What is known of the item under a key besides its value, and how long that is.
    pub(crate) async fn describe(
        self,
        key: &KeyBuffer,
        is_blocked: bool,
    ) -> Result<Option<(Found, usize)>, EngineError> {
        let Some(held) = self.get(key, is_blocked).await? else { return Ok(None) };
        self.module.read(self.cookie, key, held.pointer(), |described| match described {
            Ok(described) => {
                let length = described.pieces.iter().map(|piece| piece.len()).sum();
                Ok(Some((found(&described), length)))
            }
            Err(rule) => Err(self.breach(rule)),
        })
    }

    /// A copy of the item under a key.
    pub(crate) async fn read(self, key: &KeyBuffer, is_blocked: bool) -> Result<Option<Read>, EngineError> {
        let Some(held) = self.get(key, is_blocked).await? else { return Ok(None) };
        self.module.read(self.cookie, key, held.pointer(), |described| match described {
            Ok(described) => Ok(Some(Read { found: found(&described), value: described.pieces.concat() })),
            Err(rule) => Err(self.breach(rule)),
        })
    }

    pub(crate) fn hold(self, item: crate::raw::layout::ItemPointer, rule: &str) -> Result<Held, EngineError> {
        Held::new(self.module, self.cookie, item).ok_or_else(|| self.breach(rule))
    }

    /// A new item with its value and the CAS to compare.
    pub(crate) async fn make(
        self,
        key: &KeyBuffer,
        new: &New<'_>,
        is_blocked: bool,
    ) -> Result<Held, EngineError> {
        let mut item = std::ptr::null_mut();
        let code = call(self.module, self.cookie, is_blocked, || {
            self.module.allocate(
                self.cookie,
                key,
                new.value.len(),
                flags_given(new.flags),
                new.exptime,
                &mut item,
            )
        })
        .await;
        self.made(code, item, new)
    }

    /// What `allocate` gave, filled.
    pub(crate) fn made(
        self,
        code: Code,
        item: crate::raw::layout::ItemPointer,
        new: &New<'_>,
    ) -> Result<Held, EngineError> {
        if code != Code::SUCCESS {
            return Err(allocate_error(code));
        }
        let held = self.hold(item, "allocate: success, but no item")?;
        self.module.set_cas(self.cookie, held.pointer(), new.cas);
        match self.module.fill(self.cookie, held.pointer(), new.value) {
            Ok(()) => Ok(held),
            Err(rule) => Err(self.breach(rule)),
        }
    }

    /// Stores an item; its new CAS.
    pub(crate) async fn store(
        self,
        held: &Held,
        operation: StoreOperation,
        is_blocked: bool,
    ) -> Result<u64, Code> {
        let mut cas = 0;
        let code = call(self.module, self.cookie, is_blocked, || {
            self.module.store(self.cookie, held.pointer(), operation, &mut cas)
        })
        .await;
        if code == Code::SUCCESS { Ok(cas) } else { Err(code) }
    }

    /// The engine's own incr or decr: CAS and number.
    pub(crate) async fn step(self, key: &KeyBuffer, step: &Step) -> Result<(u64, u64), Code> {
        let (mut cas, mut number) = (0, 0);
        let code = call(self.module, self.cookie, false, || {
            let code = self.module.arithmetic(self.cookie, key, step, &mut cas, &mut number);
            code.unwrap_or(Code::ENOTSUP)
        })
        .await;
        if code == Code::SUCCESS { Ok((cas, number)) } else { Err(code) }
    }

    /// A command of the binary protocol that the engine answers itself; the first response.
    pub(crate) async fn ask(
        self,
        mut request: Vec<u8>,
    ) -> Result<Vec<larder_engine::engine::RawResponse>, EngineError> {
        if !self.module.has_unknown_command() {
            return Err(ErrorKind::Unsupported.into());
        }
        self.cookie.take_said();
        let original = request.clone();
        let code = call(self.module, self.cookie, false, || {
            // An engine may turn the request's bytes around; asked again it finds them as they came.
            request.copy_from_slice(&original);
            self.module.unknown_command(self.cookie, &mut request).unwrap_or(Code::ENOTSUP)
        })
        .await;
        let said = self.cookie.take_said();
        if code == Code::SUCCESS { Ok(said.responses) } else { Err(self.error(code)) }
    }
}

/// What a new item is made of.
pub(crate) struct New<'a> {
    pub(crate) value: &'a [u8],
    pub(crate) flags: u32,
    /// As [`exptime`] gives it.
    pub(crate) exptime: u32,
    /// The CAS to compare with; 0: none.
    pub(crate) cas: u64,
}
