//! `stats detail`: what is asked of the keys that begin alike.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use hashbrown::HashMap;
use parking_lot::Mutex;

/// Prefixes that are told apart; keys of any further one are not counted, so that clients cannot fill the memory.
const PREFIXES_MAX: usize = 10_000;

/// Counts by prefix. Threads: any; while it is on, all workers meet at one lock. On cache lines of its own, which
/// nobody writes while it is off.
#[repr(align(128))]
pub(crate) struct Detail {
    is_on: AtomicBool,
    /// What ends a prefix.
    delimiter: u8,
    counts: Mutex<HashMap<Box<[u8]>, Counts, foldhash::fast::RandomState>>,
}

#[derive(Default, Clone, Copy)]
struct Counts {
    gets: u64,
    hits: u64,
    sets: u64,
    deletes: u64,
}

/// What is counted.
#[derive(Clone, Copy)]
pub(crate) enum Seen {
    Get { is_hit: bool },
    Set,
    Delete,
}

impl Detail {
    pub(crate) fn new(is_on: bool, delimiter: u8) -> Detail {
        Detail { is_on: AtomicBool::new(is_on), delimiter, counts: Mutex::default() }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.is_on.load(Relaxed)
    }

    pub(crate) fn switch(&self, is_on: bool) {
        self.is_on.store(is_on, Relaxed);
    }

    pub(crate) fn reset(&self) {
        self.counts.lock().clear();
    }

    /// Counts what is asked of a key, if it is on and the key has a prefix.
    #[inline]
    pub(crate) fn count(&self, key: &[u8], asked: Seen) {
        if self.is_on() {
            self.count_slowly(key, asked);
        }
    }

    #[cold]
    fn count_slowly(&self, key: &[u8], asked: Seen) {
        let Some(end) = key.iter().position(|&byte| byte == self.delimiter) else { return };
        let prefix = &key[..end];
        let mut counts = self.counts.lock();
        let is_full = counts.len() >= PREFIXES_MAX;
        let counts = match counts.get_mut(prefix) {
            Some(counts) => counts,
            None if is_full => return,
            None => counts.entry(prefix.into()).or_default(),
        };
        match asked {
            Seen::Get { is_hit } => {
                counts.gets += 1;
                counts.hits += u64::from(is_hit);
            }
            Seen::Set => counts.sets += 1,
            Seen::Delete => counts.deletes += 1,
        }
    }

    /// Appends a line for each prefix, in their order.
    pub(crate) fn dump(&self, out: &mut Vec<u8>) {
        let mut all: Vec<_> =
            self.counts.lock().iter().map(|(prefix, counts)| (prefix.clone(), *counts)).collect();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (prefix, Counts { gets, hits, sets, deletes }) in all {
            out.extend_from_slice(b"PREFIX ");
            out.extend_from_slice(&prefix);
            out.extend_from_slice(format!(" get {gets} hit {hits} set {sets} del {deletes}\r\n").as_bytes());
        }
        out.extend_from_slice(b"END\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dumped(detail: &Detail) -> String {
        let mut out = Vec::new();
        detail.dump(&mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn prefixes_are_counted_while_it_is_on() {
        let detail = Detail::new(false, b':');
        detail.count(b"user:1", Seen::Set);
        assert_eq!(dumped(&detail), "END\r\n");
        detail.switch(true);
        detail.count(b"user:1", Seen::Set);
        detail.count(b"user:2:3", Seen::Get { is_hit: true });
        detail.count(b"user:", Seen::Get { is_hit: false });
        detail.count(b"page:1", Seen::Delete);
        detail.count(b"none", Seen::Set);
        detail.switch(false);
        detail.count(b"page:1", Seen::Delete);
        assert_eq!(
            dumped(&detail),
            "PREFIX page get 0 hit 0 set 0 del 1\r\nPREFIX user get 2 hit 1 set 1 del 0\r\nEND\r\n"
        );
        detail.reset();
        assert_eq!(dumped(&detail), "END\r\n");
    }

    #[test]
    fn prefixes_are_bounded() {
        let detail = Detail::new(true, b'/');
        for number in 0..PREFIXES_MAX + 5 {
            detail.count(format!("{number}/x").as_bytes(), Seen::Set);
        }
        detail.count(b"0/y", Seen::Set);
        let dump = dumped(&detail);
        assert_eq!(dump.lines().count(), PREFIXES_MAX + 1);
        assert!(dump.contains("PREFIX 0 get 0 hit 0 set 2 del 0\r\n"));
    }
}
