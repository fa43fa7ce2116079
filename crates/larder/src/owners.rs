//! Which tier answers for a key, by every setup that is still in use.
//!
//! A reload puts a setup in force while workers and operations still use the one before it. A key that both give to the
//! same tier is that tier's own; of all others no tier keeps anything until the old setup is used no more.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use larder_ram::RamEngine;
use larder_tier::{Keys, Tier};
use parking_lot::Mutex;

/// The tiers and the setups in use. Threads: any.
#[derive(Default)]
pub struct Owners(Mutex<State>);

#[derive(Default)]
struct State {
    made: u64,
    tiers: Vec<(Owner, Weak<Tier<RamEngine>>)>,
    /// The newest last.
    in_use: Vec<(InUse, Arc<Owned>)>,
}

/// A tier among all that were ever made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owner(u64);

/// A setup in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InUse(u64);

/// The tier of each prefix, for prefixes that have one.
pub struct Owned {
    by_prefix: HashMap<Box<[u8]>, Option<Owner>>,
    /// Lengths of prefixes, longest first.
    lengths: Vec<usize>,
}

impl Owned {
    /// The prefixes of a setup, each with its tier if it has one.
    pub fn new(prefixes: impl IntoIterator<Item = (Box<[u8]>, Option<Owner>)>) -> Self {
        let by_prefix: HashMap<_, _> = prefixes.into_iter().collect();
        let mut lengths: Vec<usize> = by_prefix.keys().map(|prefix| prefix.len()).collect();
        lengths.sort_unstable_by(|left, right| right.cmp(left));
        lengths.dedup();
        Owned { by_prefix, lengths }
    }

    fn owner(&self, key: &[u8]) -> Option<Owner> {
        let prefixes = self.lengths.iter().filter_map(|&length| key.get(..length));
        prefixes.into_iter().find_map(|prefix| self.by_prefix.get(prefix).copied()).flatten()
    }

    fn has(&self, owner: Owner) -> bool {
        self.by_prefix.values().any(|other| *other == Some(owner))
    }

    fn has_only(&self, owner: Owner) -> bool {
        self.by_prefix.values().all(|other| *other == Some(owner))
    }
}

impl Owners {
    /// A tier that was made, for [`Keys::None`]; it answers for others once a setup with it is in use, alone.
    pub fn add(&self, tier: &Arc<Tier<RamEngine>>) -> Owner {
        let mut state = self.0.lock();
        state.made += 1;
        let owner = Owner(state.made);
        state.tiers.push((owner, Arc::downgrade(tier)));
        owner
    }

    /// A setup is about to be used.
    pub fn begin(&self, owned: Owned) -> InUse {
        let mut state = self.0.lock();
        state.made += 1;
        let in_use = InUse(state.made);
        state.in_use.push((in_use, Arc::new(owned)));
        state.tell_all();
        in_use
    }

    /// A setup is used no more, and no cache holds anything that came by it.
    pub fn end(&self, in_use: InUse) {
        let mut state = self.0.lock();
        state.in_use.retain(|(other, _)| *other != in_use);
        state.tell_all();
    }
}

impl State {
    fn tell_all(&mut self) {
        let in_use: Vec<_> = self.in_use.iter().map(|(_, owned)| owned.clone()).collect();
        self.tiers.retain(|(owner, tier)| {
            let Some(tier) = tier.upgrade() else { return false };
            tier.answer_for(keys(*owner, &in_use));
            true
        });
    }
}

/// The keys that all of these give to one tier.
fn keys(owner: Owner, in_use: &[Arc<Owned>]) -> Keys {
    if !in_use.iter().all(|owned| owned.has(owner)) {
        return Keys::None;
    }
    if in_use.iter().all(|owned| owned.has_only(owner)) {
        return Keys::All;
    }
    let in_use = in_use.to_vec();
    Keys::Of(Box::new(move |key| in_use.iter().all(|owned| owned.owner(key) == Some(owner))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Owner = Owner(1);
    const OTHER: Owner = Owner(2);

    fn owned(prefixes: &[(&str, Option<Owner>)]) -> Arc<Owned> {
        Arc::new(Owned::new(prefixes.iter().map(|(prefix, owner)| (prefix.as_bytes().into(), *owner))))
    }

    fn is_own(keys: &Keys, key: &str) -> bool {
        match keys {
            Keys::All => true,
            Keys::Of(is_own) => is_own(key.as_bytes()),
            Keys::None => false,
        }
    }

    #[test]
    fn the_longest_prefix_decides() {
        let setup = [owned(&[("", Some(ONE)), ("a", Some(OTHER)), ("ab", None), ("abc", Some(ONE))])];
        let (one, other) = (keys(ONE, &setup), keys(OTHER, &setup));
        for (key, owner) in
            [("b", Some(ONE)), ("a", Some(OTHER)), ("ac", Some(OTHER)), ("abd", None), ("abcd", Some(ONE))]
        {
            assert_eq!(
                (is_own(&one, key), is_own(&other, key)),
                (owner == Some(ONE), owner == Some(OTHER)),
                "{key}"
            );
        }
    }

    #[test]
    fn every_setup_in_use_must_agree() {
        let (old, new) = (owned(&[("", Some(ONE))]), owned(&[("", Some(ONE)), ("a", Some(OTHER))]));
        assert!(matches!(keys(ONE, std::slice::from_ref(&old)), Keys::All));
        let both = keys(ONE, &[old.clone(), new.clone()]);
        assert!(is_own(&both, "b") && !is_own(&both, "a"));
        // One that is new does not begin before the old setup has ended.
        assert!(matches!(keys(OTHER, &[old, new.clone()]), Keys::None));
        let alone = keys(OTHER, &[new]);
        assert!(is_own(&alone, "a") && !is_own(&alone, "b"));
    }

    #[test]
    fn a_tier_that_is_gone_has_no_keys() {
        let (old, new) = (owned(&[("", Some(ONE))]), owned(&[("", None)]));
        assert!(matches!(keys(ONE, &[old, new]), Keys::None));
    }
}
