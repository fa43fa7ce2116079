//! What administrators read line by line: events for watchers, and dumps of keys.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::Dump;

use super::put_number;

/// What stands before every event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogHead {
    /// Unix time.
    pub seconds: u64,
    /// Its fraction.
    pub microseconds: u32,
    /// Grows with every event of the server.
    pub id: u64,
}

/// Something that happened, for those who watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogEvent<'a> {
    /// A key was looked up.
    ItemGet {
        /// The key.
        key: &'a [u8],
        /// What came of it.
        status: FetchStatus,
        /// The client's socket.
        socket: i32,
        /// The value's length in bytes, 0 if there is none.
        value_bytes: u64,
    },
    /// A storage command was decided.
    ItemStore {
        /// The key.
        key: &'a [u8],
        /// What came of it.
        status: StoreStatus,
        /// The command's name in the classic protocol.
        command: &'static str,
        /// Seconds the item lives; 0 is for ever.
        ttl_seconds: u32,
        /// The client's socket.
        socket: i32,
        /// The value's length in bytes.
        value_bytes: u64,
    },
    /// An item had to make room.
    Eviction {
        /// The key.
        key: &'a [u8],
        /// Whether it was ever read.
        fetched: bool,
        /// Seconds it had left; -1 is for ever.
        ttl_seconds: i64,
        /// Seconds since its last access.
        last_access_seconds: u32,
        /// The value's length in bytes.
        value_bytes: u64,
    },
    /// An item was deleted by a client.
    Deleted {
        /// The key.
        key: &'a [u8],
        /// `delete` or `md`.
        command: &'static str,
        /// The value's length in bytes; 0 if it is not known.
        value_bytes: u64,
    },
    /// A client came.
    ConnectionNew {
        /// From where.
        peer: LogPeer,
        /// Its socket.
        socket: i32,
    },
    /// A client left.
    ConnectionClose {
        /// From where it had come.
        peer: LogPeer,
        /// Why it left.
        reason: LogCloseReason,
        /// Its socket.
        socket: i32,
    },
}

/// What came of a look-up.
#[allow(missing_docs, reason = "the names say it all")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchStatus {
    NotFound,
    Found,
    Flushed,
    Expired,
}

/// What came of a storage command.
#[allow(missing_docs, reason = "the names say it all")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreStatus {
    Stored,
    NotStored,
    Exists,
    NotFound,
    TooLarge,
    NoMemory,
}

/// Where a client came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogPeer {
    /// Over TCP, from this address and port.
    Tcp(IpAddr, u16),
    /// Through a unix socket.
    Local,
}

/// Why a connection ended.
#[allow(missing_docs, reason = "the names say it all")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogCloseReason {
    Normal,
    Error,
    IdleTimeout,
    Shutdown,
}

/// Appends an event as one line with its end, an LF alone.
pub fn encode_log_line(head: LogHead, event: &LogEvent<'_>, out: &mut Vec<u8>) {
    put(out, "ts=", head.seconds);
    out.extend_from_slice(format!(".{:06}", head.microseconds).as_bytes());
    put(out, " gid=", head.id);
    match *event {
        LogEvent::ItemGet { key, status, socket, value_bytes } => {
            put_key(out, "item_get", key);
            put_text(out, " status=", status.word());
            put(out, " clsid=", u64::from(status == FetchStatus::Found));
            put_signed(out, " cfd=", socket.into());
            put(out, " size=", value_bytes);
        }
        LogEvent::ItemStore { key, status, command, ttl_seconds, socket, value_bytes } => {
            put_key(out, "item_store", key);
            put_text(out, " status=", status.word());
            put_text(out, " cmd=", command);
            put(out, " ttl=", ttl_seconds);
            put_signed(out, " clsid=1 cfd=", socket.into());
            put(out, " size=", value_bytes);
        }
        LogEvent::Eviction { key, fetched, ttl_seconds, last_access_seconds, value_bytes } => {
            put_key(out, "eviction", key);
            put_text(out, " fetch=", yes_no(fetched));
            put_signed(out, " ttl=", ttl_seconds);
            put(out, " la=", last_access_seconds);
            put(out, " clsid=1 size=", value_bytes);
        }
        LogEvent::Deleted { key, command, value_bytes } => {
            put_key(out, "deleted", key);
            put_text(out, " cmd=", command);
            put(out, " clsid=1 size=", value_bytes);
        }
        LogEvent::ConnectionNew { peer, socket } => {
            put_peer(out, "conn_new", peer);
            put_signed(out, " cfd=", socket.into());
        }
        LogEvent::ConnectionClose { peer, reason, socket } => {
            put_peer(out, "conn_close", peer);
            put_text(out, " reason=", reason.word());
            put_signed(out, " cfd=", socket.into());
        }
    }
    out.push(b'\n');
}

/// Appends the line that says how many others a slow watcher did not get.
pub fn encode_skipped_line(count: u64, out: &mut Vec<u8>) {
    put(out, "[skipped: ", count);
    out.extend_from_slice(b"]\n");
}

/// An item in a dump of attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DumpedItem<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Unix time of its expiry; `None` if it never expires.
    pub expires_at: Option<u32>,
    /// Unix time of its last access; 0 if it is not known.
    pub last_access_at: u32,
    /// Its CAS.
    pub cas: u64,
    /// Whether it was ever read.
    pub fetched: bool,
    /// Length of key and value in bytes.
    pub item_bytes: u64,
    /// The client's 32 bits.
    pub flags: u32,
}

/// Appends the line of an item.
pub fn encode_dumped_item(dump: Dump, item: &DumpedItem<'_>, out: &mut Vec<u8>) {
    match dump {
        Dump::Attributes => {
            out.extend_from_slice(b"key=");
            put_percent(item.key, out);
            put_signed(out, " exp=", item.expires_at.map_or(-1, i64::from));
            put(out, " la=", item.last_access_at);
            put(out, " cas=", item.cas);
            put_text(out, " fetch=", yes_no(item.fetched));
            put(out, " cls=1 size=", item.item_bytes);
            put(out, " flags=", item.flags);
            out.extend_from_slice(b" \n");
        }
        Dump::MetaGet => {
            out.extend_from_slice(b"mg ");
            // What could not stand in a line as it is.
            if item.key.iter().any(|&byte| byte <= b' ' || byte == 0x7f) {
                out.extend_from_slice(STANDARD.encode(item.key).as_bytes());
                out.extend_from_slice(b" b");
            } else {
                out.extend_from_slice(item.key);
            }
            out.extend_from_slice(b"\r\n");
        }
        Dump::Size => {
            out.extend_from_slice(b"ITEM ");
            out.extend_from_slice(item.key);
            put(out, " [", item.item_bytes - item.key.len() as u64);
            put(out, " b; ", item.expires_at.unwrap_or(0));
            out.extend_from_slice(b" s]\r\n");
        }
    }
}

/// Appends what stands behind the last item.
pub fn encode_dump_end(dump: Dump, out: &mut Vec<u8>) {
    out.extend_from_slice(match dump {
        Dump::Attributes | Dump::Size => b"END\r\n",
        Dump::MetaGet => b"EN\r\n",
    });
}

impl FetchStatus {
    fn word(self) -> &'static str {
        match self {
            FetchStatus::NotFound => "not_found",
            FetchStatus::Found => "found",
            FetchStatus::Flushed => "flushed",
            FetchStatus::Expired => "expired",
        }
    }
}

impl StoreStatus {
    fn word(self) -> &'static str {
        match self {
            StoreStatus::Stored => "stored",
            StoreStatus::NotStored => "not_stored",
            StoreStatus::Exists => "exists",
            StoreStatus::NotFound => "not_found",
            StoreStatus::TooLarge => "too_large",
            StoreStatus::NoMemory => "no_memory",
        }
    }
}

impl LogCloseReason {
    fn word(self) -> &'static str {
        match self {
            LogCloseReason::Normal => "normal",
            LogCloseReason::Error => "error",
            LogCloseReason::IdleTimeout => "idle_timeout",
            LogCloseReason::Shutdown => "shutdown",
        }
    }
}

fn yes_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

fn put(out: &mut Vec<u8>, name: &str, number: impl Into<u64>) {
    out.extend_from_slice(name.as_bytes());
    put_number(number, out);
}

fn put_signed(out: &mut Vec<u8>, name: &str, number: i64) {
    out.extend_from_slice(name.as_bytes());
    if number < 0 {
        out.push(b'-');
    }
    put_number(number.unsigned_abs(), out);
}

fn put_text(out: &mut Vec<u8>, name: &str, text: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn put_key(out: &mut Vec<u8>, kind: &str, key: &[u8]) {
    put_text(out, " type=", kind);
    out.extend_from_slice(b" key=");
    put_percent(key, out);
}

fn put_peer(out: &mut Vec<u8>, kind: &str, peer: LogPeer) {
    put_text(out, " type=", kind);
    let (address, port, transport) = match peer {
        LogPeer::Tcp(address, port) => (address.to_string(), port, "tcp"),
        LogPeer::Local => ("unix".to_owned(), 0, "local"),
    };
    put_text(out, " rip=", &address);
    put(out, " rport=", port);
    put_text(out, " transport=", transport);
}

/// Appends a key with every byte but letters, digits and `-._~` as `%XX`.
fn put_percent(key: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in key {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte);
        } else {
            out.extend_from_slice(&[b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(event: LogEvent<'_>) -> String {
        let mut out = Vec::new();
        encode_log_line(LogHead { seconds: 1_700_000_000, microseconds: 42, id: 7 }, &event, &mut out);
        String::from_utf8(out).expect("ASCII")
    }

    fn dumped(dump: Dump, item: DumpedItem<'_>) -> String {
        let mut out = Vec::new();
        encode_dumped_item(dump, &item, &mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn events_are_spelled_as_memcached_does() {
        let key = b"a%\xc3\xa9 -._~\x00z";
        let status = FetchStatus::Found;
        assert_eq!(
            line(LogEvent::ItemGet { key, status, socket: 12, value_bytes: 4 }),
            "ts=1700000000.000042 gid=7 type=item_get key=a%25%C3%A9%20-._~%00z status=found clsid=1 cfd=12 size=4\n"
        );
        let status = FetchStatus::Expired;
        assert_eq!(
            line(LogEvent::ItemGet { key: b"k", status, socket: -1, value_bytes: 0 }),
            "ts=1700000000.000042 gid=7 type=item_get key=k status=expired clsid=0 cfd=-1 size=0\n"
        );
        let (status, command) = (StoreStatus::NotStored, "add");
        assert_eq!(
            line(LogEvent::ItemStore {
                key: b"k",
                status,
                command,
                ttl_seconds: 9,
                socket: 3,
                value_bytes: 1
            }),
            "ts=1700000000.000042 gid=7 type=item_store key=k status=not_stored cmd=add ttl=9 clsid=1 cfd=3 size=1\n"
        );
        let eviction = LogEvent::Eviction {
            key: b"k",
            fetched: true,
            ttl_seconds: -1,
            last_access_seconds: 5,
            value_bytes: 8,
        };
        assert_eq!(
            line(eviction),
            "ts=1700000000.000042 gid=7 type=eviction key=k fetch=yes ttl=-1 la=5 clsid=1 size=8\n"
        );
        assert_eq!(
            line(LogEvent::Deleted { key: b"k", command: "md", value_bytes: 8 }),
            "ts=1700000000.000042 gid=7 type=deleted key=k cmd=md clsid=1 size=8\n"
        );
        let peer = LogPeer::Tcp(IpAddr::from([127, 0, 0, 1]), 55218);
        assert_eq!(
            line(LogEvent::ConnectionNew { peer, socket: 14 }),
            "ts=1700000000.000042 gid=7 type=conn_new rip=127.0.0.1 rport=55218 transport=tcp cfd=14\n"
        );
        let reason = LogCloseReason::IdleTimeout;
        assert_eq!(
            line(LogEvent::ConnectionClose { peer: LogPeer::Local, reason, socket: 14 }),
            "ts=1700000000.000042 gid=7 type=conn_close rip=unix rport=0 transport=local reason=idle_timeout cfd=14\n"
        );
        let mut out = Vec::new();
        encode_skipped_line(31, &mut out);
        assert_eq!(out, b"[skipped: 31]\n");
    }

    #[test]
    fn dumps_are_spelled_as_memcached_does() {
        let item = DumpedItem {
            key: b"b\x01 ~",
            expires_at: None,
            last_access_at: 1_795_265_022,
            cas: 14,
            fetched: false,
            item_bytes: 67,
            flags: 5,
        };
        assert_eq!(
            dumped(Dump::Attributes, item),
            "key=b%01%20~ exp=-1 la=1795265022 cas=14 fetch=no cls=1 size=67 flags=5 \n"
        );
        let expiring = DumpedItem { key: b"k2", expires_at: Some(1_795_265_521), fetched: true, ..item };
        assert_eq!(
            dumped(Dump::Attributes, expiring),
            "key=k2 exp=1795265521 la=1795265022 cas=14 fetch=yes cls=1 size=67 flags=5 \n"
        );
        assert_eq!(dumped(Dump::MetaGet, expiring), "mg k2\r\n");
        assert_eq!(dumped(Dump::MetaGet, item), "mg YgEgfg== b\r\n");
        assert_eq!(dumped(Dump::Size, expiring), "ITEM k2 [65 b; 1795265521 s]\r\n");
        let endless = DumpedItem { key: b"k", expires_at: None, ..item };
        assert_eq!(dumped(Dump::Size, endless), "ITEM k [66 b; 0 s]\r\n");
    }
}
