//! Meta commands, right and wrong, with the flags both servers know.

use crate::stream::{Command, Piece};

use super::{Made, Maker};

pub(super) fn command(maker: &mut Maker) -> Made {
    match maker.random.below(100) {
        0..32 => get(maker),
        32..60 => Made::usual(set(maker)),
        60..70 => Made::usual(delete(maker)),
        70..86 => Made::alone(arithmetic(maker)),
        86..90 if maker.scope.reads && !maker.waits() => Made::alone(debug(maker)),
        _ => Made::alone(wrong(maker)),
    }
}

/// Whether a command asks for a key in base64.
fn is_encoded(maker: &mut Maker) -> bool {
    maker.random.percent(8)
}

/// The key, or one in base64, after which `b` must follow. Such keys are asked for in base64 alone: memcached notes how
/// an item was stored and answers `k` so, larder answers it as it was asked.
fn put_key(maker: &mut Maker, command: &mut Command, key: &[u8], is_encoded: bool) {
    if is_encoded {
        let key = format!("{}\0 \r\n{}", maker.prefix, maker.random.below(4));
        command.bytes(base64(key.as_bytes()));
    } else {
        command.bytes(key);
    }
}

/// Adds flags in random order, each at most once.
struct Flags {
    words: Vec<Command>,
}

impl Flags {
    fn new(maker: &mut Maker, is_encoded: bool, plain: &str) -> Flags {
        let mut flags = Flags { words: Vec::new() };
        if is_encoded {
            flags.words.push(Command::of("b"));
        }
        for letter in plain.bytes() {
            if maker.random.percent(25) {
                flags.words.push(Command::of([letter]));
            }
        }
        if maker.random.percent(20) {
            flags.words.push(Command::of(format!("O{}", maker.random.below(100_000))));
        }
        flags
    }

    /// A flag with a token that `token` adds, in so many of a hundred cases.
    fn with(
        &mut self,
        maker: &mut Maker,
        percent: u64,
        letter: char,
        token: impl FnOnce(&mut Maker, &mut Command),
    ) {
        if maker.random.percent(percent) {
            let mut word = Command::of(letter.to_string());
            token(maker, &mut word);
            self.words.push(word);
        }
    }

    fn end(mut self, maker: &mut Maker, command: &mut Command) {
        for index in (1..self.words.len()).rev() {
            let other = maker.random.below(index as u64 + 1) as usize;
            self.words.swap(index, other);
        }
        // memcached answers a `t` before `N` or `T` with what was before them, even where nothing was.
        let makes = self.words.iter().any(|word| is_flag(word, b"N"));
        self.words.sort_by_key(|word| !is_flag(word, if makes { b"NT" } else { b"N" }));
        for word in self.words {
            let space = maker.space();
            command.bytes(space);
            for piece in word.0 {
                match piece {
                    Piece::Bytes(bytes) => command.bytes(bytes),
                    piece => command.piece(piece),
                }
            }
        }
        let end = maker.line_end();
        command.bytes(end);
    }
}

/// Whether it is one of these flags.
fn is_flag(word: &Command, letters: &[u8]) -> bool {
    matches!(&word.0[..], [Piece::Bytes(bytes), ..] if letters.contains(&bytes[0]))
}

fn expiry(maker: &mut Maker, word: &mut Command) {
    maker.expiry_text(word);
}

fn get(maker: &mut Maker) -> Made {
    let is_counter = maker.random.percent(25);
    let key = if is_counter { maker.counter() } else { maker.key() };
    let mut command = Command::of("mg ");
    let is_encoded = is_encoded(maker);
    put_key(maker, &mut command, &key, is_encoded);
    // memcached changes a number in its place, if it fits: spaces are left behind it, and that it was read stays known.
    // Neither is it noted by the first read.
    let plain = match (is_counter, maker.waits()) {
        (true, false) => "vfctkqlu",
        (true, true) => "vfctkqu",
        (false, false) => "vfctkqlus",
        (false, true) => "vfctkqus",
    };
    let mut flags = Flags::new(maker, is_encoded, plain);
    let is_noted = !is_counter && !is_encoded && Maker::is_reading_noted(&key);
    if maker.scope.reads && is_noted && maker.random.percent(25) {
        flags.words.push(Command::of("h"));
    }
    flags.with(maker, 10, 'T', expiry);
    // memcached answers `k` of an item made for a key in base64 with the decoded bytes, whatever they do to the line.
    flags.with(maker, if is_encoded { 0 } else { 12 }, 'N', expiry);
    // memcached judges by the expiry that `T` gives if `T` comes first, and forgets who won when a number grows.
    let may_win = !is_counter && !flags.words.iter().any(|word| is_flag(word, b"T"));
    flags.with(maker, if may_win { 12 } else { 0 }, 'R', |maker, word| {
        word.bytes(maker.random.pick(&["0", "-1", "30", "500", "50000", "3000000"]));
    });
    // The time left of what expires at once is answered in two ways.
    let is_alone = flags.words.iter().any(|word| is_flag(word, b"NT"));
    flags.end(maker, &mut command);
    Made { command, is_alone }
}

fn set(maker: &mut Maker) -> Command {
    let mode = *maker.random.pick(&["", "", "", "", "S", "E", "A", "P", "R"]);
    let appends = matches!(mode, "A" | "P");
    // An item that memcached makes of another one has lost the note.
    let is_encoded = !appends && is_encoded(maker);
    let is_counter = maker.random.percent(30) && !appends && !is_encoded;
    let (key, value) = match is_counter {
        true => super::text::counted(maker),
        false => (maker.key(), maker.text()),
    };
    let mut command = Command::of("ms ");
    put_key(maker, &mut command, &key, is_encoded);
    command.bytes(format!(" {}", value.len()));
    let mut flags = Flags::new(maker, is_encoded, if is_counter { "ckq" } else { "ckqI" });
    flags.with(maker, 30, 'T', expiry);
    flags.with(maker, 30, 'F', |maker, word| word.bytes(maker.flags_text()));
    // memcached takes a zero for no comparison here.
    let may_be_zero = !appends;
    flags.with(maker, 20, 'C', |maker, word| match may_be_zero {
        true => maker.cas_text(word),
        false => maker.cas_text_but_zero(word),
    });
    if !mode.is_empty() {
        flags.words.push(Command::of(format!("M{mode}")));
    }
    flags.end(maker, &mut command);
    command.bytes(&value);
    command.bytes("\r\n");
    command
}

fn delete(maker: &mut Maker) -> Command {
    let is_counter = maker.random.percent(30);
    let key = if is_counter { maker.counter() } else { maker.key() };
    let mut command = Command::of("md ");
    let is_encoded = is_encoded(maker);
    put_key(maker, &mut command, &key, is_encoded);
    // memcached forgets that a number is stale when it grows.
    let may_mark = is_encoded || !(is_counter || Maker::is_reading_noted(&key));
    let mut flags = Flags::new(maker, is_encoded, if may_mark { "kqI" } else { "kq" });
    flags.with(maker, 20, 'T', expiry);
    flags.with(maker, 15, 'C', |maker, word| maker.cas_text(word));
    flags.end(maker, &mut command);
    command
}

fn arithmetic(maker: &mut Maker) -> Command {
    let is_counter = maker.random.percent(90);
    let key = if is_counter { maker.counter() } else { maker.key() };
    let mut command = Command::of("ma ");
    let is_encoded = is_encoded(maker);
    put_key(maker, &mut command, &key, is_encoded);
    let mut flags = Flags::new(maker, is_encoded, "vctk");
    flags.with(maker, if is_counter && !is_encoded { 20 } else { 0 }, 'N', expiry);
    flags.with(maker, 20, 'J', |maker, word| word.bytes(maker.delta(&key).to_string()));
    flags.with(maker, 50, 'D', |maker, word| word.bytes(maker.delta(&key).to_string()));
    // Without `T`, which memcached forgets if the number grows.
    flags.with(maker, 50, 'M', |maker, word| word.bytes(maker.random.pick(&["I", "+", "D", "-"])));
    // Here, too.
    flags.with(maker, 10, 'C', |maker, word| maker.cas_text_but_zero(word));
    flags.end(maker, &mut command);
    command
}

fn debug(maker: &mut Maker) -> Command {
    let key = format!("{}k{}", maker.prefix, maker.random.below(4));
    let mut command = Command::of("me ");
    command.bytes(key);
    command.bytes("\r\n");
    command
}

/// What no client should send. memcached takes some of it for a read, so it goes to a key of which that is not asked.
fn wrong(maker: &mut Maker) -> Command {
    let long = String::from_utf8(maker.long_key(251)).expect("letters");
    let lines: &[&str] = &[
        "mg\r\n",
        "md\r\n",
        "ma\r\n",
        "me\r\n",
        "ms\r\n",
        "ms k5\r\n",
        "ms k5 x\r\n",
        "ms k5 -1\r\n",
        "ms k5 S1\r\n",
        "ms k5 2147483647\r\n",
        "mg k5 v v\r\n",
        "md k5 q q\r\n",
        "ma k5 v v\r\n",
        "mg k5 !\r\n",
        "mg k5 1\r\n",
        "mg k5 z\r\n",
        "md k5 Y\r\n",
        "ma n1 !\r\n",
        "mg k5 T\r\n",
        "mg k5 Tx\r\n",
        "mg k5 Nx\r\n",
        "mg k5 Rx\r\n",
        "md k5 Cx\r\n",
        "ma n1 Dx\r\n",
        "ma n1 D-1\r\n",
        "ma n1 D18446744073709551616\r\n",
        "ma n1 Jx\r\n",
        "ma n1 Nx\r\n",
        "ma n1 Mx\r\n",
        "ma n1 M\r\n",
        "mg k5 O12345678901234567890123456789012\r\n",
        "mg k5 O1234567890123456789012345678901\r\n",
        "mg !!!! b\r\n",
        "mg YQ b\r\n",
        "mg k5 v q t c k O1 f u s P1 L1 F1 D1 J1 I\r\n",
        "mg k5 v q t c k O1 f h l u s P1 L1 F1 D1 J1 I N0 T0 R0\r\n",
        "ms k5 2 T0 T0\r\nzz\r\n",
        "ms k5 2 Mx\r\nzz\r\n",
        "ms k5 2 Fx\r\nzz\r\n",
        "ms k5 2 !\r\nzz\r\n",
        "ms k5 2\r\nzzzzzz\r\n",
        "ms k5 2 q\r\nzzzzzz\r\n",
        "mx k5\r\n",
        "mgg k5\r\n",
        "mg  k5   v  \r\n",
        "mg k5 vfoo\r\n",
    ];
    match maker.random.below(10) {
        0 => {
            let name = *maker.random.pick(&["mg", "md", "ma", "me"]);
            Command::of(format!("{name} {long}\r\n"))
        }
        1 => Command::of(format!("ms {long} 2\r\nzz\r\n")),
        _ => Command::of(*maker.random.pick(lines)),
    }
}

/// Base64 with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let is_padding = digit > chunk.len();
            let index = (bits >> (18 - 6 * digit)) & 63;
            text.push(if is_padding { '=' } else { char::from(ALPHABET[index as usize]) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn base64_pads() {
        for (bytes, text) in [("a", "YQ=="), ("ab", "YWI="), ("abc", "YWJj"), ("foob", "Zm9vYg==")] {
            assert_eq!(super::base64(bytes.as_bytes()), text);
        }
    }
}
