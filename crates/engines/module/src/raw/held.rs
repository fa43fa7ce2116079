//! A reference to an item of a C engine: given back exactly once.

use std::ptr::NonNull;

use super::cookie::Cookie;
use super::layout::ItemPointer;
use super::module::Module;

/// A reference to an item, with what is needed to give it back: engine and cookie. Stays on the cookie's thread.
pub(crate) struct Held {
    module: &'static Module,
    cookie: &'static Cookie,
    item: NonNull<std::ffi::c_void>,
}

impl Held {
    /// Takes over the reference that a function handed out; `None` if it handed out none.
    #[inline]
    pub(crate) fn new(module: &'static Module, cookie: &'static Cookie, item: ItemPointer) -> Option<Held> {
        NonNull::new(item).map(|item| Held { module, cookie, item })
    }

    /// The item.
    #[inline]
    pub(crate) fn pointer(&self) -> ItemPointer {
        self.item.as_ptr()
    }
}

impl Drop for Held {
    #[inline]
    fn drop(&mut self) {
        if self.cookie.is_idle() {
            self.module.release(self.cookie, self.item.as_ptr());
        } else {
            // No function may be called for a cookie while another one has not answered.
            self.cookie.release_later(self.item.as_ptr());
        }
    }
}
