//! Who is kept: hit ratios on small traces that are the same in every run, beside a plain LRU list of the same bytes.

use std::collections::{BTreeMap, HashMap};

use super::*;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// A list by last use; items cost what they cost memcached.
#[derive(Default)]
struct Lru {
    places: HashMap<u64, u64>,
    order: BTreeMap<u64, (u64, u64)>,
    clock: u64,
    bytes: u64,
}

impl Lru {
    fn look_up(&mut self, number: u64, bytes: u64, bytes_max: u64) -> bool {
        self.clock += 1;
        if let Some(place) = self.places.insert(number, self.clock) {
            let entry = self.order.remove(&place).unwrap();
            self.order.insert(self.clock, entry);
            return true;
        }
        self.order.insert(self.clock, (number, bytes));
        self.bytes += bytes;
        while self.bytes > bytes_max {
            let (_, (oldest, bytes)) = self.order.pop_first().unwrap();
            self.places.remove(&oldest);
            self.bytes -= bytes;
        }
        false
    }
}

fn length_of(number: u64) -> usize {
    50 + (Random(number).next() % 200) as usize
}

/// The hit ratios of the engine and of the list in the second half of a trace.
fn ratios(requests: u64, mut trace: impl FnMut(&mut Random, u64) -> u64) -> (f64, f64) {
    let bench = Bench::of(4 * MIB);
    let (mut lru, mut random) = (Lru::default(), Random(5));
    let (mut hits, mut lru_hits) = (0u64, 0u64);
    for request in 0..requests {
        let number = trace(&mut random, request);
        let (key, length) = (format!("key:{number:016x}"), length_of(number));
        let hit = bench.get(key.as_bytes()).is_some();
        if !hit {
            bench.set(key.as_bytes(), &vec![1; length]).unwrap();
        }
        let memcached_bytes = (48 + 8 + 8 + key.len() + length) as u64;
        let lru_hit = lru.look_up(number, memcached_bytes, 4 * MIB);
        if request >= requests / 2 {
            hits += u64::from(hit);
            lru_hits += u64::from(lru_hit);
        }
    }
    let half = (requests / 2) as f64;
    (hits as f64 / half, lru_hits as f64 / half)
}

/// Numbers below `count`, number n about n times as rare as the first.
fn zipf(random: &mut Random, count: u64) -> u64 {
    ((count as f64).powf(random.unit()) as u64).min(count - 1)
}

#[test]
fn frequent_keys_stay() {
    let (ratio, lru) = ratios(400_000, |random, _| zipf(random, 100_000));
    assert!(ratio > lru + 0.02, "{ratio:.4} beside {lru:.4} of an LRU list");
}

#[test]
fn scans_do_no_harm() {
    let mut scan = |random: &mut Random, request| {
        if random.next().is_multiple_of(10) { 1_000_000_000 + request } else { zipf(random, 100_000) }
    };
    let (ratio, lru) = ratios(400_000, &mut scan);
    assert!(ratio > lru + 0.02, "{ratio:.4} beside {lru:.4} of an LRU list");
}

#[test]
fn what_was_dear_for_a_while_goes_when_it_no_longer_is() {
    // The hot keys change three times.
    let (ratio, lru) =
        ratios(600_000, |random, request| request / 150_000 * 1_000_000 + zipf(random, 50_000));
    // A list has a key after one miss, this policy some only after two; that is what a washed out cache is saved for.
    assert!(ratio > lru - 0.06, "{ratio:.4} beside {lru:.4} of an LRU list");
}

#[test]
fn large_items_take_turns_with_small_ones() {
    let bench = Bench::of(16 * MIB);
    for n in 0..200_000u32 {
        bench.set(&n.to_be_bytes(), &[1; 60]).unwrap();
        if n % 20 == 0 {
            bench.set(format!("large {n}").as_bytes(), &[2; 30_000]).unwrap();
        }
    }
    let held = bench.scan(1 << 20);
    let large = held.iter().filter(|(_, item)| item.value.len() > 1000).count();
    // They came one for 20 small ones, and those stay that came last.
    assert!(large > 350 && held.len() - large > 7000, "{large} of {}", held.len());
}
