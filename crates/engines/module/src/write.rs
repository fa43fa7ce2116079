//! Storing and deleting.

use bytes::Bytes;
use larder_engine::{
    Context, Delete, Deleted, EngineError, ErrorKind, Expiry, Mode, Older, Payload, Reply, Store, Stored,
};

use crate::engine::{LEVEL, ModuleEngine, unsupported};
use crate::port::{New, Port, exptime};
use crate::raw::block::Counter;
use crate::raw::cookie::Attempt;
use crate::raw::held::Held;
use crate::raw::layout::{Code, StoreOperation};
use crate::raw::module::KeyBuffer;
use crate::session::{begin, call, turn};

/// How far a store had come when it had to wait.
enum Begun {
    /// Nothing was asked yet.
    Not,
    /// `allocate` answers later.
    Allocating,
    /// The item is made, and `store` answers later.
    Storing(Held),
    /// The item is made.
    Made(Held),
}

/// A store command in the interface's words.
struct Order {
    operation: StoreOperation,
    /// The CAS to compare with; 0: none.
    cas: u64,
    /// The client named a CAS that no item has.
    never_matches: bool,
    flags: u32,
    exptime: u32,
    /// Longest value in bytes.
    item_size_max: u64,
    /// What an append or prepend does on a miss.
    vivify_exptime: Option<u32>,
}

impl Order {
    /// # Errors
    /// What the interface has no word for.
    fn new(port: Port, store: &Store<'_>, item_size_max: u64) -> Result<Order, EngineError> {
        if store.new_cas.is_some() {
            return Err(unsupported("a CAS of the client's choice"));
        }
        if store.older == Older::MarkStale && store.compare.is_some() || store.stale || store.token_taken {
            return Err(unsupported("a stale item"));
        }
        let operation = match (store.mode, store.compare) {
            (Mode::Add, _) => StoreOperation::Add,
            (Mode::Set | Mode::Replace, Some(_)) => StoreOperation::Cas,
            (Mode::Set, None) => StoreOperation::Set,
            (Mode::Replace, None) => StoreOperation::Replace,
            (Mode::Append, _) => StoreOperation::Append,
            (Mode::Prepend, _) => StoreOperation::Prepend,
        };
        let compare = store.compare.filter(|_| store.mode != Mode::Add);
        Ok(Order {
            operation,
            cas: compare.unwrap_or(0),
            never_matches: compare == Some(0),
            flags: store.flags,
            exptime: exptime(port.module, store.expiry),
            item_size_max,
            vivify_exptime: store
                .vivify
                .filter(|_| store.compare.is_none() && joins(operation))
                .map(|expiry: Expiry| exptime(port.module, expiry)),
        })
    }

    fn new_item<'a>(&self, value: &'a [u8]) -> New<'a> {
        New { value, flags: self.flags, exptime: self.exptime, cas: self.cas }
    }
}

fn joins(operation: StoreOperation) -> bool {
    matches!(operation, StoreOperation::Append | StoreOperation::Prepend)
}

/// A store command; answered at once if nothing has to wait, without a copy of the value.
pub(crate) fn store(
    engine: &ModuleEngine,
    context: &Context<'_>,
    port: Port,
    store: Store<'_>,
) -> Reply<Stored> {
    if store.value.len() as u64 > engine.item_size_max {
        return Reply::failed(ErrorKind::TooLarge);
    }
    let order = match Order::new(port, &store, engine.item_size_max) {
        Ok(order) => order,
        Err(error) => return Reply::failed(error),
    };
    let key = KeyBuffer::new(store.key.bytes());
    let is_simple = !joins(order.operation) && !order.never_matches;
    let begun = match port.cookie.is_free() && is_simple {
        true => match store_now(port, &order, &key, store.value.as_slice()) {
            Ok(answer) => {
                port.count_store(&answer, order.operation == StoreOperation::Cas);
                return Reply::Ready(answer);
            }
            Err(begun) => begun,
        },
        false => Begun::Not,
    };
    let number = port.cookie.take_number();
    let value = owned(store.value, &begun);
    begin(port.module, context, async move {
        let _turn = turn(port.cookie, number).await;
        let compares = order.operation == StoreOperation::Cas;
        let answer = store_later(port, order, key, value, begun).await;
        port.count_store(&answer, compares);
        answer
    })
}

/// The value for as long as it may be needed: not at all once it is in the engine's memory.
fn owned(value: Payload<'_>, begun: &Begun) -> (Bytes, usize) {
    let length = value.len();
    match begun {
        Begun::Storing(_) | Begun::Made(_) => (Bytes::new(), length),
        Begun::Not | Begun::Allocating => (value.into_bytes(), length),
    }
}

/// Stores without waiting; or how far it came.
fn store_now(
    port: Port,
    order: &Order,
    key: &KeyBuffer,
    value: &[u8],
) -> Result<Result<Stored, EngineError>, Begun> {
    let mut item = std::ptr::null_mut();
    let flags = crate::port::flags_given(order.flags);
    let allocate = || port.module.allocate(port.cookie, key, value.len(), flags, order.exptime, &mut item);
    let code = match port.cookie.attempt(allocate) {
        Attempt::Done(code) => code,
        Attempt::Blocked => return Err(Begun::Allocating),
        Attempt::Again => return Err(Begun::Not),
    };
    let held = match port.made(code, item, &order.new_item(value)) {
        Ok(held) => held,
        Err(error) => return Ok(Err(error)),
    };
    let mut cas = 0;
    let attempt =
        port.cookie.attempt(|| port.module.store(port.cookie, held.pointer(), order.operation, &mut cas));
    match attempt {
        Attempt::Done(Code::SUCCESS) => Ok(Ok(stored(cas, value.len()))),
        Attempt::Done(code) => Ok(Err(port.error(code))),
        Attempt::Blocked => Err(Begun::Storing(held)),
        Attempt::Again => Err(Begun::Made(held)),
    }
}

fn stored(cas: u64, size: usize) -> Stored {
    Stored { cas, size, level: LEVEL, version: 0 }
}

/// How often a command that several others overtake is tried again.
const TRIES_MAX: u32 = 1000;

async fn store_later(
    port: Port,
    order: Order,
    key: KeyBuffer,
    (value, length): (Bytes, usize),
    begun: Begun,
) -> Result<Stored, EngineError> {
    if order.never_matches {
        return Err(match port.get(&key, false).await? {
            Some(_) => ErrorKind::Exists.into(),
            None if joins(order.operation) => ErrorKind::NotStored.into(),
            None => ErrorKind::NotFound.into(),
        });
    }
    // What the two make together is the engine's affair; that it is not longer than values may be, the server's.
    if joins(order.operation)
        && let Some((_, there)) = port.describe(&key, false).await?
        && (there + length) as u64 > order.item_size_max
    {
        return Err(ErrorKind::NotStored.into());
    }
    let (held, is_blocked) = match begun {
        Begun::Not => (port.make(&key, &order.new_item(&value), false).await?, false),
        Begun::Allocating => (port.make(&key, &order.new_item(&value), true).await?, false),
        Begun::Made(held) => (held, false),
        Begun::Storing(held) => (held, true),
    };
    let mut outcome = port.store(&held, order.operation, is_blocked).await;
    drop(held);
    let Some(exptime) = order.vivify_exptime else {
        let cas = outcome.map_err(|code| port.error(code))?;
        return finished(port, &order, &key, cas, length).await;
    };
    for _ in 0..TRIES_MAX {
        match outcome {
            Ok(cas) => return finished(port, &order, &key, cas, length).await,
            Err(Code::NOT_STORED) => {}
            Err(code) => return Err(port.error(code)),
        }
        let first = New { value: &value, flags: order.flags, exptime, cas: 0 };
        let held = port.make(&key, &first, false).await?;
        match port.store(&held, StoreOperation::Add, false).await {
            Ok(cas) => return Ok(stored(cas, length)),
            // Somebody else was quicker: there is something to join with now.
            Err(Code::NOT_STORED) => {}
            Err(code) => return Err(port.error(code)),
        }
        drop(held);
        let held = port.make(&key, &order.new_item(&value), false).await?;
        outcome = port.store(&held, order.operation, false).await;
    }
    Err(ErrorKind::TryAgain.into())
}

/// The answer to a store. How long a joined value is, only the engine knows.
async fn finished(
    port: Port,
    order: &Order,
    key: &KeyBuffer,
    cas: u64,
    length: usize,
) -> Result<Stored, EngineError> {
    if !joins(order.operation) {
        return Ok(stored(cas, length));
    }
    let described = port.describe(key, false).await?;
    Ok(stored(cas, described.map_or(length, |(_, length)| length)))
}

/// A delete command.
pub(crate) fn delete(
    context: &Context<'_>,
    port: Port,
    key: larder_engine::Key<'_>,
    delete: &Delete,
) -> Reply<Deleted> {
    let keeps_item = delete.keeps_item();
    let key = KeyBuffer::new(key.bytes());
    let compare = delete.compare;
    let number = port.cookie.take_number();
    begin(port.module, context, async move {
        let _turn = turn(port.cookie, number).await;
        if keeps_item || compare == Some(0) {
            // No item has this CAS, and to the engine it would mean any.
            return Err(match port.get(&key, false).await? {
                Some(_) if keeps_item => unsupported("a delete that keeps the item"),
                Some(_) => ErrorKind::Exists.into(),
                None => ErrorKind::NotFound.into(),
            });
        }
        let remove = || port.module.remove(port.cookie, &key, compare.unwrap_or(0));
        let answer = match call(port.module, port.cookie, false, remove).await {
            Code::SUCCESS => Ok(Deleted { cas: 0, level: LEVEL, version: 0 }),
            code => Err(port.error(code)),
        };
        port.count_found(&answer, &[Counter::DeleteHits], &[Counter::DeleteMisses]);
        answer
    })
}
