//! The server's side of the interface: its tables, and the functions in them.
//!
//! These functions have no argument that says whose they are, so what they need is the process's own: one clock, one set of
//! settings, one log. Engines call them from any thread and with their own locks held: they are short, they never call the
//! engine, and a panic in one ends the process rather than reach C.
//!
//! # Safety
//!
//! Engines call these functions as the interface says: a pointer is null or leads to what the interface names, and a text
//! ends in a zero byte.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use larder_engine::Clock;
use larder_engine::engine::RawResponse;
use larder_module_utilities::Utilities;
use parking_lot::{Mutex, RwLock};

use super::block::{new_stats, release_stats};
use super::cookie::Cookie;
use super::layout::{
    AllocatorTable, AuthData, CallbackTable, CallbackTableWithoutHandle, Code, ConfigItem, CookiePointer,
    CookieTable, CookieTableBeta1, CookieTables, CoreTable, Event, EventCallback, ExtensionTable, FlatTable,
    Handle, LogTable, Padded, ServerTable, StatTable,
};
use super::module::Module;
use crate::Profile;

/// The clients' number above which an expiry is a second of Unix time.
const RELATIVE_SECONDS_MAX: i64 = 60 * 60 * 24 * 30;

/// The clock's first second, so that "now" is never 0, which engines take for "never".
const FIRST_SECOND: u32 = 2;

/// The clock that engines see, and when it began.
struct ClockOfEngines {
    clock: Arc<dyn Clock>,
    started: u32,
}

static CLOCK: AtomicPtr<ClockOfEngines> = AtomicPtr::new(std::ptr::null_mut());

/// Lets engines see this clock. What was there before is kept for ever: another thread may be reading it.
pub(crate) fn use_clock(clock: &Arc<dyn Clock>) {
    if with_clock(|known| Arc::ptr_eq(&known.clock, clock)) == Some(true) {
        return;
    }
    let started = clock.now().0.saturating_sub(FIRST_SECOND);
    let clock = Box::leak(Box::new(ClockOfEngines { clock: clock.clone(), started }));
    CLOCK.store(clock, Ordering::Release);
}

fn with_clock<T>(look: impl FnOnce(&ClockOfEngines) -> T) -> Option<T> {
    let clock = CLOCK.load(Ordering::Acquire);
    // SAFETY: null, or from a box that was leaked.
    unsafe { clock.as_ref() }.map(look)
}

/// The second of the engines' clock.
pub(crate) extern "C" fn get_current_time() -> u32 {
    let now = with_clock(|clock| clock.clock.now().0.saturating_sub(clock.started));
    now.unwrap_or(FIRST_SECOND).max(FIRST_SECOND)
}

/// A client's number for an expiry, as a second of the engines' clock; 0 is never.
pub(crate) extern "C" fn realtime(exptime: i64) -> u32 {
    if exptime == 0 {
        return 0;
    }
    if exptime < 0 {
        return 1;
    }
    if exptime > RELATIVE_SECONDS_MAX {
        let started = with_clock(|clock| clock.started).unwrap_or_default();
        return u32::try_from(exptime - i64::from(started))
            .unwrap_or(if exptime <= i64::from(started) { 1 } else { u32::MAX })
            .max(1);
    }
    get_current_time().saturating_add(exptime as u32)
}

/// A second of the engines' clock as Unix time.
pub(crate) extern "C" fn abstime(exptime: u32) -> i64 {
    i64::from(with_clock(|clock| clock.started).unwrap_or_default()) + i64::from(exptime)
}

extern "C" fn server_version() -> *const c_char {
    VERSION.lock().as_ptr()
}

/// Leaked texts only, so that a pointer into one stays good.
static VERSION: Mutex<&'static CStr> = Mutex::new(c"larder");

extern "C" fn hash(key: *const c_void, length: usize, seed: u32) -> u32 {
    let mut hasher = foldhash::quality::FixedState::with_seed(u64::from(seed)).build_hasher();
    let key = if key.is_null() || length == 0 {
        &[][..]
    } else {
        // SAFETY: the engine says that so many bytes are there.
        unsafe { std::slice::from_raw_parts(key.cast(), length) }
    };
    hasher.write(key);
    hasher.finish() as u32
}

/// `shutdown`: as if the operator had asked for it.
extern "C" fn shutdown() {
    tracing::warn!("a module asks the server to stop");
    // SAFETY: sends a signal to this very process; the server's handler for it begins an orderly stop.
    unsafe { libc::kill(libc::getpid(), libc::SIGTERM) };
}

/// Settings that engines may ask for.
static SETTINGS: RwLock<Vec<(String, String)>> = RwLock::new(Vec::new());

/// What the process tells every engine.
pub(crate) fn use_settings(version: &str, settings: &[(String, String)]) {
    *SETTINGS.write() = settings.to_vec();
    let mut known = VERSION.lock();
    if known.to_bytes() != version.as_bytes()
        && let Ok(version) = CString::new(version)
    {
        *known = Box::leak(version.into_boxed_c_str());
    }
}

/// `get_config`: fills in each entry whose key is a setting, by way of the parser that engines' own strings go through.
extern "C" fn get_config(items: *mut ConfigItem) -> bool {
    if items.is_null() {
        return false;
    }
    let settings = SETTINGS.read();
    let mut all_good = true;
    let mut at = items;
    // SAFETY: the engine ends its array with a null key.
    while let Some(item) = unsafe { at.as_mut() }.filter(|item| !item.key.is_null()) {
        // SAFETY: a key ends in a zero byte.
        let key = unsafe { CStr::from_ptr(item.key) }.to_string_lossy();
        if let Some((_, value)) = settings.iter().find(|(name, _)| *name == key) {
            all_good &= set_one(item, &key, value);
        }
        // SAFETY: the entry just seen was not the last.
        at = unsafe { at.add(1) };
    }
    all_good
}

/// The number of BOOL where SSIZE has none.
const BOOL_WITHOUT_SSIZE: c_int = 2;

/// Sets one entry by parsing `key=value` with an array of this entry alone.
fn set_one(item: &mut ConfigItem, key: &str, value: &str) -> bool {
    let value = match value {
        "yes" => "true",
        "no" => "false",
        value => value,
    };
    // A number is no truth value; the parser alone would take the type for that of a fraction in the other numbering.
    let is_bool = item.datatype == BOOL_WITHOUT_SSIZE
        && newest_module().is_none_or(|module| module.profile != Profile::EnginePuCb);
    if is_bool && !matches!(value, "true" | "false") {
        return false;
    }
    let Ok(text) = CString::new(format!("{key}={value}")) else { return false };
    let end = ConfigItem { key: std::ptr::null(), datatype: 0, value: std::ptr::null_mut(), found: 0 };
    let mut array = [ConfigItem { key: item.key, datatype: item.datatype, value: item.value, found: 0 }, end];
    let Some(utilities) = utilities() else { return false };
    let parse = utilities.parse_config_without_ssize;
    // SAFETY: the text ends in a zero byte, the array in a null key; nothing is to be written to.
    let outcome = unsafe { parse(text.as_ptr(), array.as_mut_ptr().cast(), std::ptr::null_mut()) };
    if array[0].found != 0 {
        item.found = 1;
    }
    outcome == 0
}

/// The utilities library, once it has been loaded.
fn utilities() -> Option<&'static Utilities> {
    larder_module_utilities::load().ok()
}

/// Parses with the numbering of most profiles as the one to fall back to.
unsafe extern "C" fn parse_config(text: *const c_char, items: *mut c_void, errors: *mut c_void) -> c_int {
    let Some(utilities) = utilities() else { return -1 };
    // SAFETY: handed on as they come.
    unsafe { (utilities.parse_config_without_ssize)(text, items, errors) }
}

/// Parses with the numbering of `engine-pu-cb` as the one to fall back to.
unsafe extern "C" fn parse_config_with_ssize(
    text: *const c_char,
    items: *mut c_void,
    errors: *mut c_void,
) -> c_int {
    let Some(utilities) = utilities() else { return -1 };
    // SAFETY: handed on as they come.
    unsafe { (utilities.parse_config_with_ssize)(text, items, errors) }
}

extern "C" fn evicting(cookie: CookiePointer, _key: *const c_void, _length: c_int) {
    let module = Cookie::from_pointer(cookie).and_then(Cookie::module).or_else(newest_module);
    if let Some(module) = module {
        module.counters.evictions.fetch_add(1, Ordering::Relaxed);
    }
}

const EXTENSION_LOGGER: c_int = 1;

extern "C" fn register_extension(_kind: c_int, _extension: *mut c_void) -> bool {
    tracing::warn!("a module brings an extension of the protocol, which this server has no place for");
    false
}

extern "C" fn unregister_extension(_kind: c_int, _extension: *mut c_void) {}

extern "C" fn get_extension(kind: c_int) -> *mut c_void {
    if kind == EXTENSION_LOGGER { get_logger() } else { std::ptr::null_mut() }
}

extern "C" fn get_logger() -> *mut c_void {
    // No engine is loaded before the utilities are.
    utilities().map_or(std::ptr::null_mut(), |utilities| utilities.logger().cast_mut())
}

/// What engines are told is worth logging: DETAIL 0, DEBUG 1, INFO 2, WARNING 3.
static LOG_LEVEL: AtomicI32 = AtomicI32::new(3);

/// Lets engines log what the server's verbosity shows.
pub(crate) fn use_verbosity(verbosity: u32) {
    LOG_LEVEL.store(3 - c_int::try_from(verbosity.min(3)).unwrap_or(3), Ordering::Relaxed);
}

extern "C" fn get_level() -> c_int {
    LOG_LEVEL.load(Ordering::Relaxed)
}

extern "C" fn set_level(level: c_int) {
    LOG_LEVEL.store(level.clamp(0, 3), Ordering::Relaxed);
    for module in MODULES.read().iter() {
        module.tell(Event::LogLevel as c_int, None, std::ptr::null());
    }
}

/// What engines log, as lines of the server's own log.
extern "C" fn log(
    severity: c_int,
    cookie: *const c_void,
    text: *const c_char,
    length: usize,
    caller: *const c_void,
) {
    if text.is_null() {
        return;
    }
    // SAFETY: the logger says that so many bytes are there.
    let text = String::from_utf8_lossy(unsafe { std::slice::from_raw_parts(text.cast(), length) });
    let text = text.trim_end();
    let module = Cookie::from_pointer(cookie).and_then(Cookie::module).map(|module| module.name.clone());
    let name = module.or_else(|| super::library::name_around(caller)).unwrap_or_else(|| "a module".into());
    match severity {
        3 => tracing::warn!("module {name}: {text}"),
        2 => tracing::info!("module {name}: {text}"),
        1 => tracing::debug!("module {name}: {text}"),
        _ => tracing::trace!("module {name}: {text}"),
    }
}

/// Loads what engines need to find, and takes what they log.
///
/// # Errors
/// Why the utilities library cannot be loaded.
pub(crate) fn prepare() -> Result<(), String> {
    larder_module_utilities::load().map(|utilities| utilities.set_log_sink(log))
}

/// The engines that are loaded and not destroyed, oldest first.
static MODULES: RwLock<Vec<&'static Module>> = RwLock::new(Vec::new());

static MODULE_IDS: AtomicU64 = AtomicU64::new(1);

pub(crate) fn next_module_id() -> u64 {
    MODULE_IDS.fetch_add(1, Ordering::Relaxed)
}

pub(crate) fn add_module(module: &'static Module) {
    MODULES.write().push(module);
    let waiting = std::mem::take(&mut *EARLY_CALLBACKS.lock());
    for Early { event, callback, data } in waiting {
        module.register(event, callback, data as *const c_void);
    }
}

pub(crate) fn remove_module(module: &Module) {
    MODULES.write().retain(|other| other.id != module.id);
}

/// Whether a library with this entry point has an engine that is not destroyed.
pub(crate) fn is_in_use(entry: usize) -> bool {
    MODULES.read().iter().any(|module| module.has_entry(entry))
}

fn newest_module() -> Option<&'static Module> {
    MODULES.read().last().copied()
}

/// A callback registered before its engine is known: during `create_instance`.
struct Early {
    event: c_int,
    callback: EventCallback,
    data: usize,
}

static EARLY_CALLBACKS: Mutex<Vec<Early>> = Mutex::new(Vec::new());

extern "C" fn register_callback(
    handle: Handle,
    event: c_int,
    callback: Option<EventCallback>,
    data: *const c_void,
) {
    let Some(callback) = callback else { return };
    let modules = MODULES.read();
    // An engine around another passes that one's handle, which is none of ours: it counts for the newest.
    let known = modules.iter().find(|module| module.has_handle(handle)).or_else(|| modules.last()).copied();
    drop(modules);
    match known.filter(|_| !IS_CREATING.load(Ordering::Acquire)) {
        Some(module) => module.register(event, callback, data),
        None => EARLY_CALLBACKS.lock().push(Early { event, callback, data: data as usize }),
    }
}

/// Whether a `create_instance` is under way: a callback registered now belongs to the engine that is being made.
static IS_CREATING: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// Says that a `create_instance` begins or is over.
pub(crate) fn note_creating(is_creating: bool) {
    IS_CREATING.store(is_creating, Ordering::Release);
    if !is_creating {
        EARLY_CALLBACKS.lock().clear();
    }
}

extern "C" fn register_callback_without_handle(
    event: c_int,
    callback: Option<EventCallback>,
    data: *const c_void,
) {
    register_callback(std::ptr::null_mut(), event, callback, data);
}

extern "C" fn perform_callbacks(event: c_int, data: *const c_void, cookie: CookiePointer) {
    let cookie = Cookie::from_pointer(cookie);
    match cookie.and_then(Cookie::module) {
        Some(module) => module.tell(event, cookie, data),
        None => {
            let modules: Vec<_> = MODULES.read().clone();
            modules.into_iter().for_each(|module| module.tell(event, None, data));
        }
    }
}

extern "C" fn get_socket_fd(cookie: CookiePointer) -> c_int {
    Cookie::from_pointer(cookie).map_or(-1, Cookie::socket)
}

extern "C" fn get_auth_data(cookie: CookiePointer, data: *mut AuthData) {
    let nobody = AuthData { username: std::ptr::null(), config: std::ptr::null() };
    // SAFETY: the engine passes a structure to write to, or a careless one null.
    let Some(data) = (unsafe { data.as_mut() }) else { return };
    *data = nobody;
    let Some(cookie) = Cookie::from_pointer(cookie) else { return };
    let user = cookie.connection().and_then(|connection| connection.user.lock().clone());
    if let Some(user) = user {
        data.username = cookie.keep_name(&user);
        data.config = cookie.keep_name("");
    }
}

extern "C" fn store_engine_specific(cookie: CookiePointer, data: *mut c_void) {
    if let Some(cookie) = Cookie::from_pointer(cookie) {
        cookie.private().store(data, Ordering::Release);
    }
}

extern "C" fn get_engine_specific(cookie: CookiePointer) -> *mut c_void {
    let cookie = Cookie::from_pointer(cookie);
    cookie.map_or(std::ptr::null_mut(), |cookie| cookie.private().load(Ordering::Acquire))
}

extern "C" fn notify_io_complete(cookie: CookiePointer, status: Code) {
    let known = Cookie::from_pointer(cookie);
    let was_asked = known.is_some_and(|cookie| cookie.notify(status));
    if !was_asked && let Some(module) = known.and_then(Cookie::module).or_else(newest_module) {
        module.counters.unasked.fetch_add(1, Ordering::Relaxed);
    }
}

extern "C" fn reserve(cookie: CookiePointer) -> Code {
    match Cookie::from_pointer(cookie) {
        Some(cookie) => {
            cookie.reserve();
            Code::SUCCESS
        }
        None => Code::FAILED,
    }
}

extern "C" fn release(cookie: CookiePointer) -> Code {
    match Cookie::from_pointer(cookie).and_then(|cookie| Some((cookie, cookie.unreserve()?))) {
        Some((cookie, was_last)) => {
            if was_last {
                crate::session::end_reserved(cookie);
            }
            Code::SUCCESS
        }
        None => Code::FAILED,
    }
}

extern "C" fn reserve_beta1(cookie: CookiePointer) {
    // That profile has no word for a failure.
    let _code = reserve(cookie);
}

extern "C" fn release_beta1(cookie: CookiePointer) {
    // Likewise.
    let _code = release(cookie);
}

extern "C" fn set_tap_nack_mode(_cookie: CookiePointer, _enable: bool) {
    tracing::warn!("a module asks for tap, which this server does not offer");
}

extern "C" fn no_hook(_hook: *mut c_void) -> bool {
    false
}

extern "C" fn no_extra_stats() -> c_int {
    0
}

extern "C" fn no_allocator_stats(_stats: *mut c_void) {}

extern "C" fn no_allocation_size(_allocation: *mut c_void) -> usize {
    0
}

extern "C" fn no_detailed_stats(_buffer: *mut c_char, _length: c_int) {}

/// Bytes that C hands over; none for a null pointer.
fn bytes_of(start: *const c_void, length: usize) -> Vec<u8> {
    if start.is_null() {
        return Vec::new();
    }
    // SAFETY: the engine says that so many bytes are there, for the time of the call.
    unsafe { std::slice::from_raw_parts(start.cast(), length) }.to_vec()
}

/// Takes a line of statistics.
pub(crate) extern "C" fn add_stat(
    key: *const c_char,
    key_length: u16,
    value: *const c_char,
    value_length: u32,
    cookie: CookiePointer,
) {
    // Without a name it is the end mark, which is the server's own; what comes after the call belongs to no command.
    let cookie = Cookie::from_pointer(cookie).filter(|cookie| key_length > 0 && cookie.is_in_call());
    let Some(cookie) = cookie else { return };
    let mut said = cookie.said();
    if said.has_room(usize::from(key_length) + value_length as usize) {
        let line = (bytes_of(key.cast(), key_length.into()), bytes_of(value.cast(), value_length as usize));
        said.lines.push(line);
    }
}

/// Takes a response to a raw command. Whether there was room.
#[allow(clippy::too_many_arguments, reason = "C's list")]
pub(crate) extern "C" fn add_response(
    key: *const c_void,
    key_length: u16,
    extras: *const c_void,
    extras_length: u8,
    body: *const c_void,
    body_length: u32,
    data_type: u8,
    status: u16,
    cas: u64,
    cookie: CookiePointer,
) -> bool {
    let Some(cookie) = Cookie::from_pointer(cookie).filter(|cookie| cookie.is_in_call()) else {
        return false;
    };
    let mut said = cookie.said();
    let length = usize::from(key_length) + usize::from(extras_length) + body_length as usize;
    if !said.has_room(length) {
        return false;
    }
    said.responses.push(RawResponse {
        status,
        cas,
        data_type,
        key: bytes_of(key, key_length.into()),
        extras: bytes_of(extras, extras_length.into()),
        body: bytes_of(body, body_length as usize),
    });
    true
}

const CORE_TABLE: CoreTable = CoreTable {
    get_current_time,
    realtime,
    abstime,
    server_version,
    hash,
    parse_config,
    shutdown,
    get_config,
};

static CORE: Padded<CoreTable> = Padded::new(CORE_TABLE);
static CORE_WITH_SSIZE: Padded<CoreTable> =
    Padded::new(CoreTable { parse_config: parse_config_with_ssize, ..CORE_TABLE });
static STAT: Padded<StatTable> = Padded::new(StatTable { new_stats, release_stats, evicting });
static EXTENSION: Padded<ExtensionTable> =
    Padded::new(ExtensionTable { register_extension, unregister_extension, get_extension });
static CALLBACK: Padded<CallbackTable> = Padded::new(CallbackTable { register_callback, perform_callbacks });
static CALLBACK_WITHOUT_HANDLE: Padded<CallbackTableWithoutHandle> =
    Padded::new(CallbackTableWithoutHandle {
        register_callback: register_callback_without_handle,
        perform_callbacks,
    });
static LOG: Padded<LogTable> = Padded::new(LogTable { get_logger, get_level, set_level });
static COOKIE: Padded<CookieTable> = Padded::new(CookieTable {
    get_socket_fd,
    get_auth_data,
    store_engine_specific,
    get_engine_specific,
    notify_io_complete,
    reserve,
    release,
});
static COOKIE_BETA1: Padded<CookieTableBeta1> = Padded::new(CookieTableBeta1 {
    get_socket_fd,
    get_auth_data,
    store_engine_specific,
    get_engine_specific,
    notify_io_complete,
    set_tap_nack_mode,
    reserve: reserve_beta1,
    release: release_beta1,
});
static ALLOCATOR: Padded<AllocatorTable> = Padded::new(AllocatorTable {
    add_new_hook: no_hook,
    remove_new_hook: no_hook,
    add_delete_hook: no_hook,
    remove_delete_hook: no_hook,
    get_extra_stats_size: no_extra_stats,
    get_allocator_stats: no_allocator_stats,
    get_allocation_size: no_allocation_size,
    get_detailed_stats: no_detailed_stats,
});
static FLAT: Padded<FlatTable> = Padded::new(FlatTable {
    get_auth_data,
    store_engine_specific,
    get_engine_specific,
    get_socket_fd,
    server_version,
    hash,
    realtime,
    notify_io_complete,
    get_current_time,
    parse_config,
    new_stats,
    release_stats,
    count_eviction: evicting,
});

/// The table of the engine that is being made, or was made last.
static SERVER: AtomicPtr<ServerTable> = AtomicPtr::new(std::ptr::null_mut());

extern "C" fn get_server_api() -> *const c_void {
    SERVER.load(Ordering::Acquire).cast_const().cast()
}

/// `get_server_api` of `2010-04`: the argument chooses a table.
extern "C" fn get_server_api_2010(which: c_int) -> *const c_void {
    match which {
        1 => (&raw const FLAT).cast(),
        2 => (&raw const EXTENSION).cast(),
        3 => (&raw const CALLBACK_WITHOUT_HANDLE).cast(),
        _ => std::ptr::null(),
    }
}

static SERVER_API: LazyLock<(usize, usize)> =
    LazyLock::new(|| (get_server_api as *const () as usize, get_server_api_2010 as *const () as usize));

/// The tables for an engine that is about to be made, complete, and the function by which it asks for them.
pub(crate) fn server_for(profile: Profile) -> (&'static ServerTable, *const c_void) {
    let cookie = match profile {
        Profile::Beta1 => CookieTables { beta1: &COOKIE_BETA1 },
        _ => CookieTables { common: &COOKIE },
    };
    let server: &'static mut ServerTable = Box::leak(Box::new(ServerTable {
        interface: 1,
        core: if profile == Profile::EnginePuCb { &CORE_WITH_SSIZE } else { &CORE },
        stat: &STAT,
        extension: &EXTENSION,
        callback: &CALLBACK,
        engine: AtomicPtr::default(),
        log: &LOG,
        cookie,
        alloc_hooks: &ALLOCATOR,
        spare: [0; super::layout::SPARE_WORDS],
    }));
    SERVER.store(server, Ordering::Release);
    let ask = if profile == Profile::Y2010M04 { SERVER_API.1 } else { SERVER_API.0 };
    (server, ask as *const c_void)
}
