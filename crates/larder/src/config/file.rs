//! The file `larder.toml`: from its text to a [`Draft`], every mistake at its place.

mod guard;
#[cfg_attr(not(feature = "sql"), path = "file/no_sql.rs")]
mod sql;

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::address::{parse_listener, parse_tcp};
use super::draft::{Draft, Placed, PlacedPrefix};
use super::engines::check_ram_bytes;
use super::plan::{Listener, TcpAddress};
use super::report::{Objection, Place, Report, objection};
use super::text::Text;
use super::units::parse_size;
use super::{METRICS_PORT_DEFAULT, PORT_DEFAULT, limits, stack, suggest};

/// A key of a table and how it is written.
struct Key {
    name: &'static str,
    example: &'static str,
}

const KEYS: &[Key] = &[
    Key { name: "listen", example: r#"listen = ["127.0.0.1:11211"]"# },
    Key { name: "udp", example: r#"udp = ["127.0.0.1:11211"]"# },
    Key { name: "unix_mask", example: r#"unix_mask = "700""# },
    Key { name: "data", example: r#"data = "larder-data""# },
    Key { name: "memory", example: r#"memory = "512MiB""# },
    Key { name: "threads", example: "threads = 4" },
    Key { name: "connections", example: "connections = 1024" },
    Key { name: "item_size_max", example: r#"item_size_max = "1MiB""# },
    Key { name: "requests_per_turn", example: "requests_per_turn = 20" },
    Key { name: "idle_timeout", example: r#"idle_timeout = "10m""# },
    Key { name: "metrics", example: r#"metrics = "127.0.0.1:9150""# },
    Key { name: "verbosity", example: "verbosity = 1" },
    Key { name: "allow_shutdown", example: "allow_shutdown = true" },
    Key { name: "passwords", example: r#"passwords = "/etc/larder/users""# },
    Key { name: "sasl_passwords", example: r#"sasl_passwords = "/etc/larder/users""# },
    Key { name: "tls", example: "tls = true" },
    Key { name: "tls_certificate", example: r#"tls_certificate = "/etc/larder/server.pem""# },
    Key { name: "tls_key", example: r#"tls_key = "/etc/larder/server.key""# },
    Key { name: "tls_clients", example: r#"tls_clients = "required""# },
    Key { name: "tls_client_ca", example: r#"tls_client_ca = "/etc/larder/clients.pem""# },
    Key { name: "tls_version_min", example: r#"tls_version_min = "1.3""# },
    Key { name: "sql", example: "[sql] with tables like [[sql.container]] below it" },
    Key { name: "prefix", example: "[[prefix]] with `key` and `stack` on the lines below it" },
];

const PREFIX_KEYS: &[Key] = &[
    Key { name: "key", example: r#"key = "user:""# },
    Key { name: "stack", example: r#"stack = "ram > sqlite""# },
    Key { name: "negative_ttl", example: r#"negative_ttl = "1s""# },
];

/// The names of all keys, for whoever must name them all.
#[cfg(test)]
pub fn key_names() -> impl Iterator<Item = &'static str> {
    KEYS.iter().chain(PREFIX_KEYS).map(|key| key.name)
}

/// Reads the text of a file called `name`.
pub fn read(name: &str, text: &str, report: &mut Report) -> Draft {
    let whole = report.add_file(name, text);
    let (readable, mut errors) = without_garbage(text);
    let (table, damaged) = DeTable::parse_recoverable(&readable);
    errors.extend(damaged);
    let mut reader = Reader { source: text, whole, report };
    let mut draft = Draft { is_broken: !errors.is_empty(), ..Draft::default() };
    reader.top(table.get_ref(), &mut draft);
    // What the parser made of damaged text is a guess, and so is what was found wrong with it.
    let mut guesses: BTreeMap<usize, usize> = errors.iter().map(|error| damaged_by(text, error)).collect();
    // One may lie inside another; each then reaches to the end of both.
    guesses.values_mut().fold(0, |reach, end| {
        *end = reach.max(*end);
        *end
    });
    report.forget(whole, |offset| guesses.range(..=offset).next_back().is_some_and(|(_, end)| offset < *end));
    for error in errors {
        let span = error_span(text, &error);
        report.object(whole.part(span.clone()), syntax_objection(text, &span, error.message()));
    }
    draft
}

/// The text with blanks in place of lines that are neither a setting nor a table's head, and the errors found there.
/// The parser would not look at anything below such a line; all others it passes by itself.
fn without_garbage(text: &str) -> (String, Vec<toml::de::Error>) {
    let mut readable = text.to_owned();
    let mut found = Vec::new();
    for _round in 0..GARBAGE_LINES_MAX {
        let (_, errors) = DeTable::parse_recoverable(&readable);
        let garbage = errors.into_iter().find_map(|error| {
            let start = line_start(&readable, error_span(&readable, &error).start);
            let line = readable[start..].lines().next().unwrap_or_default();
            let is_garbage =
                !line.contains('=') && !line.trim_start().starts_with('[') && !line.trim().is_empty();
            is_garbage.then(|| (start..start + line.len(), error))
        });
        let Some((line, error)) = garbage else { break };
        readable.replace_range(line.clone(), &" ".repeat(line.len()));
        found.push(error);
    }
    (readable, found)
}

/// Where the line of an error begins and ends; below a table's head, the lines of that table too.
fn damaged_by(text: &str, error: &toml::de::Error) -> (usize, usize) {
    let start = line_start(text, error_span(text, error).start);
    let mut lines = text[start..].split_inclusive('\n');
    let first = lines.next().unwrap_or_default();
    let mut end = start + first.len();
    if first.trim_start().starts_with('[') {
        end += lines.take_while(|line| !line.trim_start().starts_with('[')).map(str::len).sum::<usize>();
    }
    (start, end)
}

fn error_span(text: &str, error: &toml::de::Error) -> Range<usize> {
    clip(text, error.span().unwrap_or(0..0))
}

/// The byte at which the line of an offset begins.
fn line_start(text: &str, offset: usize) -> usize {
    let offset = clip(text, offset..offset).start;
    text[..offset].rfind('\n').map_or(0, |newline| newline + 1)
}

/// A range that surely lies inside the text and between its characters.
fn clip(text: &str, range: Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(range.start);
    start..text.floor_char_boundary(range.end).max(start)
}

/// A value without quotes, or none at all, is the usual slip; for the rest the parser's words must do.
fn syntax_objection(text: &str, span: &Range<usize>, message: &str) -> Objection {
    let line = text[line_start(text, span.start)..].lines().next().unwrap_or_default();
    if let Some((key, value)) = line.split_once('=') {
        let (key, value) = (key.trim(), value.split('#').next().unwrap_or_default().trim());
        let known = KEYS.iter().chain(PREFIX_KEYS).find(|known| known.name == key);
        if let Some(known) = known.filter(|_| value.is_empty()) {
            return objection(format!("`{key}` has no value"), format!("write {}", quoted(known.example)));
        }
        let is_bare = !value.is_empty() && !value.contains(['"', '\'', '[', '{', '\\']);
        if known.is_some_and(|known| known.example.contains('"')) && is_bare {
            return objection(
                format!("`{value}` stands without quotes"),
                format!("write `{key} = \"{value}\"`"),
            );
        }
    }
    objection(format!("this is no TOML: {message}"), "write `name = value` lines, with texts in quotes")
}

/// More lines of garbage than this are not a configuration.
const GARBAGE_LINES_MAX: usize = 20;

struct Reader<'a> {
    source: &'a str,
    whole: Place,
    report: &'a mut Report,
}

type Value<'i> = Spanned<DeValue<'i>>;

impl Reader<'_> {
    fn place(&self, span: Range<usize>) -> Place {
        self.whole.part(clip(self.source, span))
    }

    fn top(&mut self, table: &DeTable<'_>, draft: &mut Draft) {
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            match name {
                "listen" => draft.listen = self.listen(value),
                "udp" => draft.udp = self.udp(value),
                "unix_mask" => draft.unix_mask = self.text_of(KEYS, name, value, limits::unix_mask),
                "data" => draft.data = self.text_of(KEYS, name, value, limits::data),
                "memory" => {
                    draft.memory_bytes =
                        self.size_of(name, value, |bytes| check_ram_bytes(bytes).map(|()| bytes))
                }
                "item_size_max" => draft.item_size_bytes_max = self.size_of(name, value, limits::item_size),
                "threads" => draft.threads = self.integer_of(name, value, limits::threads),
                "connections" => draft.connections_max = self.integer_of(name, value, limits::connections),
                "requests_per_turn" => {
                    draft.requests_per_turn_max = self.integer_of(name, value, limits::requests_per_turn);
                }
                "idle_timeout" => draft.idle_timeout = self.text_of(KEYS, name, value, limits::idle_timeout),
                "metrics" => draft.metrics = self.text_of(KEYS, name, value, metrics),
                "verbosity" => {
                    draft.verbosity =
                        self.integer_of(name, value, limits::verbosity).map(|placed| placed.value);
                }
                "allow_shutdown" => draft.allow_shutdown = self.boolean(name, value),
                "prefix" => draft.prefixes = self.prefixes(value),
                "sql" => draft.sql = self.sql(key.span(), value),
                name if guard::KEYS.contains(&name) => self.guard(name, value, &mut draft.guard),
                unknown => self.unknown(KEYS, unknown, key.span(), "key"),
            }
        }
    }

    fn unknown(&mut self, keys: &[Key], name: &str, span: Range<usize>, what: &str) {
        let place = self.place(span);
        let advice = suggest::advice(name, keys.iter().map(|key| key.name));
        self.report.push(place, format!("unknown {what} `{name}`"), advice);
    }

    fn wrong_type(&mut self, keys: &[Key], name: &str, value: &Value<'_>) {
        let place = self.place(value.span());
        let example = keys.iter().find(|key| key.name == name).map_or("another value", |key| key.example);
        let found = match value.get_ref() {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a bare number",
            DeValue::Float(_) => "a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.report.push(place, format!("`{name}` cannot be {found}"), format!("write {}", quoted(example)));
    }

    /// A text in quotes, with the way back to its place.
    fn string(&mut self, keys: &[Key], name: &str, value: &Value<'_>) -> Option<Text> {
        let DeValue::String(text) = value.get_ref() else {
            self.wrong_type(keys, name, value);
            return None;
        };
        Some(self.text(text, value.span()))
    }

    fn text(&self, text: &str, span: Range<usize>) -> Text {
        let raw = &self.source[clip(self.source, span.clone())];
        Text::toml_string(text, raw, self.place(span))
    }

    fn text_of<T>(
        &mut self,
        keys: &[Key],
        name: &str,
        value: &Value<'_>,
        parse: impl Fn(&str) -> Result<T, Objection>,
    ) -> Option<Placed<T>> {
        let text = self.string(keys, name, value)?;
        let value = self.report.take(text.content(), parse(&text.text))?;
        Some(Placed { value, place: text.content() })
    }

    /// A size as text, or as a bare number of bytes.
    fn size_of(
        &mut self,
        name: &str,
        value: &Value<'_>,
        check: impl Fn(u64) -> Result<u64, Objection>,
    ) -> Option<Placed<u64>> {
        if let DeValue::Integer(bytes) = value.get_ref() {
            let place = self.place(value.span());
            let parsed = parse_size(&integer(bytes).to_string()).and_then(check);
            return self.report.take(place, parsed).map(|value| Placed { value, place });
        }
        self.text_of(KEYS, name, value, |text| parse_size(text).and_then(&check))
    }

    fn integer_of<T>(
        &mut self,
        name: &str,
        value: &Value<'_>,
        check: impl Fn(i128) -> Result<T, Objection>,
    ) -> Option<Placed<T>> {
        let DeValue::Integer(number) = value.get_ref() else {
            self.wrong_type(KEYS, name, value);
            return None;
        };
        let place = self.place(value.span());
        self.report.take(place, check(integer(number))).map(|value| Placed { value, place })
    }

    fn boolean(&mut self, name: &str, value: &Value<'_>) -> Option<bool> {
        let DeValue::Boolean(boolean) = value.get_ref() else {
            self.wrong_type(KEYS, name, value);
            return None;
        };
        Some(*boolean)
    }

    fn listen(&mut self, value: &Value<'_>) -> Option<Vec<Placed<Listener>>> {
        let DeValue::Array(addresses) = value.get_ref() else {
            self.wrong_type(KEYS, "listen", value);
            return None;
        };
        if addresses.is_empty() {
            let place = self.place(value.span());
            self.report.push(
                place,
                "`listen` names no address",
                r#"write at least one, as in ["127.0.0.1:11211"]"#,
            );
            return None;
        }
        let parse = |text: &str| parse_listener(text, PORT_DEFAULT);
        let listeners: Vec<_> =
            addresses.iter().filter_map(|address| self.text_of(KEYS, "listen", address, parse)).collect();
        Some(listeners)
    }

    fn udp(&mut self, value: &Value<'_>) -> Option<Vec<Placed<TcpAddress>>> {
        let DeValue::Array(addresses) = value.get_ref() else {
            self.wrong_type(KEYS, "udp", value);
            return None;
        };
        let parse = |text: &str| parse_tcp(text, PORT_DEFAULT);
        Some(addresses.iter().filter_map(|address| self.text_of(KEYS, "udp", address, parse)).collect())
    }

    fn prefixes(&mut self, value: &Value<'_>) -> Vec<PlacedPrefix> {
        let DeValue::Array(tables) = value.get_ref() else {
            let place = self.place(value.span());
            self.report.push(
                place,
                "`prefix` is not a list of tables",
                "write `[[prefix]]` with two brackets on each side",
            );
            return Vec::new();
        };
        let mut prefixes = Vec::new();
        for table in tables.iter() {
            match table.get_ref() {
                DeValue::Table(fields) => prefixes.push(self.prefix(fields, self.place(table.span()))),
                _ => self.wrong_type(KEYS, "prefix", table),
            }
        }
        prefixes
    }

    fn prefix(&mut self, table: &DeTable<'_>, place: Place) -> PlacedPrefix {
        let mut prefix = PlacedPrefix { place, key: None, stack: None };
        let mut negative_ttl = None;
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "key" => prefix.key = self.text_of(PREFIX_KEYS, "key", value, limits::prefix_key),
                "stack" => {
                    let text = self.string(PREFIX_KEYS, "stack", value);
                    prefix.stack = text.and_then(|text| stack::read(&text, self.report));
                }
                "negative_ttl" => {
                    negative_ttl = self.text_of(PREFIX_KEYS, "negative_ttl", value, limits::negative_ttl);
                }
                unknown => self.unknown(PREFIX_KEYS, unknown, key.span(), "key of a prefix"),
            }
        }
        for (required, advice) in [
            ("key", r#"add `key = "user:"`, or `key = ""` for all keys that no other prefix takes"#),
            ("stack", r#"add `stack = "ram > sqlite"`"#),
        ] {
            if !table.keys().any(|key| key.get_ref() == required) {
                self.report.push(place, format!("this prefix has no `{required}`"), advice);
            }
        }
        if let (Some(stack), Some(ttl)) = (&mut prefix.stack, negative_ttl) {
            self.set_negative_ttl(stack, ttl);
        }
        prefix
    }

    /// The prefix's `negative_ttl`, which may stand in the expression instead but not in both.
    fn set_negative_ttl(&mut self, stack: &mut stack::PlacedStack, ttl: Placed<Duration>) {
        if let Some(other) = stack.negative_ttl {
            let other = self.report.name_of(other);
            let problem = format!("`negative_ttl` is given twice, also at {other}");
            self.report.push(ttl.place, problem, "keep one of them");
        } else if let Some(tier) = &mut stack.stack.tier {
            tier.negative_ttl = Some(ttl.value).filter(|ttl| !ttl.is_zero());
        } else {
            self.report.push(
                ttl.place,
                "`negative_ttl` has no cache over a store to remember an absent key",
                "write `stack = \"ram > sqlite\"`, or remove `negative_ttl`",
            );
        }
    }
}

/// An example in backquotes, unless it explains itself in words.
fn quoted(example: &str) -> String {
    if example.contains('`') { example.to_owned() } else { format!("`{example}`") }
}

/// The number, with what exceeds 128 bits cut to the largest; every limit is far below.
fn integer(number: &toml::de::DeInteger<'_>) -> i128 {
    let is_negative = number.as_str().starts_with('-');
    i128::from_str_radix(number.as_str(), number.radix()).unwrap_or(if is_negative {
        i128::MIN
    } else {
        i128::MAX
    })
}

fn metrics(text: &str) -> Result<TcpAddress, Objection> {
    parse_tcp(text, METRICS_PORT_DEFAULT)
}
