//! Requests and forms that outlive the read buffer.

use std::fmt;
use std::ptr::NonNull;

use crate::request::*;
use crate::{Form, MetaForm};

/// A [`Request`] with its bytes, in one allocation.
pub struct OwnedRequest {
    /// Borrows from `buffer`, not from anything static; handed out with the lifetime of `self` only.
    request: Request<'static>,
    buffer: Buffer,
}

/// A [`Form`] with its bytes. Without allocation unless it is a meta form.
pub struct OwnedForm {
    /// Borrows from `_buffer`, as above.
    form: Form<'static>,
    _buffer: Buffer,
}

impl Request<'_> {
    /// Copies the request and all that it borrows.
    pub fn to_owned(&self) -> OwnedRequest {
        let mut measure = Measure(0);
        measure.request(self);
        let mut buffer = Buffer::with_capacity(measure.0);
        let request = buffer.request(self);
        OwnedRequest { request, buffer }
    }
}

impl OwnedRequest {
    /// The request, for executing it.
    #[inline]
    pub fn borrow(&self) -> Request<'_> {
        self.request
    }

    /// How many bytes it has copied.
    pub fn copied_bytes(&self) -> usize {
        self.buffer.capacity
    }
}

impl Form<'_> {
    /// Copies the form and what it borrows.
    pub fn to_owned(&self) -> OwnedForm {
        let mut measure = Measure(0);
        measure.form(self);
        let mut buffer = Buffer::with_capacity(measure.0);
        let form = buffer.form(self);
        OwnedForm { form, _buffer: buffer }
    }
}

impl OwnedForm {
    /// The form, for encoding.
    #[inline]
    pub fn as_form(&self) -> Form<'_> {
        self.form
    }
}

impl fmt::Debug for OwnedRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.borrow().fmt(formatter)
    }
}

impl fmt::Debug for OwnedForm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_form().fmt(formatter)
    }
}

/// Visits every byte slice of a request and puts another in its place.
trait Rebase<'to> {
    fn bytes(&mut self, bytes: &[u8]) -> &'to [u8];

    fn form(&mut self, form: &Form<'_>) -> Form<'to> {
        match *form {
            Form::Text(text) => Form::Text(text),
            Form::Binary(binary) => Form::Binary(binary),
            Form::Meta(MetaForm { command, flags, key_token, flag_tokens }) => {
                let (key_token, flag_tokens) = (self.bytes(key_token), self.bytes(flag_tokens));
                Form::Meta(MetaForm { command, flags, key_token, flag_tokens })
            }
        }
    }

    fn request(&mut self, request: &Request<'_>) -> Request<'to> {
        Request { command: self.command(&request.command), form: self.form(&request.form) }
    }

    fn command(&mut self, command: &Command<'_>) -> Command<'to> {
        match *command {
            Command::Get(Get { keys, touch }) => {
                Command::Get(Get { keys: Keys { line: self.bytes(keys.line) }, touch })
            }
            Command::Lookup(lookup) => Command::Lookup(Lookup { key: self.bytes(lookup.key), ..lookup }),
            Command::Store(store) => {
                let (key, value) = (self.bytes(store.key), self.bytes(store.value));
                Command::Store(Store { key, value, ..store })
            }
            Command::TooLarge(refused) => {
                Command::TooLarge(TooLarge { key: self.bytes(refused.key), ..refused })
            }
            Command::Delete(delete) => Command::Delete(Delete { key: self.bytes(delete.key), ..delete }),
            Command::Arithmetic(change) => {
                Command::Arithmetic(Arithmetic { key: self.bytes(change.key), ..change })
            }
            Command::Touch(touch) => Command::Touch(Touch { key: self.bytes(touch.key), ..touch }),
            Command::Stats { argument } => Command::Stats { argument: self.bytes(argument) },
            Command::MetaDebug { key } => Command::MetaDebug { key: self.bytes(key) },
            Command::Admin(admin) => Command::Admin(self.admin(admin)),
            Command::Sasl(sasl) => Command::Sasl(self.sasl(sasl)),
            Command::Raw { key, packet } => {
                let (key, packet) = (self.bytes(key), self.bytes(packet));
                Command::Raw { key, packet }
            }
            Command::Flush { delay } => Command::Flush { delay },
            Command::Version => Command::Version,
            Command::Verbosity { level } => Command::Verbosity { level },
            Command::Noop => Command::Noop,
            Command::Quit => Command::Quit,
            Command::Shutdown(mode) => Command::Shutdown(mode),
            Command::CacheMemlimit { megabytes } => Command::CacheMemlimit { megabytes },
            Command::Invalid(error) => Command::Invalid(error),
        }
    }

    fn admin(&mut self, admin: Admin<'_>) -> Admin<'to> {
        let crawler = match admin {
            Admin::Crawler(crawler) => crawler,
            Admin::Lru(lru) => return Admin::Lru(lru),
            Admin::Slabs(slabs) => return Admin::Slabs(slabs),
            Admin::Watch(streams) => return Admin::Watch(streams),
            Admin::RefreshCerts => return Admin::RefreshCerts,
            Admin::DebugTime(change) => return Admin::DebugTime(change),
        };
        Admin::Crawler(match crawler {
            CrawlerCommand::Enable => CrawlerCommand::Enable,
            CrawlerCommand::Disable => CrawlerCommand::Disable,
            CrawlerCommand::Sleep { microseconds } => CrawlerCommand::Sleep { microseconds },
            CrawlerCommand::ToCrawl { items } => CrawlerCommand::ToCrawl { items },
            CrawlerCommand::Crawl { classes } => CrawlerCommand::Crawl { classes: self.bytes(classes) },
            CrawlerCommand::Dump { dump, classes } => {
                CrawlerCommand::Dump { dump, classes: self.bytes(classes) }
            }
        })
    }

    fn sasl(&mut self, sasl: Sasl<'_>) -> Sasl<'to> {
        match sasl {
            Sasl::List => Sasl::List,
            Sasl::Auth { mechanism, data } => {
                Sasl::Auth { mechanism: self.bytes(mechanism), data: self.bytes(data) }
            }
            Sasl::Step { mechanism, data } => {
                Sasl::Step { mechanism: self.bytes(mechanism), data: self.bytes(data) }
            }
        }
    }
}

/// Counts the bytes.
struct Measure(usize);

impl Rebase<'static> for Measure {
    fn bytes(&mut self, bytes: &[u8]) -> &'static [u8] {
        self.0 += bytes.len();
        &[]
    }
}

/// Bytes at a fixed place in memory, filled once from the front. Without capacity it owns no memory.
struct Buffer {
    start: NonNull<u8>,
    capacity: usize,
    filled: usize,
}

// SAFETY: the buffer owns its memory alone, and after it is filled it is only read.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    fn with_capacity(capacity: usize) -> Buffer {
        let memory = Box::leak(vec![0u8; capacity].into_boxed_slice());
        Buffer { start: NonNull::from(memory).cast(), capacity, filled: 0 }
    }
}

impl Rebase<'static> for Buffer {
    /// Copies the bytes behind what is there. The `'static` is a white lie that [`OwnedRequest::borrow`] and
    /// [`OwnedForm::as_form`] shorten to the truth.
    fn bytes(&mut self, bytes: &[u8]) -> &'static [u8] {
        assert!(bytes.len() <= self.capacity - self.filled, "the buffer was measured for these bytes");
        // SAFETY: the room was checked; this part of the memory is not borrowed yet, is initialised, stays
        // where it is until the buffer is dropped, and is not written again.
        let copy = unsafe {
            let place = self.start.add(self.filled);
            place.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len());
            std::slice::from_raw_parts(place.as_ptr(), bytes.len())
        };
        self.filled += bytes.len();
        copy
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let memory = std::ptr::slice_from_raw_parts_mut(self.start.as_ptr(), self.capacity);
        // SAFETY: this is the boxed slice that `with_capacity` leaked, and nobody borrows it any more.
        drop(unsafe { Box::from_raw(memory) });
    }
}
