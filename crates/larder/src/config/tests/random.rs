//! Random input: nothing panics, every mistake has a place, and what is accepted reads back.

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::super::report::Report;
use super::super::text::Text;
use super::super::units::{format_duration, format_size, parse_duration, parse_size};
use super::super::{Layer, Stack, Tier, Write, stack};
use super::*;

/// Pieces that lead further into the parsers than random characters do.
const PIECES: &[&str] = &[
    "ram",
    "sqlite",
    ">",
    "(",
    ")",
    ",",
    "=",
    " ",
    "\n",
    "'",
    "\"",
    "write",
    "behind",
    "64MiB",
    "1s",
    "0",
    "-",
    "a.db",
    "dirty_age",
    "[[prefix]]\n",
    "key = ''\n",
    "key = \"",
    "stack = \"",
    "stack = '",
    "listen = [",
    "]",
    "memory = ",
    "threads = ",
    "\\u00e4",
    "\\",
    "ä",
    "\r\n",
    "#",
    "{",
    "}",
    "'''",
    "\"\"\"",
    "127.0.0.1:",
    "unix:",
    "\u{feff}",
    "\0",
];

fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![4 => prop::sample::select(PIECES).prop_map(str::to_owned), 1 => any::<char>().prop_map(String::from)];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn check_bytes(content: &[u8]) {
    let path = Path::new("larder.toml");
    let options = Options::default();
    let file = Some(File { path, content });
    if let Err(mistakes) = check(&Input { program: Program::Larder, cores: CORES, options: &options, file }) {
        assert!(mistakes.count() > 0);
        assert!(!mistakes.to_string().is_empty());
        for line in mistakes.lines() {
            assert!(line.starts_with("larder.toml:"), "a file's mistake has a place in the file: {line}");
        }
    }
}

fn stacks() -> impl Strategy<Value = Stack> {
    let ram = prop::option::of(65_536..1_u64 << 50).prop_map(|size_bytes| Layer::Ram { size_bytes });
    let file = "[a-z'\\x20>=(),]{0,6}[a-z]\\.db".prop_filter("trimmed", |name| name.trim() == name);
    let sqlite = file.prop_map(|file| Layer::Sqlite { file: file.into() });
    let folder = "[a-z'\\x20>=(),/]{0,6}[a-z]"
        .prop_filter("plain", |name| name.trim() == name && !name.starts_with('/') && !name.contains("//"));
    let store = prop_oneof![sqlite, folder.prop_map(|folder| Layer::File { folder: folder.into() })];
    let behind = (1..1_u64 << 60, 1..10_000_000_u64).prop_map(|(bytes, millis)| Write::Behind {
        dirty_bytes_max: bytes,
        dirty_age_max: Duration::from_millis(millis),
    });
    let tier = (prop_oneof![Just(Write::Through), behind], prop::option::of(1..=31_622_400_u64))
        .prop_map(|(write, ttl)| Tier { write, negative_ttl: ttl.map(Duration::from_secs), fresh: None });
    prop_oneof![
        ram.clone().prop_map(|ram| Stack { layers: vec![ram], tier: None }),
        store.clone().prop_map(|store| Stack { layers: vec![store], tier: None }),
        (ram, store, tier)
            .prop_map(|(ram, store, tier)| Stack { layers: vec![ram, store], tier: Some(tier) }),
    ]
}

proptest! {
    #[test]
    fn no_bytes_panic(content in prop::collection::vec(any::<u8>(), 0..300)) {
        check_bytes(&content);
    }

    #[test]
    fn no_file_panics(text in pieces()) {
        check_bytes(text.as_bytes());
    }

    #[test]
    fn no_value_of_a_known_key_panics(text in pieces(), key in prop::sample::select(&["key", "stack", "memory", "listen", "metrics", "data"][..])) {
        let quoted = toml::Value::String(text).to_string();
        check_bytes(format!("{key} = {quoted}\n[[prefix]]\n{key} = {quoted}\n").as_bytes());
        check_bytes(format!("listen = [{quoted}, {quoted}]").as_bytes());
    }

    #[test]
    fn no_option_panics(text in pieces()) {
        let options = Options {
            store: Some(text.clone()),
            data: Some(text.clone()),
            memory_limit: Some(text.clone()),
            max_item_size: Some(text.clone()),
            port: Some(text.clone()),
            listen: vec![text.clone(), text.clone()],
            unix_socket: None,
            unix_mask: Some(text.clone()),
            conn_limit: Some(text.clone()),
            max_reqs_per_event: Some(text.clone()),
            threads: Some(text.clone()),
            metrics: Some(text.clone()),
            ..Options::default()
        };
        prop_assert!(plan_of(Program::Larder, &options, None).is_err(), "no text is right for all of them");
        let options = Options { unix_socket: Some(text), ..Options::default() };
        let _either_way = plan_of(Program::Memcached, &options, None);
    }

    #[test]
    fn stacks_read_back(expected in stacks()) {
        let mut report = Report::default();
        let expression = expected.to_string();
        let place = report.add_option("", &expression);
        let found = stack::read(&Text::plain(&expression, place), &mut report);
        prop_assert_eq!(report.finish(found.map(|placed| placed.stack)).map_err(|mistakes| mistakes.lines()), Ok(expected));
    }

    #[test]
    fn sizes_and_durations_read_back(bytes in 1..i64::MAX as u64, millis in 0..31_622_400_000_u64) {
        prop_assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
        let duration = Duration::from_millis(millis);
        prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
    }

    /// However a TOML string is written, each character of its content is found where it stands.
    #[test]
    fn offsets_of_toml_strings(content in prop::collection::vec((any::<char>(), 0..4_u8), 1..20)) {
        let mut raw = String::from("\"");
        let mut columns = Vec::new();
        for (c, form) in &content {
            columns.push(raw.chars().count() + 1);
            match form {
                0 => raw.push_str(&format!("\\U{:08x}", *c as u32)),
                1 if (*c as u32) < 0x10000 => raw.push_str(&format!("\\u{:04x}", *c as u32)),
                _ if *c == '"' || *c == '\\' => raw.extend(['\\', *c]),
                _ if c.is_control() => raw.push_str(&format!("\\u{:04x}", *c as u32)),
                _ => raw.push(*c),
            }
        }
        raw.push('"');
        let text: String = content.iter().map(|(c, _)| *c).collect();
        let table: toml::Table = format!("x = {raw}").parse().expect("this is TOML");
        prop_assert_eq!(table["x"].as_str(), Some(text.as_str()));
        let mut report = Report::default();
        let place = report.add_option("raw", &raw);
        let mapped = Text::toml_string(&text, &raw, place);
        for ((start, c), column) in text.char_indices().zip(columns) {
            prop_assert_eq!(report.name_of(mapped.place(start..start + c.len_utf8())), format!("raw:{column}"));
        }
    }
}
