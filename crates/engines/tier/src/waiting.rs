//! Flushes whose time is to come.

use larder_engine::{Scope, Timestamp};
use parking_lot::Mutex;

use crate::traffic::covers;

/// Flushes that store and cache have been told and will do at their time.
///
/// An answer of the store from before that time must not enter the cache after it: the cache would take it for new.
#[derive(Default)]
pub(crate) struct WaitingFlushes(Mutex<Vec<(Vec<u8>, Timestamp)>>);

impl WaitingFlushes {
    /// Remembers a flush; one of the same scope is replaced. Those long past are forgotten.
    pub fn add(&self, scope: Scope<'_>, when: Timestamp, now: Timestamp) {
        /// No request takes longer than this.
        const REMEMBERED_SECONDS: u32 = 3600;
        let prefix = match scope {
            Scope::All => &[][..],
            Scope::Prefix(prefix) => prefix,
        };
        let mut waiting = self.0.lock();
        waiting.retain(|(other, at)| {
            let replaced = other == prefix && *at > now;
            !replaced && now.seconds_since(*at) < REMEMBERED_SECONDS
        });
        waiting.push((prefix.to_vec(), when));
    }

    /// Whether a flush of `name` fell due after `begun` and not after `now`.
    pub fn crossed(&self, name: &[u8], begun: Timestamp, now: Timestamp) -> bool {
        let waiting = self.0.lock();
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
        flushes.add(Scope::Prefix(b"a:"), at(100), at(50));
        assert!(flushes.crossed(b"a:k", at(99), at(100)));
        assert!(!flushes.crossed(b"a:k", at(98), at(99)));
        assert!(!flushes.crossed(b"a:k", at(100), at(101)));
        assert!(!flushes.crossed(b"b:k", at(99), at(100)));
        flushes.add(Scope::Prefix(b"a:"), at(200), at(60));
        assert!(!flushes.crossed(b"a:k", at(99), at(100)));
        assert!(flushes.crossed(b"a:k", at(99), at(200)));
    }
}
