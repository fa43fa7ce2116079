//! Random sizes, limits and overwrites: what is found is right, and what is counted is there.

use std::collections::HashMap;

use larder_engine::{Mode, Older};
use proptest::prelude::*;

use super::*;
use crate::record::{self, Kind};

/// Sums what is in memory by walking over it, and compares it with what is counted.
fn audit(engine: &RamEngine) {
    let mut taken = 0;
    for shard in engine.locked_shards() {
        let (mut items, mut absent, mut bytes) = (0, 0, 0);
        for number in shard.segment_numbers() {
            let (mut live, mut outside) = (0, 0);
            let mut offset = 0;
            while let Some(place) = shard.next_record(number, offset) {
                let view = shard.view(place);
                let length = record::length(shard.record(place));
                offset = place.offset + length as u32;
                let hash = engine.hash(view.key);
                assert_eq!(
                    shard.find(hash, view.key),
                    Some(place),
                    "a living record is what its key leads to"
                );
                live += length as u64;
                outside += view.shared.map_or(0, |value| crate::large::charge(value.len()));
                match view.head.kind {
                    Kind::Absent => absent += 1,
                    _ => items += 1,
                }
            }
            let segment = shard.segment(number);
            assert_eq!((u64::from(segment.live), segment.outside), (live, outside), "segment {number}");
            bytes += live + outside;
            taken += segment.run.as_ref().map_or(0, |run| run.charge()) + outside;
        }
        assert_eq!((shard.items, shard.absent_marks, shard.live_bytes()), (items, absent, bytes));
        let entries = shard.index.from(crate::index::ShortHash(0)).count() as u64;
        assert_eq!(entries, items + absent, "the index holds what is alive");
        taken += shard.index.bytes() + shard.ghosts.bytes();
    }
    // No reader holds anything here.
    assert_eq!(engine.arena.budget.used(), taken, "what is charged is there");
    let resident_max = engine.arena.budget.used() + engine.arena.warm_bytes();
    let limit = engine.arena.budget.limit();
    assert!(resident_max <= limit.max(engine.arena.budget.used()), "{resident_max} of {limit}");
}

#[derive(Clone, Debug)]
enum Step {
    Set { key: u16, length: usize, ttl: u32 },
    Append { key: u16, length: usize },
    Delete(u16),
    Get(u16),
    Touch(u16, u32),
    FillAbsent(u16),
    Flush,
    FlushPrefix(u8),
    Limit(u64),
    Pass(u32),
}

fn steps(limits: std::ops::Range<u64>) -> impl Strategy<Value = Step> {
    let key = || 0..600u16;
    let length = || {
        prop_oneof![
            6 => 0..60usize,
            6 => 60..600usize,
            3 => 600..9000usize,
            1 => 9000..60_000usize
        ]
    };
    let ttl = || prop_oneof![2 => Just(0u32), 1 => 1..6u32];
    prop_oneof![
        40 => (key(), length(), ttl()).prop_map(|(key, length, ttl)| Step::Set { key, length, ttl }),
        6 => (key(), length()).prop_map(|(key, length)| Step::Append { key, length }),
        8 => key().prop_map(Step::Delete),
        25 => key().prop_map(Step::Get),
        4 => (key(), ttl()).prop_map(|(key, ttl)| Step::Touch(key, ttl)),
        3 => key().prop_map(Step::FillAbsent),
        1 => Just(Step::Flush),
        1 => (0..4u8).prop_map(Step::FlushPrefix),
        2 => limits.prop_map(Step::Limit),
        3 => (1..3u32).prop_map(Step::Pass),
    ]
}

/// What each key holds if it is there: the value and its expiry.
struct Model {
    items: HashMap<u16, (Vec<u8>, Expiry)>,
    stamp: u8,
}

fn name(key: u16) -> Vec<u8> {
    format!("{}:{key:04}", key % 4).into_bytes()
}

fn until(bench: &Bench, ttl: u32) -> Expiry {
    if ttl == 0 { Expiry::NEVER } else { Expiry::at(bench.in_seconds(ttl).0) }
}

fn run(bench: &Bench, model: &mut Model, step: Step, may_refuse: bool) {
    match step {
        Step::Set { key, length, ttl } => {
            model.stamp = model.stamp.wrapping_add(1);
            let value = vec![model.stamp; length];
            let expiry = until(bench, ttl);
            match bench.set_until(&name(key), &value, expiry) {
                Ok(_) => model.items.insert(key, (value, expiry)),
                Err(ErrorKind::OutOfMemory) if may_refuse => model.items.remove(&key),
                // An item's limit follows from the memory it was made with.
                Err(ErrorKind::TooLarge) => None,
                Err(other) => panic!("{other:?} for {length} bytes"),
            };
        }
        Step::Append { key, length } => {
            let value = vec![b'a'; length];
            let (name, now_) = (name(key), bench.context());
            let store = Store {
                mode: Mode::Append,
                older: Older::Refuse,
                ..Store::set(Key::new(&name), 0, Expiry::NEVER, Payload::Borrowed(&value))
            };
            match now(bench.engine.store(&now_, store)) {
                Ok(stored) => {
                    let (held, _) = model.items.get_mut(&key).expect("what is appended to was stored");
                    held.extend_from_slice(&value);
                    assert_eq!(stored.size, held.len());
                }
                Err(ErrorKind::NotStored | ErrorKind::TooLarge) => {}
                Err(ErrorKind::OutOfMemory) if may_refuse => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        Step::Delete(key) => {
            let deleted = bench.delete(&name(key));
            let held = model.items.remove(&key);
            assert!(deleted.is_err() || held.is_some());
        }
        Step::Get(key) => check(bench, model, key),
        Step::Touch(key, ttl) => {
            let expiry = until(bench, ttl);
            match now(bench.engine.touch(&bench.context(), Key::new(&name(key)), expiry)) {
                Ok(_) => model.items.get_mut(&key).expect("what is touched was stored").1 = expiry,
                Err(ErrorKind::NotFound) => {}
                Err(ErrorKind::OutOfMemory) if may_refuse => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        Step::FillAbsent(key) => {
            if bench.fill(&name(key), absent(bench.in_seconds(3)), || ()) {
                model.items.remove(&key);
            } else {
                bench.delete(&name(key)).ok();
                model.items.remove(&key);
            }
        }
        Step::Flush => {
            bench.flush(Scope::All, None);
            model.items.clear();
        }
        Step::FlushPrefix(digit) => {
            bench.flush(Scope::Prefix(format!("{digit}:").as_bytes()), None);
            model.items.retain(|key, _| key % 4 != u16::from(digit));
        }
        Step::Limit(bytes) => bench.engine.set_memory_limit(bytes).unwrap(),
        Step::Pass(seconds) => bench.pass(seconds),
    }
    let limit = bench.engine.arena.budget.limit();
    assert!(!bench.engine.options.evict || bench.engine.arena.budget.used() <= limit);
}

/// A key holds exactly what was stored last, or nothing.
fn check(bench: &Bench, model: &Model, key: u16) {
    let Some(item) = bench.get_with(&name(key), &Get::plain()) else { return };
    let Some((value, expiry)) = model.items.get(&key) else { panic!("{key} was removed") };
    assert_eq!((&item.value.whole()[..], item.found.expiry), (&value[..], *expiry));
    assert!(!expiry.is_past(bench.context().now), "{key} has expired");
}

fn play(bench: Bench, steps: Vec<Step>, may_refuse: bool) {
    let mut model = Model { items: HashMap::new(), stamp: 0 };
    for (at, step) in steps.into_iter().enumerate() {
        run(&bench, &mut model, step, may_refuse);
        if at % 64 == 0 {
            audit(&bench.engine);
        }
    }
    audit(&bench.engine);
    for key in 0..600 {
        check(&bench, &model, key);
    }
    // The keys alone: who has a value holds its memory.
    let scanned: Vec<Box<[u8]>> = bench.scan(3000).into_iter().map(|(key, _)| key).collect();
    let mut keys = scanned.clone();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), scanned.len(), "a scan of what stays names each key once");
    for key in &scanned {
        bench.delete(key).unwrap();
    }
    for key in 0..600 {
        assert_eq!(bench.get(&name(key)), None);
        now(bench.engine.invalidate(&bench.context(), Key::new(&name(key)))).unwrap();
    }
    audit(&bench.engine);
    let held = bench.engine.memory_use();
    assert_eq!((held.items, held.bytes), (0, 0));
    bench.engine.set_memory_limit(0).unwrap();
    assert_eq!((bench.engine.arena.budget.used(), bench.engine.arena.warm_bytes()), (0, 0), "all is free");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_found_is_right_in_tiny_memory(steps in prop::collection::vec(steps(65_536..200_000), 1..1500)) {
        play(Bench::of(64 << 10), steps, true);
    }

    #[test]
    fn what_is_found_is_right_in_little_memory(steps in prop::collection::vec(steps(300_000..2_000_000), 1..3000)) {
        play(Bench::of(MIB), steps, true);
    }

    #[test]
    fn what_is_found_is_right_in_several_shards(
        steps in prop::collection::vec(steps(1_000_000..20_000_000), 1..3000),
    ) {
        play(Bench::of(8 * MIB), steps, false);
    }

    #[test]
    fn what_is_found_is_right_without_eviction(
        steps in prop::collection::vec(steps(500_000..2_000_000), 1..3000),
    ) {
        play(Bench::new(RamOptions { evict: false, ..RamOptions::new(MIB) }), steps, true);
    }
}
