//! The bound on memory, and who goes when it is reached.

use larder_engine::Mode;

use super::*;

fn key(n: u32) -> [u8; 8] {
    u64::from(n).to_be_bytes()
}

#[test]
fn memory_stays_within_its_bound_at_any_size_of_value() {
    let bench = Bench::of(4 * MIB);
    for length in [0, 10, 100, 5000, 100, 10_000, 200_000, 1, 1_000_000, 3000] {
        let value = vec![1u8; length];
        for n in 0..(8 * MIB as u32 / (length as u32 + 200)) {
            bench.set(&key(n), &value).unwrap();
            assert!(bench.engine.arena.budget.used() <= 4 * MIB);
        }
        let held = bench.engine.memory_use();
        let value_bytes = held.items * length as u64;
        assert!(length < 5000 || value_bytes > MIB, "{} bytes of values of {length} are kept", value_bytes);
    }
}

#[test]
fn what_was_counted_is_given_back() {
    let bench = Bench::of(4 * MIB);
    for n in 0..20_000u32 {
        bench.set(&key(n), &vec![0; n as usize % 300]).unwrap();
        bench.set(&key(n / 2), &vec![0; n as usize % 20_000]).unwrap();
        if n % 3 == 0 {
            bench.increment(&key(n + 100_000), 1).unwrap();
        }
    }
    for (key, _) in bench.scan(10_000) {
        bench.delete(&key).unwrap();
    }
    assert_eq!((bench.engine.memory_use().items, bench.engine.memory_use().bytes), (0, 0));
    // What is left is the last segment of each queue, and no more than a large item can push aside.
    let left = bench.engine.arena.budget.used();
    assert!(left <= 3 * (bench.engine.segment_bytes as u64 + 4096), "{left} bytes are left");
    bench.engine.set_memory_limit(0).unwrap();
    assert_eq!((bench.engine.arena.budget.used(), bench.engine.arena.warm_bytes()), (0, 0));
}

#[test]
fn a_scan_does_not_wash_out_what_is_used() {
    let bench = Bench::of(4 * MIB);
    let value = [0u8; 100];
    for round in 0..3 {
        for n in 0..1000 {
            if bench.get(&key(n)).is_none() {
                assert!(round < 2, "the working set has settled");
                bench.set(&key(n), &value).unwrap();
            }
        }
    }
    for n in 1_000_000..1_200_000 {
        bench.set(&key(n), &value).unwrap();
    }
    let survivors = (0..1000).filter(|n| bench.get(&key(*n)).is_some()).count();
    assert!(survivors > 950, "{survivors} of 1000");
}

#[test]
fn expired_items_go_first() {
    let bench = Bench::of(4 * MIB);
    let mut n = 0;
    while bench.engine.memory_use().evictions == 0 {
        let expiry = if n % 2 == 0 { Expiry::at(1010) } else { Expiry::NEVER };
        bench.set_until(&key(n), &[0; 50], expiry).unwrap();
        n += 1;
    }
    bench.engine.reset_stats();
    bench.pass(10);
    for more in 0..n / 4 {
        bench.set(&key(1_000_000 + more), &[0; 50]).unwrap();
    }
    let held = bench.engine.memory_use();
    assert!(held.reclaimed > 3 * held.evictions, "{held:?}");
}

#[test]
fn without_eviction_a_full_engine_refuses_and_keeps_no_old_value() {
    let bench = Bench::new(RamOptions { evict: false, ..RamOptions::new(MIB) });
    let stored = (0..).take_while(|n| bench.set(&key(*n), &[0; 100]).is_ok()).count() as u32;
    assert!(stored > 2000);
    let held = bench.engine.memory_use();
    assert_eq!((held.evictions, held.out_of_memory), (0, 1));
    let last = (0..stored).rev().find(|n| bench.get(&key(*n)).is_some()).unwrap();
    assert_eq!(bench.set(&key(last), &[0; 400_000]), Err(ErrorKind::OutOfMemory));
    assert_eq!(bench.get(&key(last)), None);
    let kept = (0..stored).filter(|n| bench.get(&key(*n)).is_some()).count() as u32;
    assert_eq!(kept, stored - 1);
}

#[test]
fn what_is_refused_for_want_of_room_leaves_what_is_there_unless_it_is_a_set() {
    let bench = Bench::new(RamOptions { evict: false, ..RamOptions::new(MIB) });
    let cas = bench.set(b"k", b"v").unwrap();
    let full = (0..).find(|n| bench.set(&key(*n), &[0; 100]).is_err());
    assert!(full.is_some());
    let large = vec![0; 400_000];
    let set = || Store::set(Key::new(b"k"), 0, Expiry::NEVER, Payload::Borrowed(&large));
    for refused in [
        Store { mode: Mode::Add, ..set() },
        Store { mode: Mode::Replace, ..set() },
        Store { mode: Mode::Append, ..set() },
        Store { compare: Some(cas), ..set() },
    ] {
        let mode = refused.mode;
        assert!(now(bench.engine.store(&bench.context(), refused)).is_err(), "{mode:?}");
        assert_eq!(bench.get(b"k").as_deref(), Some(&b"v"[..]), "{mode:?}");
    }
    assert_eq!(now(bench.engine.store(&bench.context(), set())).map(|_| ()), Err(ErrorKind::OutOfMemory));
    assert_eq!(bench.get(b"k"), None, "no old value stays in place of a new one");
}

#[test]
fn expired_items_make_room_even_without_eviction() {
    let bench = Bench::new(RamOptions { evict: false, ..RamOptions::new(MIB) });
    let stored = (0..).take_while(|n| bench.set_until(&key(*n), &[0; 100], Expiry::at(1010)).is_ok()).count();
    bench.pass(10);
    let again = (0..).take_while(|n| bench.set(&key(1_000_000 + n), &[0; 100]).is_ok()).count();
    assert!(again > stored * 3 / 4, "{again} after {stored}");
}

#[test]
fn an_item_may_take_much_more_than_a_shards_share() {
    let options = RamOptions { item_size_max: u64::MAX, ..RamOptions::new(16 * MIB) };
    let bench = Bench::new(options);
    for n in 0..100_000 {
        bench.set(&key(n), &[0; 100]).unwrap();
    }
    let item_size_max = bench.engine.describe().item_size_max;
    assert_eq!(item_size_max, 8 * MIB);
    let largest = vec![5u8; item_size_max as usize];
    bench.set(b"large", &largest).unwrap();
    assert_eq!(bench.get(b"large").unwrap().len(), largest.len());
    let too_large = vec![0u8; largest.len() + 1];
    assert_eq!(bench.set(b"other", &too_large), Err(ErrorKind::TooLarge));
    let others = bench.engine.memory_use().items;
    assert!(others > 20_000, "the others gave only what was needed: {others} are left");
}

#[test]
fn the_limit_changes_at_once() {
    let bench = Bench::of(16 * MIB);
    for n in 0..60_000 {
        bench.set(&key(n), &[0; 100]).unwrap();
    }
    bench.engine.set_memory_limit(2 * MIB).unwrap();
    let held = bench.engine.memory_use();
    assert!(held.bytes <= 2 * MIB && held.items > 1000, "{held:?}");
    assert!(!bench.engine.has_room());
    bench.engine.set_memory_limit(16 * MIB).unwrap();
    assert!(bench.engine.has_room());
}

#[test]
fn marks_of_absence_stay_few() {
    let bench = Bench::of(4 * MIB);
    for n in 0..2000 {
        bench.set(&key(n), &[0; 100]).unwrap();
    }
    for n in 0..100_000u32 {
        let fill = Fill { content: FillContent::Absent, version: 0, fresh_until: Some(bench.in_seconds(60)) };
        bench.fill(&key(1_000_000 + n), fill, || ());
    }
    assert!(bench.engine.arena.budget.used() < MIB, "{} bytes", bench.engine.arena.budget.used());
    assert_eq!(bench.engine.memory_use().items, 2000);
}

#[test]
fn marks_of_absence_are_renewed_also_when_they_have_their_share() {
    for keys in (4000..12_000u32).step_by(500) {
        let bench = Bench::of(4 * MIB);
        for n in 0..keys * 3 {
            let fresh_until = Some(bench.in_seconds(60));
            let fill = Fill { content: FillContent::Absent, version: 0, fresh_until };
            assert!(bench.fill(&key(n % keys), fill, || ()));
            assert_eq!(bench.look(&key(n % keys), &Get::plain()), Lookup::Absent);
        }
    }
}

#[test]
fn hammered_by_threads_the_bound_holds_and_values_stay_whole() {
    let engine = std::sync::Arc::new(RamEngine::new(Services::system(), RamOptions::new(2 * MIB)));
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let engine = engine.clone();
            scope.spawn(move || hammer(Bench::over(engine), thread));
        }
    });
    assert!(engine.arena.budget.used() <= 2 * MIB);
    let bench = Bench::over(engine);
    bench.flush(Scope::All, None);
    assert_eq!(bench.get(b"counter"), None);
    bench.engine.set_memory_limit(0).unwrap();
    assert_eq!(bench.engine.memory_use().items, 0);
}

fn hammer(bench: Bench, thread: u64) {
    let mut state = thread * 2 + 1;
    let mut next = move |below: u64| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) % below
    };
    for step in 0..30_000u64 {
        let n = next(2000) as u32;
        let length = [10, 100, 1000, 9000, 50_000][next(5) as usize];
        match next(10) {
            0..4 => {
                bench.set(&key(n), &vec![n as u8; length]).unwrap();
            }
            4..8 => {
                let value = bench.get(&key(n)).unwrap_or_default();
                assert!(value.iter().all(|byte| *byte == n as u8), "a value of another key");
            }
            8 => {
                let found = bench.delete(&key(n));
                assert!(matches!(found, Ok(()) | Err(ErrorKind::NotFound)));
            }
            _ => {
                let fill = Fill { content: FillContent::Absent, version: 0, fresh_until: None };
                bench.fill(&key(n), fill, || ());
            }
        }
        if step % 5000 == thread * 100 {
            bench.flush(Scope::Prefix(&key(n)[..7]), None);
        }
        assert!(bench.engine.arena.budget.used() <= 2 * MIB);
    }
}

#[test]
fn threads_count_together() {
    let engine = std::sync::Arc::new(RamEngine::new(Services::system(), RamOptions::new(2 * MIB)));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let engine = engine.clone();
            scope.spawn(move || {
                let bench = Bench::over(engine);
                for _ in 0..10_000 {
                    bench.increment(b"counter", 1).unwrap();
                }
            });
        }
    });
    assert_eq!(Bench::over(engine).get(b"counter").unwrap(), b"40000");
}

#[test]
fn overwritten_and_expired_room_is_used_again_before_anything_is_evicted() {
    let bench = Bench::of(4 * MIB);
    // Half of the memory, whose values change their length all the time.
    for round in 0..20u32 {
        for n in 0..10_000 {
            bench.set(&key(n), &vec![1; 80 + (n * 31 + round * 57) as usize % 140]).unwrap();
        }
    }
    assert_eq!((bench.engine.memory_use().evictions, bench.engine.memory_use().items), (0, 10_000));
    // As much again that lives for a few seconds.
    for second in 0..60u32 {
        for n in 0..2000 {
            let expiry = Expiry::at(bench.in_seconds(2).0);
            bench.set_until(&key(1_000_000 + second * 2000 + n), &[0; 100], expiry).unwrap();
        }
        bench.pass(1);
    }
    let held = bench.engine.memory_use();
    assert!(held.evictions < 5000, "{held:?} of 120000 that came and went");
    assert!(held.reclaimed > 100_000, "{held:?}");
}

#[test]
fn what_an_eviction_takes_is_told() {
    struct Lines(Vec<(String, String)>);
    impl larder_engine::StatsSink for Lines {
        fn stat(&mut self, name: &str, value: &dyn std::fmt::Display) {
            self.0.push((name.into(), value.to_string()));
        }
    }
    let bench = Bench::of(4 * MIB);
    bench.set(b"first", b"v").unwrap();
    bench.pass(77);
    for n in 0..50_000 {
        bench.set(&key(n), &[0; 100]).unwrap();
    }
    let told = |name: &str| {
        let mut lines = Lines(Vec::new());
        bench.engine.stats(&mut lines);
        let line = lines.0.iter().find(|(other, _)| other == name);
        line.map(|(_, value)| value.parse::<u64>().unwrap()).unwrap()
    };
    assert!(told("eviction_calls") > 0 && told("bytes_index") > 0 && told("bytes_taken") <= 4 * MIB);
    bench.engine.reset_stats();
    assert_eq!((told("eviction_calls"), told("eviction_us_max")), (0, 0));
}
