//! Random streams, decided by a seed.

mod binary;
mod meta;
mod text;

use larder_crash::random::Random;

use crate::stream::{Batch, Command, Dialect, Group, Piece, Stream};

/// Groups in a batch.
const BATCH_GROUPS_MAX: u64 = 100;

/// Commands in a group.
const GROUP_COMMANDS_MAX: u64 = 8;

/// Values longer than this are read from the socket apart from their commands, by both servers.
const LONG_VALUE_BYTES: u64 = 16 << 10;

/// A command, and whether its answer must be compared by itself: that of wrong input may differ for a reason.
struct Made {
    command: Command,
    is_alone: bool,
}

impl Made {
    fn usual(command: Command) -> Made {
        Made { command, is_alone: false }
    }

    fn alone(command: Command) -> Made {
        Made { command, is_alone: true }
    }
}

/// What is asked and what is left out.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// Ask if an item was read before: only a server that notes reads as memcached does can tell.
    pub reads: bool,
    /// Count beyond 2^63, where memcached itself does not always answer the same.
    pub great_numbers: bool,
}

/// Makes the commands of a stream.
struct Maker {
    random: Random,
    /// Before every key, so that streams may run beside each other.
    prefix: String,
    /// Expiry times so short that the test can wait for them.
    short_times: bool,
    scope: Scope,
}

/// A stream of about so many commands.
pub fn stream(dialect: Dialect, seed: u64, number: u64, commands: usize, scope: Scope) -> Stream {
    let mut maker =
        Maker { random: Random::new(seed, number), prefix: String::new(), short_times: false, scope };
    let dialects = maker.dialects(dialect);
    let mut batches = Vec::new();
    let mut count = 0;
    while count < commands {
        let batch = maker.batch(&dialects, commands - count);
        count += batch.groups.iter().map(Vec::len).sum::<usize>();
        batches.push(batch);
    }
    let closes = maker.random.percent(70);
    if closes {
        let connection = maker.random.below(dialects.len() as u64) as usize;
        let last = match dialects[connection] {
            Dialect::Text | Dialect::Meta => text::closing(&mut maker),
            Dialect::Binary => binary::closing(&mut maker),
        };
        batches.push(Batch { connection, groups: vec![vec![last]], cuts: Vec::new() });
    }
    Stream { dialects, batches, closes }
}

/// A stream of four batches; all short times pass between the first and the second, and a flush between the third and
/// the fourth. A prefix of its own keeps its keys apart from those of streams that run beside it.
pub fn expiring(dialect: Dialect, seed: u64, number: u64, scope: Scope) -> Stream {
    const BATCH_COMMANDS: usize = 100;
    let prefix = format!("{number}:");
    let mut maker = Maker { random: Random::new(seed, number), prefix, short_times: true, scope };
    let dialects = maker.dialects(dialect);
    let first = maker.batch(&dialects, BATCH_COMMANDS);
    maker.short_times = false;
    let mut batches = vec![first];
    batches.extend((1..4).map(|_| maker.batch(&dialects, BATCH_COMMANDS)));
    Stream { dialects, batches, closes: false }
}

impl Maker {
    /// What the connections of a stream speak: often there is one, sometimes there are more, mostly alike.
    fn dialects(&mut self, main: Dialect) -> Vec<Dialect> {
        let count = *self.random.pick(&[1, 1, 2, 3]);
        let mut dialects = vec![main];
        for _ in 1..count {
            dialects.push(if self.random.percent(60) { main } else { *self.random.pick(&Dialect::ALL) });
        }
        dialects
    }

    fn batch(&mut self, dialects: &[Dialect], commands_max: usize) -> Batch {
        let connection = self.random.below(dialects.len() as u64) as usize;
        let dialect = dialects[connection];
        let groups_max = *self.random.pick(&[1, 3, BATCH_GROUPS_MAX]);
        let groups = self.random.between(1, groups_max) as usize;
        let mut batch = Batch { connection, ..Batch::default() };
        let mut count = 0;
        while batch.groups.len() < groups && count < commands_max {
            let mut group = Group::new();
            let length = self.random.between(1, GROUP_COMMANDS_MAX);
            for _ in 0..length {
                let made = match dialect {
                    Dialect::Text => text::command(self),
                    Dialect::Meta if self.random.percent(15) => text::command(self),
                    Dialect::Meta => meta::command(self),
                    Dialect::Binary => binary::command(self),
                };
                count += 1;
                if made.is_alone {
                    if !group.is_empty() {
                        batch.groups.push(std::mem::take(&mut group));
                    }
                    batch.groups.push(vec![made.command]);
                    break;
                }
                group.push(made.command);
            }
            if !group.is_empty() {
                batch.groups.push(group);
            }
        }
        for _ in 0..self.random.below(4) {
            batch.cuts.push(self.random.bits() as u16);
        }
        batch
    }

    /// A key whose values are texts.
    fn key(&mut self) -> Vec<u8> {
        match self.random.below(100) {
            0..70 => format!("{}k{}", self.prefix, self.random.below(8)).into_bytes(),
            70..80 => format!("{}unusual:{}", self.prefix, self.random.below(100)).into_bytes(),
            80..85 => self.long_key(250),
            85..90 => format!("{}\x01\x7f\t", self.prefix).into_bytes(),
            90..93 => [self.prefix.as_bytes(), b"\xff\xfe\xc3\xa9"].concat(),
            _ => format!("{}{}", self.prefix, "x".repeat(1 + self.random.below(40) as usize)).into_bytes(),
        }
    }

    /// Whether streams ask if items of this key were read before. memcached keeps that note when an item is marked stale,
    /// larder does not, so no item of such a key is marked.
    fn is_reading_noted(key: &[u8]) -> bool {
        matches!(key.last(), Some(b'0'..=b'3'))
    }

    /// Whether the stream waits: what it waits for must not be asked for where the two count differently.
    fn waits(&self) -> bool {
        !self.prefix.is_empty()
    }

    fn long_key(&self, bytes: usize) -> Vec<u8> {
        let mut key = self.prefix.clone().into_bytes();
        key.resize(bytes, b'l');
        key
    }

    /// A key whose values are numbers, or nearly. It is kept apart because memcached pads a number that shrinks with
    /// spaces, and larder does not.
    fn counter(&mut self) -> Vec<u8> {
        format!("{}n{}", self.prefix, self.random.below(if self.scope.great_numbers { 5 } else { 4 }))
            .into_bytes()
    }

    /// Starts with a letter or is empty: no number, whatever is appended. Without `M`, so that no separator is in it.
    fn text(&mut self) -> Vec<u8> {
        let length = match self.random.below(1000) {
            0..100 => 0,
            100..200 => 1,
            200..800 => self.random.between(2, 40),
            800..990 => self.random.between(41, 400),
            _ => self.random.between(LONG_VALUE_BYTES - 20, LONG_VALUE_BYTES * 2),
        };
        let alphabet = b"abcdefghijk lmnopqrstuvwxyz\r\n\0\xff\t";
        let mut text: Vec<u8> = (0..length).map(|_| *self.random.pick(alphabet)).collect();
        if let Some(first) = text.first_mut() {
            *first = b'a';
        }
        text
    }

    /// Numbers at all edges, and what is not quite a number. Without a minus: memcached takes a great number for none if
    /// one lies behind it in memory.
    fn number_text(&mut self, key: &[u8]) -> Vec<u8> {
        const SMALL: &[&str] = &[
            "0",
            "1",
            "9",
            "10",
            "99",
            "100",
            "4294967295",
            "4294967296",
            "00",
            "007",
            "00000000000000000012",
            " 5",
            "5 ",
            "5x",
            "1.5",
            "0x10",
            "",
            "abc",
            "18446744073709551616",
            "99999999999999999999",
        ];
        const GREAT: &[&str] = &[
            "0",
            "1",
            "5x",
            "9223372036854775807",
            "9223372036854775808",
            "9999999999999999999",
            "10000000000000000000",
            "18446744073709551614",
            "18446744073709551615",
            "18446744073709551616",
        ];
        if self.random.percent(50) {
            return self.random.below(1000).to_string().into_bytes();
        }
        self.random.pick(if is_great(key) { GREAT } else { SMALL }).as_bytes().to_vec()
    }

    fn delta(&mut self, key: &[u8]) -> u64 {
        const SMALL: &[u64] = &[0, 1, 2, 9, 10, 90, 99, 1 << 32];
        const GREAT: &[u64] = &[0, 1, 9, 1 << 32, 1 << 63, (1 << 63) - 1, u64::MAX - 1, u64::MAX];
        if self.random.percent(50) {
            return self.random.below(200);
        }
        *self.random.pick(if is_great(key) { GREAT } else { SMALL })
    }

    /// Seconds that no stream lives to see, and that no `R` comes near.
    fn far_time(&mut self, thousands_max: u64) -> u64 {
        self.random.between(1, thousands_max) * 1000 + 500
    }

    /// Adds an expiry time as text: never, far away, a Unix time, or gone at once.
    fn expiry_text(&mut self, command: &mut Command) {
        if self.short_times && self.random.percent(50) {
            return command.bytes(self.random.between(3, 4).to_string());
        }
        match self.random.below(100) {
            0..50 => command.bytes("0"),
            50..75 => command.bytes(self.far_time(100).to_string()),
            75..78 => command.bytes("2592000"),
            78..81 => command.bytes("2592001"),
            81..87 => command.piece(Piece::UnixTime(self.far_time(5000) as i64)),
            87..89 => command.piece(Piece::UnixTime(-(self.random.between(1000, 100_000) as i64))),
            89..96 => command.bytes("-1"),
            96..98 => {
                command.bytes(self.random.pick(&["-2147483648", "2147483647", "000", "-0", "+5000", "05000"]))
            }
            _ => command.bytes((-(self.random.below(1 << 31) as i64)).to_string()),
        }
    }

    /// The same as four bytes.
    fn expiry_bytes(&mut self, command: &mut Command) {
        if self.short_times && self.random.percent(50) {
            return command.bytes((self.random.between(3, 4) as u32).to_be_bytes());
        }
        match self.random.below(100) {
            0..60 => command.bytes(0u32.to_be_bytes()),
            60..82 => command.bytes((self.far_time(100) as u32).to_be_bytes()),
            82..86 => command.bytes(2_592_000u32.to_be_bytes()),
            86..92 => command.bytes(2_592_001u32.to_be_bytes()),
            92..97 => command.piece(Piece::UnixTimeBytes(self.far_time(5000) as i64)),
            _ => command.piece(Piece::UnixTimeBytes(-(self.random.between(1000, 100_000) as i64))),
        }
    }

    /// Adds a CAS as text: mostly one that was seen.
    fn cas_text(&mut self, command: &mut Command) {
        if self.random.percent(5) {
            command.bytes("0");
        } else {
            self.cas_text_but_zero(command);
        }
    }

    fn cas_text_but_zero(&mut self, command: &mut Command) {
        if self.random.percent(90) {
            command.piece(Piece::Cas(self.random.bits() as usize));
        } else {
            command.bytes(self.random.pick(&["1", "18446744073709551615"]));
        }
    }

    /// Flags as a storage line may have them.
    fn flags_text(&mut self) -> String {
        match self.random.below(100) {
            0..90 => self.flags().to_string(),
            _ => (*self.random.pick(&["4294967296", "4294967297", "9999999999", "0042", "+1"])).to_owned(),
        }
    }

    fn flags(&mut self) -> u32 {
        *self.random.pick(&[0, 0, 0, 1, 42, 0x8000_0000, u32::MAX])
    }

    /// CRLF, mostly.
    fn line_end(&mut self) -> &'static [u8] {
        if self.random.percent(90) { b"\r\n" } else { b"\n" }
    }

    fn space(&mut self) -> &'static [u8] {
        if self.random.percent(97) { b" " } else { b"   " }
    }
}

/// Whether a counter may pass 2^63, beyond which memcached does not always know a number. Commands that change such a
/// counter are compared by themselves and always answered.
fn is_great(key: &[u8]) -> bool {
    key.ends_with(b"n4")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCOPE: Scope = Scope { reads: true, great_numbers: true };

    #[test]
    fn a_seed_decides_the_stream() {
        for dialect in Dialect::ALL {
            let text = |seed| format!("{:?}", stream(dialect, seed, 3, 300, SCOPE));
            assert_eq!(text(1), text(1));
            assert_ne!(text(1), text(2));
            assert!(stream(dialect, 1, 3, 300, SCOPE).command_count() >= 300);
        }
    }
}
