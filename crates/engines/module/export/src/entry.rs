//! The entry point, and the engine's life: made, initialised, destroyed.

use std::error::Error;
use std::ffi::{CStr, CString, c_int, c_void};
use std::ptr;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use larder_engine::disk::LocalDisk;
use larder_engine::{Description, Services};
use larder_module::raw::layout::{
    Code, CookiePointer, EngineInfo, EngineTable, Event, EventCallback, Handle,
};

use crate::guest::House;
use crate::server::{Cookie, GetServerApi, Server, ServerClock};
use crate::workers::Workers;
use crate::{Open, table};

/// Exports `create_instance` for the engine that a function of type [`Open`](crate::Open) opens. Once a library.
#[macro_export]
macro_rules! export_engine {
    ($open:expr) => {
        /// The entry point of the module.
        // SAFETY: the name is the module's one export, which nothing in it calls.
        #[unsafe(no_mangle)]
        /// # Safety
        /// To be called by a server with the C interface of memcached's engine branch.
        pub unsafe extern "C" fn create_instance(
            interface: u64,
            get_server_api: $crate::GetServerApi,
            handle: *mut $crate::Handle,
        ) -> $crate::Code {
            // SAFETY: the server's promise is handed on.
            unsafe { $crate::create_instance(interface, get_server_api, handle, $open) }
        }
    };
}

/// What an exported engine wants to be told of.
const EVENTS: [(Event, EventCallback); 3] =
    [(Event::Connect, on_connect), (Event::Disconnect, on_disconnect), (Event::Auth, on_auth)];

/// What a handle leads to.
#[repr(C)]
pub(crate) struct Instance {
    /// At the start, since this is what the server sees of it.
    table: EngineTable,
    server: Server,
    open: Open,
    /// From `initialize` on.
    open_engine: OnceLock<OpenEngine>,
}

pub(crate) struct OpenEngine {
    pub(crate) house: House,
    pub(crate) description: Description,
    info: EngineInfo,
    /// What `info` points to.
    _name: CString,
}

/// What [`export_engine!`](crate::export_engine) exports.
///
/// # Safety
/// To be called by a server with this interface: `get_server_api` gives tables that are complete and stay, `handle` may be
/// written.
pub unsafe fn create_instance(
    interface: u64,
    get_server_api: GetServerApi,
    handle: *mut Handle,
    open: Open,
) -> Code {
    // SAFETY: the caller's promise.
    let server = unsafe { Server::new(get_server_api) };
    let (1, Some(server), false) = (interface, server, handle.is_null()) else { return Code::ENOTSUP };
    let instance = Instance { table: table::table(), server, open, open_engine: OnceLock::new() };
    // SAFETY: not null, and the caller lets it be written.
    unsafe { *handle = Box::into_raw(Box::new(instance)).cast() };
    Code::SUCCESS
}

/// # Safety
/// `handle` is one that [`create_instance`] gave, and `destroy` has not been called with it.
pub(crate) unsafe fn instance<'a>(handle: Handle) -> &'a Instance {
    // SAFETY: the caller's promise: it is the box made there.
    unsafe { &*handle.cast::<Instance>() }
}

/// # Safety
/// As for [`instance`], and `initialize` has succeeded.
pub(crate) unsafe fn engine<'a>(handle: Handle) -> &'a OpenEngine {
    // SAFETY: the caller's promise.
    let instance = unsafe { instance(handle) };
    instance.open_engine.get().expect("a server initialises an engine before it uses it")
}

impl Instance {
    /// Null as long as nobody knows what the engine is.
    pub(crate) fn info(&self) -> *const EngineInfo {
        self.open_engine.get().map_or(ptr::null(), |opened| &opened.info)
    }

    pub(crate) fn initialize(&self, handle: Handle, config: Option<&CStr>) -> Code {
        let opened = match config.map(CStr::to_str).transpose() {
            Ok(config) => self.open(config),
            Err(_) => Err("the configuration is not UTF-8".into()),
        };
        let opened = match opened {
            Ok(opened) => opened,
            Err(error) => {
                eprintln!("the engine cannot be opened: {error}");
                return Code::FAILED;
            }
        };
        if self.open_engine.set(opened).is_err() {
            eprintln!("the engine was initialised before");
            return Code::FAILED;
        }
        for (event, callback) in EVENTS {
            self.server.register(handle, event, callback);
        }
        Code::SUCCESS
    }

    fn open(&self, config: Option<&str>) -> Result<OpenEngine, Box<dyn Error + Send + Sync>> {
        let clock = Arc::new(ServerClock { server: self.server, start: Instant::now() });
        let services = Services { clock, disk: Arc::new(LocalDisk) };
        let engine = (self.open)(&services, config)?;
        let description = engine.describe();
        let name = CString::new(description.name.as_bytes())?;
        let house = House { server: self.server, engine, workers: Workers::start()? };
        let info = EngineInfo { description: name.as_ptr(), num_features: 0, features: [] };
        Ok(OpenEngine { house, description, info, _name: name })
    }
}

/// Ends an engine.
///
/// # Safety
/// As for [`instance`]; the handle is not used again.
pub(crate) unsafe fn destroy(handle: Handle) {
    // SAFETY: the caller's promise: it is the box made by `create_instance`, and nobody uses it any more.
    let instance = unsafe { Box::from_raw(handle.cast::<Instance>()) };
    let Some(opened) = instance.open_engine.into_inner() else { return };
    opened.house.workers.stop();
    if let Err(error) = opened.house.engine.close() {
        eprintln!("the engine did not stop cleanly: {error}");
    }
}

/// # Safety
/// Called by the server with the handle that was registered.
unsafe fn house<'a>(own: *const c_void) -> &'a House {
    // SAFETY: the server hands back what it was given.
    &unsafe { engine(own.cast_mut()) }.house
}

// SAFETY: called by the server with what was registered, as its interface says.
unsafe extern "C" fn on_connect(cookie: CookiePointer, _: c_int, _: *const c_void, own: *const c_void) {
    if let Some(cookie) = Cookie::new(cookie) {
        // SAFETY: as above.
        unsafe { house(own) }.guest(cookie);
    }
}

// SAFETY: called by the server with what was registered, as its interface says.
unsafe extern "C" fn on_disconnect(cookie: CookiePointer, _: c_int, _: *const c_void, own: *const c_void) {
    if let Some(cookie) = Cookie::new(cookie) {
        // SAFETY: as above.
        unsafe { house(own) }.part(cookie);
    }
}

// SAFETY: called by the server with what was registered, as its interface says.
unsafe extern "C" fn on_auth(cookie: CookiePointer, _: c_int, _: *const c_void, own: *const c_void) {
    if let Some(cookie) = Cookie::new(cookie) {
        // SAFETY: as above.
        unsafe { house(own) }.name(cookie);
    }
}
