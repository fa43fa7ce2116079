//! Classic text commands, right and wrong.

use crate::stream::{Command, Piece};

use super::{Made, Maker, is_great};

pub(super) fn command(maker: &mut Maker) -> Made {
    match maker.random.below(100) {
        0..20 => Made::usual(retrieval(maker)),
        20..45 => Made::usual(storage(maker)),
        45..53 => Made::usual(compare_and_set(maker)),
        53..66 => arithmetic(maker),
        66..73 => Made::usual(delete(maker)),
        73..79 => Made::usual(touch(maker)),
        79..81 => flush(maker),
        81..84 => Made::alone(administration(maker)),
        84..86 => Made::usual(too_large(maker)),
        _ => Made::alone(wrong(maker)),
    }
}

/// `noreply` now and then, or a word that means nothing, and the line's end.
fn end_line(maker: &mut Maker, command: &mut Command) {
    match maker.random.below(100) {
        0..12 => command.bytes(" noreply"),
        12 => command.bytes(" norepl"),
        13 => command.bytes(" "),
        _ => {}
    }
    let end = maker.line_end();
    command.bytes(end);
}

fn line(maker: &mut Maker, words: &[&[u8]]) -> Command {
    let mut command = Command::default();
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            let space = maker.space();
            command.bytes(space);
        }
        command.bytes(word);
    }
    command
}

fn any_key(maker: &mut Maker) -> Vec<u8> {
    if maker.random.percent(30) { maker.counter() } else { maker.key() }
}

fn retrieval(maker: &mut Maker) -> Command {
    let touches = maker.random.percent(20);
    let names: [&str; 2] = if touches { ["gat", "gats"] } else { ["get", "gets"] };
    let mut command = Command::of(*maker.random.pick(&names));
    if touches {
        command.bytes(" ");
        maker.expiry_text(&mut command);
    }
    let keys = match maker.random.below(100) {
        0..70 => 1,
        // Only with `get` and `gets` may a line be longer than 2,048 bytes.
        99 if !touches => maker.random.between(31, 300),
        _ => maker.random.between(2, 8),
    };
    for _ in 0..keys {
        let space = maker.space();
        command.bytes(space);
        let key = any_key(maker);
        command.bytes(key);
    }
    let end = maker.line_end();
    command.bytes(end);
    command
}

fn storage(maker: &mut Maker) -> Command {
    let name = *maker.random.pick(&["set", "set", "set", "add", "replace", "append", "prepend"]);
    let adds = matches!(name, "append" | "prepend");
    let (key, value) = match maker.random.percent(35) && !adds {
        true => counted(maker),
        false => (maker.key(), maker.text()),
    };
    let flags = maker.flags_text();
    let mut command = line(maker, &[name.as_bytes(), &key, flags.as_bytes()]);
    command.bytes(" ");
    maker.expiry_text(&mut command);
    command.bytes(format!(" {}", value.len()));
    end_line(maker, &mut command);
    command.bytes(&value);
    command.bytes("\r\n");
    command
}

/// A counter and a number for it.
pub(super) fn counted(maker: &mut Maker) -> (Vec<u8>, Vec<u8>) {
    let key = maker.counter();
    let number = maker.number_text(&key);
    (key, number)
}

fn compare_and_set(maker: &mut Maker) -> Command {
    let (key, value) = match maker.random.percent(30) {
        true => counted(maker),
        false => (maker.key(), maker.text()),
    };
    let flags = maker.flags_text();
    let mut command = line(maker, &[b"cas", &key, flags.as_bytes()]);
    command.bytes(" ");
    maker.expiry_text(&mut command);
    command.bytes(format!(" {} ", value.len()));
    maker.cas_text(&mut command);
    end_line(maker, &mut command);
    command.bytes(&value);
    command.bytes("\r\n");
    command
}

fn arithmetic(maker: &mut Maker) -> Made {
    let name = *maker.random.pick(&["incr", "decr"]);
    let key = if maker.random.percent(90) { maker.counter() } else { maker.key() };
    let delta = maker.delta(&key).to_string();
    let mut command = line(maker, &[name.as_bytes(), &key, delta.as_bytes()]);
    if is_great(&key) {
        command.bytes("\r\n");
        return Made::alone(command);
    }
    end_line(maker, &mut command);
    Made::usual(command)
}

fn delete(maker: &mut Maker) -> Command {
    let key = any_key(maker);
    let mut command = line(maker, &[b"delete", &key]);
    command.bytes(*maker.random.pick(&["", "", "", "", "", "", "", " 0", " noreply", " 0 noreply"]));
    let end = maker.line_end();
    command.bytes(end);
    command
}

fn touch(maker: &mut Maker) -> Command {
    let key = any_key(maker);
    let mut command = line(maker, &[b"touch", &key]);
    command.bytes(" ");
    maker.expiry_text(&mut command);
    end_line(maker, &mut command);
    command
}

fn flush(maker: &mut Maker) -> Made {
    // A stream that runs beside others must not empty the server under them.
    if !maker.prefix.is_empty() || maker.random.percent(70) {
        return Made::usual(retrieval(maker));
    }
    let words = *maker.random.pick(&["flush_all", "flush_all 0", "flush_all -1"]);
    let mut command = Command::of(words);
    end_line(maker, &mut command);
    Made::usual(command)
}

fn administration(maker: &mut Maker) -> Command {
    Command::of(*maker.random.pick(&[
        "version\r\n",
        "version and more\r\n",
        "verbosity 0\r\n",
        "verbosity 0 noreply\r\n",
        "verbosity\r\n",
        "verbosity x\r\n",
        "cache_memlimit 1024\r\n",
        "cache_memlimit 1024 noreply\r\n",
        "cache_memlimit 7\r\n",
        "cache_memlimit 1000000001\r\n",
        "cache_memlimit x\r\n",
        "cache_memlimit\r\n",
        "shutdown\r\n",
        "lru_crawler sleep 1000001\r\n",
        "lru_crawler sleep 100\r\n",
        "lru_crawler tocrawl 5\r\n",
        "lru_crawler tocrawl x\r\n",
        "lru_crawler nonsense\r\n",
        "lru_crawler\r\n",
        "lru tune 20 40 0.2 2.0\r\n",
        "lru tune 50 31 0.1 2\r\n",
        "lru tune 5 40 0 2\r\n",
        "lru tune 1 2\r\n",
        "lru mode other\r\n",
        "lru temp_ttl -1\r\n",
        "lru temp_ttl x\r\n",
        "lru\r\n",
        "slabs reassign 1 2\r\n",
        "slabs automove 1\r\n",
        "slabs automove 3\r\n",
        "slabs automove x\r\n",
        "slabs\r\n",
        "stats reset\r\n",
        "stats nonsense\r\n",
        "flush_all soon\r\n",
        "nonsense\r\n",
        "GET a\r\n",
        "getx a\r\n",
        "sett a 0 0 1\r\n",
        "get\0 a\r\n",
        "debugtime p\r\n",
        "extstore drop_unread\r\n",
    ]))
}

/// At the edge of what may be stored, and beyond.
fn too_large(maker: &mut Maker) -> Command {
    if maker.random.percent(99) {
        return retrieval(maker);
    }
    const ITEM_BYTES_MAX: usize = 1 << 20;
    let length = *maker.random.pick(&[ITEM_BYTES_MAX - 1024, ITEM_BYTES_MAX + 1, ITEM_BYTES_MAX + 5000]);
    let name = *maker.random.pick(&["set", "add"]);
    let key = maker.key();
    let mut command = line(maker, &[name.as_bytes(), &key, b"0", b"0", length.to_string().as_bytes()]);
    command.bytes("\r\n");
    command.bytes(vec![b'b'; length]);
    command.bytes("\r\n");
    command
}

/// What no client should send.
fn wrong(maker: &mut Maker) -> Command {
    match maker.random.below(11) {
        0 => wrong_data(maker),
        9 => data_with_lines(maker),
        10 => mutated(maker),
        1 | 2 => wrong_storage_line(maker),
        3 => too_few_tokens(maker),
        4 => long_keys(maker),
        5 | 6 => wrong_number(maker),
        7 => Command::of(*maker.random.pick(&["\r\n", "\n", "a\r\n", " \r\n", "  get k5\r\n"])),
        _ => noise(maker),
    }
}

/// A data block that does not end where the line says. What is too much is read as commands.
fn wrong_data(maker: &mut Maker) -> Command {
    let key = maker.key();
    let declared = maker.random.below(40) as usize;
    let name = *maker.random.pick(&["set", "add", "replace", "append", "prepend"]);
    let mut command = line(maker, &[name.as_bytes(), &key, b"0", b"0", declared.to_string().as_bytes()]);
    end_line(maker, &mut command);
    // At least two bytes are left: a shorter line is an error of its own.
    let more = maker.random.between(4, 30) as usize;
    command.bytes(vec![b'd'; declared + more]);
    command.bytes("\r\n");
    command
}

/// A data block whose count reaches into a later line, so that lines are taken for data, and the rest of one is left.
fn data_with_lines(maker: &mut Maker) -> Command {
    let key = maker.key();
    let data = *maker.random.pick(&["abc\r\nget k1\r\nd", "\r\n\r\n\r\n", "x\r\nset k1 0 0 1\r\ny\r"]);
    let rest = *maker.random.pick(&["!!rest\r\n", "!!get k1\r\n", "\r!touch k1 0\r\n", "!\nget k1 k2\r\n"]);
    let name = *maker.random.pick(&["set", "add", "replace", "append", "prepend"]);
    let mut command = line(maker, &[name.as_bytes(), &key, b"0", b"0", data.len().to_string().as_bytes()]);
    end_line(maker, &mut command);
    command.bytes(data);
    command.bytes(rest);
    command
}

/// A line without data that has a byte changed, added or left out. No space is added, so that its key is no key of an
/// item but by chance, and then of both servers.
fn mutated(maker: &mut Maker) -> Command {
    let command = match maker.random.below(3) {
        0 => retrieval(maker),
        1 => arithmetic(maker).command,
        _ => touch(maker),
    };
    let [Piece::Bytes(mut bytes)] = <[Piece; 1]>::try_from(command.0.clone()).unwrap_or([Piece::Cas(0)])
    else {
        return command;
    };
    // No key becomes too long: memcached notes a read of the keys before it.
    if bytes.len() > 240 {
        return command;
    }
    // The line's end stays.
    let place = maker.random.below(bytes.len() as u64 - 1) as usize;
    // An expiry must neither get more than 32 bits nor so short that it passes.
    let is_arithmetic = bytes.starts_with(b"incr") || bytes.starts_with(b"decr");
    if !is_arithmetic && (bytes[place].is_ascii_digit() || bytes[place] == b'-') {
        return command;
    }
    let alphabet: &[u8] = if is_arithmetic { b"!0059+.az\x01\x7f\xff_" } else { b"!+.az\x01\x7f\xff_" };
    let byte = *maker.random.pick(alphabet);
    match maker.random.below(3) {
        // A word between two others would be one too many.
        0 if place > 0 && bytes[place - 1] == b' ' && bytes[place] == b' ' => {}
        0 => bytes.insert(place, byte),
        1 if bytes[place] != b' ' && bytes[place] != b'\r' => bytes[place] = byte,
        _ if bytes[place] != b' ' && bytes[place] != b'\r' => drop(bytes.remove(place)),
        _ => {}
    }
    Command::of(bytes)
}

fn wrong_storage_line(maker: &mut Maker) -> Command {
    let name = *maker.random.pick(&["set", "add", "replace", "append", "prepend", "cas"]);
    let key = maker.key();
    let mut words: Vec<Vec<u8>> = vec![b"0".to_vec(), b"0".to_vec(), b"5".to_vec()];
    let wrong = *maker.random.pick(&["-1", "x", "1.5", "", "99999999999999999999", "2147483647", "-5", "1x"]);
    // The count would be taken for the CAS.
    let wrong = if name == "cas" && wrong.is_empty() { "x" } else { wrong };
    let place = maker.random.below(3) as usize;
    // An expiry of any size is right.
    if place == 1 && wrong.len() > 4 {
        return Command::of("set\r\n");
    }
    words[place] = wrong.as_bytes().to_vec();
    let mut command = line(maker, &[name.as_bytes(), &key, &words[0], &words[1], &words[2]]);
    if name == "cas" {
        command.bytes(maker.random.pick(&[" 1", " y", "", " -1", " 18446744073709551616"]));
    }
    end_line(maker, &mut command);
    command.bytes("zzzzz\r\n");
    command
}

fn too_few_tokens(maker: &mut Maker) -> Command {
    Command::of(*maker.random.pick(&[
        "get\r\n",
        "get \r\n",
        "gets\r\n",
        "gat\r\n",
        "gat 1\r\n",
        "gats 1\r\n",
        "set\r\n",
        "set a\r\n",
        "set a 0 0\r\n",
        "cas a 0 0\r\n",
        "delete\r\n",
        "delete a 0 0 0 0\r\n",
        "delete a x\r\n",
        "delete a 1\r\n",
        "incr\r\n",
        "incr a\r\n",
        "decr a\r\n",
        "touch\r\n",
        "touch a\r\n",
        "gat x a\r\n",
        "touch a x\r\n",
        "touch a 1.5\r\n",
        "touch a x noreply\r\n",
    ]))
}

fn long_keys(maker: &mut Maker) -> Command {
    let key_bytes = *maker.random.pick(&[251, 251, 251, 400]);
    let long = maker.long_key(key_bytes);
    match maker.random.below(6) {
        0 => line(maker, &[b"get", &long, b"\r\n"]),
        1 => line(maker, &[b"gets k5", &long, b"k2\r\n"]),
        2 => line(maker, &[b"delete", &long, b"\r\n"]),
        3 => line(maker, &[b"incr", &long, b"1\r\n"]),
        4 => line(maker, &[b"touch", &long, b"1\r\n"]),
        _ => line(maker, &[b"set", &long, b"0 0 5\r\nzzzzz\r\n"]),
    }
}

fn wrong_number(maker: &mut Maker) -> Command {
    let name = *maker.random.pick(&["incr", "decr"]);
    let key = Some(any_key(maker)).filter(|key| !is_great(key)).unwrap_or_else(|| maker.key());
    let delta = *maker.random.pick(&["-1", "x", "18446744073709551616", "1.5", "1x", "+5", "0x1", "01"]);
    let mut command = line(maker, &[name.as_bytes(), &key, delta.as_bytes()]);
    end_line(maker, &mut command);
    command
}

/// A line of anything but a command.
fn noise(maker: &mut Maker) -> Command {
    let length = maker.random.between(2, 60);
    let mut bytes = vec![b'#'];
    bytes.extend((1..length).map(|_| maker.random.bits() as u8).filter(|byte| !b"\n\rM/".contains(byte)));
    bytes.extend_from_slice(b"\r\n");
    Command::of(bytes)
}

/// A command that ends the connection.
pub(super) fn closing(maker: &mut Maker) -> Command {
    let long = "x".repeat(9000);
    let lines: &[&str] = &[
        "quit\r\n",
        "quit\n",
        "quit now\r\n",
        "quit\r\nset k1 0 0 1\r\nx\r\n",
        "set k1 0 0 1\r\nx\r\nget k1\r\nquit\r\nget k1\r\n",
        "GET / HTTP/1.1\r\n",
        "POST /k1 HTTP/1.0\r\nHost: localhost\r\n\r\n",
        &long,
        &format!("set k1 0 0 1 {long}"),
        &format!("  mg k1 {long}"),
    ];
    Command::of(*maker.random.pick(lines))
}
