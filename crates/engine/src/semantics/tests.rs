use super::*;
use crate::key::Key;
use crate::request::{Initial, Payload};

const NOW: Timestamp = Timestamp(1000);

fn item(value: &[u8]) -> Current<'_> {
    Current { flags: 5, cas: 10, expiry: Expiry::at(2000), stale: false, token_taken: false, value }
}

fn command(mode: Mode) -> Store<'static> {
    Store { mode, ..Store::set(Key::new(b"k"), 7, Expiry::NEVER, Payload::Borrowed(b"new")) }
}

fn stored<'a>(current: Option<&Current<'a>>, command: &Store<'_>) -> Result<Next<'a>, ErrorKind> {
    store(current, command, b"new", 11, 6)
}

#[test]
fn store_modes_on_a_missing_key() {
    assert_eq!(stored(None, &command(Mode::Set)).unwrap().cas, 11);
    assert!(stored(None, &command(Mode::Add)).is_ok());
    for mode in [Mode::Replace, Mode::Append, Mode::Prepend] {
        assert_eq!(stored(None, &command(mode)), Err(ErrorKind::NotStored));
    }
    let mut cas = command(Mode::Set);
    cas.compare = Some(1);
    assert_eq!(stored(None, &cas), Err(ErrorKind::NotFound));
    cas.mode = Mode::Append;
    assert_eq!(stored(None, &cas), Err(ErrorKind::NotStored));
}

#[test]
fn store_modes_on_an_item() {
    let old = item(b"old");
    assert_eq!(stored(Some(&old), &command(Mode::Add)), Err(ErrorKind::NotStored));
    let appended = stored(Some(&old), &command(Mode::Append)).unwrap();
    assert_eq!(&appended.value.composed().unwrap()[..], b"oldnew");
    assert_eq!((appended.flags, appended.expiry), (5, Expiry::at(2000)));
    let prepended = stored(Some(&old), &command(Mode::Prepend)).unwrap();
    assert_eq!(&prepended.value.composed().unwrap()[..], b"newold");
    let longer = item(b"olds");
    assert_eq!(stored(Some(&longer), &command(Mode::Append)), Err(ErrorKind::NotStored));
}

#[test]
fn compare_and_the_older_policy() {
    let old = item(b"old");
    let mut cas = command(Mode::Set);
    cas.compare = Some(9);
    assert_eq!(stored(Some(&old), &cas), Err(ErrorKind::Exists));
    cas.older = Older::MarkStale;
    let next = stored(Some(&old), &cas).unwrap();
    assert!(next.stale);
    assert_eq!(next.expiry, Expiry::at(2000));
    cas.compare = Some(11);
    assert_eq!(stored(Some(&old), &cas), Err(ErrorKind::Exists));
    cas.compare = Some(10);
    assert!(!stored(Some(&old), &cas).unwrap().stale);
}

#[test]
fn counters() {
    let step = |value: &'static [u8], direction, delta| {
        let arithmetic_request =
            Arithmetic { direction, delta, initial: None, compare: None, new_cas: None, expiry: None };
        arithmetic(Some(&item(value)), &arithmetic_request, 11).map(|(_, number, _)| number)
    };
    assert_eq!(step(b"18446744073709551615", Direction::Increment, 1), Ok(0));
    assert_eq!(step(b"5", Direction::Decrement, 9), Ok(0));
    assert_eq!(step(b" 12 ", Direction::Increment, 1), Ok(13));
    for bad in [&b""[..], b"-1", b"18446744073709551616", b"1x", b"000000000000000000001", b"1 2"] {
        let current = item(bad);
        let request = Arithmetic {
            direction: Direction::Increment,
            delta: 1,
            initial: Some(Initial { value: 1, expiry: Expiry::NEVER }),
            compare: None,
            new_cas: None,
            expiry: None,
        };
        assert_eq!(arithmetic(Some(&current), &request, 11).err(), Some(ErrorKind::NotNumeric), "{bad:?}");
    }
}

#[test]
fn a_stale_item_gives_one_token() {
    let mut stale = item(b"old");
    stale.stale = true;
    let read = Get { tokens: true, ..Get::plain() };
    let first = get(Some(&stale), &read, 11, NOW).unwrap();
    assert_eq!(first.found.token, Token::Won);
    stale.token_taken = true;
    assert_eq!(get(Some(&stale), &read, 11, NOW).unwrap().found.token, Token::Taken);
    let plain = get(Some(&stale), &Get::plain(), 11, NOW).unwrap();
    assert_eq!((plain.change, plain.found.token), (Change::None, Token::Taken));
}

#[test]
fn a_carried_item_keeps_its_marks() {
    let carried = Store { stale: true, token_taken: true, ..command(Mode::Set) };
    let next = store(None, &carried, b"new", 11, 100).unwrap();
    assert!(next.stale && next.token_taken);
}

#[test]
fn recache_by_seconds_left() {
    let current = item(b"v");
    let with = |below| Get { tokens: true, recache_below: Some(below), ..Get::plain() };
    assert_eq!(get(Some(&current), &with(1000), 11, NOW).unwrap().found.token, Token::Free);
    assert_eq!(get(Some(&current), &with(1001), 11, NOW).unwrap().found.token, Token::Won);
    assert!(get_changes(&current, &with(1001), NOW));
}

#[test]
fn deletes_that_keep_the_item() {
    let current = item(b"old");
    let stale = Delete { mark_stale: true, expiry: Some(Expiry::at(30)), ..Delete::default() };
    let Ok(Change::Put(next)) = delete(Some(&current), &stale, 11) else { panic!("the item stays") };
    assert!(next.stale && next.cas == 11 && next.expiry == Expiry::at(30) && next.value == NextValue::Kept);
    let emptied = Delete { drop_value: Some(3), ..Delete::default() };
    let Ok(Change::Put(next)) = delete(Some(&current), &emptied, 11) else { panic!("the item stays") };
    assert!(next.value == NextValue::Empty && next.flags == 3 && !next.stale);
}

#[test]
fn decimal_text() {
    for number in [0, 9, 10, 12345, u64::MAX] {
        assert_eq!(Decimal::new(number).as_slice(), number.to_string().as_bytes());
    }
}
