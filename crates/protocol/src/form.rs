//! How an answer is to be spelled: the protocol, and what of the request the answer repeats.

/// The spelling of the answer to one request.
///
/// A form goes to [`encode`](crate::encode) with each response. It also says what is not to be sent at all
/// (`noreply`, `q`, quiet opcodes): executing code never has to ask. `Copy`, and without heap. To keep it
/// beyond the read buffer, make an [`OwnedForm`](crate::OwnedForm).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form<'a> {
    /// A classic text command.
    Text(TextForm),
    /// A meta command.
    Meta(MetaForm<'a>),
    /// A binary packet.
    Binary(BinaryForm),
}

/// How a classic text command is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TextForm {
    /// Nothing is answered, not even an error.
    pub noreply: bool,
    /// `VALUE` lines end with the item's CAS (`gets`, `gats`).
    pub with_cas: bool,
}

/// How a meta command is answered. The answer repeats parts of the line, so it borrows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetaForm<'a> {
    /// Which meta command.
    pub command: MetaCommand,
    /// The flags that the line carried.
    pub flags: FlagSet,
    /// The key as it stood in the line (base64 if the line had `b`); empty for `mn`.
    pub key_token: &'a [u8],
    /// The flag tokens as they stood in the line.
    pub flag_tokens: &'a [u8],
}

/// The meta commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetaCommand {
    /// `mg`: look up.
    Get,
    /// `ms`: store.
    Set,
    /// `md`: delete or mark stale.
    Delete,
    /// `ma`: increment or decrement.
    Arithmetic,
    /// `mn`: no operation, a barrier.
    Noop,
    /// `me`: an item's attributes for a human.
    Debug,
}

/// A set of flag letters, one bit a letter.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct FlagSet(u64);

impl FlagSet {
    /// No flag.
    pub const EMPTY: FlagSet = FlagSet(0);

    /// The set of the given ASCII letters. Panics (at compile time in a constant) on any other byte.
    pub const fn of(letters: &[u8]) -> FlagSet {
        let mut bits = 0;
        let mut index = 0;
        while index < letters.len() {
            assert!(letters[index].is_ascii_alphabetic());
            bits |= 1 << (letters[index] - b'A');
            index += 1;
        }
        FlagSet(bits)
    }

    /// Whether the letter is in the set; never, for a byte that is no letter.
    #[inline]
    pub const fn has(self, letter: u8) -> bool {
        letter.is_ascii_alphabetic() && self.0 >> (letter - b'A') & 1 != 0
    }

    /// Whether the two sets share a letter.
    #[inline]
    pub const fn intersects(self, other: FlagSet) -> bool {
        self.0 & other.0 != 0
    }

    /// Adds an ASCII letter; `false` if it was in already or is no letter.
    #[inline]
    pub const fn insert(&mut self, letter: u8) -> bool {
        if !letter.is_ascii_alphabetic() {
            return false;
        }
        let bit = 1 << (letter - b'A');
        let is_new = self.0 & bit == 0;
        self.0 |= bit;
        is_new
    }
}

impl std::fmt::Debug for FlagSet {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let letters = (b'A'..=b'z').filter(|&letter| self.has(letter)).map(char::from);
        write!(formatter, "FlagSet({:?})", letters.collect::<String>())
    }
}

/// How a binary packet is answered. The opcode asked says whether the answer may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BinaryForm {
    /// The opcode of the request, quiet or not; it is repeated in the answer.
    pub opcode: u8,
    /// Four bytes the client chose; repeated in the answer.
    pub opaque: u32,
}

/// The binary protocol's opcodes, by number.
#[allow(missing_docs, reason = "the names say it all")]
#[allow(non_snake_case, non_upper_case_globals, reason = "a name space of numbers, matched as patterns")]
pub mod Opcode {
    pub const GET: u8 = 0x00;
    pub const SET: u8 = 0x01;
    pub const ADD: u8 = 0x02;
    pub const REPLACE: u8 = 0x03;
    pub const DELETE: u8 = 0x04;
    pub const INCREMENT: u8 = 0x05;
    pub const DECREMENT: u8 = 0x06;
    pub const QUIT: u8 = 0x07;
    pub const FLUSH: u8 = 0x08;
    pub const GET_QUIET: u8 = 0x09;
    pub const NOOP: u8 = 0x0a;
    pub const VERSION: u8 = 0x0b;
    pub const GET_KEY: u8 = 0x0c;
    pub const GET_KEY_QUIET: u8 = 0x0d;
    pub const APPEND: u8 = 0x0e;
    pub const PREPEND: u8 = 0x0f;
    pub const STAT: u8 = 0x10;
    pub const SET_QUIET: u8 = 0x11;
    pub const ADD_QUIET: u8 = 0x12;
    pub const REPLACE_QUIET: u8 = 0x13;
    pub const DELETE_QUIET: u8 = 0x14;
    pub const INCREMENT_QUIET: u8 = 0x15;
    pub const DECREMENT_QUIET: u8 = 0x16;
    pub const QUIT_QUIET: u8 = 0x17;
    pub const FLUSH_QUIET: u8 = 0x18;
    pub const APPEND_QUIET: u8 = 0x19;
    pub const PREPEND_QUIET: u8 = 0x1a;
    pub const TOUCH: u8 = 0x1c;
    pub const GET_TOUCH: u8 = 0x1d;
    pub const GET_TOUCH_QUIET: u8 = 0x1e;
    pub const SASL_LIST: u8 = 0x20;
    pub const SASL_AUTH: u8 = 0x21;
    pub const SASL_STEP: u8 = 0x22;
    pub const GET_TOUCH_KEY: u8 = 0x23;
    pub const GET_TOUCH_KEY_QUIET: u8 = 0x24;
}
