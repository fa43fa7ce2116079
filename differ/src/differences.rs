//! What larder answers otherwise than memcached 1.6.18, and on purpose: `docs/compatibility.md` gives the reasons.
//!
//! An entry that random streams meet says exactly which commands and which pairs of answers it explains; the others are
//! left out of the streams and shown by their example alone.

use crate::reply::{Answer, SECONDS_TOLERANCE, is_same_but};
use crate::stream::{Command, Dialect, Piece};

/// An intended difference.
pub struct Difference {
    /// A short name, as in `docs/compatibility.md`.
    pub name: &'static str,
    /// Requests that show it; at [`WAIT`] four seconds pass.
    pub example: &'static [u8],
    /// What larder answers; CAS numbers and times are compared as in the streams.
    pub larder: &'static [u8],
    /// What memcached answers.
    pub memcached: &'static [u8],
    /// Whether it explains the answers to a random command.
    explains: fn(&Case<'_>) -> bool,
}

/// Stands in an example where time must pass.
pub const WAIT: &[u8] = b"\0wait four seconds\0";

impl Difference {
    /// Whether the servers keep different items from then on.
    pub fn ends_stream(&self) -> bool {
        self.name == GREAT_NUMBER
    }
}

/// A command that was answered in two ways.
struct Case<'a> {
    dialect: Dialect,
    /// As it was sent, with digits in place of what was filled in.
    request: &'a [u8],
    /// The words of its first line.
    words: Vec<&'a [u8]>,
    larder: &'a [u8],
    memcached: &'a [u8],
    answers: [&'a Answer; 2],
}

const BAD_LINE: &[u8] = b"CLIENT_ERROR bad command line format\r\n";
const BAD_TOKEN: &[u8] = b"CLIENT_ERROR bad token in command line format\r\n";
const DUPLICATE_FLAG: &[u8] = b"CLIENT_ERROR duplicate flag\r\n";
const INVALID_FLAG: &[u8] = b"CLIENT_ERROR invalid flag\r\n";
const INVALID_OR_DUPLICATE: &[u8] = b"CLIENT_ERROR invalid or duplicate flag\r\n";
const NO_NUMBER: &[u8] = b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n";
const DELETE_USAGE: &[u8] = b"CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n";
const ERROR: &[u8] = b"ERROR\r\n";

const GREAT_NUMBER: &str = "a number of 2^63 or more with a minus behind it in memory";

/// The largest byte count a line may name.
const VALUE_BYTES_MAX: u64 = i32::MAX as u64 - 2;

/// A line one byte longer than lines may be.
const LONG_LINE: &[u8] = &{
    let mut line = [b'x'; 2051];
    line[2049] = b'\r';
    line[2050] = b'\n';
    line
};

/// Only shown by its example: no random command asks for it.
fn never(_: &Case<'_>) -> bool {
    false
}

/// All intended differences.
pub const DIFFERENCES: &[Difference] = &[
    Difference {
        name: "a command with too little in it",
        example: b"get\r\nset a 0 0\r\nincr a\r\ntouch a\r\nverbosity\r\nx\r\nmg\r\n",
        larder: b"CLIENT_ERROR bad command line format\r\nCLIENT_ERROR bad command line format\r\n\
            CLIENT_ERROR bad command line format\r\nCLIENT_ERROR bad command line format\r\n\
            CLIENT_ERROR bad command line format\r\nCLIENT_ERROR bad command line format\r\n\
            CLIENT_ERROR bad command line format\r\n",
        memcached: b"ERROR\r\nERROR\r\nERROR\r\nERROR\r\nERROR\r\nERROR\r\nERROR\r\n",
        explains: |case| case.has_too_few_words() && case.is_refused_with(ERROR),
    },
    Difference {
        name: "a command with too much in it",
        example: b"delete a 0 0 0 0\r\nincr a 1 2 3\r\ntouch a 1 2 3\r\nverbosity 0 1 2 3 4\r\n",
        larder: b"CLIENT_ERROR bad command line format\r\nNOT_FOUND\r\nNOT_FOUND\r\nOK\r\n",
        memcached: b"ERROR\r\nERROR\r\nERROR\r\nERROR\r\n",
        explains: |case| {
            case.words[0] == b"delete" && case.words.len() > 5 && case.is(BAD_LINE, ERROR)
        },
    },
    Difference {
        name: "gat without a key",
        example: b"gat 1\r\ngats 1\r\n",
        larder: b"CLIENT_ERROR bad command line format\r\nCLIENT_ERROR bad command line format\r\n",
        memcached: b"END\r\nEND\r\n",
        explains: |case| {
            case.is_named(&["gat", "gats"]) && case.words.len() == 2 && case.is(BAD_LINE, b"END\r\n")
        },
    },
    Difference {
        name: "the data of a refused line",
        example: b"set a -1 0 5\r\nzzzzz\r\nset a 0 soon 5 noreply\r\nzzzzz\r\n",
        larder: b"CLIENT_ERROR bad command line format\r\n",
        memcached: b"CLIENT_ERROR bad command line format\r\nERROR\r\nERROR\r\n",
        // memcached reads the data as a command.
        explains: |case| {
            let is_refused = case.larder == BAD_LINE || (case.is_noreply() && case.larder.is_empty());
            (case.is_storage() || case.is_named(&["ms"]))
                && is_refused
                && case.memcached == [case.larder, ERROR].concat()
        },
    },
    Difference {
        name: "a space before a command",
        example: b" get a\r\n",
        larder: b"ERROR\r\n",
        memcached: b"END\r\n",
        explains: |case| case.is_text() && case.request.starts_with(b" ") && case.larder == ERROR,
    },
    Difference {
        name: "a number behind delete's key",
        example: b"delete a 1\r\ndelete a 0 x\r\n",
        larder: b"NOT_FOUND\r\nNOT_FOUND\r\n",
        memcached: b"CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n\
            CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n",
        explains: |case| {
            case.words[0] == b"delete" && case.words.len() > 2 && case.is(b"NOT_FOUND\r\n", DELETE_USAGE)
        },
    },
    Difference {
        name: "a line over 2,048 bytes whose end has come",
        example: LONG_LINE,
        larder: b"",
        memcached: b"ERROR\r\n",
        explains: never,
    },
    Difference {
        name: "an expiry beyond 32 bits",
        example: b"set a 0 4294967295 1\r\nx\r\nget a\r\nset a 0 -4294967295 1\r\nx\r\nget a\r\n",
        larder: b"STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\nSTORED\r\nEND\r\n",
        memcached: b"STORED\r\nEND\r\nSTORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n",
        explains: never,
    },
    Difference {
        name: "blanks within a number",
        example: b"incr a 1\t\r\nincr a \x0b1\r\ntouch a 5\t\r\n",
        larder: b"CLIENT_ERROR invalid numeric delta argument\r\nCLIENT_ERROR invalid numeric delta argument\r\n\
            CLIENT_ERROR invalid exptime argument\r\n",
        memcached: b"NOT_FOUND\r\nNOT_FOUND\r\nNOT_FOUND\r\n",
        explains: never,
    },
    Difference {
        name: "a NUL in a line",
        example: b"set a\0b 0 0 1\r\nx\r\n",
        larder: b"STORED\r\n",
        memcached: b"ERROR\r\nERROR\r\n",
        explains: never,
    },
    Difference {
        name: "a minus before a zero",
        example: b"incr a -0\r\nset a 0 0 2\r\n-0\r\nincr a 1\r\n",
        larder: b"CLIENT_ERROR invalid numeric delta argument\r\nSTORED\r\n\
            CLIENT_ERROR cannot increment or decrement non-numeric value\r\n",
        memcached: b"NOT_FOUND\r\nSTORED\r\n1\r\n",
        explains: never,
    },
    Difference {
        name: GREAT_NUMBER,
        example: b"set a 0 0 30\r\n------------------------------\r\ndelete a\r\n\
            set a 0 0 20\r\n18446744073709551614\r\nincr a 1\r\n",
        larder: b"STORED\r\nDELETED\r\nSTORED\r\n18446744073709551615\r\n",
        memcached: b"STORED\r\nDELETED\r\nSTORED\r\n\
            CLIENT_ERROR cannot increment or decrement non-numeric value\r\n",
        explains: |case| case.is_great_number(),
    },
    Difference {
        name: "a number with a plus before it",
        example: b"set a 0 0 2\r\n+5\r\nincr a 1\r\n",
        larder: b"STORED\r\nCLIENT_ERROR cannot increment or decrement non-numeric value\r\n",
        memcached: b"STORED\r\n6\r\n",
        explains: never,
    },
    Difference {
        name: "a number with zeros before it, longer than 20 digits",
        example: b"set a 0 0 21\r\n000000000000000000012\r\nincr a 1\r\n",
        larder: b"STORED\r\nCLIENT_ERROR cannot increment or decrement non-numeric value\r\n",
        memcached: b"STORED\r\n13\r\n",
        explains: never,
    },
    Difference {
        name: "spaces behind a number that shrank",
        example: b"set a 0 0 2\r\n10\r\ndecr a 1\r\nappend a 0 0 1\r\n1\r\nget a\r\n",
        larder: b"STORED\r\n9\r\nSTORED\r\nVALUE a 0 2\r\n91\r\nEND\r\n",
        memcached: b"STORED\r\n9\r\nSTORED\r\nVALUE a 0 3\r\n9 1\r\nEND\r\n",
        explains: never,
    },
    Difference {
        name: "h of an item that was read before it was changed in its place",
        example: b"set a 0 0 1\r\n5\r\nget a\r\nincr a 1\r\nmg a h\r\nmd a I\r\nmg a h\r\n",
        larder: b"STORED\r\nVALUE a 0 1\r\n5\r\nEND\r\n6\r\nHD h0\r\nHD\r\nHD h0 X W\r\n",
        memcached: b"STORED\r\nVALUE a 0 1\r\n5\r\nEND\r\n6\r\nHD h1\r\nHD\r\nHD h1 X W\r\n",
        explains: never,
    },
    Difference {
        name: "l of an item that was read",
        example: b"set a 0 0 1\r\nx\r\n\0wait four seconds\0mg a\r\nmg a l\r\n",
        larder: b"STORED\r\nHD\r\nHD l0\r\n",
        memcached: b"STORED\r\nHD\r\nHD l4\r\n",
        explains: never,
    },
    Difference {
        name: "a later flush_all over an earlier one",
        example: b"set a 0 0 1\r\nx\r\nflush_all\r\nflush_all 100000\r\nget a\r\nflush_all\r\n",
        larder: b"STORED\r\nOK\r\nOK\r\nEND\r\nOK\r\n",
        memcached: b"STORED\r\nOK\r\nOK\r\nVALUE a 0 1\r\nx\r\nEND\r\nOK\r\n",
        explains: never,
    },
    Difference {
        name: "version",
        example: b"version\r\n",
        larder: b"VERSION 1.6.45-larder-0.1.0\r\n",
        memcached: b"VERSION 1.6.18\r\n",
        explains: |case| match case.dialect {
            Dialect::Binary => {
                let is_version = |answer: &[u8]| answer.starts_with(b"\x81\x0b\0\0\0\0\0\0");
                is_version(case.larder) && is_version(case.memcached)
            }
            _ => {
                let is_version = |answer: &[u8]| answer.starts_with(b"VERSION 1.6.");
                case.words[0] == b"version" && is_version(case.larder) && is_version(case.memcached)
            }
        },
    },
    Difference {
        name: "shutdown where it is not enabled",
        example: b"shutdown\r\n",
        larder: b"SERVER_ERROR: shutdown not enabled\r\n",
        memcached: b"ERROR: shutdown not enabled\r\n",
        explains: |case| {
            let answers = case.is(b"SERVER_ERROR: shutdown not enabled\r\n", b"ERROR: shutdown not enabled\r\n");
            case.words[0] == b"shutdown" && answers
        },
    },
    Difference {
        name: "slabs reassign",
        example: b"slabs reassign 1 2\r\n",
        larder: b"CLIENT_ERROR slab reassignment disabled\r\n",
        memcached: b"NOSPARE source class has no spare pages\r\n",
        explains: |case| {
            case.request == b"slabs reassign 1 2\r\n"
                && case.larder == b"CLIENT_ERROR slab reassignment disabled\r\n"
        },
    },
    Difference {
        name: "slabs automove without a number",
        example: b"slabs automove\r\n",
        larder: b"CLIENT_ERROR bad command line format\r\n",
        memcached: b"ERROR\r\n",
        explains: never,
    },
    Difference {
        name: "lru_crawler where it runs",
        example: b"lru_crawler enable\r\n",
        larder: b"OK\r\n",
        memcached: b"ERROR failed to start lru crawler thread\r\n",
        explains: never,
    },
    Difference {
        name: "commands of parts that larder lacks",
        example: b"extstore free_memchunks 1 2\r\nrefresh_certs\r\n",
        larder: b"ERROR\r\nERROR\r\n",
        memcached: b"OK\r\nError TLS not enabled\r\n",
        explains: never,
    },
    Difference {
        name: "the name of a wrong flag's error",
        example: b"md a q q\r\nmd a !\r\nmd a Cx\r\nms a 1 Fx\r\nx\r\nma a M\r\nms a 1 MAA\r\nx\r\n",
        larder: b"CLIENT_ERROR duplicate flag\r\nCLIENT_ERROR invalid flag\r\n\
            CLIENT_ERROR bad token in command line format\r\nCLIENT_ERROR bad token in command line format\r\n\
            CLIENT_ERROR invalid mode for ma M token\r\nCLIENT_ERROR invalid mode for ms M token\r\n",
        memcached: b"CLIENT_ERROR invalid or duplicate flag\r\nCLIENT_ERROR invalid or duplicate flag\r\n\
            CLIENT_ERROR invalid or duplicate flag\r\nCLIENT_ERROR bad command line format\r\n\
            CLIENT_ERROR invalid or duplicate flag\r\nCLIENT_ERROR incorrect length for M token\r\n",
        explains: |case| match case.words[0] {
            b"md" => [DUPLICATE_FLAG, INVALID_FLAG, BAD_TOKEN]
                .iter()
                .any(|larder| case.is(larder, INVALID_OR_DUPLICATE)),
            b"ms" => case.is(BAD_TOKEN, BAD_LINE),
            b"ma" => case.is(b"CLIENT_ERROR invalid mode for ma M token\r\n", INVALID_OR_DUPLICATE),
            _ => false,
        },
    },
    Difference {
        name: "a meta line of 20 words",
        example: b"mg a v q t c k O1 f h l u s P1 L1 F1 D1 J1 I N0\r\n",
        larder: b"VA 0 t-1 c1 ka O1 f0 h0 l0 s0 W\r\n\r\n",
        memcached: b"CLIENT_ERROR options flags are too long\r\n",
        explains: never,
    },
    Difference {
        name: "flags that came after memcached 1.6.18",
        example: b"ms a 1 E100 c\r\nx\r\nmg a C100 v\r\nms a 1 s\r\ny\r\nmd a x\r\nms b 1 MA N0\r\nz\r\nmg b v\r\n",
        larder: b"HD c100\r\nHD\r\nHD s1\r\nHD\r\nHD\r\nVA 1\r\nz\r\n",
        memcached: b"CLIENT_ERROR invalid flag\r\nEN\r\nHD\r\nCLIENT_ERROR invalid or duplicate flag\r\nNS\r\nEN\r\n",
        explains: never,
    },
    Difference {
        name: "a wrong CAS for what is no number",
        example: b"set a 0 0 0\r\n\r\nma a C18446744073709551615\r\n",
        larder: b"STORED\r\nEX\r\n",
        memcached: b"STORED\r\nCLIENT_ERROR cannot increment or decrement non-numeric value\r\n",
        explains: |case| match case.dialect {
            Dialect::Binary => {
                let is_arithmetic = case.request.get(1).is_some_and(|opcode| [0x05, 0x06, 0x15, 0x16].contains(opcode));
                is_arithmetic && status(case.larder) == Some(2) && status(case.memcached) == Some(6)
            }
            _ => {
                let compares = case.words.iter().skip(2).any(|word| word.starts_with(b"C"));
                let is_condition = case.larder.starts_with(b"EX") && is_one_line(case.larder);
                case.words[0] == b"ma" && compares && is_condition && case.memcached == NO_NUMBER
            }
        },
    },
    Difference {
        name: "C0 of ma, and of ms that appends or prepends",
        example: b"set a 0 0 1\r\n5\r\nma a C0 v\r\nms a 1 C0 MA\r\n0\r\n",
        larder: b"STORED\r\nEX\r\nEX\r\n",
        memcached: b"STORED\r\nVA 1\r\n6\r\nHD\r\n",
        explains: never,
    },
    Difference {
        name: "a stale or won number that grows",
        example: b"set a 0 0 1\r\n9\r\nmd a I\r\nma a D1\r\nmg a v\r\n",
        larder: b"STORED\r\nHD\r\nHD\r\nVA 2 X W\r\n10\r\n",
        memcached: b"STORED\r\nHD\r\nHD\r\nVA 2\r\n10\r\n",
        explains: never,
    },
    Difference {
        name: "T of a number that grows",
        example: b"set a 0 0 1\r\n9\r\nma a T100\r\nmg a t\r\n",
        larder: b"STORED\r\nHD\r\nHD t100\r\n",
        memcached: b"STORED\r\nHD\r\nHD t-1\r\n",
        explains: never,
    },
    Difference {
        name: "R behind T",
        example: b"set a 0 0 1\r\nx\r\nmg a T10 R30\r\n",
        larder: b"STORED\r\nHD\r\n",
        memcached: b"STORED\r\nHD W\r\n",
        explains: never,
    },
    Difference {
        name: "t of an item that is made to expire at once",
        example: b"mg a N-1 t\r\n",
        larder: b"HD t0 W\r\n",
        // It counts down from 2^32; its clock began when it started.
        memcached: b"HD t4294967294 W\r\n",
        explains: |case| {
            let [larder, memcached] = case.answers;
            case.is_named(&["mg", "ma"]) && is_same_but(larder, memcached, is_below_zero)
        },
    },
    Difference {
        name: "t before N or T, where N makes the item",
        example: b"mg a t N100\r\nmg b N100 t T200\r\n",
        larder: b"HD t100 W\r\nHD t200 W\r\n",
        memcached: b"HD t-1 W\r\nHD t100 W\r\n",
        explains: never,
    },
    Difference {
        name: "exp of me",
        example: b"set a 0 100 1\r\nx\r\nme a\r\n",
        larder: b"STORED\r\nME a exp=100 la=0 cas=1 fetch=no cls=1 size=2\r\n",
        memcached: b"STORED\r\nME a exp=-100 la=0 cas=1 fetch=no cls=1 size=61\r\n",
        // memcached takes the expiry from now instead of now from the expiry.
        explains: |case| {
            let [larder, memcached] = case.answers;
            case.words[0] == b"me" && is_same_but(larder, memcached, |ours, theirs| (ours + theirs).abs() <= SECONDS_TOLERANCE)
        },
    },
    Difference {
        name: "words behind the key of me",
        example: b"me a b c d\r\nme a !\r\n",
        larder: b"CLIENT_ERROR invalid flag\r\nCLIENT_ERROR invalid flag\r\n",
        memcached: b"CLIENT_ERROR bad command line format\r\nEN\r\n",
        explains: never,
    },
    Difference {
        name: "k of a key stored in base64, asked for in clear text",
        example: b"ms YQ== 1 b\r\nx\r\nmg a k\r\n",
        larder: b"HD\r\nHD ka\r\n",
        memcached: b"HD\r\nHD kYQ== b\r\n",
        explains: never,
    },
    Difference {
        name: "k of an item made or changed for a key in base64",
        example: b"mg YQ== b k N0\r\nms Yg== 1 b\r\nx\r\nms Yg== 1 b MA\r\ny\r\nmg Yg== b k\r\n",
        larder: b"HD kYQ== b W\r\nHD\r\nHD\r\nHD kYg== b\r\n",
        memcached: b"HD ka W\r\nHD\r\nHD\r\nHD kb\r\n",
        explains: never,
    },
    Difference {
        name: "an unknown opcode with a key or extras",
        example: b"\x80\x40\0\x02\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0xx\x80\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        larder: b"\x81\x40\0\0\0\0\0\x81\0\0\0\x0f\0\0\0\0\0\0\0\0\0\0\0\0Unknown command\
            \x81\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        memcached: b"\x81\x40\0\0\0\0\0\x81\0\0\0\x0f\0\0\0\0\0\0\0\0\0\0\0\0Unknown command",
        explains: never,
    },
    Difference {
        name: "a value in a touch or a get-and-touch",
        example: b"\x80\x1d\0\x01\x04\0\0\0\0\0\0\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0av",
        larder: b"\x81\x1d\0\0\0\0\0\x04\0\0\0\x11\0\0\0\0\0\0\0\0\0\0\0\0Invalid arguments",
        memcached: b"\x81\x1d\0\0\0\0\0\x01\0\0\0\x09\0\0\0\0\0\0\0\0\0\0\0\0Not found",
        explains: never,
    },
    Difference {
        name: "h of an item that a refused line named",
        example: b"set a 0 0 1\r\nx\r\nmg a O12345678901234567890123456789012\r\nmg a h\r\n",
        larder: b"STORED\r\nCLIENT_ERROR opaque token too long\r\nHD h0\r\n",
        memcached: b"STORED\r\nCLIENT_ERROR opaque token too long\r\nHD h1\r\n",
        explains: never,
    },
    Difference {
        name: "a body over 1 GiB",
        example: b"\x80\x01\0\x02\x08\0\0\0\x40\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0",
        larder: b"\x81\x01\0\0\0\0\0\x04\0\0\0\x11\0\0\0\0\0\0\0\0\0\0\0\0Invalid arguments",
        memcached: b"",
        explains: never,
    },
];

impl Case<'_> {
    fn is_text(&self) -> bool {
        self.dialect != Dialect::Binary
    }

    fn is(&self, larder: &[u8], memcached: &[u8]) -> bool {
        self.larder == larder && self.memcached == memcached
    }

    /// Whether the first word is one of these; a packet has no words.
    fn is_named(&self, names: &[&str]) -> bool {
        names.iter().any(|name| name.as_bytes() == self.words[0])
    }

    /// Whether larder has changed a number that was 2^63 or more and memcached says that it is none.
    fn is_great_number(&self) -> bool {
        const GREAT: u64 = 1 << 63;
        if self.dialect == Dialect::Binary {
            let (Some(5 | 6), Some(result)) = (self.request.get(1).copied(), self.larder.get(24..32)) else {
                return false;
            };
            let result = u64::from_be_bytes(result.try_into().expect("eight bytes"));
            let delta = self
                .request
                .get(24..32)
                .map_or(0, |delta| u64::from_be_bytes(delta.try_into().expect("as above")));
            let was =
                if self.request[1] == 5 { result.wrapping_sub(delta) } else { result.saturating_add(delta) };
            return status(self.larder) == Some(0) && status(self.memcached) == Some(6) && was >= GREAT;
        }
        if self.memcached != NO_NUMBER {
            return false;
        }
        // `ma` need not answer the number.
        if self.words[0] == b"ma" {
            return self.larder.starts_with(b"HD") || self.larder.starts_with(b"VA");
        }
        let number = |word: &[u8]| std::str::from_utf8(word).ok()?.parse::<u64>().ok();
        let result = number(self.larder.trim_ascii_end());
        let Some((result, delta)) = result.zip(self.words.get(2).and_then(|delta| number(delta))) else {
            return false;
        };
        match self.words[0] {
            b"incr" => result.wrapping_sub(delta) >= GREAT,
            b"decr" => result.saturating_add(delta) >= GREAT,
            _ => false,
        }
    }

    fn is_storage(&self) -> bool {
        self.is_named(&["set", "add", "replace", "append", "prepend", "cas"])
    }

    fn is_noreply(&self) -> bool {
        self.words.last() == Some(&&b"noreply"[..])
    }

    /// Whether words are missing that the command needs, or the line is shorter than two characters.
    fn has_too_few_words(&self) -> bool {
        const WORDS_MIN: &[(usize, &[&str])] = &[
            (2, &["get", "gets", "gat", "gats", "delete", "verbosity", "cache_memlimit"]),
            (2, &["mg", "ms", "md", "ma", "me"]),
            (3, &["incr", "decr", "touch"]),
            (5, &["set", "add", "replace", "append", "prepend"]),
            (6, &["cas"]),
        ];
        // `noreply` may take the place of one.
        let count = self.words.len() - usize::from(self.is_noreply());
        let is_short_line = self.is_text() && self.words.len() == 1 && self.words[0].len() < 2;
        is_short_line || WORDS_MIN.iter().any(|(min, names)| count < *min && self.is_named(names))
    }

    /// Whether larder calls the line bad, or says nothing under `noreply`, and memcached answers with these words.
    /// Both read the data, if there is some, as another command; larder only if the line does not count it.
    fn is_refused_with(&self, words: &[u8]) -> bool {
        let refusal = if self.is_noreply() { b"" } else { BAD_LINE };
        let has_data = self.is_storage() && self.request.iter().filter(|&&byte| byte == b'\n').count() > 1;
        let count = self.words.get(4).and_then(|count| std::str::from_utf8(count).ok()?.parse().ok());
        let is_swallowed = count.is_some_and(|count: u64| count <= VALUE_BYTES_MAX);
        let behind = |is_read: bool| if is_read { ERROR } else { b"" };
        self.larder == [refusal, behind(has_data && !is_swallowed)].concat()
            && self.memcached == [words, behind(has_data)].concat()
    }
}

/// Whether larder says that nothing is left, and memcached has counted below zero, or both say nearly the same.
fn is_below_zero(ours: i64, theirs: i64) -> bool {
    const DAYS_THAT_MEMCACHED_RUNS: i64 = 60;
    let is_wrapped =
        theirs > i64::from(u32::MAX) - DAYS_THAT_MEMCACHED_RUNS * 86_400 && theirs <= i64::from(u32::MAX);
    (ours - theirs).abs() <= SECONDS_TOLERANCE || (ours == 0 && is_wrapped)
}

fn is_one_line(answer: &[u8]) -> bool {
    answer.iter().position(|&byte| byte == b'\n') == Some(answer.len() - 1)
}

/// The status of a binary answer.
fn status(answer: &[u8]) -> Option<u16> {
    answer.get(6..8).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// The entry that explains two answers to a command.
pub fn explain(
    dialect: Dialect,
    command: &Command,
    larder: &Answer,
    memcached: &Answer,
) -> Option<&'static Difference> {
    let mut request = Vec::new();
    for piece in &command.0 {
        match piece {
            Piece::Bytes(bytes) => request.extend_from_slice(bytes),
            Piece::Cas(_) | Piece::UnixTime(_) => request.push(b'1'),
            Piece::CasBytes(_) => request.extend_from_slice(&[0xff; 8]),
            Piece::UnixTimeBytes(_) => request.extend_from_slice(&[0xff; 4]),
        }
    }
    let line = match dialect {
        Dialect::Binary => &[],
        _ => request.split(|&byte| byte == b'\n').next().unwrap_or_default(),
    };
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut words: Vec<&[u8]> = line.split(|&byte| byte == b' ').filter(|word| !word.is_empty()).collect();
    if words.is_empty() {
        words.push(b"");
    }
    let case = Case {
        dialect,
        request: &request,
        words,
        larder: &larder.raw,
        memcached: &memcached.raw,
        answers: [larder, memcached],
    };
    DIFFERENCES.iter().find(|difference| (difference.explains)(&case))
}
