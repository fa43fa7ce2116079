//! `lru_crawler metadump` and `mgdump`: a line for each live item of every stack; `stats cachedump`: for some of them.
//!
//! The engines are scanned page by page. A page is taken only when the client has taken most of those before, and after
//! each the other connections of the worker get their turn: a dump of any length holds a few pages in memory and nobody
//! up. No lock is held between pages, so what is stored or deleted meanwhile may be listed or not.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context as TaskContext, Poll};

use larder_engine::{Engine, EngineError, ErrorKind, Operation, Reply, ScanOrder, ScanPage};
use larder_protocol::{Dump as Kind, DumpedItem, Form, TextForm, encode_dump_end, encode_dumped_item};

use crate::command::{Turn, engines, respond_error};
use crate::connection::output::Output;

/// Values of about so many bytes make a page.
const PAGE_BYTES: usize = 32 << 10;

/// Answers not yet sent beyond which no further page is taken.
pub(crate) const UNSENT_BYTES_MAX: usize = 64 << 10;

/// Dumps at a time.
const DUMPS_MAX: usize = 20;

/// The lines of a cachedump together.
const CACHEDUMP_BYTES_MAX: usize = 2 << 20;

/// memcached's classes are numbered from 1 to here. Here there is one, number 1.
const CLASS_MAX: u32 = 63;

/// The classes a client named.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Classes {
    /// Number 1 is among them.
    All,
    /// Only classes that are always empty here.
    Empty,
}

impl Classes {
    /// `all`, `hash`, or numbers with commas between; `None` if it is neither.
    pub(crate) fn parse(text: &[u8]) -> Option<Classes> {
        if matches!(text, b"all" | b"hash") {
            return Some(Classes::All);
        }
        let mut classes = Classes::Empty;
        for number in std::str::from_utf8(text).ok()?.split(',') {
            match number.parse().ok()? {
                1 => classes = Classes::All,
                2..=CLASS_MAX => {}
                _ => return None,
            }
        }
        Some(classes)
    }

    /// The class of a cachedump, which also knows number 0; `None` if there is none of this number.
    pub(crate) fn of_cachedump(number: u64) -> Option<Classes> {
        match number {
            1 => Some(Classes::All),
            _ if number <= u64::from(CLASS_MAX) => Some(Classes::Empty),
            _ => None,
        }
    }
}

/// What a dump may still list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    items: u64,
    bytes: usize,
}

impl Room {
    /// For all there is.
    pub(crate) const ENDLESS: Room = Room { items: u64::MAX, bytes: usize::MAX };

    /// For a cachedump of so many items; 0 is all that fit into its bytes.
    pub(crate) fn of_cachedump(items: u64) -> Room {
        Room { items: if items == 0 { u64::MAX } else { items }, bytes: CACHEDUMP_BYTES_MAX }
    }

    /// Takes the room for one more line; whether there was any.
    fn take(&mut self, line_bytes: usize) -> bool {
        if self.items == 0 || line_bytes > self.bytes {
            self.items = 0;
            return false;
        }
        self.items -= 1;
        self.bytes -= line_bytes;
        true
    }
}

/// A dump under way.
pub(crate) struct Dump {
    kind: Kind,
    /// The engines still to be scanned, the present one last. A reload may take them out of service, and nobody but those
    /// in service must be kept from closing.
    engines: Vec<Weak<dyn Engine>>,
    /// Where the present engine's scan goes on; `None` at its start.
    cursor: Option<Vec<u8>>,
    page: Option<Operation<ScanPage>>,
    room: Room,
    _place: Place,
}

/// One of the places for dumps; dropping it makes the place free.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a step of a dump did.
pub(crate) enum Step {
    /// A page was written.
    Page,
    /// The end was written, or why there is none.
    Over,
}

impl Dump {
    /// A dump at its beginning; `None` if there are too many.
    pub(crate) fn begin(turn: &Turn<'_>, kind: Kind, classes: Classes, room: Room) -> Option<Dump> {
        let dumps = &turn.shared().dumps;
        let before = dumps.fetch_add(1, Ordering::Relaxed);
        let place = Place(dumps.clone());
        if before >= DUMPS_MAX {
            return None;
        }
        let mut engines: Vec<_> = match classes {
            Classes::All => engines(turn.routes).map(Arc::downgrade).collect(),
            Classes::Empty => Vec::new(),
        };
        engines.reverse();
        Some(Dump { kind, engines, cursor: None, page: None, room, _place: place })
    }

    /// Writes the next page, or the end. `Pending` while a store looks for it.
    pub(crate) fn poll(
        &mut self,
        task: &mut TaskContext<'_>,
        turn: &Turn<'_>,
        out: &mut Output,
    ) -> Poll<Step> {
        let Some(engine) = self.engines.last() else {
            encode_dump_end(self.kind, &mut out.bytes);
            return Poll::Ready(Step::Over);
        };
        let in_service =
            |engine: &Arc<dyn Engine>| engines(turn.routes).any(|other| Arc::ptr_eq(engine, other));
        let Some(engine) = engine.upgrade().filter(in_service) else {
            let text = "the configuration has changed during the dump, ask again";
            self.fail(turn, &EngineError::new(ErrorKind::TryAgain, text), out);
            return Poll::Ready(Step::Over);
        };
        let page = match &mut self.page {
            Some(operation) => {
                let page = std::task::ready!(Pin::new(operation).poll(task));
                self.page = None;
                page
            }
            None => match engine.scan(&turn.context(), ScanOrder::Any, self.cursor.as_deref(), PAGE_BYTES) {
                Reply::Ready(page) => page,
                Reply::Pending(operation) => {
                    self.page = Some(operation);
                    return self.poll(task, turn, out);
                }
            },
        };
        Poll::Ready(match page {
            Ok(page) => {
                self.write(turn, &engine, page, out);
                Step::Page
            }
            Err(error) => {
                self.fail(turn, &error, out);
                Step::Over
            }
        })
    }

    fn write(&mut self, turn: &Turn<'_>, engine: &Arc<dyn Engine>, page: ScanPage, out: &mut Output) {
        for (key, item) in &page.items {
            // Stacks may share a store, and a store may hold keys that have come under another stack since.
            let is_routed_here =
                turn.routes.route(key).is_some_and(|(stack, _)| Arc::ptr_eq(&stack.engine, engine));
            if !is_routed_here || (self.kind == Kind::Size && !fits_a_line(key)) {
                continue;
            }
            let found = &item.found;
            let item = DumpedItem {
                key,
                expires_at: Some(found.expiry.raw()).filter(|second| *second != 0),
                last_access_at: found.last_access.map_or(0, |last| last.0),
                cas: if turn.shows_cas() { found.cas } else { 0 },
                fetched: found.fetched,
                item_bytes: (key.len() + item.value.len()) as u64,
                flags: found.flags,
            };
            let before = out.bytes.len();
            encode_dumped_item(self.kind, &item, &mut out.bytes);
            if !self.room.take(out.bytes.len() - before) {
                out.bytes.truncate(before);
                self.engines.clear();
                return;
            }
        }
        self.cursor = page.next;
        if self.cursor.is_none() {
            self.engines.pop();
        }
    }

    /// The dump cannot go on: the client must not take what it has for the whole.
    fn fail(&self, turn: &Turn<'_>, error: &EngineError, out: &mut Output) {
        turn.counters().store_errors.add(1);
        let form = Form::Text(TextForm::default());
        respond_error(&form, error, out);
    }
}

/// Whether a key stands in a line as it is. memcached's cachedump leaves out the others, too.
fn fits_a_line(key: &[u8]) -> bool {
    key.iter().all(|&byte| byte > b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::{Classes, Room};

    #[test]
    fn a_cachedump_ends_where_its_room_does() {
        let mut few = Room::of_cachedump(2);
        assert_eq!([10, 10, 10].map(|bytes| few.take(bytes)), [true, true, false]);
        let mut large = Room::of_cachedump(0);
        assert_eq!([2 << 20, 1].map(|bytes| large.take(bytes)), [true, false]);
        let mut long = Room::of_cachedump(9);
        assert_eq!([(2 << 20) + 1, 1].map(|bytes| long.take(bytes)), [false, false], "it has ended");
    }

    #[test]
    fn classes_are_words_or_numbers() {
        for all in ["all", "hash", "1", "1,2", "5,1"] {
            assert_eq!(Classes::parse(all.as_bytes()), Some(Classes::All), "{all}");
        }
        for empty in ["2", "63", "3,4"] {
            assert_eq!(Classes::parse(empty.as_bytes()), Some(Classes::Empty), "{empty}");
        }
        for wrong in ["", "0", "64", "x", "1,x", "1,", "-1", "1 2", "ALL"] {
            assert_eq!(Classes::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
