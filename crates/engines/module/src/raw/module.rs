//! One loaded engine: its checked table, and its functions as safe calls.
//!
//! What a function needs to be called soundly is here: the handle is alive, the cookie is ours and open, keys end in a
//! zero byte, output words are preset, and what comes back is checked before anything is made of it.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::block;
use super::cookie::Cookie;
use super::host;
use super::layout::{
    self, Code, EngineInfo, EngineTable, Event, EventCallback, Handle, ItemInfo, ItemPointer, Piece,
    StoreOperation,
};
use super::library::Library;
use crate::Profile;
use crate::session::Tally;

/// Pieces of a value asked for at first, and at most.
const PIECES_FEW: usize = 8;
const PIECES_MAX: usize = 1024;

/// Bytes of a description that are looked at.
const DESCRIPTION_BYTES_MAX: usize = 256;

/// Features that are looked at.
const FEATURES_MAX: usize = 64;

/// The functions of an engine, those that may be missing as options.
struct Functions {
    get_info: layout::GetInfo,
    initialize: layout::Initialize,
    destroy: layout::Destroy,
    allocate: layout::Allocate,
    remove: layout::Remove,
    release: layout::Release,
    get: layout::Get,
    store: layout::Store,
    flush: layout::Flush,
    get_stats: layout::GetStats,
    reset_stats: layout::ResetStats,
    item_set_cas: usize,
    get_item_info: usize,
    arithmetic: Option<layout::Arithmetic>,
    get_stats_struct: Option<layout::GetStatsStruct>,
    aggregate_stats: Option<layout::AggregateStats>,
    unknown_command: Option<layout::UnknownCommand>,
    errinfo: Option<layout::ErrInfo>,
}

/// What may go wrong between opening a library and having an engine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Refusal(pub(crate) String);

/// A callback for an event.
#[derive(Clone, Copy)]
struct Registered {
    event: c_int,
    callback: EventCallback,
    data: usize,
}

/// A loaded engine. Lives for ever, as its library does.
pub(crate) struct Module {
    /// What it is called in messages.
    pub(crate) name: String,
    pub(crate) profile: Profile,
    /// Its place among the modules of this process.
    pub(crate) id: u64,
    handle: usize,
    /// Where its library's entry point is.
    entry: usize,
    functions: Functions,
    /// Newest last.
    callbacks: Mutex<Vec<Registered>>,
    /// By event: whether there is any, so that nobody looks in vain.
    has_callback: [AtomicBool; Event::COUNT],
    /// Somebody asked for counters to be reset, which takes a cookie: the next one that comes along.
    pub(crate) reset_wanted: AtomicBool,
    /// Set once `destroy` has been called: nothing of the engine may be touched.
    destroyed: AtomicBool,
    pub(crate) counters: ModuleCounters,
    pub(crate) tally: Tally,
}

/// What happened at the border, since the start or the last reset.
#[derive(Default)]
pub(crate) struct ModuleCounters {
    /// Calls that were to be answered later.
    pub(crate) blocked: AtomicU64,
    /// Notifications nobody had asked for.
    pub(crate) unasked: AtomicU64,
    /// Answers that break the interface's rules.
    pub(crate) breaches: AtomicU64,
    /// Evictions that the engine reported.
    pub(crate) evictions: AtomicU64,
}

/// What an engine says of an item. The pieces are the engine's, for as long as the reference is held.
pub(crate) struct Described<'a> {
    pub(crate) cas: u64,
    /// Seconds of the server's own clock; 0 is never.
    pub(crate) exptime: u32,
    /// As they were given, in network byte order.
    pub(crate) flags: u32,
    pub(crate) pieces: &'a [&'a [u8]],
}

/// A place for one key with the zero byte that engines may rely on.
pub(crate) struct KeyBuffer {
    bytes: [MaybeUninit<u8>; larder_engine::key::KEY_LENGTH_MAX + 1],
    length: usize,
}

impl KeyBuffer {
    /// A copy of `key`, which is not longer than keys may be.
    #[inline]
    pub(crate) fn new(key: &[u8]) -> KeyBuffer {
        let mut bytes = [MaybeUninit::uninit(); larder_engine::key::KEY_LENGTH_MAX + 1];
        let length = key.len().min(larder_engine::key::KEY_LENGTH_MAX);
        for (to, from) in bytes.iter_mut().zip(&key[..length]) {
            to.write(*from);
        }
        bytes[length].write(0);
        KeyBuffer { bytes, length }
    }

    #[inline]
    fn pointer(&self) -> *const c_void {
        self.bytes.as_ptr().cast()
    }

    /// The key.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: `new` wrote the first `length` bytes.
        unsafe { std::slice::from_raw_parts(self.bytes.as_ptr().cast(), self.length) }
    }
}

/// What an incr or decr is called with.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    pub(crate) increment: bool,
    pub(crate) create: bool,
    pub(crate) delta: u64,
    pub(crate) initial: u64,
    /// The client's number.
    pub(crate) exptime: u32,
}

impl Module {
    /// Creates the engine of a library and checks what it is. `stage` is told which of its functions comes next.
    pub(crate) fn create(
        library: &Library,
        name: String,
        profile: Profile,
        checks_slots: bool,
        stage: impl Fn(&'static str),
    ) -> Result<&'static Module, Refusal> {
        let id = host::next_module_id();
        let (server, get_server_api) = host::server_for(profile);
        let mut handle: Handle = std::ptr::null_mut();
        stage("create_instance");
        // SAFETY: the function is the library's entry point, the second argument is a function of the profile's kind, the
        // third a word to write to.
        let code = unsafe { (library.create_instance())(1, get_server_api, &mut handle) };
        if code != Code::SUCCESS {
            return Err(Refusal(format!(
                "create_instance failed with {}: {}",
                hexadecimal(code),
                meaning(code)
            )));
        }
        if handle.is_null() || !handle.cast::<u64>().is_aligned() {
            return Err(Refusal("create_instance says success, but gives no handle".into()));
        }
        // SAFETY: a handle begins with the engine's table, whose first word every profile has.
        let interface = unsafe { handle.cast::<u64>().read() };
        if interface != 1 {
            return Err(Refusal(format!(
                "its interface has the number {interface}, but this server speaks 1: it was built for another server"
            )));
        }
        let table = read_table(handle, profile);
        let has_code = |address: usize| !checks_slots || library.has_code_at(address);
        let functions = match check(&table, &has_code, &name) {
            Ok(functions) => functions,
            Err(refusal) => {
                if table.destroy != 0 && has_code(table.destroy) {
                    stage("destroy");
                    // SAFETY: the slot points into the library's code, and the handle is what it made.
                    unsafe { std::mem::transmute::<usize, layout::Destroy>(table.destroy)(handle, false) };
                }
                return Err(refusal);
            }
        };
        server.engine.store(handle, Ordering::Release);
        let module: &'static Module = Box::leak(Box::new(Module {
            name,
            profile,
            id,
            handle: handle as usize,
            entry: library.create_instance() as usize,
            functions,
            callbacks: Mutex::default(),
            has_callback: Default::default(),
            reset_wanted: AtomicBool::new(false),
            destroyed: AtomicBool::new(false),
            counters: ModuleCounters::default(),
            tally: Tally::default(),
        }));
        host::add_module(module);
        Ok(module)
    }

    fn handle(&self) -> Handle {
        self.handle as Handle
    }

    /// Whether this is the engine with that handle.
    pub(crate) fn has_handle(&self, handle: Handle) -> bool {
        self.handle == handle as usize
    }

    /// Whether it was made by the library with this entry point.
    pub(crate) fn has_entry(&self, entry: usize) -> bool {
        self.entry == entry
    }

    /// Whether the engine is gone.
    pub(crate) fn is_destroyed(&self) -> bool {
        self.destroyed.load(Ordering::Acquire)
    }

    /// `initialize`, once.
    pub(crate) fn initialize(&self, config: Option<&CStr>) -> Code {
        let config = config.map_or(std::ptr::null(), CStr::as_ptr);
        // SAFETY: the handle is alive; the text ends in a zero byte and outlives the call.
        unsafe { (self.functions.initialize)(self.handle(), config) }
    }

    /// `destroy`, once; nothing else may be called after it.
    pub(crate) fn destroy(&self) {
        if !self.destroyed.swap(true, Ordering::AcqRel) {
            host::remove_module(self);
            // SAFETY: the handle is alive until now; every caller looks at `destroyed` before it touches the engine.
            unsafe { (self.functions.destroy)(self.handle(), false) };
        }
    }

    /// What the engine calls itself; empty if it does not say. Copied at once, for it may vanish.
    pub(crate) fn description(&self) -> String {
        // SAFETY: the handle is alive.
        let info = unsafe { (self.functions.get_info)(self.handle()) };
        if info.is_null() || !info.is_aligned() {
            return String::new();
        }
        // SAFETY: not null; an engine that answers with a structure answers with this one.
        let description = unsafe { (*info).description };
        copy_text(description, DESCRIPTION_BYTES_MAX)
    }

    /// The numbers of the features it says it has.
    pub(crate) fn features(&self) -> Vec<u32> {
        // SAFETY: the handle is alive.
        let info: *const EngineInfo = unsafe { (self.functions.get_info)(self.handle()) };
        if info.is_null() || !info.is_aligned() {
            return Vec::new();
        }
        // SAFETY: not null; the count and the array behind it belong to the structure.
        unsafe {
            let count = ((*info).num_features as usize).min(FEATURES_MAX);
            let features = (&raw const (*info).features).cast::<layout::FeatureInfo>();
            (0..count).map(|at| (*features.add(at)).feature).collect()
        }
    }

    /// A call is to be answered later.
    pub(crate) fn count_blocked(&self) {
        self.counters.blocked.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether it has an incr and decr of its own.
    pub(crate) fn has_arithmetic(&self) -> bool {
        self.functions.arithmetic.is_some()
    }

    /// Whether it keeps counters for tenants.
    #[inline]
    pub(crate) fn has_tenants(&self) -> bool {
        self.functions.get_stats_struct.is_some()
    }

    /// Whether it knows commands of its own.
    pub(crate) fn has_unknown_command(&self) -> bool {
        self.functions.unknown_command.is_some()
    }
}

/// The functions that keep items.
impl Module {
    /// `allocate`
    pub(crate) fn allocate(
        &self,
        cookie: &'static Cookie,
        key: &KeyBuffer,
        length: usize,
        flags: u32,
        exptime: u32,
        item: &mut ItemPointer,
    ) -> Code {
        *item = std::ptr::null_mut();
        let length = if self.profile == Profile::Y2010M04 { length + 2 } else { length };
        // SAFETY: handle and cookie are alive, the key is as long as said and ends in a zero byte, `item` is a word.
        unsafe {
            (self.functions.allocate)(
                self.handle(),
                cookie.pointer(),
                item,
                key.pointer(),
                key.length,
                length,
                flags as c_int,
                exptime,
            )
        }
    }

    /// `get`
    #[inline]
    pub(crate) fn get(&self, cookie: &'static Cookie, key: &KeyBuffer, item: &mut ItemPointer) -> Code {
        *item = std::ptr::null_mut();
        // SAFETY: as for `allocate`.
        unsafe {
            (self.functions.get)(self.handle(), cookie.pointer(), item, key.pointer(), key.length as c_int, 0)
        }
    }

    /// `store`
    pub(crate) fn store(
        &self,
        cookie: &'static Cookie,
        item: ItemPointer,
        operation: StoreOperation,
        cas: &mut u64,
    ) -> Code {
        *cas = 0;
        // SAFETY: handle and cookie are alive, the item is one that the engine handed out and that is still held.
        unsafe { (self.functions.store)(self.handle(), cookie.pointer(), item, cas, operation as c_int, 0) }
    }

    /// `remove`
    pub(crate) fn remove(&self, cookie: &'static Cookie, key: &KeyBuffer, cas: u64) -> Code {
        // SAFETY: as for `allocate`.
        unsafe { (self.functions.remove)(self.handle(), cookie.pointer(), key.pointer(), key.length, cas, 0) }
    }

    /// `release`
    #[inline]
    pub(crate) fn release(&self, cookie: &'static Cookie, item: ItemPointer) {
        if self.is_destroyed() {
            return;
        }
        // SAFETY: handle and cookie are alive; the reference is the caller's to give back.
        unsafe { (self.functions.release)(self.handle(), cookie.pointer(), item) }
    }

    /// `item_set_cas`
    pub(crate) fn set_cas(&self, cookie: &'static Cookie, item: ItemPointer, cas: u64) {
        // SAFETY: `check` saw that the slot is code of the engine, of the profile's kind; the item is held.
        unsafe {
            if self.profile == Profile::Y2010M04 {
                let set = std::mem::transmute::<usize, layout::ItemSetCasWithoutCookie>(
                    self.functions.item_set_cas,
                );
                set(self.handle(), item, cas);
            } else {
                let set = std::mem::transmute::<usize, layout::ItemSetCas>(self.functions.item_set_cas);
                set(self.handle(), cookie.pointer(), item, cas);
            }
        }
    }

    /// `arithmetic`; `None` if the engine has none.
    pub(crate) fn arithmetic(
        &self,
        cookie: &'static Cookie,
        key: &KeyBuffer,
        step: &Step,
        cas: &mut u64,
        result: &mut u64,
    ) -> Option<Code> {
        let arithmetic = self.functions.arithmetic?;
        (*cas, *result) = (0, 0);
        // SAFETY: as for `allocate`.
        Some(unsafe {
            arithmetic(
                self.handle(),
                cookie.pointer(),
                key.pointer(),
                key.length as c_int,
                step.increment,
                step.create,
                step.delta,
                step.initial,
                step.exptime,
                cas,
                result,
                0,
            )
        })
    }

    /// `flush`
    pub(crate) fn flush(&self, cookie: &'static Cookie, when: i64) -> Code {
        // SAFETY: handle and cookie are alive.
        unsafe { (self.functions.flush)(self.handle(), cookie.pointer(), when) }
    }

    /// `get_stats`; the lines come to [`Cookie::said`]. An empty group asks for the general ones.
    pub(crate) fn get_stats(&self, cookie: &'static Cookie, group: &CString) -> Code {
        let length = group.as_bytes().len();
        let text: *const c_char = if length == 0 { std::ptr::null() } else { group.as_ptr() };
        // SAFETY: handle and cookie are alive; the text is as long as said and ends in a zero byte.
        unsafe {
            (self.functions.get_stats)(self.handle(), cookie.pointer(), text, length as c_int, host::add_stat)
        }
    }

    /// `reset_stats`
    pub(crate) fn reset_stats(&self, cookie: &'static Cookie) {
        // SAFETY: handle and cookie are alive.
        unsafe { (self.functions.reset_stats)(self.handle(), cookie.pointer()) }
    }

    /// `get_stats_struct`; null if no block counts for this connection.
    pub(crate) fn stats_block(&self, cookie: &'static Cookie) -> *mut c_void {
        let Some(get_stats_struct) = self.functions.get_stats_struct else { return std::ptr::null_mut() };
        // SAFETY: handle and cookie are alive.
        unsafe { get_stats_struct(self.handle(), cookie.pointer()) }
    }

    /// `aggregate_stats`; `None` if the engine has none.
    pub(crate) fn sum_of_blocks(&self, cookie: &'static Cookie) -> Option<(Code, block::Values)> {
        let aggregate_stats = self.functions.aggregate_stats?;
        let mut sums = block::Values::default();
        // SAFETY: handle and cookie are alive; the sums outlive the call.
        let code = unsafe {
            aggregate_stats(self.handle(), cookie.pointer(), block::add_up, (&raw mut sums).cast())
        };
        Some((code, sums))
    }

    /// `unknown_command`; the responses come to [`Cookie::said`]. `None` if the engine has none.
    pub(crate) fn unknown_command(&self, cookie: &'static Cookie, request: &mut [u8]) -> Option<Code> {
        let unknown_command = self.functions.unknown_command?;
        debug_assert!(request.len() >= 24, "a request has a header");
        // SAFETY: handle and cookie are alive; the request is whole, writable, and outlives the call.
        Some(unsafe {
            unknown_command(self.handle(), cookie.pointer(), request.as_mut_ptr().cast(), host::add_response)
        })
    }

    /// What the engine has to say about the last error; empty if it has nothing.
    pub(crate) fn error_text(&self, cookie: &'static Cookie) -> String {
        let Some(errinfo) = self.functions.errinfo else { return String::new() };
        let mut buffer = [0u8; 256];
        // SAFETY: handle and cookie are alive; the buffer is as long as said.
        let length =
            unsafe { errinfo(self.handle(), cookie.pointer(), buffer.as_mut_ptr().cast(), buffer.len()) };
        String::from_utf8_lossy(&buffer[..length.min(buffer.len())]).trim_end_matches('\0').to_owned()
    }

    fn item_info(&self, cookie: &'static Cookie, item: ItemPointer, info: *mut ItemInfo) -> bool {
        // SAFETY: `check` saw that the slot is code of the engine, of the profile's kind; the item is held, and `info` has
        // as much room behind it as it says.
        unsafe {
            if self.profile == Profile::Y2010M04 {
                let get = std::mem::transmute::<usize, layout::GetItemInfoWithoutCookie>(
                    self.functions.get_item_info,
                );
                get(self.handle(), item, info) != 0
            } else {
                let get = std::mem::transmute::<usize, layout::GetItemInfo>(self.functions.get_item_info);
                get(self.handle(), cookie.pointer(), item, info) != 0
            }
        }
    }

    /// Reads an item that is held. `read` gets what the engine says, or `None` if that breaks the rules.
    #[inline]
    pub(crate) fn read<T>(
        &self,
        cookie: &'static Cookie,
        key: &KeyBuffer,
        item: ItemPointer,
        read: impl FnOnce(Result<Described<'_>, &'static str>) -> T,
    ) -> T {
        let mut info = blank_info::<PIECES_FEW>();
        if self.item_info(cookie, item, (&raw mut info).cast()) {
            let mut pieces = [&[][..]; PIECES_FEW];
            return read(self.describe(key, &info, &mut pieces));
        }
        self.read_many_pieces(cookie, key, item, read)
    }

    #[cold]
    fn read_many_pieces<T>(
        &self,
        cookie: &'static Cookie,
        key: &KeyBuffer,
        item: ItemPointer,
        read: impl FnOnce(Result<Described<'_>, &'static str>) -> T,
    ) -> T {
        let mut info = Box::new(blank_info::<PIECES_MAX>());
        if !self.item_info(cookie, item, (&raw mut *info).cast()) {
            return read(Err("get_item_info: refused to describe an item with room for 1024 pieces"));
        }
        let mut pieces = vec![&[][..]; PIECES_MAX];
        read(self.describe(key, &info, &mut pieces))
    }

    /// What `get_item_info` said, checked.
    #[inline]
    fn describe<'a, const N: usize>(
        &self,
        key: &KeyBuffer,
        info: &ItemInfo<N>,
        pieces: &'a mut [&'a [u8]],
    ) -> Result<Described<'a>, &'static str> {
        if usize::from(info.nkey) != key.length || info.key.is_null() {
            return Err("get_item_info: it describes an item of another key");
        }
        // SAFETY: the engine says that its key is as long as the one asked for.
        let named = unsafe { std::slice::from_raw_parts(info.key.cast::<u8>(), key.length) };
        if named != key.bytes() {
            return Err("get_item_info: it describes an item of another key");
        }
        let count = usize::from(info.nvalue);
        if count > N {
            return Err("get_item_info: says it used more pieces than it was offered");
        }
        let mut length = 0usize;
        for (place, piece) in pieces.iter_mut().zip(&info.value[..count]) {
            // SAFETY: the structure was zeroed, which is a valid piece.
            let Piece { iov_base, iov_len } = unsafe { piece.assume_init() };
            if iov_len == 0 {
                *place = &[];
                continue;
            }
            if iov_base.is_null() {
                return Err("get_item_info: a piece of a value has a length but no address");
            }
            length = length.saturating_add(iov_len);
            if length > info.nbytes as usize {
                return Err("get_item_info: the pieces of a value are longer than nbytes");
            }
            // SAFETY: the engine says that so many bytes are there, and they stay while the item is held.
            *place = unsafe { std::slice::from_raw_parts(iov_base.cast(), iov_len) };
        }
        if length != info.nbytes as usize {
            return Err("get_item_info: the pieces of a value are shorter than nbytes");
        }
        let count = match self.profile {
            Profile::Y2010M04 => cut_line_end(&mut pieces[..count])?,
            _ => count,
        };
        Ok(Described { cas: info.cas, exptime: info.exptime, flags: info.flags, pieces: &pieces[..count] })
    }

    /// Writes a value into an item that was just allocated.
    ///
    /// # Errors
    /// The rule that the engine breaks.
    pub(crate) fn fill(
        &self,
        cookie: &'static Cookie,
        item: ItemPointer,
        value: &[u8],
    ) -> Result<(), &'static str> {
        let mut info = blank_info::<1>();
        if !self.item_info(cookie, item, &raw mut info) {
            return Err("get_item_info: refused to describe a new item with room for one piece");
        }
        if info.nvalue == 0 && value.is_empty() && self.profile != Profile::Y2010M04 {
            return Ok(());
        }
        // SAFETY: the structure was zeroed, which is a valid piece.
        let Piece { iov_base, iov_len } = unsafe { info.value[0].assume_init() };
        let line_end: &[u8] = if self.profile == Profile::Y2010M04 { b"\r\n" } else { b"" };
        let length = value.len() + line_end.len();
        if info.nvalue != 1 || iov_len < length || (iov_base.is_null() && length > 0) {
            return Err("get_item_info: the one piece of a new item is shorter than was allocated");
        }
        if length > 0 {
            // SAFETY: the engine says that the piece has room for so many bytes, and until `store` they are the server's to
            // write; the value cannot overlap memory that was just allocated.
            unsafe {
                std::ptr::copy_nonoverlapping(value.as_ptr(), iov_base.cast(), value.len());
                std::ptr::copy_nonoverlapping(
                    line_end.as_ptr(),
                    iov_base.cast::<u8>().add(value.len()),
                    line_end.len(),
                );
            }
        }
        Ok(())
    }
}

/// Events.
impl Module {
    /// The engine wants to hear of an event.
    pub(crate) fn register(&self, event: c_int, callback: EventCallback, data: *const c_void) {
        let Some(flag) = usize::try_from(event).ok().and_then(|event| self.has_callback.get(event)) else {
            return;
        };
        self.callbacks.lock().push(Registered { event, callback, data: data as usize });
        flag.store(true, Ordering::Release);
    }

    /// Whether the engine wants to hear of it.
    #[inline]
    pub(crate) fn hears(&self, event: Event) -> bool {
        self.has_callback[event as usize].load(Ordering::Acquire)
    }

    /// Tells the engine of an event, newest callback first.
    pub(crate) fn tell(&self, event: c_int, cookie: Option<&'static Cookie>, data: *const c_void) {
        if self.is_destroyed() {
            return;
        }
        // A copy: a callback may register another.
        let callbacks: Vec<Registered> = self.callbacks.lock().clone();
        let pointer = cookie.map_or(std::ptr::null(), |cookie| cookie.pointer());
        for registered in callbacks.iter().rev().filter(|registered| registered.event == event) {
            // SAFETY: the engine gave the function and its data for this; the cookie is alive, and so is the event's data.
            unsafe { (registered.callback)(pointer, event, data, registered.data as *const c_void) };
        }
    }
}

/// The engine's table as words. What lies behind the last slot of its profile is not read.
fn read_table(handle: Handle, profile: Profile) -> EngineTable {
    let mut words = [0usize; size_of::<EngineTable>() / size_of::<usize>()];
    let count = words.len() - usize::from(profile == Profile::Y2010M04);
    // SAFETY: a handle begins with the engine's table, which has so many words in this profile.
    unsafe { std::ptr::copy_nonoverlapping(handle.cast::<usize>(), words.as_mut_ptr(), count) };
    // SAFETY: a table is nothing but words.
    unsafe { std::mem::transmute::<[usize; 21], EngineTable>(words) }
}

/// From words to functions: required ones must be there, and those that are must be the engine's own code.
fn check(table: &EngineTable, has_code: &dyn Fn(usize) -> bool, name: &str) -> Result<Functions, Refusal> {
    let required = |slot: &'static str, address: usize| match address {
        0 => Err(Refusal(format!("the slot `{slot}` of its table is empty, but every engine must have it"))),
        address if !has_code(address) => Err(Refusal(format!(
            "the slot `{slot}` of its table does not point into the module's own code; if it borrows that function from \
             another library, add slots=unchecked"
        ))),
        address => Ok(address),
    };
    let optional = |slot: &'static str, address: usize| match address {
        0 => None,
        address if has_code(address) => Some(address),
        _ => {
            tracing::warn!(
                "module {name}: the slot `{slot}` does not point into the module's own code and is taken as empty; if it \
                 borrows that function from another library, add slots=unchecked"
            );
            None
        }
    };
    // Looked at for the warning only: this server offers neither.
    let _tap_notify = optional("tap_notify", table.tap_notify);
    let _tap_iterator = optional("get_tap_iterator", table.get_tap_iterator);
    let item_set_cas = required("item_set_cas", table.item_set_cas)?;
    let get_item_info = required("get_item_info", table.get_item_info)?;
    // SAFETY: each word is what the engine's table has in the slot of that function, and is code of the engine; with the
    // check switched off the operator vouches for it.
    unsafe {
        use std::mem::transmute as function;
        Ok(Functions {
            get_info: function::<usize, layout::GetInfo>(required("get_info", table.get_info)?),
            initialize: function::<usize, layout::Initialize>(required("initialize", table.initialize)?),
            destroy: function::<usize, layout::Destroy>(required("destroy", table.destroy)?),
            allocate: function::<usize, layout::Allocate>(required("allocate", table.allocate)?),
            remove: function::<usize, layout::Remove>(required("remove", table.remove)?),
            release: function::<usize, layout::Release>(required("release", table.release)?),
            get: function::<usize, layout::Get>(required("get", table.get)?),
            store: function::<usize, layout::Store>(required("store", table.store)?),
            flush: function::<usize, layout::Flush>(required("flush", table.flush)?),
            get_stats: function::<usize, layout::GetStats>(required("get_stats", table.get_stats)?),
            reset_stats: function::<usize, layout::ResetStats>(required("reset_stats", table.reset_stats)?),
            item_set_cas,
            get_item_info,
            arithmetic: optional("arithmetic", table.arithmetic)
                .map(|slot| function::<usize, layout::Arithmetic>(slot)),
            get_stats_struct: optional("get_stats_struct", table.get_stats_struct)
                .map(|slot| function::<usize, layout::GetStatsStruct>(slot)),
            aggregate_stats: optional("aggregate_stats", table.aggregate_stats)
                .map(|slot| function::<usize, layout::AggregateStats>(slot)),
            unknown_command: optional("unknown_command", table.unknown_command)
                .map(|slot| function::<usize, layout::UnknownCommand>(slot)),
            errinfo: optional("errinfo", table.errinfo).map(|slot| function::<usize, layout::ErrInfo>(slot)),
        })
    }
}

/// Room for `N` pieces, zeroed so that nothing in it is undefined whatever the engine leaves out.
#[inline]
fn blank_info<const N: usize>() -> ItemInfo<N> {
    // SAFETY: all its fields are numbers and pointers, for which zero is valid.
    let mut info: ItemInfo<N> = unsafe { std::mem::zeroed() };
    info.nvalue = N as u16;
    info
}

/// Takes CR LF, with which values of `2010-04` end, off the pieces; how many pieces are left.
fn cut_line_end(pieces: &mut [&[u8]]) -> Result<usize, &'static str> {
    const MISSING: &str = "get_item_info: the value does not end in CR LF, as this profile demands";
    let mut count = pieces.len();
    for expected in [b'\n', b'\r'] {
        while count > 0 && pieces[count - 1].is_empty() {
            count -= 1;
        }
        let last = pieces[..count].last_mut().ok_or(MISSING)?;
        *last = last.strip_suffix(&[expected]).ok_or(MISSING)?;
    }
    Ok(count)
}

/// A text of C, cut off; nothing for a null pointer.
fn copy_text(text: *const c_char, length_max: usize) -> String {
    if text.is_null() {
        return String::new();
    }
    let mut bytes = Vec::new();
    for at in 0..length_max {
        // SAFETY: the text goes on until its zero byte, which has not come yet.
        let byte = unsafe { text.add(at).cast::<u8>().read() };
        if byte == 0 {
            break;
        }
        bytes.push(byte);
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A code as the interface writes it.
pub(crate) fn hexadecimal(code: Code) -> String {
    format!("0x{:02x}", code.0)
}

/// What a code means, in words.
pub(crate) fn meaning(code: Code) -> &'static str {
    match code {
        Code::SUCCESS => "success",
        Code::KEY_ENOENT => "no such key",
        Code::KEY_EEXISTS => "the key exists",
        Code::ENOMEM => "out of memory",
        Code::NOT_STORED => "not stored",
        Code::EINVAL => "invalid argument",
        Code::ENOTSUP => "not supported (often: it was built for another interface number)",
        Code::EWOULDBLOCK => "would block, which is not allowed here",
        Code::E2BIG => "too big",
        Code::DISCONNECT => "disconnect",
        Code::EACCESS => "access denied",
        Code::TMPFAIL => "temporary failure",
        Code::ERANGE => "out of range",
        Code::FAILED => "failed",
        _ => "a number this interface does not have",
    }
}
