//! The server's tables, as far as an exported engine uses them.

use std::ffi::{c_char, c_int, c_void};
use std::ptr;
use std::time::{Duration, Instant};

use larder_engine::{Clock, Expiry, Timestamp};
use larder_module::raw::layout::{
    AuthData, CallbackTable, Code, CookiePointer, CookieTable, CoreTable, Event, EventCallback, Handle,
    ServerTable,
};

/// Larger numbers of clients are Unix time.
const RELATIVE_SECONDS_MAX: u32 = 60 * 60 * 24 * 30;
/// Before the server's clock began.
const LONG_PAST: u32 = 1;

/// Gives the server's tables.
pub type GetServerApi = Option<unsafe extern "C" fn() -> *const ServerTable>;

/// A connection as the server knows it. Only a name here: it is given back to the server, never looked into.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cookie(usize);

impl Cookie {
    /// `None` for the null that careless servers pass.
    pub(crate) fn new(pointer: CookiePointer) -> Option<Cookie> {
        (!pointer.is_null()).then_some(Cookie(pointer as usize))
    }

    pub(crate) fn pointer(self) -> CookiePointer {
        self.0 as CookiePointer
    }
}

/// The server. Its functions may be called from any thread.
#[derive(Clone, Copy)]
pub(crate) struct Server {
    core: &'static CoreTable,
    callback: &'static CallbackTable,
    cookie: &'static CookieTable,
}

impl Server {
    /// # Safety
    /// `get_server_api` is what a server gave to `create_instance`, so its tables are complete and stay.
    pub(crate) unsafe fn new(get_server_api: GetServerApi) -> Option<Server> {
        // SAFETY: the caller's promise.
        let table = unsafe { get_server_api?() };
        if table.is_null() {
            return None;
        }
        // SAFETY: not null, hence a table that stays. Its fields are read one by one: an older server has fewer of them.
        unsafe {
            Some(Server {
                core: &(*table).core.table,
                callback: &(*table).callback.table,
                cookie: &(*table).cookie.common.table,
            })
        }
    }

    /// The second it is.
    pub(crate) fn now(self) -> Timestamp {
        timestamp((self.core.abstime)((self.core.get_current_time)()))
    }

    /// From a client's number: 0, seconds, or Unix time.
    pub(crate) fn expiry(self, exptime: u32) -> Expiry {
        match (self.core.realtime)(i64::from(exptime)) {
            0 => Expiry::NEVER,
            second => Expiry::at(timestamp((self.core.abstime)(second)).0),
        }
    }

    /// To the server's clock; 0: never.
    pub(crate) fn relative(self, expiry: Expiry) -> u32 {
        match expiry.raw() {
            0 => 0,
            // The server would take it for a number of seconds from now.
            raw if raw <= RELATIVE_SECONDS_MAX => LONG_PAST,
            raw => (self.core.realtime)(i64::from(raw)),
        }
    }

    /// The second a client means; `None`: now.
    pub(crate) fn when(self, when: i64) -> Option<Timestamp> {
        let second = (self.core.realtime)(when);
        (second > (self.core.get_current_time)()).then(|| timestamp((self.core.abstime)(second)))
    }

    /// The answer is there: the server is to ask once more.
    pub(crate) fn notify(self, cookie: Cookie) {
        (self.cookie.notify_io_complete)(cookie.pointer(), Code::SUCCESS);
    }

    pub(crate) fn socket(self, cookie: Cookie) -> i32 {
        (self.cookie.get_socket_fd)(cookie.pointer())
    }

    /// The pointer that hangs on a connection.
    pub(crate) fn own(self, cookie: Cookie) -> *mut c_void {
        (self.cookie.get_engine_specific)(cookie.pointer())
    }

    pub(crate) fn set_own(self, cookie: Cookie, own: *mut c_void) {
        (self.cookie.store_engine_specific)(cookie.pointer(), own);
    }

    /// Who the client is: the name as the server has it, good until its next event.
    pub(crate) fn user(self, cookie: Cookie) -> *const c_char {
        let mut data = AuthData { username: ptr::null(), config: ptr::null() };
        (self.cookie.get_auth_data)(cookie.pointer(), &mut data);
        data.username
    }

    pub(crate) fn register(self, handle: Handle, event: Event, callback: EventCallback) {
        (self.callback.register_callback)(handle, event as c_int, Some(callback), handle);
    }
}

/// Times before 1970 and after 2106 are the nearest there are.
fn timestamp(second: i64) -> Timestamp {
    Timestamp(u32::try_from(second.max(0)).unwrap_or(u32::MAX))
}

/// The server's clock.
pub(crate) struct ServerClock {
    pub(crate) server: Server,
    pub(crate) start: Instant,
}

impl Clock for ServerClock {
    fn now(&self) -> Timestamp {
        self.server.now()
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}
