//! Brings the library into the process, once and for good.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::fs::File;
use std::io::{Error, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::sync::OnceLock;

/// `parse_config(text, entries, FILE *)`: 0 all is well, 1 a key was unknown, -1 a value was bad.
pub type ParseConfig = unsafe extern "C" fn(*const c_char, *mut c_void, *mut c_void) -> c_int;

/// Takes a line an engine logs: severity, cookie or null, text and its length in bytes (it need not be UTF-8, and has no
/// newline at the end), an address in the code that called.
///
/// Called from any thread, with locks of the engine possibly held: it must not call the engine, and must not panic.
pub type LogSink = unsafe extern "C" fn(c_int, *const c_void, *const c_char, usize, *const c_void);

type SetLogSink = unsafe extern "C" fn(LogSink);
type GetLogger = unsafe extern "C" fn() -> *const c_void;

/// The loaded library, as the server uses it.
pub struct Utilities {
    /// For core tables: assumes numbers without SSIZE where the entries do not show their numbering.
    pub parse_config_without_ssize: ParseConfig,
    /// The same, assuming numbers with SSIZE.
    pub parse_config_with_ssize: ParseConfig,
    logger: *const c_void,
    set_log_sink: SetLogSink,
}

// SAFETY: the pointer leads to a constant of a library that is never unloaded.
unsafe impl Send for Utilities {}
// SAFETY: as above; the functions are for any thread.
unsafe impl Sync for Utilities {}

impl Utilities {
    /// The logger to be given to engines: `get_name` and a variadic `log`, 16 bytes that never move.
    pub fn logger(&self) -> *const c_void {
        self.logger
    }

    /// Where engines' lines go from now on. Before the first call they go to standard error.
    pub fn set_log_sink(&self, sink: LogSink) {
        // SAFETY: the function only keeps the pointer, and a function lives as long as the process.
        unsafe { (self.set_log_sink)(sink) }
    }
}

/// Loads the library, and the math library beside it: some modules use `log()` without naming that.
///
/// The same library for every call; an error is the same for every call, too.
///
/// # Errors
/// With words for a human: no memory file, no `/proc`, or a loader that refuses.
pub fn load() -> Result<&'static Utilities, String> {
    static LOADED: OnceLock<Result<Utilities, String>> = OnceLock::new();
    LOADED.get_or_init(load_now).as_ref().map_err(String::clone)
}

fn load_now() -> Result<Utilities, String> {
    open(c"libm.so.6")
        .map_err(|reason| format!("cannot load the math library for engines in C: {reason}"))?;
    let explain = |reason: String| format!("cannot load {} for engines in C: {reason}", crate::SONAME);
    let library = load_from_memory().map_err(explain)?;
    find_functions(library).map_err(explain)
}

fn load_from_memory() -> Result<*mut c_void, String> {
    let name = c"libmemcached_utilities.so.0";
    // SAFETY: a new descriptor from a name that ends in NUL.
    let descriptor = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) };
    if descriptor < 0 {
        return Err(format!("no memory file: {}", Error::last_os_error()));
    }
    // SAFETY: the descriptor is new and nobody else's.
    let mut file = unsafe { File::from_raw_fd(descriptor) };
    file.write_all(crate::LIBRARY).map_err(|error| format!("cannot write the memory file: {error}"))?;
    let path = format!("/proc/self/fd/{}\0", file.as_raw_fd());
    let path = CStr::from_bytes_with_nul(path.as_bytes()).expect("the path has one NUL, at its end");
    open(path)
}

/// Opens a library for good, its names visible to what is loaded later.
fn open(path: &CStr) -> Result<*mut c_void, String> {
    // SAFETY: both libraries do nothing when they are loaded.
    let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    if library.is_null() { Err(last_error()) } else { Ok(library) }
}

fn find(library: *mut c_void, name: &CStr) -> Result<*mut c_void, String> {
    // SAFETY: the library is loaded and stays so.
    let address = unsafe { libc::dlsym(library, name.as_ptr()) };
    if address.is_null() { Err(last_error()) } else { Ok(address) }
}

fn find_functions(library: *mut c_void) -> Result<Utilities, String> {
    let without = find(library, c"larder_parse_config_without_ssize")?;
    let with = find(library, c"larder_parse_config_with_ssize")?;
    let set_log_sink = find(library, c"larder_set_log_sink")?;
    let get_logger = find(library, c"larder_logger")?;
    // SAFETY: `c/larder_utilities.h` of this crate gives these four functions these types.
    let (without, with, set_log_sink, get_logger) = unsafe {
        (
            std::mem::transmute::<*mut c_void, ParseConfig>(without),
            std::mem::transmute::<*mut c_void, ParseConfig>(with),
            std::mem::transmute::<*mut c_void, SetLogSink>(set_log_sink),
            std::mem::transmute::<*mut c_void, GetLogger>(get_logger),
        )
    };
    // SAFETY: takes nothing, gives the address of a constant.
    let logger = unsafe { get_logger() };
    Ok(Utilities { parse_config_without_ssize: without, parse_config_with_ssize: with, logger, set_log_sink })
}

fn last_error() -> String {
    // SAFETY: gives null or a text that stays until the next call of this thread.
    let text = unsafe { libc::dlerror() };
    if text.is_null() {
        return "the loader says no more".to_owned();
    }
    // SAFETY: not null, and ends in NUL.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
