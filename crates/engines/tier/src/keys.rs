//! Which keys a tier answers for.
//!
//! Others may share its cache, and its store may hold items of keys that others answer for: a prefix that was split
//! off leaves its items where they are. So nothing gets from the store into the cache but under the tier's own keys.
//!
//! While a key passes from one to another, for as long as both may be asked, neither keeps anything of it. Whoever
//! arranges that first takes the key away from all of them, then makes the cache forget it, then lets them be asked,
//! and gives the key to its new owner when the old one is asked no more.

use std::future::poll_fn;
use std::task::Poll;

use parking_lot::RwLock;

use crate::signal::Signal;

/// Says whether a key is a tier's own.
pub type IsOwn = Box<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// Keys that a tier answers for.
#[derive(Default)]
pub enum Keys {
    /// All: nobody else uses its cache.
    #[default]
    All,
    /// Those for which this says so. Asked on any thread, with locks of the tier held: it must not wait or call back.
    Of(IsOwn),
    /// None: others still answer for them, or do so again.
    None,
}

/// The keys of a running tier.
pub(crate) struct OwnKeys {
    keys: RwLock<Keys>,
    /// Rings when they change.
    changed: Signal,
}

impl OwnKeys {
    pub fn new(keys: Keys) -> Self {
        OwnKeys { keys: RwLock::new(keys), changed: Signal::default() }
    }

    pub fn replace(&self, keys: Keys) {
        *self.keys.write() = keys;
        self.changed.ring();
    }

    /// Whether a key is among them.
    pub fn include(&self, key: &[u8]) -> bool {
        match &*self.keys.read() {
            Keys::All => true,
            Keys::Of(is_own) => is_own(key),
            Keys::None => false,
        }
    }

    pub fn is_none(&self) -> bool {
        matches!(*self.keys.read(), Keys::None)
    }

    /// Waits until there are any. For one task.
    pub async fn any(&self) {
        poll_fn(|task| {
            loop {
                if !self.is_none() {
                    return Poll::Ready(());
                }
                if !self.changed.heard(task.waker()) {
                    return Poll::Pending;
                }
            }
        })
        .await;
    }
}
