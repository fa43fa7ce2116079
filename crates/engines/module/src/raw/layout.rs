//! The structures of the C interface, for the four profiles of [`Profile`](crate::Profile).
//!
//! C's enums are numbers here, never Rust enums: a foreign engine may hand over any. A `bool` that comes from C is a byte.
//! The sizes and offsets below are those of x86-64 Linux; `tests/layout.rs` compares them with what a C compiler makes of
//! the headers.

use std::ffi::{c_char, c_int, c_void};

/// The engine's table, at the start of what the engine calls its handle.
pub type Handle = *mut c_void;
/// A cookie as C sees it.
pub type CookiePointer = *const c_void;
/// An item as C sees it.
pub type ItemPointer = *mut c_void;

/// What most functions return (`ENGINE_ERROR_CODE`).
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Code(pub i32);

#[allow(missing_docs, reason = "the interface's own names; docs/reference/engine-c.md explains them")]
impl Code {
    pub const SUCCESS: Code = Code(0x00);
    pub const KEY_ENOENT: Code = Code(0x01);
    pub const KEY_EEXISTS: Code = Code(0x02);
    pub const ENOMEM: Code = Code(0x03);
    pub const NOT_STORED: Code = Code(0x04);
    pub const EINVAL: Code = Code(0x05);
    pub const ENOTSUP: Code = Code(0x06);
    pub const EWOULDBLOCK: Code = Code(0x07);
    pub const E2BIG: Code = Code(0x08);
    pub const WANT_MORE: Code = Code(0x09);
    pub const DISCONNECT: Code = Code(0x0a);
    pub const EACCESS: Code = Code(0x0b);
    pub const NOT_MY_VBUCKET: Code = Code(0x0c);
    pub const TMPFAIL: Code = Code(0x0d);
    pub const ERANGE: Code = Code(0x0e);
    pub const FAILED: Code = Code(0xff);
}

/// `ENGINE_STORE_OPERATION`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i32)]
#[allow(missing_docs, reason = "the store commands of the protocol")]
pub enum StoreOperation {
    Add = 1,
    Set = 2,
    Replace = 3,
    Append = 4,
    Prepend = 5,
    Cas = 6,
}

/// `ENGINE_EVENT_TYPE`, the events this server has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i32)]
#[allow(missing_docs, reason = "the interface's own names")]
pub enum Event {
    Connect = 0,
    Disconnect = 1,
    Auth = 2,
    SwitchConnection = 3,
    LogLevel = 4,
}

impl Event {
    /// How many there are.
    pub const COUNT: usize = 5;
}

/// `get_info`
pub type GetInfo = unsafe extern "C" fn(Handle) -> *const EngineInfo;
/// `initialize`
pub type Initialize = unsafe extern "C" fn(Handle, *const c_char) -> Code;
/// `destroy`; engines of `2010-04` ignore the second argument.
pub type Destroy = unsafe extern "C" fn(Handle, bool);
/// `allocate`
pub type Allocate = unsafe extern "C" fn(
    Handle,
    CookiePointer,
    *mut ItemPointer,
    *const c_void,
    usize,
    usize,
    c_int,
    u32,
) -> Code;
/// `remove`; engines of `2010-04` ignore the last argument here and below.
pub type Remove = unsafe extern "C" fn(Handle, CookiePointer, *const c_void, usize, u64, u16) -> Code;
/// `release`
pub type Release = unsafe extern "C" fn(Handle, CookiePointer, ItemPointer);
/// `get`
pub type Get =
    unsafe extern "C" fn(Handle, CookiePointer, *mut ItemPointer, *const c_void, c_int, u16) -> Code;
/// `store`
pub type Store = unsafe extern "C" fn(Handle, CookiePointer, ItemPointer, *mut u64, c_int, u16) -> Code;
/// `arithmetic`
pub type Arithmetic = unsafe extern "C" fn(
    Handle,
    CookiePointer,
    *const c_void,
    c_int,
    bool,
    bool,
    u64,
    u64,
    u32,
    *mut u64,
    *mut u64,
    u16,
) -> Code;
/// `flush`
pub type Flush = unsafe extern "C" fn(Handle, CookiePointer, i64) -> Code;
/// What `get_stats` calls for each line.
pub type AddStat = extern "C" fn(*const c_char, u16, *const c_char, u32, CookiePointer);
/// `get_stats`
pub type GetStats = unsafe extern "C" fn(Handle, CookiePointer, *const c_char, c_int, AddStat) -> Code;
/// `reset_stats`
pub type ResetStats = unsafe extern "C" fn(Handle, CookiePointer);
/// What `unknown_command` calls for each response.
pub type AddResponse = extern "C" fn(
    *const c_void,
    u16,
    *const c_void,
    u8,
    *const c_void,
    u32,
    u8,
    u16,
    u64,
    CookiePointer,
) -> bool;
/// `get_stats_struct`
pub type GetStatsStruct = unsafe extern "C" fn(Handle, CookiePointer) -> *mut c_void;
/// What `aggregate_stats` is to call with each block, and with the place for their sums.
pub type AddUp = extern "C" fn(*mut c_void, *mut c_void);
/// `aggregate_stats`
pub type AggregateStats = unsafe extern "C" fn(Handle, CookiePointer, AddUp, *mut c_void) -> Code;
/// `unknown_command`
pub type UnknownCommand = unsafe extern "C" fn(Handle, CookiePointer, *mut c_void, AddResponse) -> Code;
/// `item_set_cas`
pub type ItemSetCas = unsafe extern "C" fn(Handle, CookiePointer, ItemPointer, u64);
/// `item_set_cas` of `2010-04`
pub type ItemSetCasWithoutCookie = unsafe extern "C" fn(Handle, ItemPointer, u64);
/// `get_item_info`
pub type GetItemInfo = unsafe extern "C" fn(Handle, CookiePointer, ItemPointer, *mut ItemInfo) -> u8;
/// `get_item_info` of `2010-04`
pub type GetItemInfoWithoutCookie = unsafe extern "C" fn(Handle, ItemPointer, *mut ItemInfo) -> u8;
/// `errinfo`
pub type ErrInfo = unsafe extern "C" fn(Handle, CookiePointer, *mut c_char, usize) -> usize;
/// A callback for events.
pub type EventCallback = unsafe extern "C" fn(CookiePointer, c_int, *const c_void, *const c_void);

/// The slots of the engine's table, in its order, as plain words: they become functions only once they are checked.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs, reason = "the interface's own names")]
pub struct EngineTable {
    pub interface: u64,
    pub get_info: usize,
    pub initialize: usize,
    pub destroy: usize,
    pub allocate: usize,
    pub remove: usize,
    pub release: usize,
    pub get: usize,
    pub store: usize,
    pub arithmetic: usize,
    pub flush: usize,
    pub get_stats: usize,
    pub reset_stats: usize,
    pub get_stats_struct: usize,
    pub aggregate_stats: usize,
    pub unknown_command: usize,
    pub tap_notify: usize,
    pub get_tap_iterator: usize,
    pub item_set_cas: usize,
    pub get_item_info: usize,
    /// Not in `2010-04`.
    pub errinfo: usize,
}

/// A piece of a value.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs, reason = "as in POSIX's iovec")]
pub struct Piece {
    pub iov_base: *mut c_void,
    pub iov_len: usize,
}

/// `item_info` with room for `N` pieces.
#[repr(C)]
#[allow(missing_docs, reason = "the interface's own names")]
pub struct ItemInfo<const N: usize = 1> {
    pub cas: u64,
    pub exptime: u32,
    pub nbytes: u32,
    pub flags: u32,
    pub clsid: u8,
    pub nkey: u16,
    pub nvalue: u16,
    pub key: *const c_void,
    pub value: [std::mem::MaybeUninit<Piece>; N],
}

/// `feature_info`
#[repr(C)]
#[allow(missing_docs, reason = "the interface's own names")]
pub struct FeatureInfo {
    pub feature: u32,
    pub description: *const c_char,
}

/// `engine_info`, up to its array of features.
#[repr(C)]
#[allow(missing_docs, reason = "the interface's own names")]
pub struct EngineInfo {
    pub description: *const c_char,
    pub num_features: u32,
    pub features: [FeatureInfo; 0],
}

/// `auth_data_t`
#[repr(C)]
#[allow(missing_docs, reason = "the interface's own names")]
pub struct AuthData {
    pub username: *const c_char,
    pub config: *const c_char,
}

/// `struct config_item`
#[repr(C)]
#[allow(missing_docs, reason = "the interface's own names")]
pub struct ConfigItem {
    pub key: *const c_char,
    pub datatype: c_int,
    pub value: *mut c_void,
    pub found: u8,
}

/// The server's core table.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs, reason = "the interface's own names")]
pub struct CoreTable {
    pub get_current_time: extern "C" fn() -> u32,
    pub realtime: extern "C" fn(i64) -> u32,
    pub abstime: extern "C" fn(u32) -> i64,
    pub server_version: extern "C" fn() -> *const c_char,
    pub hash: extern "C" fn(*const c_void, usize, u32) -> u32,
    pub parse_config: unsafe extern "C" fn(*const c_char, *mut c_void, *mut c_void) -> c_int,
    pub shutdown: extern "C" fn(),
    pub get_config: extern "C" fn(*mut ConfigItem) -> bool,
}

/// The server's table for statistics.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs, reason = "the interface's own names")]
pub struct StatTable {
    pub new_stats: extern "C" fn() -> *mut c_void,
    pub release_stats: extern "C" fn(*mut c_void),
    pub evicting: extern "C" fn(CookiePointer, *const c_void, c_int),
}

/// The server's table for extensions.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs, reason = "the interface's own names")]
pub struct ExtensionTable {
    pub register_extension: extern "C" fn(c_int, *mut c_void) -> bool,
    pub unregister_extension: extern "C" fn(c_int, *mut c_void),
    pub get_extension: extern "C" fn(c_int) -> *mut c_void,
}

/// The server's table for events.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs, reason = "the interface's own names")]
pub struct CallbackTable {
    pub register_callback: extern "C" fn(Handle, c_int, Option<EventCallback>, *const c_void),
    pub perform_callbacks: extern "C" fn(c_int, *const c_void, CookiePointer),
}

/// The same in `2010-04`, whose engines do not say who they are.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs, reason = "the interface's own names")]
pub struct CallbackTableWithoutHandle {
    pub register_callback: extern "C" fn(c_int, Option<EventCallback>, *const c_void),
    pub perform_callbacks: extern "C" fn(c_int, *const c_void, CookiePointer),
}

/// The server's table for logs.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs, reason = "the interface's own names")]
pub struct LogTable {
    pub get_logger: extern "C" fn() -> *mut c_void,
    pub get_level: extern "C" fn() -> c_int,
    pub set_level: extern "C" fn(c_int),
}

/// The server's table for cookies.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs, reason = "the interface's own names")]
pub struct CookieTable {
    pub get_socket_fd: extern "C" fn(CookiePointer) -> c_int,
    pub get_auth_data: extern "C" fn(CookiePointer, *mut AuthData),
    pub store_engine_specific: extern "C" fn(CookiePointer, *mut c_void),
    pub get_engine_specific: extern "C" fn(CookiePointer) -> *mut c_void,
    pub notify_io_complete: extern "C" fn(CookiePointer, Code),
    pub reserve: extern "C" fn(CookiePointer) -> Code,
    pub release: extern "C" fn(CookiePointer) -> Code,
}

/// The same in `beta1`.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs, reason = "the interface's own names")]
pub struct CookieTableBeta1 {
    pub get_socket_fd: extern "C" fn(CookiePointer) -> c_int,
    pub get_auth_data: extern "C" fn(CookiePointer, *mut AuthData),
    pub store_engine_specific: extern "C" fn(CookiePointer, *mut c_void),
    pub get_engine_specific: extern "C" fn(CookiePointer) -> *mut c_void,
    pub notify_io_complete: extern "C" fn(CookiePointer, Code),
    pub set_tap_nack_mode: extern "C" fn(CookiePointer, bool),
    pub reserve: extern "C" fn(CookiePointer),
    pub release: extern "C" fn(CookiePointer),
}

/// The server's table for an allocator's hooks. There are none to hook into.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs, reason = "the interface's own names")]
pub struct AllocatorTable {
    pub add_new_hook: extern "C" fn(*mut c_void) -> bool,
    pub remove_new_hook: extern "C" fn(*mut c_void) -> bool,
    pub add_delete_hook: extern "C" fn(*mut c_void) -> bool,
    pub remove_delete_hook: extern "C" fn(*mut c_void) -> bool,
    pub get_extra_stats_size: extern "C" fn() -> c_int,
    pub get_allocator_stats: extern "C" fn(*mut c_void),
    pub get_allocation_size: extern "C" fn(*mut c_void) -> usize,
    pub get_detailed_stats: extern "C" fn(*mut c_char, c_int),
}

/// Zero words behind a table, for an engine that copies it with a larger idea of it.
pub const SPARE_WORDS: usize = 16;

/// What `get_server_api` returns. One for each engine, never moved, never freed.
#[repr(C)]
pub struct ServerTable {
    /// 1
    pub interface: u64,
    /// [`CoreTable`]
    pub core: &'static Padded<CoreTable>,
    /// [`StatTable`]
    pub stat: &'static Padded<StatTable>,
    /// [`ExtensionTable`]
    pub extension: &'static Padded<ExtensionTable>,
    /// [`CallbackTable`]
    pub callback: &'static Padded<CallbackTable>,
    /// The engine's handle; null during `create_instance`.
    pub engine: std::sync::atomic::AtomicPtr<c_void>,
    /// [`LogTable`]
    pub log: &'static Padded<LogTable>,
    /// [`CookieTable`] or [`CookieTableBeta1`]
    pub cookie: CookieTables,
    /// [`AllocatorTable`]; only engines of `engine-pu-cb` know this word.
    pub alloc_hooks: &'static Padded<AllocatorTable>,
    /// Zero.
    pub spare: [u64; SPARE_WORDS],
}

/// Either form of the cookie table: a pointer, as every table is.
#[repr(C)]
#[derive(Clone, Copy)]
pub union CookieTables {
    /// Of all profiles but one.
    pub common: &'static Padded<CookieTable>,
    /// Of `beta1`.
    pub beta1: &'static Padded<CookieTableBeta1>,
}

/// A table with zero words behind it.
#[repr(C)]
pub struct Padded<T> {
    /// The table.
    pub table: T,
    /// Zero.
    pub spare: [u64; SPARE_WORDS],
}

impl<T> Padded<T> {
    /// The table with its zero words.
    pub const fn new(table: T) -> Self {
        Padded { table, spare: [0; SPARE_WORDS] }
    }
}

/// What `get_server_api(1)` returns in `2010-04`.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs, reason = "the interface's own names")]
pub struct FlatTable {
    pub get_auth_data: extern "C" fn(CookiePointer, *mut AuthData),
    pub store_engine_specific: extern "C" fn(CookiePointer, *mut c_void),
    pub get_engine_specific: extern "C" fn(CookiePointer) -> *mut c_void,
    pub get_socket_fd: extern "C" fn(CookiePointer) -> c_int,
    pub server_version: extern "C" fn() -> *const c_char,
    pub hash: extern "C" fn(*const c_void, usize, u32) -> u32,
    pub realtime: extern "C" fn(i64) -> u32,
    pub notify_io_complete: extern "C" fn(CookiePointer, Code),
    pub get_current_time: extern "C" fn() -> u32,
    pub parse_config: unsafe extern "C" fn(*const c_char, *mut c_void, *mut c_void) -> c_int,
    pub new_stats: extern "C" fn() -> *mut c_void,
    pub release_stats: extern "C" fn(*mut c_void),
    pub count_eviction: extern "C" fn(CookiePointer, *const c_void, c_int),
}

macro_rules! size_is {
    ($($type:ty: $size:expr),* $(,)?) => { $(const _: () = assert!(size_of::<$type>() == $size);)* };
}

macro_rules! offset_is {
    ($($type:ty, $field:ident: $offset:expr);* $(;)?) => {
        $(const _: () = assert!(std::mem::offset_of!($type, $field) == $offset);)*
    };
}

size_is! {
    EngineTable: 168,
    ItemInfo<1>: 56,
    ItemInfo<3>: 88,
    EngineInfo: 16,
    FeatureInfo: 16,
    AuthData: 16,
    ConfigItem: 32,
    CoreTable: 64,
    StatTable: 24,
    ExtensionTable: 24,
    CallbackTable: 16,
    CallbackTableWithoutHandle: 16,
    LogTable: 24,
    CookieTable: 56,
    CookieTableBeta1: 64,
    AllocatorTable: 64,
    FlatTable: 104,
    ServerTable: 72 + 8 * SPARE_WORDS,
}

offset_is! {
    EngineTable, get_info: 8;
    EngineTable, arithmetic: 72;
    EngineTable, get_item_info: 152;
    EngineTable, errinfo: 160;
    ItemInfo<1>, exptime: 8;
    ItemInfo<1>, clsid: 20;
    ItemInfo<1>, nkey: 22;
    ItemInfo<1>, nvalue: 24;
    ItemInfo<1>, key: 32;
    ItemInfo<1>, value: 40;
    ServerTable, engine: 40;
    ServerTable, cookie: 56;
    ServerTable, alloc_hooks: 64;
    CookieTableBeta1, set_tap_nack_mode: 40;
    ConfigItem, found: 24;
}
