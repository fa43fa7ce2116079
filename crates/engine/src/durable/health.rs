//! Whether a store can serve.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::error::{EngineError, ErrorKind};

/// Whether the store can serve, for `/ready`.
pub struct Health {
    /// Why the writer does not work at the moment.
    failing: Mutex<Option<Arc<str>>>,
    /// Damage was met. It does not mend while the store is open.
    damaged: AtomicBool,
    /// What callers are told of it.
    damaged_text: &'static str,
}

impl Health {
    /// All is well. `damaged_text` is what callers are told once damage was met.
    pub fn new(damaged_text: &'static str) -> Self {
        Health { failing: Mutex::default(), damaged: AtomicBool::new(false), damaged_text }
    }

    /// The error says why it cannot serve.
    pub fn is_good(&self) -> Result<(), EngineError> {
        if self.is_damaged() {
            return Err(EngineError::new(ErrorKind::Damaged, self.damaged_text));
        }
        match &*self.failing.lock() {
            None => Ok(()),
            Some(why) => Err(EngineError::new(ErrorKind::Unavailable, &**why)),
        }
    }

    /// The writer works. `true` if it did not before.
    pub fn good(&self) -> bool {
        self.failing.lock().take().is_some()
    }

    /// The writer failed. `true` if it did not before.
    pub fn bad(&self, why: &str) -> bool {
        self.failing.lock().replace(why.into()).is_none()
    }

    /// The file is damaged. `true` if that is news.
    pub fn damaged(&self) -> bool {
        !self.damaged.swap(true, Ordering::Relaxed)
    }

    /// Whether damage was met.
    pub fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }
}
