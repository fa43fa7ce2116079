//! Values with pages of their own, and values that grow.

use larder_engine::Mode;
use larder_engine::reply::{NoValue, Stored};

use super::*;

fn append(bench: &Bench, key: &[u8], value: &[u8], mode: Mode) -> Result<Stored, ErrorKind> {
    let store = Store { mode, ..Store::set(Key::new(key), 0, Expiry::NEVER, Payload::Borrowed(value)) };
    now(bench.engine.store(&bench.context(), store))
}

fn used(bench: &Bench) -> u64 {
    bench.engine.arena.budget.used()
}

#[test]
fn what_is_being_sent_outlives_its_item() {
    let bench = Bench::of(4 * MIB);
    bench.set(b"k", &[1; 100_000]).unwrap();
    let with_one = used(&bench);
    let sending = bench.get_with(b"k", &Get::plain()).unwrap().value.whole();
    bench.set(b"k", &[2; 100_000]).unwrap();
    assert!(used(&bench) >= with_one + 100_000, "what is being sent counts");
    for n in 0..500u32 {
        bench.set(&n.to_be_bytes(), &[3; 50_000]).unwrap();
        assert!(used(&bench) <= 4 * MIB);
    }
    assert!(sending.iter().all(|byte| *byte == 1), "its bytes are nobody else's");
    bench.flush(Scope::All, None);
    bench.engine.set_memory_limit(0).unwrap();
    assert!(used(&bench) >= 100_000 && used(&bench) < 120_000, "only what is being sent is left");
    drop(sending);
    assert_eq!((used(&bench), bench.engine.arena.warm_bytes()), (0, 0));
}

#[test]
fn readers_that_hold_everything_leave_no_room() {
    let bench = Bench::of(MIB);
    let mut sending = Vec::new();
    let refused = (0..100u32).find(|n| {
        let stored = bench.set(&n.to_be_bytes(), &[1; 100_000]);
        sending.extend(bench.get_with(&n.to_be_bytes(), &Get::plain()).map(|item| item.value));
        stored == Err(ErrorKind::OutOfMemory)
    });
    assert!(matches!(refused, Some(8..=10)), "{refused:?}");
    sending.clear();
    bench.set(b"k", &[1; 100_000]).unwrap();
}

#[test]
fn a_value_that_is_never_finished_gives_its_room_back() {
    let bench = Bench::of(4 * MIB);
    let key = Key::new(b"k");
    let writer = now(bench.engine.reserve(&bench.context(), key, 1_000_000, 0, Expiry::NEVER)).unwrap();
    assert!(used(&bench) >= 1_000_000);
    drop(writer);
    assert_eq!(used(&bench), 0);
    let too_large = bench.engine.reserve(&bench.context(), key, 3_000_000, 0, Expiry::NEVER);
    assert!(matches!(too_large, Reply::Ready(Err(error)) if error.kind() == ErrorKind::TooLarge));
}

#[test]
fn a_reservation_of_another_engine_is_copied() {
    let (bench, other) = (Bench::of(4 * MIB), Bench::of(4 * MIB));
    let key = Key::new(b"k");
    let mut writer = now(other.engine.reserve(&other.context(), key, 50_000, 0, Expiry::NEVER)).unwrap();
    writer.buffer().fill(9);
    let store = Store::set(key, 0, Expiry::NEVER, Payload::Reserved(writer));
    now(bench.engine.store(&bench.context(), store)).unwrap();
    assert_eq!((bench.get(b"k").unwrap(), used(&other)), (vec![9; 50_000], 0));
}

#[test]
fn a_value_grows_piece_by_piece() {
    let bench = Bench::of(4 * MIB);
    let mut expected = Vec::new();
    bench.set_until(b"k", b"", Expiry::at(2000)).unwrap();
    for n in 0..300u32 {
        let piece = vec![n as u8; n as usize];
        let mode = if n % 2 == 0 { Mode::Append } else { Mode::Prepend };
        expected =
            if n % 2 == 0 { [expected, piece.clone()].concat() } else { [piece.clone(), expected].concat() };
        assert_eq!(append(&bench, b"k", &piece, mode).unwrap().size, expected.len());
        bench.set(&n.to_be_bytes(), &[0; 3000]).unwrap();
    }
    let item = bench.get_with(b"k", &Get::plain()).unwrap();
    assert_eq!((&item.value.whole()[..], item.found.expiry), (&expected[..], Expiry::at(2000)));
    drop(item);
    let before = used(&bench);
    append(&bench, b"k", &[0; 500_000], Mode::Append).unwrap();
    bench.set(b"k", b"short again").unwrap();
    assert!(used(&bench) <= before, "its pages are given back");
}

#[test]
fn a_value_may_take_half_of_the_memory() {
    let options = RamOptions { item_size_max: 1 << 30, ..RamOptions::new(256 * MIB) };
    let bench = Bench::new(options);
    for n in 0..300_000u32 {
        bench.set(&n.to_be_bytes(), &[0; 200]).unwrap();
    }
    let length = 128 << 20;
    let mut writer =
        now(bench.engine.reserve(&bench.context(), Key::new(b"k"), length, 0, Expiry::NEVER)).unwrap();
    // Touching every page would take longer than the rest of the test.
    writer.buffer()[0] = 1;
    writer.buffer()[length - 1] = 2;
    let store = Store::set(Key::new(b"k"), 0, Expiry::NEVER, Payload::Reserved(writer));
    assert_eq!(now(bench.engine.store(&bench.context(), store)).unwrap().size, length);
    let value = bench.get_with(b"k", &Get::plain()).unwrap().value.whole();
    assert_eq!((value.len(), value[0], value[length - 1]), (length, 1, 2));
    assert!(bench.engine.memory_use().bytes <= 256 * MIB && bench.engine.memory_use().items > 100_000);
}

#[test]
fn a_touch_that_needs_more_room_keeps_the_value() {
    let bench = Bench::of(64 << 10);
    for n in 0..2000u32 {
        let key = n.to_be_bytes();
        let length = [10, 300, 2000][n as usize % 3];
        let cas = bench.set(&key, &vec![n as u8; length]).unwrap();
        let get = Get { touch: Some(Expiry::at(5000)), ..Get::plain() };
        let item = bench.get_with(&key, &get).unwrap();
        assert_eq!((item.value.whole(), item.found.cas), (vec![n as u8; length].into(), cas));
        let touched =
            now(bench.engine.get(&bench.context(), Key::new(&key), &Get::plain(), &mut NoValue)).unwrap();
        assert_eq!(touched.unwrap().expiry, Expiry::at(5000));
    }
}
