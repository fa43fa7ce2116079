//! Random commands against a map that has room for everything.

use std::collections::HashMap;

use larder_engine::Mode;
use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Command {
    Store(Mode, u8, Vec<u8>, u32, Option<bool>),
    Get(u8),
    Touch(u8, u32),
    Delete(u8),
    Increment(u8, u64),
    FlushAll(u32),
    FlushPrefix(u8),
    Pass(u32),
}

fn commands() -> impl Strategy<Value = Command> {
    let modes = prop_oneof![
        4 => Just(Mode::Set),
        1 => Just(Mode::Add),
        1 => Just(Mode::Replace),
        1 => Just(Mode::Append),
        1 => Just(Mode::Prepend)
    ];
    let value = prop_oneof![
        3 => prop::collection::vec(any::<u8>(), 0..40),
        1 => Just(b"41".to_vec()),
        1 => Just(vec![b'x'; 9000])
    ];
    let key = 0..12u8;
    prop_oneof![
        8 => (modes, key.clone(), value, 0..6u32, prop::option::weighted(0.3, any::<bool>()))
            .prop_map(|(mode, key, value, ttl, compare)| Command::Store(mode, key, value, ttl, compare)),
        6 => key.clone().prop_map(Command::Get),
        1 => (key.clone(), 0..6u32).prop_map(|(key, ttl)| Command::Touch(key, ttl)),
        2 => key.clone().prop_map(Command::Delete),
        2 => (key.clone(), any::<u64>()).prop_map(|(key, delta)| Command::Increment(key, delta)),
        1 => (0..4u32).prop_map(Command::FlushAll),
        1 => key.prop_map(Command::FlushPrefix),
        2 => (1..3u32).prop_map(Command::Pass),
    ]
}

/// Value, second of expiry (0: never), CAS.
type Kept = (Vec<u8>, u32, u64);

struct Model {
    items: HashMap<Vec<u8>, Kept>,
    now: u32,
    flush_at: Option<u32>,
}

impl Model {
    fn pass(&mut self, seconds: u32) {
        self.now += seconds;
        if self.flush_at.is_some_and(|when| when <= self.now) {
            self.items.clear();
            self.flush_at = None;
        }
        let now = self.now;
        self.items.retain(|_, (_, expiry, _)| *expiry == 0 || *expiry > now);
    }
}

fn name(key: u8) -> Vec<u8> {
    format!("{}:{key}", key % 3).into_bytes()
}

fn until(now: u32, ttl: u32) -> Expiry {
    if ttl == 0 { Expiry::NEVER } else { Expiry::at(now + ttl) }
}

fn store(
    bench: &Bench,
    model: &mut Model,
    mode: Mode,
    key: &[u8],
    value: &[u8],
    ttl: u32,
    compare: Option<bool>,
) {
    let held = model.items.get(key);
    let compare = compare.map(|right| held.map_or(1, |(_, _, cas)| cas + u64::from(!right)));
    let expiry = until(model.now, ttl);
    let request = Store { mode, compare, ..Store::set(Key::new(key), 3, expiry, Payload::Borrowed(value)) };
    let answer = now(bench.engine.store(&bench.context(), request));
    let joins = matches!(mode, Mode::Append | Mode::Prepend);
    let expected = match (mode, held) {
        (Mode::Add, Some(_)) => Err(ErrorKind::NotStored),
        (Mode::Add, None) => Ok(()),
        (_, None) if joins => Err(ErrorKind::NotStored),
        (_, None) if compare.is_some() => Err(ErrorKind::NotFound),
        (Mode::Replace, None) => Err(ErrorKind::NotStored),
        (_, Some((_, _, cas))) if compare.is_some_and(|compare| compare != *cas) => Err(ErrorKind::Exists),
        _ => Ok(()),
    };
    assert_eq!(answer.map(|_| ()), expected);
    let Ok(stored) = answer else { return };
    let next = match (mode, held) {
        (Mode::Append, Some((old, expiry, _))) => ([&old[..], value].concat(), *expiry),
        (Mode::Prepend, Some((old, expiry, _))) => ([value, &old[..]].concat(), *expiry),
        _ => (value.to_vec(), expiry.raw()),
    };
    assert_eq!(stored.size, next.0.len());
    model.items.insert(key.to_vec(), (next.0, next.1, stored.cas));
}

fn increment(bench: &Bench, model: &mut Model, key: &[u8], delta: u64) {
    let number = |value: &[u8]| std::str::from_utf8(value).ok()?.parse::<u64>().ok();
    let expected = match model.items.get(key) {
        None => Ok(delta),
        Some((value, _, _)) if value.first().is_some_and(u8::is_ascii_digit) => {
            number(value).map(|number| number.wrapping_add(delta)).ok_or(ErrorKind::NotNumeric)
        }
        // Values with spaces or signs are the semantics' own affair.
        Some((value, _, _)) if value.iter().any(u8::is_ascii_digit) => return,
        Some(_) => Err(ErrorKind::NotNumeric),
    };
    if matches!(model.items.get(key), Some((value, _, _)) if value.iter().any(u8::is_ascii_whitespace)) {
        return;
    }
    assert_eq!(bench.increment(key, delta), expected);
    if let Ok(number) = expected {
        let cas = bench.get_with(key, &Get::plain()).unwrap().found.cas;
        let expiry = model.items.get(key).map_or(0, |(_, expiry, _)| *expiry);
        model.items.insert(key.to_vec(), (number.to_string().into_bytes(), expiry, cas));
    }
}

fn run(bench: &Bench, model: &mut Model, command: Command) {
    match command {
        Command::Store(mode, key, value, ttl, compare) => {
            store(bench, model, mode, &name(key), &value, ttl, compare);
        }
        Command::Get(key) => {
            let read = bench.get_with(&name(key), &Get::plain());
            let read =
                read.map(|item| (item.value.whole().to_vec(), item.found.expiry.raw(), item.found.cas));
            assert_eq!(read, model.items.get(&name(key)).cloned());
        }
        Command::Touch(key, ttl) => {
            let expiry = until(model.now, ttl);
            let touched = now(bench.engine.touch(&bench.context(), Key::new(&name(key)), expiry));
            let held = model.items.get_mut(&name(key));
            assert_eq!(touched.is_ok(), held.is_some());
            if let Some(held) = held {
                held.1 = expiry.raw();
            }
        }
        Command::Delete(key) => {
            let gone = model.items.remove(&name(key));
            assert_eq!(bench.delete(&name(key)).is_ok(), gone.is_some());
        }
        Command::Increment(key, delta) => increment(bench, model, &name(key), delta),
        Command::FlushAll(0) => {
            bench.flush(Scope::All, None);
            model.flush_at = None;
            model.items.clear();
        }
        Command::FlushAll(seconds) => {
            bench.flush(Scope::All, Some(bench.in_seconds(seconds)));
            model.flush_at = Some(model.now + seconds);
        }
        Command::FlushPrefix(key) => {
            let prefix = format!("{}:", key % 3).into_bytes();
            bench.flush(Scope::Prefix(&prefix), None);
            model.items.retain(|key, _| !key.starts_with(&prefix));
        }
        Command::Pass(seconds) => {
            bench.pass(seconds);
            model.pass(seconds);
        }
    }
}

proptest! {
    #[test]
    fn does_as_a_map_does(commands in prop::collection::vec(commands(), 1..200)) {
        let bench = Bench::of(8 * MIB);
        let mut model = Model { items: HashMap::new(), now: 1000, flush_at: None };
        for command in commands {
            run(&bench, &mut model, command);
        }
        let mut scanned: Vec<_> =
            bench.scan(500).into_iter().map(|(key, item)| (key.to_vec(), item.value.whole().to_vec())).collect();
        let mut expected: Vec<_> =
            model.items.into_iter().map(|(key, (value, _, _))| (key, value)).collect();
        scanned.sort();
        expected.sort();
        assert_eq!(scanned, expected);
    }
}
