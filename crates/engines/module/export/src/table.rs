//! The functions of the engine's table, as the server calls them.
//!
//! # Safety
//!
//! They are called by a server as its interface says: with the handle that `create_instance` gave, between `initialize` and
//! `destroy`; with items it holds, of this engine; with keys and buffers as long as it says; and with outputs that may be
//! written. A panic ends the process.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::slice;

use larder_engine::engine::RawResponse;
use larder_engine::reply::KeepItem;
use larder_engine::{
    Arithmetic, Delete, Direction, EngineError, ErrorKind, Expiry, Get, Initial, Key, Mode, Payload, Reply,
    Scope, StatsSink, Store,
};
use larder_module::raw::layout::{
    AddResponse, AddStat, Code, CookiePointer, EngineInfo, EngineTable, Handle, ItemInfo, ItemPointer, Piece,
    StoreOperation,
};

use crate::code::code;
use crate::entry::{self, OpenEngine};
use crate::guest::settle;
use crate::item::Exported;
use crate::server::Cookie;

/// The interface's number.
const INTERFACE: u64 = 1;

const TOUCH: u8 = 0x1c;
const GAT: u8 = 0x1d;
const GATQ: u8 = 0x1e;
/// Bytes of a request before its extras.
const HEAD: usize = 24;

pub(crate) fn table() -> EngineTable {
    EngineTable {
        interface: INTERFACE,
        get_info: get_info as *const () as usize,
        initialize: initialize as *const () as usize,
        destroy: destroy as *const () as usize,
        allocate: allocate as *const () as usize,
        remove: remove as *const () as usize,
        release: release as *const () as usize,
        get: get as *const () as usize,
        store: store as *const () as usize,
        arithmetic: arithmetic as *const () as usize,
        flush: flush as *const () as usize,
        get_stats: get_stats as *const () as usize,
        reset_stats: reset_stats as *const () as usize,
        get_stats_struct: 0,
        aggregate_stats: 0,
        unknown_command: unknown_command as *const () as usize,
        tap_notify: 0,
        get_tap_iterator: 0,
        item_set_cas: item_set_cas as *const () as usize,
        get_item_info: get_item_info as *const () as usize,
        errinfo: errinfo as *const () as usize,
    }
}

/// What the server is told: success and what came of it, an error, or that it will be notified.
fn tell<T>(
    opened: &OpenEngine,
    cookie: Cookie,
    answer: Option<Result<T, EngineError>>,
    success: impl FnOnce(T) -> Code,
) -> Code {
    match answer {
        None => Code::EWOULDBLOCK,
        Some(Ok(value)) => success(value),
        Some(Err(error)) => {
            let text = if error.kind().is_state() { String::new() } else { error.text().to_owned() };
            *opened.house.guest(cookie).words.lock() = text;
            code(&error)
        }
    }
}

unsafe extern "C" fn get_info(handle: Handle) -> *const EngineInfo {
    // SAFETY: see the module.
    unsafe { entry::instance(handle) }.info()
}

unsafe extern "C" fn initialize(handle: Handle, config: *const c_char) -> Code {
    // SAFETY: see the module; a configuration ends in NUL.
    let config = (!config.is_null()).then(|| unsafe { CStr::from_ptr(config) });
    // SAFETY: see the module.
    unsafe { entry::instance(handle) }.initialize(handle, config)
}

unsafe extern "C" fn destroy(handle: Handle, _force: bool) {
    // SAFETY: see the module.
    unsafe { entry::destroy(handle) }
}

unsafe extern "C" fn allocate(
    handle: Handle,
    _cookie: CookiePointer,
    out: *mut ItemPointer,
    key: *const c_void,
    key_length: usize,
    length: usize,
    flags: c_int,
    exptime: u32,
) -> Code {
    // SAFETY: see the module.
    let (opened, key) = unsafe { (entry::engine(handle), bytes(key, key_length)) };
    if length as u64 > opened.description.item_size_max {
        return Code::E2BIG;
    }
    // The server hands over the four bytes of the network.
    let flags = u32::from_be(flags as u32);
    let expiry = opened.house.server.expiry(exptime);
    let Some(item) = Exported::fresh(key, length, flags, expiry) else { return Code::ENOMEM };
    // SAFETY: see the module.
    unsafe { *out = Box::into_raw(Box::new(item)).cast() };
    Code::SUCCESS
}

unsafe extern "C" fn release(_handle: Handle, _cookie: CookiePointer, item: ItemPointer) {
    // SAFETY: see the module: each item was boxed by `allocate` or `get`, and is given back once.
    drop(unsafe { Box::from_raw(item.cast::<Exported>()) });
}

unsafe extern "C" fn item_set_cas(_handle: Handle, _cookie: CookiePointer, item: ItemPointer, cas: u64) {
    // SAFETY: see the module; nobody else has the item.
    unsafe { &mut *item.cast::<Exported>() }.cas = cas;
}

unsafe extern "C" fn get_item_info(
    handle: Handle,
    _cookie: CookiePointer,
    item: ItemPointer,
    info: *mut ItemInfo,
) -> bool {
    // SAFETY: see the module; nobody else has the item.
    let (opened, item) = unsafe { (entry::engine(handle), &*item.cast::<Exported>()) };
    // SAFETY: the structure is the server's, with room for as many pieces as it says.
    let (room, places) = unsafe { (usize::from((*info).nvalue), (&raw mut (*info).value).cast::<Piece>()) };
    let mut used = 0;
    item.pieces(|start, length| {
        if used < room {
            let piece = Piece { iov_base: start.cast_mut().cast(), iov_len: length };
            // SAFETY: below the room there is.
            unsafe { places.add(used).write(piece) };
        }
        used += 1;
    });
    if used > room {
        return false;
    }
    // SAFETY: as above.
    let info = unsafe { &mut *info };
    info.cas = item.cas;
    info.exptime = opened.house.server.relative(item.expiry);
    info.nbytes = item.len() as u32;
    info.flags = item.flags.to_be();
    info.clsid = 0;
    info.nkey = item.key.len() as u16;
    info.nvalue = used as u16;
    info.key = item.key.as_ptr().cast();
    true
}

unsafe extern "C" fn get(
    handle: Handle,
    cookie: CookiePointer,
    out: *mut ItemPointer,
    key: *const c_void,
    key_length: c_int,
    _vbucket: u16,
) -> Code {
    let Some(cookie) = Cookie::new(cookie) else { return Code::FAILED };
    // SAFETY: see the module.
    let (opened, key) = unsafe { (entry::engine(handle), bytes(key, key_length as usize)) };
    let wanted: Box<[u8]> = key.into();
    let answer = opened.house.ask(cookie, move |engine, context| {
        let mut kept = KeepItem::default();
        settle(match engine.get(context, Key::routed(&wanted, 0), &Get::plain(), &mut kept) {
            Reply::Ready(answer) => Reply::Ready(answer.map(|found| found.and(kept.0))),
            Reply::Pending(operation) => Reply::Pending(operation),
        })
    });
    tell(opened, cookie, answer, |found| {
        let Some(item) = found else { return Code::KEY_ENOENT };
        // SAFETY: see the module.
        unsafe { *out = Box::into_raw(Box::new(Exported::found(key, item))).cast() };
        Code::SUCCESS
    })
}

unsafe extern "C" fn store(
    handle: Handle,
    cookie: CookiePointer,
    item: ItemPointer,
    cas: *mut u64,
    operation: c_int,
    _vbucket: u16,
) -> Code {
    let Some(cookie) = Cookie::new(cookie) else { return Code::FAILED };
    // SAFETY: see the module; nobody else has the item.
    let (opened, item) = unsafe { (entry::engine(handle), &mut *item.cast::<Exported>()) };
    let Some((mode, compares)) = mode(operation) else { return Code::EINVAL };
    let compare = (compares && (item.cas != 0 || mode == Mode::Set)).then_some(item.cas);
    let (key, flags, expiry, value) = (item.key.clone(), item.flags, item.expiry, item.seal());
    let answer = opened.house.ask(cookie, move |engine, context| {
        let set = Store::set(Key::routed(&key, 0), flags, expiry, Payload::Owned(value));
        settle(engine.store(context, Store { mode, compare, ..set }))
    });
    tell(opened, cookie, answer, |stored| {
        item.cas = stored.cas;
        // SAFETY: see the module.
        unsafe { *cas = stored.cas };
        Code::SUCCESS
    })
}

/// What an operation means, and whether the item's CAS counts.
fn mode(operation: c_int) -> Option<(Mode, bool)> {
    const fn number(operation: StoreOperation) -> c_int {
        operation as c_int
    }
    const ADD: c_int = number(StoreOperation::Add);
    const SET: c_int = number(StoreOperation::Set);
    const REPLACE: c_int = number(StoreOperation::Replace);
    const APPEND: c_int = number(StoreOperation::Append);
    const PREPEND: c_int = number(StoreOperation::Prepend);
    const CAS: c_int = number(StoreOperation::Cas);
    match operation {
        ADD => Some((Mode::Add, false)),
        SET => Some((Mode::Set, false)),
        REPLACE => Some((Mode::Replace, false)),
        APPEND => Some((Mode::Append, true)),
        PREPEND => Some((Mode::Prepend, true)),
        CAS => Some((Mode::Set, true)),
        _ => None,
    }
}

unsafe extern "C" fn remove(
    handle: Handle,
    cookie: CookiePointer,
    key: *const c_void,
    key_length: usize,
    cas: u64,
    _vbucket: u16,
) -> Code {
    let Some(cookie) = Cookie::new(cookie) else { return Code::FAILED };
    // SAFETY: see the module.
    let (opened, key) = unsafe { (entry::engine(handle), bytes(key, key_length)) };
    let key: Box<[u8]> = key.into();
    let answer = opened.house.ask(cookie, move |engine, context| {
        let delete = Delete { compare: (cas != 0).then_some(cas), ..Delete::default() };
        settle(engine.delete(context, Key::routed(&key, 0), &delete))
    });
    tell(opened, cookie, answer, |_| Code::SUCCESS)
}

unsafe extern "C" fn arithmetic(
    handle: Handle,
    cookie: CookiePointer,
    key: *const c_void,
    key_length: c_int,
    increment: u8,
    create: u8,
    delta: u64,
    initial: u64,
    exptime: u32,
    cas: *mut u64,
    result: *mut u64,
    _vbucket: u16,
) -> Code {
    let Some(cookie) = Cookie::new(cookie) else { return Code::FAILED };
    // SAFETY: see the module.
    let (opened, key) = unsafe { (entry::engine(handle), bytes(key, key_length as usize)) };
    let expiry = opened.house.server.expiry(exptime);
    let arithmetic = Arithmetic {
        direction: if increment != 0 { Direction::Increment } else { Direction::Decrement },
        delta,
        initial: (create != 0).then_some(Initial { value: initial, expiry }),
        compare: None,
        new_cas: None,
        expiry: None,
    };
    let key: Box<[u8]> = key.into();
    let answer = opened.house.ask(cookie, move |engine, context| {
        settle(engine.arithmetic(context, Key::routed(&key, 0), &arithmetic))
    });
    tell(opened, cookie, answer, |number| {
        // SAFETY: see the module.
        unsafe {
            *cas = number.cas;
            *result = number.value;
        }
        Code::SUCCESS
    })
}

unsafe extern "C" fn flush(handle: Handle, cookie: CookiePointer, when: i64) -> Code {
    let Some(cookie) = Cookie::new(cookie) else { return Code::FAILED };
    // SAFETY: see the module.
    let opened = unsafe { entry::engine(handle) };
    let when = opened.house.server.when(when);
    let answer =
        opened.house.ask(cookie, move |engine, context| settle(engine.flush(context, Scope::All, when)));
    tell(opened, cookie, answer, |_| Code::SUCCESS)
}

/// Hands lines on to the server.
struct Lines {
    add: AddStat,
    cookie: Cookie,
}

impl StatsSink for Lines {
    fn stat(&mut self, name: &str, value: &dyn std::fmt::Display) {
        let value = value.to_string();
        let name_length = name.len().min(usize::from(u16::MAX));
        let pointer = self.cookie.pointer();
        (self.add)(
            name.as_ptr().cast(),
            name_length as u16,
            value.as_ptr().cast(),
            value.len() as u32,
            pointer,
        );
    }
}

unsafe extern "C" fn get_stats(
    handle: Handle,
    cookie: CookiePointer,
    group: *const c_char,
    group_length: c_int,
    add: AddStat,
) -> Code {
    let Some(cookie) = Cookie::new(cookie) else { return Code::FAILED };
    // SAFETY: see the module.
    let opened = unsafe { entry::engine(handle) };
    if !group.is_null() && group_length > 0 {
        return Code::KEY_ENOENT;
    }
    let mut lines = Lines { add, cookie };
    let memory = opened.house.engine.memory_use();
    lines.stat("curr_items", &memory.items);
    lines.stat("bytes", &memory.bytes);
    lines.count("evictions", memory.evictions);
    opened.house.engine.stats(&mut lines);
    Code::SUCCESS
}

unsafe extern "C" fn reset_stats(handle: Handle, _cookie: CookiePointer) {
    // SAFETY: see the module.
    unsafe { entry::engine(handle) }.house.engine.reset_stats();
}

unsafe extern "C" fn unknown_command(
    handle: Handle,
    cookie: CookiePointer,
    request: *mut c_void,
    add: AddResponse,
) -> Code {
    let Some(cookie) = Cookie::new(cookie) else { return Code::FAILED };
    // SAFETY: see the module: a request is as long as its head says.
    let (opened, request) = unsafe {
        let head = bytes(request, HEAD);
        let body = u32::from_be_bytes([head[8], head[9], head[10], head[11]]);
        (entry::engine(handle), bytes(request, HEAD + body as usize))
    };
    let opcode = request[1];
    if matches!(opcode, TOUCH | GAT | GATQ) {
        return touch(opened, cookie, request, add);
    }
    if !opened.description.raw_commands {
        return Code::ENOTSUP;
    }
    let request: Box<[u8]> = request.into();
    let answer =
        opened.house.ask(cookie, move |engine, context| settle(engine.raw_command(context, &request)));
    tell(opened, cookie, answer, |responses| {
        responses.iter().for_each(|response| respond(add, cookie, response));
        Code::SUCCESS
    })
}

fn respond(add: AddResponse, cookie: Cookie, response: &RawResponse) {
    let RawResponse { key, extras, body, .. } = response;
    add(
        key.as_ptr().cast(),
        key.len() as u16,
        extras.as_ptr().cast(),
        extras.len() as u8,
        body.as_ptr().cast(),
        body.len() as u32,
        response.data_type,
        response.status,
        response.cas,
        cookie.pointer(),
    );
}

/// TOUCH, GAT and GATQ: four bytes of extras, a key.
fn touch(opened: &OpenEngine, cookie: Cookie, request: &[u8], add: AddResponse) -> Code {
    let key_length = usize::from(u16::from_be_bytes([request[2], request[3]]));
    let (4, Some(key), false) = (request[4], request.get(HEAD + 4..HEAD + 4 + key_length), key_length == 0)
    else {
        return Code::EINVAL;
    };
    let exptime =
        u32::from_be_bytes([request[HEAD], request[HEAD + 1], request[HEAD + 2], request[HEAD + 3]]);
    let expiry: Expiry = opened.house.server.expiry(exptime);
    let (opcode, key): (u8, Box<[u8]>) = (request[1], key.into());
    let answer = opened.house.ask(cookie, move |engine, context| {
        let mut kept = KeepItem::default();
        let get = Get { touch: Some(expiry), ..Get::plain() };
        settle(match engine.get(context, Key::routed(&key, 0), &get, &mut kept) {
            Reply::Ready(answer) => Reply::Ready(answer.map(|found| found.and(kept.0))),
            Reply::Pending(operation) => Reply::Pending(operation),
        })
    });
    let found = answer.map(|answer| answer.and_then(|found| found.ok_or_else(|| ErrorKind::NotFound.into())));
    let code = tell(opened, cookie, found, |item| {
        let has_value = opcode != TOUCH;
        let response = RawResponse {
            cas: item.found.cas,
            extras: if has_value { item.found.flags.to_be_bytes().to_vec() } else { Vec::new() },
            body: if has_value { item.value.whole().to_vec() } else { Vec::new() },
            ..RawResponse::default()
        };
        respond(add, cookie, &response);
        Code::SUCCESS
    });
    // A quiet command says nothing of a miss.
    if opcode == GATQ && code == Code::KEY_ENOENT { Code::SUCCESS } else { code }
}

unsafe extern "C" fn errinfo(
    handle: Handle,
    cookie: CookiePointer,
    buffer: *mut c_char,
    room: usize,
) -> usize {
    let Some(cookie) = Cookie::new(cookie) else { return 0 };
    // SAFETY: see the module.
    let opened = unsafe { entry::engine(handle) };
    let guest = opened.house.guest(cookie);
    let words = guest.words.lock();
    let length = words.len().min(room);
    // SAFETY: the buffer has that room, and is nobody's but the caller's.
    unsafe { ptr::copy_nonoverlapping(words.as_ptr(), buffer.cast(), length) };
    length
}

/// # Safety
/// `start` leads to `length` bytes that stay while the server's call lasts.
unsafe fn bytes<'a>(start: *const c_void, length: usize) -> &'a [u8] {
    if length == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts(start.cast(), length) }
}
