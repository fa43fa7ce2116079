//! Flushes whose time is to come.

use std::sync::atomic::{AtomicBool, Ordering};

use larder_engine::{Scope, Timestamp};
use parking_lot::Mutex;

use crate::traffic::covers;

/// Flushes that store and cache have been told and will do at their time.
///
/// An answer of the store from before that time must not enter the cache after it: the cache would take it for new.
#[derive(Default)]
pub(crate) struct WaitingFlushes {
    flushes: Mutex<Vec<(Vec<u8>, Timestamp)>>,
    /// Whether there ever was one; few servers see any.
    any: AtomicBool,
}

impl WaitingFlushes {
    /// A flush was asked for. One of the same scope that still waits is replaced; those long past are forgotten.
    pub fn replace(&self, scope: Scope<'_>, when: Option<Timestamp>, now: Timestamp) {
        /// No request takes longer than this.
        const REMEMBERED_SECONDS: u32 = 3600;
        let prefix = match scope {
            Scope::All => &[][..],
            Scope::Prefix(prefix) => prefix,
        };
        let mut waiting = self.flushes.lock();
        waiting.retain(|(other, at)| {
            let replaced = other == prefix && *at > now;
            !replaced && now.seconds_since(*at) < REMEMBERED_SECONDS
        });
        if let Some(when) = when {
            waiting.push((prefix.to_vec(), when));
            self.any.store(true, Ordering::Release);
        }
    }

    /// Whether a flush of `name` fell due after `begun` and not after `now`.
    pub fn crossed(&self, name: &[u8], begun: Timestamp, now: Timestamp) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let waiting = self.flushes.lock();
        waiting.iter().any(|(prefix, at)| begun < *at && *at <= now && covers(Scope::Prefix(prefix), name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_is_crossed_by_what_began_before_it() {
        let flushes = WaitingFlushes::default();
        let at = Timestamp;
        flushes.replace(Scope::Prefix(b"a:"), Some(at(100)), at(50));
        assert!(flushes.crossed(b"a:k", at(99), at(100)));
        assert!(!flushes.crossed(b"a:k", at(98), at(99)));
        assert!(!flushes.crossed(b"a:k", at(100), at(101)));
        assert!(!flushes.crossed(b"b:k", at(99), at(100)));
        flushes.replace(Scope::Prefix(b"a:"), Some(at(200)), at(60));
        assert!(!flushes.crossed(b"a:k", at(99), at(100)));
        assert!(flushes.crossed(b"a:k", at(99), at(200)));
        flushes.replace(Scope::Prefix(b"a:"), None, at(70));
        assert!(!flushes.crossed(b"a:k", at(99), at(200)));
    }
}
