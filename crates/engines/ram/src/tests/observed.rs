//! What the engine tells of by itself: who was evicted, and why a key is missed.

use std::sync::{Arc, Mutex};

use larder_engine::{Eviction, Missed, Observer, Sink};

use super::*;

#[derive(Default)]
struct Listener {
    listens: std::sync::atomic::AtomicBool,
    heard: Mutex<Vec<Heard>>,
}

/// Key, bytes of the value, expiry, last access, whether it was read.
type Heard = (Vec<u8>, usize, Expiry, Option<Timestamp>, bool);

impl Observer for Listener {
    fn wants_evictions(&self) -> bool {
        self.listens.load(std::sync::atomic::Ordering::Relaxed)
    }

    fn evicted(&self, eviction: &Eviction<'_>) {
        let Eviction { key, value_bytes, expiry, last_access, fetched } = *eviction;
        self.heard.lock().unwrap().push((key.to_vec(), value_bytes, expiry, last_access, fetched));
    }
}

#[test]
fn each_eviction_is_told_once_to_who_listens() {
    let bench = Bench::of(4 * MIB);
    let listener = Arc::new(Listener::default());
    let observer: Arc<dyn Observer> = listener.clone();
    bench.engine.observe(&observer);
    bench.engine.observe(&observer);
    let mut n = 0u32;
    let mut set = |count: u64| {
        while bench.engine.memory_use().evictions < count {
            for _ in 0..100 {
                let length = if n.is_multiple_of(50) { 20_000 } else { n as usize % 300 };
                bench.set_until(&n.to_be_bytes(), &vec![1; length], Expiry::at(90_000)).unwrap();
                n += 1;
            }
        }
        n
    };
    set(500);
    assert!(listener.heard.lock().unwrap().is_empty(), "nobody listens");
    let before = bench.engine.memory_use().evictions;
    listener.listens.store(true, std::sync::atomic::Ordering::Relaxed);
    let stored = set(before + 5000);
    let heard = std::mem::take(&mut *listener.heard.lock().unwrap());
    assert_eq!(heard.len() as u64, bench.engine.memory_use().evictions - before);
    for (key, value_bytes, expiry, last_access, fetched) in &heard {
        let n = u32::from_be_bytes(key[..].try_into().unwrap());
        let length = if n.is_multiple_of(50) { 20_000 } else { n as usize % 300 };
        assert!(n < stored && *value_bytes == length, "{n}: {value_bytes}");
        assert_eq!((*expiry, *last_access, *fetched), (Expiry::at(90_000), Some(Timestamp(1000)), false));
        assert_eq!(bench.get(key), None, "it is gone");
    }
    // Neither what expires nor what is deleted is evicted.
    bench.pass(100_000);
    bench.set(b"new", &[1; 1000]).unwrap();
    bench.delete(b"new").unwrap();
    for n in 0..5000u32 {
        bench.set(&n.to_be_bytes(), &[1; 300]).unwrap();
    }
    assert!(listener.heard.lock().unwrap().is_empty());
}

#[derive(Default)]
struct Why(Vec<Missed>);

impl Sink for Why {
    fn hit(&mut self, _found: &Found, _pieces: &[&[u8]]) {
        panic!("there is nothing to hit");
    }

    fn missed(&mut self, why: Missed) {
        self.0.push(why);
    }
}

#[test]
fn a_miss_says_whether_the_item_was_over() {
    let bench = Bench::of(MIB);
    let why = |key: &[u8], as_cache: bool| {
        let mut sink = Why::default();
        if as_cache {
            let looked_up =
                now(bench.engine.lookup(&bench.context(), Key::new(key), &Get::plain(), &mut sink)).unwrap();
            assert_eq!(looked_up, Lookup::Unknown);
        } else {
            let found =
                now(bench.engine.get(&bench.context(), Key::new(key), &Get::plain(), &mut sink)).unwrap();
            assert_eq!(found, None);
        }
        sink.0
    };
    for as_cache in [false, true] {
        bench.set_until(b"short", b"v", Expiry::at(bench.in_seconds(5).0)).unwrap();
        bench.set_until(b"both", b"v", Expiry::at(bench.in_seconds(5).0)).unwrap();
        bench.fill(b"absent", absent(bench.in_seconds(5)), || ());
        bench.set(b"a:flushed", b"v").unwrap();
        bench.flush(Scope::Prefix(b"a:"), None);
        assert_eq!(why(b"a:flushed", as_cache), [Missed::Flushed]);
        assert_eq!(why(b"a:flushed", as_cache), [], "it is gone now");
        bench.pass(5);
        assert_eq!(why(b"short", as_cache), [Missed::Expired]);
        assert_eq!(why(b"never", as_cache), []);
        assert_eq!(why(b"absent", as_cache), [], "it was no item");
        bench.flush(Scope::All, None);
        assert_eq!(
            why(b"both", as_cache),
            [Missed::Flushed],
            "flushed things are flushed, as memcached has it"
        );
    }
}
