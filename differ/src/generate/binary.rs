//! Binary packets, right and wrong.

use crate::stream::{Command, Piece};

use super::{Made, Maker, is_great};

/// What a packet is made of.
#[derive(Default)]
struct Packet {
    opcode: u8,
    key: Vec<u8>,
    extras: Command,
    extras_bytes: u8,
    value: Vec<u8>,
    compares: bool,
}

impl Packet {
    fn new(opcode: u8, key: Vec<u8>) -> Packet {
        Packet { opcode, key, ..Packet::default() }
    }

    fn encode(self, maker: &mut Maker) -> Command {
        let body_bytes = usize::from(self.extras_bytes) + self.key.len() + self.value.len();
        let mut command = Command::of([0x80, self.opcode]);
        command.bytes((self.key.len() as u16).to_be_bytes());
        // Nobody looks at the data type and the vbucket.
        let [data_type, high, low] = if maker.random.percent(95) { [0; 3] } else { [1, 0x12, 0x34] };
        command.bytes([self.extras_bytes, data_type, high, low]);
        command.bytes((body_bytes as u32).to_be_bytes());
        // Never the opaque of the separator.
        command.bytes((maker.random.bits() as u32 >> 8).to_be_bytes());
        match (self.compares, maker.random.percent(85)) {
            (true, true) => command.piece(Piece::CasBytes(maker.random.bits() as usize)),
            (true, false) => command.bytes(u64::MAX.to_be_bytes()),
            (false, _) => command.bytes([0; 8]),
        }
        for piece in self.extras.0 {
            match piece {
                Piece::Bytes(bytes) => command.bytes(bytes),
                piece => command.piece(piece),
            }
        }
        command.bytes(&self.key);
        command.bytes(&self.value);
        command
    }
}

/// The opcode, or its quiet sibling.
fn either(maker: &mut Maker, loud: u8, quiet: u8) -> u8 {
    if maker.random.percent(35) { quiet } else { loud }
}

fn any_key(maker: &mut Maker) -> Vec<u8> {
    match maker.random.below(10) {
        0..3 => maker.counter(),
        3 => [maker.prefix.as_bytes(), b"with space\r\n\0"].concat(),
        _ => maker.key(),
    }
}

pub(super) fn command(maker: &mut Maker) -> Made {
    let packet = match maker.random.below(100) {
        0..25 => get(maker),
        25..52 => store(maker),
        52..60 => append(maker),
        60..67 => {
            let opcode = either(maker, 0x04, 0x14);
            let key = any_key(maker);
            Packet { compares: maker.random.percent(25), ..Packet::new(opcode, key) }
        }
        67..82 => arithmetic(maker),
        82..88 => touch(maker),
        88..90 => return flush(maker),
        90..93 => Packet::new(0x0a, Vec::new()),
        93..95 => Packet::new(0x0b, Vec::new()),
        _ => return Made::alone(wrong(maker)),
    };
    // A version, or a number that is compared by CAS or great.
    let is_arithmetic = packet.extras_bytes == 20;
    let is_alone = packet.opcode == 0x0b || (is_arithmetic && (packet.compares || is_great(&packet.key)));
    Made { command: packet.encode(maker), is_alone }
}

fn get(maker: &mut Maker) -> Packet {
    let opcode = *maker.random.pick(&[0x00, 0x00, 0x09, 0x0c, 0x0d]);
    let key = any_key(maker);
    Packet::new(opcode, key)
}

fn store(maker: &mut Maker) -> Packet {
    let (loud, quiet) = *maker.random.pick(&[(0x01, 0x11), (0x01, 0x11), (0x02, 0x12), (0x03, 0x13)]);
    let opcode = either(maker, loud, quiet);
    let (key, value) = match maker.random.percent(35) {
        true => super::text::counted(maker),
        false => (maker.key(), maker.text()),
    };
    let mut extras = Command::of(maker.flags().to_be_bytes());
    maker.expiry_bytes(&mut extras);
    Packet { extras, extras_bytes: 8, value, compares: maker.random.percent(20), ..Packet::new(opcode, key) }
}

fn append(maker: &mut Maker) -> Packet {
    let (loud, quiet) = *maker.random.pick(&[(0x0e, 0x19), (0x0f, 0x1a)]);
    let opcode = either(maker, loud, quiet);
    let key = maker.key();
    Packet { value: maker.text(), compares: maker.random.percent(20), ..Packet::new(opcode, key) }
}

fn arithmetic(maker: &mut Maker) -> Packet {
    let (loud, quiet) = *maker.random.pick(&[(0x05, 0x15), (0x06, 0x16)]);
    let is_counter = maker.random.percent(90);
    let key = if is_counter { maker.counter() } else { maker.key() };
    let opcode = if is_great(&key) { loud } else { either(maker, loud, quiet) };
    let mut extras = Command::of(maker.delta(&key).to_be_bytes());
    extras.bytes(maker.delta(&key).to_be_bytes());
    // No number is made where texts are kept.
    if !is_counter || maker.random.percent(50) {
        extras.bytes(u32::MAX.to_be_bytes());
    } else {
        maker.expiry_bytes(&mut extras);
    }
    Packet { extras, extras_bytes: 20, compares: maker.random.percent(15), ..Packet::new(opcode, key) }
}

fn touch(maker: &mut Maker) -> Packet {
    let opcode = *maker.random.pick(&[0x1c, 0x1d, 0x1e, 0x23, 0x24]);
    let key = any_key(maker);
    let mut extras = Command::default();
    maker.expiry_bytes(&mut extras);
    Packet { extras, extras_bytes: 4, ..Packet::new(opcode, key) }
}

fn flush(maker: &mut Maker) -> Made {
    // A stream that runs beside others must not empty the server under them.
    if !maker.prefix.is_empty() || maker.random.percent(60) {
        return Made::usual(get(maker).encode(maker));
    }
    let opcode = either(maker, 0x08, 0x18);
    let mut packet = Packet::new(opcode, Vec::new());
    if maker.random.percent(50) {
        (packet.extras, packet.extras_bytes) = (Command::of([0; 4]), 4);
    }
    Made::usual(packet.encode(maker))
}

/// Packets to be compared by themselves that leave the connection open: unknown ones, statistics, values too large.
fn wrong(maker: &mut Maker) -> Command {
    match maker.random.below(20) {
        0..10 => {
            let opcode = *maker.random.pick(&[0x1b, 0x1f, 0x25, 0x30, 0x3b, 0x3d, 0x40, 0x77, 0xff]);
            // memcached loses its place behind a key or extras.
            let value = if maker.random.percent(50) { maker.text() } else { Vec::new() };
            Packet { value, ..Packet::new(opcode, Vec::new()) }.encode(maker)
        }
        10..19 => {
            let name = *maker.random.pick(&["reset", "nonsense"]);
            Packet::new(0x10, name.as_bytes().to_vec()).encode(maker)
        }
        _ => {
            let (opcode, extras_bytes) =
                *maker.random.pick(&[(0x01, 8), (0x12, 8), (0x02, 8), (0x0e, 0), (0x1a, 0)]);
            let extras = Command::of(vec![0; usize::from(extras_bytes)]);
            let key = maker.key();
            let value = vec![b'b'; *maker.random.pick(&[(1 << 20) - 1024, (1 << 20) + 1, (1 << 20) + 5000])];
            Packet { extras, extras_bytes, value, ..Packet::new(opcode, key) }.encode(maker)
        }
    }
}

/// A packet that ends the connection.
pub(super) fn closing(maker: &mut Maker) -> Command {
    let key = maker.key();
    let packet = match maker.random.below(10) {
        0 => Packet::new(0x07, Vec::new()),
        1 => Packet::new(0x17, Vec::new()),
        2 => Packet::new(0x00, maker.long_key(251)),
        // More key than body.
        3 => return header(0x00, 4, 0, 3),
        4 => return header(0x05, 0, 20, 19),
        // No packet; one before it makes sure that the connection is binary.
        5 => {
            let mut command = Packet::new(0x0a, Vec::new()).encode(maker);
            command.bytes([b'g'; 24]);
            return command;
        }
        _ => misshapen(maker, key),
    };
    packet.encode(maker)
}

/// A header, and as many bytes behind it as it says at least.
fn header(opcode: u8, key_bytes: u16, extras_bytes: u8, body_bytes: u32) -> Command {
    let mut command = Command::of([0x80, opcode]);
    command.bytes(key_bytes.to_be_bytes());
    command.bytes([extras_bytes, 0, 0, 0]);
    command.bytes(body_bytes.to_be_bytes());
    command.bytes([0; 12 + 24]);
    command
}

/// A packet that has too much or too little for its opcode.
fn misshapen(maker: &mut Maker, key: Vec<u8>) -> Packet {
    /// Opcodes by the extras they need, and whether they take a key and may have a value.
    const SHAPES: &[(&[u8], u8, bool, bool)] = &[
        (&[0x00, 0x09, 0x0c, 0x0d, 0x04, 0x14], 0, true, false),
        (&[0x01, 0x02, 0x03, 0x11, 0x12, 0x13], 8, true, true),
        (&[0x0e, 0x0f, 0x19, 0x1a], 0, true, true),
        (&[0x05, 0x06, 0x15, 0x16], 20, true, false),
        // memcached does not see that a value is too much here, and takes it for the next packet.
        (&[0x1c, 0x1d, 0x1e, 0x23, 0x24], 4, true, true),
        (&[0x08, 0x18], 4, false, false),
        (&[0x0a, 0x0b, 0x07, 0x17], 0, false, false),
    ];
    let &(opcodes, extras_bytes, has_key, has_value) = maker.random.pick(SHAPES);
    let opcode = *maker.random.pick(opcodes);
    let mut packet =
        Packet { extras_bytes, ..Packet::new(opcode, if has_key { key.clone() } else { Vec::new() }) };
    match maker.random.below(3) {
        0 => packet.key = if has_key { Vec::new() } else { key },
        1 if !has_value => packet.value = b"value".to_vec(),
        // Two bytes more than any needs, or one less.
        _ => {
            packet.extras_bytes =
                if extras_bytes > 0 && maker.random.percent(50) { extras_bytes - 1 } else { 22 }
        }
    }
    packet.extras = Command::of(vec![0; usize::from(packet.extras_bytes)]);
    packet
}
