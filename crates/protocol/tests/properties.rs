//! What holds for every stream, request and reply.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use common::{decode_all, exchange};
use larder_protocol::client::{DecodedReply, Dialect, Reply, ReplyDecoder, encode_request};
use larder_protocol::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

const LIMITS: Limits =
    Limits { item_bytes_max: 2000, multiget_line_bytes_max: 10_000, value_bytes_inline_max: 100 };

/// Requests of the tables that are short enough to be put together in their hundreds.
fn requests_of_tables(is_binary: bool) -> Vec<Vec<u8>> {
    exchange::load()
        .into_iter()
        .flat_map(|exchange| exchange.steps)
        .map(|step| step.sent)
        .filter(|sent| sent.len() < 3000 && (sent[0] == 0x80) == is_binary)
        .collect()
}

/// A stream of requests, most of them right, some damaged.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    any::<bool>().prop_flat_map(|is_binary| {
        let piece = prop_oneof![
            8 => select(requests_of_tables(is_binary)),
            1 => vec(any::<u8>(), 0..40),
            1 => (select(requests_of_tables(is_binary)), any::<Index>(), any::<u8>()).prop_map(
                |(mut bytes, index, byte)| {
                    let index = index.index(bytes.len());
                    bytes[index] = byte;
                    bytes
                }
            ),
        ];
        vec(piece, 1..12).prop_map(|pieces| pieces.concat())
    })
}

fn key(is_text: bool) -> BoxedStrategy<Vec<u8>> {
    let byte = if is_text {
        any::<u8>().prop_filter("a key's byte", |byte| !b" \r\n".contains(byte)).boxed()
    } else {
        any::<u8>().boxed()
    };
    vec(byte, 1..=KEY_BYTES_MAX).boxed()
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..300)
}

/// Seconds that every protocol can say.
fn exptime() -> impl Strategy<Value = ExpTime> {
    prop_oneof![Just(0), 1..2_592_001i64, 0..=i64::from(i32::MAX)].prop_map(ExpTime)
}

fn store_mode() -> impl Strategy<Value = StoreMode> {
    select(vec![StoreMode::Set, StoreMode::Add, StoreMode::Replace, StoreMode::Append, StoreMode::Prepend])
}

/// The parts of a request that own their bytes.
#[derive(Clone, Debug)]
struct Parts {
    key: Vec<u8>,
    value: Vec<u8>,
    exptime: ExpTime,
    mode: StoreMode,
    flags: u32,
    cas: Option<u64>,
    number: u64,
    choice: u8,
    mark: bool,
}

fn parts(is_text: bool) -> impl Strategy<Value = Parts> {
    let cas = proptest::option::of(1..=u64::MAX);
    let rest = (any::<u32>(), cas, any::<u64>(), any::<u8>(), any::<bool>());
    (key(is_text), value(), exptime(), store_mode(), rest).prop_map(
        |(key, value, exptime, mode, (flags, cas, number, choice, mark))| Parts {
            key,
            value,
            exptime,
            mode,
            flags,
            cas,
            number,
            choice,
            mark,
        },
    )
}

impl Parts {
    /// A store that all three protocols can say.
    fn store(&self) -> Store<'_> {
        let compare = self.cas.filter(|_| self.mode == StoreMode::Set);
        let appends = matches!(self.mode, StoreMode::Append | StoreMode::Prepend);
        Store {
            key: &self.key,
            mode: self.mode,
            flags: if appends { 0 } else { self.flags },
            exptime: if appends { ExpTime::NEVER } else { self.exptime },
            compare,
            new_cas: None,
            older_marks_stale: false,
            vivify: None,
            value: &self.value,
        }
    }

    fn lookup(&self) -> Lookup<'_> {
        Lookup {
            key: &self.key,
            touch: self.mark.then_some(self.exptime),
            vivify: None,
            recache_seconds: None,
            new_cas: None,
            unless_cas: None,
            bump: true,
            value: true,
        }
    }

    fn delete(&self) -> Delete<'_> {
        Delete {
            key: &self.key,
            compare: None,
            new_cas: None,
            mark_stale: false,
            drop_value: false,
            flags: 0,
            touch: None,
        }
    }

    fn arithmetic(&self) -> Arithmetic<'_> {
        let direction = if self.mark { Direction::Increment } else { Direction::Decrement };
        let (key, delta) = (self.key.as_slice(), self.number);
        Arithmetic { key, direction, delta, vivify: None, compare: None, new_cas: None, touch: None }
    }

    /// A command that all three protocols can say.
    fn common_command(&self) -> Command<'_> {
        match self.choice % 4 {
            0 => Command::Lookup(self.lookup()),
            1 => Command::Store(self.store()),
            2 => Command::Delete(self.delete()),
            _ => Command::Arithmetic(self.arithmetic()),
        }
    }

    fn text_command(&self) -> Command<'_> {
        match self.choice % 12 {
            0 | 1 => Command::Get(Get {
                keys: Keys::from_line(&self.key).expect("one key"),
                touch: self.mark.then_some(self.exptime),
            }),
            2 | 3 => Command::Store(self.store()),
            4 => Command::Delete(self.delete()),
            5 => Command::Arithmetic(self.arithmetic()),
            6 => Command::Touch(Touch { key: &self.key, exptime: ExpTime(-self.exptime.0) }),
            7 => Command::Flush { delay: self.exptime },
            8 => Command::Stats { argument: &self.key },
            9 => Command::Version,
            10 => Command::Verbosity { level: self.flags },
            _ => Command::CacheMemlimit { megabytes: 8 + self.number % 1_000_000 },
        }
    }

    /// Whether `noreply` has a meaning for the command.
    fn text_noreply(&self) -> bool {
        self.mark
            && !matches!(self.text_command(), Command::Get(_) | Command::Stats { .. } | Command::Version)
    }

    /// What only meta can say, besides the rest.
    fn meta_command(&self) -> Command<'_> {
        let optional = self.mark.then_some(self.number);
        match self.choice % 5 {
            0 => Command::Lookup(Lookup {
                vivify: Some(self.exptime),
                recache_seconds: Some(i64::from(self.flags)),
                new_cas: optional,
                unless_cas: self.cas,
                bump: self.mark,
                value: !self.mark,
                ..self.lookup()
            }),
            1 => Command::Store(Store {
                compare: self.cas.filter(|_| self.mode != StoreMode::Add),
                new_cas: optional,
                older_marks_stale: self.mark
                    && self.cas != Some(0)
                    && !matches!(self.mode, StoreMode::Append | StoreMode::Prepend),
                vivify: Some(self.exptime)
                    .filter(|_| matches!(self.mode, StoreMode::Append | StoreMode::Prepend)),
                flags: self.flags,
                exptime: self.exptime,
                ..self.store()
            }),
            2 => Command::Delete(Delete {
                compare: self.cas,
                new_cas: optional,
                mark_stale: self.mark,
                drop_value: !self.mark,
                flags: self.flags,
                touch: Some(self.exptime),
                ..self.delete()
            }),
            3 => Command::Arithmetic(Arithmetic {
                vivify: Some((self.number, self.exptime)),
                compare: self.cas,
                new_cas: optional,
                touch: Some(self.exptime),
                ..self.arithmetic()
            }),
            _ => Command::MetaDebug { key: &self.key },
        }
    }

    fn binary_request(&self) -> Request<'_> {
        use Opcode::*;
        let quiet = self.mark;
        let pick = |plain, silent| if quiet { silent } else { plain };
        let compare = self.cas;
        let (opcode, command) = match self.choice % 12 {
            0 => (pick(GET, GET_KEY_QUIET), Command::Lookup(Lookup { touch: None, ..self.lookup() })),
            1 => {
                let lookup = Lookup { touch: Some(self.exptime), ..self.lookup() };
                (pick(GET_TOUCH, GET_TOUCH_KEY_QUIET), Command::Lookup(lookup))
            }
            2 => {
                let lookup = Lookup { touch: Some(self.exptime), value: false, ..self.lookup() };
                (TOUCH, Command::Lookup(lookup))
            }
            3..=5 => {
                let opcode = match self.mode {
                    StoreMode::Set => pick(SET, SET_QUIET),
                    StoreMode::Add => pick(ADD, ADD_QUIET),
                    StoreMode::Replace => pick(REPLACE, REPLACE_QUIET),
                    StoreMode::Append => pick(APPEND, APPEND_QUIET),
                    StoreMode::Prepend => pick(PREPEND, PREPEND_QUIET),
                };
                (opcode, Command::Store(self.store()))
            }
            6 => (pick(DELETE, DELETE_QUIET), Command::Delete(Delete { compare, ..self.delete() })),
            7 => {
                let vivify = (!quiet).then_some((self.number, self.exptime));
                let change =
                    Arithmetic { direction: Direction::Increment, vivify, compare, ..self.arithmetic() };
                (pick(INCREMENT, INCREMENT_QUIET), Command::Arithmetic(change))
            }
            8 => (pick(FLUSH, FLUSH_QUIET), Command::Flush { delay: self.exptime }),
            9 => (STAT, Command::Stats { argument: &self.key }),
            10 => (SASL_AUTH, Command::Sasl(Sasl::Auth { mechanism: &self.key, data: &self.value })),
            _ => (pick(NOOP, QUIT_QUIET), if quiet { Command::Quit } else { Command::Noop }),
        };
        Request { command, form: Form::Binary(BinaryForm { opcode, opaque: self.flags }) }
    }
}

/// Decodes exactly one request.
#[track_caller]
fn decode_one<'a>(bytes: &'a [u8], scratch: &'a mut Scratch) -> Request<'a> {
    match Decoder::new(Limits::default(), Choice::Auto).decode(bytes, scratch) {
        Decoded::Request { request, consumed } if consumed == bytes.len() => request,
        other => panic!("{other:?} of {}", bytes.escape_ascii()),
    }
}

#[track_caller]
fn decode_reply(protocol: Protocol, bytes: &[u8]) -> Reply<'_> {
    match ReplyDecoder::new(protocol).decode(bytes) {
        DecodedReply::Reply { reply, consumed } if consumed == bytes.len() => reply,
        other => panic!("{other:?} of {}", bytes.escape_ascii()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn any_split_gives_the_same_requests(stream in stream(), cuts in vec(any::<Index>(), 0..30)) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.sort_unstable();
        let bounds: Vec<usize> = [vec![0], cuts, vec![stream.len()]].concat();
        let pieces = bounds.windows(2).map(|bound| &stream[bound[0]..bound[1]]);
        prop_assert_eq!(decode_all(LIMITS, pieces), decode_all(LIMITS, [stream.as_slice()]));
    }

    #[test]
    fn byte_by_byte_gives_the_same_requests(stream in stream()) {
        prop_assert_eq!(decode_all(LIMITS, stream.chunks(1)), decode_all(LIMITS, [stream.as_slice()]));
    }

    #[test]
    fn arbitrary_bytes_are_survived(bytes in vec(any::<u8>(), 0..4000), is_binary in any::<bool>()) {
        let bytes = if is_binary { [&[0x80], bytes.as_slice()].concat() } else { bytes };
        decode_all(LIMITS, [bytes.as_slice()]);
        for protocol in [Protocol::Text, Protocol::Binary] {
            ReplyDecoder::new(protocol).decode(&bytes);
        }
    }

    #[test]
    fn text_requests_come_back(parts in parts(true)) {
        let form = TextForm { noreply: parts.text_noreply(), with_cas: false };
        let request = Request { command: parts.text_command(), form: Form::Text(form) };
        let mut bytes = Vec::new();
        encode_request(&request, &mut bytes).unwrap();
        let mut scratch = Scratch::default();
        prop_assert_eq!(decode_one(&bytes, &mut scratch), request);
    }

    #[test]
    fn meta_requests_come_back(parts in parts(false)) {
        let mut bytes = Vec::new();
        Dialect::Meta.encode(&parts.meta_command(), parts.flags, &mut bytes).unwrap();
        let mut scratch = Scratch::default();
        let request = decode_one(&bytes, &mut scratch);
        prop_assert_eq!(request.command, parts.meta_command());
        let mut again = Vec::new();
        encode_request(&request, &mut again).unwrap();
        prop_assert_eq!(again, bytes);
    }

    #[test]
    fn binary_requests_come_back(parts in parts(false)) {
        let request = parts.binary_request();
        let mut bytes = Vec::new();
        encode_request(&request, &mut bytes).unwrap();
        let mut scratch = Scratch::default();
        prop_assert_eq!(decode_one(&bytes, &mut scratch), request);
    }

    #[test]
    fn every_dialect_says_the_same(parts in parts(true)) {
        let command = parts.common_command();
        for dialect in [Dialect::Text, Dialect::Meta, Dialect::Binary] {
            let mut bytes = Vec::new();
            dialect.encode(&command, 7, &mut bytes).unwrap();
            let mut scratch = Scratch::default();
            let decoded = decode_one(&bytes, &mut scratch).command;
            match (decoded, command) {
                (Command::Get(get), Command::Lookup(lookup)) => {
                    prop_assert_eq!(get.keys.into_iter().collect::<Vec<_>>(), [lookup.key]);
                    prop_assert_eq!(get.touch, lookup.touch);
                }
                (decoded, command) => prop_assert_eq!(decoded, command),
            }
        }
    }

    #[test]
    fn keys_of_a_line_come_back(keys in vec(key(true), 1..40), spaces in 1..4usize) {
        let line = keys.join(vec![b' '; spaces].as_slice());
        let bytes = [b"get ", line.as_slice(), b" \r\n"].concat();
        match decode_one(&bytes, &mut Scratch::default()).command {
            Command::Get(get) => {
                prop_assert!(get.keys.into_iter().eq(keys.iter().map(Vec::as_slice)));
                prop_assert_eq!(get.keys.first(), keys[0].as_slice());
                prop_assert_eq!(get.keys.is_single(), keys.len() == 1);
                let mut left = get.keys.into_iter();
                for at in 0..keys.len() {
                    let bytes = left.rest().expect("keys are left").line_bytes();
                    prop_assert!(get.keys.last(bytes).into_iter().eq(keys[at..].iter().map(Vec::as_slice)));
                    left.next();
                }
                prop_assert_eq!(left.rest(), None);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn hits_come_back(parts in parts(true), with_cas in any::<bool>()) {
        let hit = Hit::new(&parts.key, parts.flags, parts.number, Value::Bytes(&parts.value));
        let mut bytes = Vec::new();
        encode(&Form::Text(TextForm { noreply: false, with_cas }), &Response::Hit(hit), &mut bytes);
        let cas = with_cas.then_some(parts.number);
        let expected = Reply::Value { key: &parts.key, flags: parts.flags, cas, value: &parts.value };
        prop_assert_eq!(decode_reply(Protocol::Text, &bytes), expected);

        bytes.clear();
        let form = BinaryForm { opcode: Opcode::GET_KEY, opaque: 9 };
        encode(&Form::Binary(form), &Response::Hit(hit), &mut bytes);
        match decode_reply(Protocol::Binary, &bytes) {
            Reply::Binary(reply) => {
                prop_assert_eq!((reply.opcode, reply.status, reply.opaque), (Opcode::GET_KEY, 0, 9));
                prop_assert_eq!((reply.key, reply.value), (parts.key.as_slice(), parts.value.as_slice()));
                prop_assert_eq!((reply.extras, reply.cas), (&parts.flags.to_be_bytes()[..], parts.number));
            }
            other => panic!("{other:?}"),
        }

        let line = [b"mg ", parts.key.as_slice(), b" s v c f O17 t k\r\n"].concat();
        bytes.clear();
        encode(&decode_one(&line, &mut Scratch::default()).form, &Response::Hit(hit), &mut bytes);
        match decode_reply(Protocol::Text, &bytes) {
            Reply::Meta(reply) => {
                prop_assert_eq!((&reply.code, reply.value), (b"VA", Some(parts.value.as_slice())));
                prop_assert_eq!((reply.number(b'c'), reply.number(b'f')), (Some(parts.number), Some(u64::from(parts.flags))));
                prop_assert_eq!((reply.number(b's'), reply.number(b'O')), (Some(parts.value.len() as u64), Some(17)));
                prop_assert_eq!((reply.flag(b'k'), reply.flag(b't')), (Some(parts.key.as_slice()), Some(&b"-1"[..])));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn replies_cut_anywhere_are_awaited(parts in parts(true), cut in any::<Index>()) {
        let hit = Hit::new(&parts.key, parts.flags, parts.number, Value::Bytes(&parts.value));
        for form in [Form::Text(TextForm::default()), Form::Binary(BinaryForm { opcode: 0, opaque: 0 })] {
            let protocol = if matches!(form, Form::Text(_)) { Protocol::Text } else { Protocol::Binary };
            let mut bytes = Vec::new();
            encode(&form, &Response::Hit(hit), &mut bytes);
            let cut = cut.index(bytes.len());
            let mut decoder = ReplyDecoder::new(protocol);
            match decoder.decode(&bytes[..cut]) {
                DecodedReply::Incomplete { input_bytes_min } => {
                    prop_assert!(cut < input_bytes_min && input_bytes_min <= bytes.len());
                }
                other => panic!("{other:?} at {cut}"),
            }
            let is_whole =
                matches!(decoder.decode(&bytes), DecodedReply::Reply { consumed, .. } if consumed == bytes.len());
            prop_assert!(is_whole);
        }
    }

    #[test]
    fn a_failure_is_one_line(text in any::<String>()) {
        let failure = Failure { kind: FailureKind::Unavailable, text: &text };
        let mut bytes = Vec::new();
        encode(&Form::Text(TextForm::default()), &Response::Failure(failure), &mut bytes);
        prop_assert!(bytes.len() <= "SERVER_ERROR \r\n".len() + Failure::TEXT_BYTES_MAX);
        prop_assert!(matches!(decode_reply(Protocol::Text, &bytes), Reply::Error(_)));
        bytes.clear();
        encode(&Form::Binary(BinaryForm { opcode: 0, opaque: 0 }), &Response::Failure(failure), &mut bytes);
        prop_assert!(matches!(decode_reply(Protocol::Binary, &bytes), Reply::Binary(reply) if reply.status == 0x86));
    }
}
