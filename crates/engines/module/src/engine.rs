//! A module as an engine.

use std::ffi::CString;
use std::sync::atomic::Ordering as AtomicOrdering;

use larder_engine::engine::RawResponse;
use larder_engine::{
    Arithmetic, Context, Delete, Deleted, Description, Durability, Engine, EngineError, ErrorKind, Expiry,
    Flushed, Found, Get, GetReply, Key, MemoryUse, Number, Ordering, Reply, ScanOrder, ScanPage, Scope, Sink,
    StatLines, StatsSink, Store, Stored, Timestamp, Touched,
};

use crate::error::breach;
use crate::port::{Port, found};
use crate::raw::block::{self, Counter};
use crate::raw::cookie::{Attempt, Cookie};
use crate::raw::held::Held;
use crate::raw::layout::{Code, ItemPointer};
use crate::raw::module::{KeyBuffer, Module};
use crate::session::{self, begin, turn};
use crate::{arithmetic, touch, write};

/// What no acknowledgement of a module promises more than: the interface has no word for what a success survives.
pub(crate) const LEVEL: Durability = Durability::Ram;

/// The group of statistics that sums over tenants. An engine has a function of its own for it.
const AGGREGATE: &[u8] = b"aggregate";

/// An engine from a shared library.
pub struct ModuleEngine {
    pub(crate) module: &'static Module,
    pub(crate) item_size_max: u64,
}

/// What a command wants that C's interface has no word for.
pub(crate) fn unsupported(what: &str) -> EngineError {
    EngineError::new(ErrorKind::Unsupported, format!("not supported by a storage module: {what}"))
}

impl ModuleEngine {
    fn port(&self, context: &Context<'_>) -> Port {
        Port { module: self.module, cookie: session::cookie(self.module, context) }
    }

    /// The answer to a look-up that the engine gave at once.
    #[inline]
    fn lend(
        &self,
        cookie: &'static Cookie,
        key: &KeyBuffer,
        item: ItemPointer,
        sink: &mut dyn Sink,
    ) -> Result<Option<Found>, EngineError> {
        let held = Held::new(self.module, cookie, item)
            .ok_or_else(|| breach(self.module, "get: success, but no item"))?;
        self.module.read(cookie, key, held.pointer(), |described| match described {
            Ok(described) => {
                let found = found(&described);
                sink.hit(&found, described.pieces);
                Ok(Some(found))
            }
            Err(rule) => Err(breach(self.module, rule)),
        })
    }

    /// A look-up that must wait: for its turn, or for the engine, which was asked already.
    #[cold]
    fn get_later(&self, context: &Context<'_>, port: Port, key: KeyBuffer, is_blocked: bool) -> GetReply {
        let number = port.cookie.take_number();
        let reply = begin(self.module, context, async move {
            let _turn = turn(port.cookie, number).await;
            let read = port.read(&key, is_blocked).await?;
            port.count(&[
                Counter::CmdGet,
                if read.is_some() { Counter::GetHits } else { Counter::GetMisses },
            ]);
            Ok(read.map(|read| larder_engine::Item {
                found: read.found,
                value: bytes::Bytes::from(read.value).into(),
            }))
        });
        match reply {
            Reply::Pending(operation) => Reply::Pending(operation),
            // What is done by now is told as any other answer that came late: the sink may not be called twice.
            Reply::Ready(answer) => {
                Reply::Pending(larder_engine::Operation::waiting(std::future::ready(answer)))
            }
        }
    }
}

impl Engine for ModuleEngine {
    fn describe(&self) -> Description {
        Description {
            name: "module".into(),
            level: LEVEL,
            item_size_max: self.item_size_max,
            shared: false,
            ordering: Ordering::PerConnection,
            versions: false,
            tracks_access: false,
            scan_in_key_order: false,
            raw_commands: self.module.has_unknown_command(),
            renames_keys: false,
        }
    }

    #[inline]
    fn get(&self, context: &Context<'_>, key: Key<'_>, get: &Get, sink: &mut dyn Sink) -> GetReply {
        if get.may_change() {
            return touch::get(self, context, key, get);
        }
        let cookie = session::cookie(self.module, context);
        let buffer = KeyBuffer::new(key.bytes());
        if !cookie.is_free() {
            return self.get_later(context, Port { module: self.module, cookie }, buffer, false);
        }
        let mut item = std::ptr::null_mut();
        match cookie.attempt(|| self.module.get(cookie, &buffer, &mut item)) {
            Attempt::Done(Code::SUCCESS) => {
                let answer = self.lend(cookie, &buffer, item, sink);
                Port { module: self.module, cookie }.count(&[Counter::CmdGet, Counter::GetHits]);
                Reply::Ready(answer)
            }
            Attempt::Done(Code::KEY_ENOENT) => {
                Port { module: self.module, cookie }.count(&[Counter::CmdGet, Counter::GetMisses]);
                Reply::done(None)
            }
            Attempt::Done(code) => Reply::failed(Port { module: self.module, cookie }.error(code)),
            Attempt::Blocked => self.get_later(context, Port { module: self.module, cookie }, buffer, true),
            Attempt::Again => self.get_later(context, Port { module: self.module, cookie }, buffer, false),
        }
    }

    fn store(&self, context: &Context<'_>, store: Store<'_>) -> Reply<Stored> {
        write::store(self, context, self.port(context), store)
    }

    fn delete(&self, context: &Context<'_>, key: Key<'_>, delete: &Delete) -> Reply<Deleted> {
        write::delete(context, self.port(context), key, delete)
    }

    fn arithmetic(&self, context: &Context<'_>, key: Key<'_>, arithmetic: &Arithmetic) -> Reply<Number> {
        arithmetic::count(context, self.port(context), key, arithmetic)
    }

    fn touch(&self, context: &Context<'_>, key: Key<'_>, expiry: Expiry) -> Reply<Touched> {
        touch::touch(context, self.port(context), key, expiry)
    }

    fn flush(&self, context: &Context<'_>, scope: Scope<'_>, when: Option<Timestamp>) -> Reply<Flushed> {
        if !matches!(scope, Scope::All | Scope::Prefix(b"")) {
            return Reply::failed(unsupported("a flush of one prefix"));
        }
        let port = self.port(context);
        let number = port.cookie.take_number();
        let when = when.map_or(0, |second| i64::from(second.0));
        begin(self.module, context, async move {
            let _turn = turn(port.cookie, number).await;
            let flush = || port.module.flush(port.cookie, when);
            let code = session::call(port.module, port.cookie, false, flush).await;
            port.count(&[Counter::CmdFlush]);
            match code {
                Code::SUCCESS => Ok(Flushed { level: LEVEL }),
                code => Err(port.error(code)),
            }
        })
    }

    fn scan(&self, _: &Context<'_>, _: ScanOrder, _: Option<&[u8]>, _: usize) -> Reply<ScanPage> {
        Reply::failed(unsupported("a list of all items"))
    }

    fn memory_use(&self) -> MemoryUse {
        MemoryUse {
            evictions: self.module.counters.evictions.load(AtomicOrdering::Relaxed),
            ..MemoryUse::default()
        }
    }

    fn stats(&self, sink: &mut dyn StatsSink) {
        let counters = &self.module.counters;
        let (pending, cookies) = self.module.tally.counts();
        sink.stat("module", &self.module.name);
        sink.stat("module_profile", &self.module.profile);
        sink.stat("module_cookies", &cookies);
        sink.stat("module_pending", &pending);
        sink.count("module_blocked", counters.blocked.load(AtomicOrdering::Relaxed));
        sink.count("module_unasked_notifications", counters.unasked.load(AtomicOrdering::Relaxed));
        sink.count("module_breaches", counters.breaches.load(AtomicOrdering::Relaxed));
        sink.count("module_evictions", counters.evictions.load(AtomicOrdering::Relaxed));
    }

    fn stats_group(&self, context: &Context<'_>, group: &[u8]) -> Reply<StatLines> {
        let Ok(group) = CString::new(group) else { return Reply::failed(ErrorKind::Unsupported) };
        let port = self.port(context);
        let number = port.cookie.take_number();
        begin(self.module, context, async move {
            let _turn = turn(port.cookie, number).await;
            if group.as_bytes() == AGGREGATE {
                return port.aggregate();
            }
            let get_stats = || {
                // What was said before the engine answered "later" is said once more.
                port.cookie.take_said();
                port.module.get_stats(port.cookie, &group)
            };
            match session::call(port.module, port.cookie, false, get_stats).await {
                Code::SUCCESS if group.is_empty() => {
                    let own = lines(port.cookie);
                    let is_new = |line: &(String, String)| !own.iter().any(|(name, _)| *name == line.0);
                    let of_tenant = port.tenant_lines().into_iter().filter(is_new).collect::<Vec<_>>();
                    Ok([own, of_tenant].concat())
                }
                Code::SUCCESS => Ok(lines(port.cookie)),
                Code::KEY_ENOENT => Err(ErrorKind::Unsupported.into()),
                code => Err(port.error(code)),
            }
        })
    }

    fn reset_stats(&self) {
        let counters = &self.module.counters;
        let all = [&counters.blocked, &counters.unasked, &counters.breaches, &counters.evictions];
        all.into_iter().for_each(|counter| counter.store(0, AtomicOrdering::Relaxed));
        block::reset_all();
        session::want_reset(self.module);
    }

    fn raw_command(&self, context: &Context<'_>, request: &[u8]) -> Reply<Vec<RawResponse>> {
        let port = self.port(context);
        let number = port.cookie.take_number();
        let request = request.to_vec();
        begin(self.module, context, async move {
            let _turn = turn(port.cookie, number).await;
            port.ask(request).await
        })
    }

    fn connection_opened(&self, context: &Context<'_>) {
        // Makes its cookie, which makes it known to the engine.
        session::cookie(self.module, context);
    }

    fn connection_closed(&self, context: &Context<'_>) {
        session::close(self.module, context);
    }

    fn close(&self) -> Result<(), EngineError> {
        session::finish(self.module).map_err(|left| {
            EngineError::new(
                ErrorKind::OutcomeUnknown,
                format!("{left} commands were never answered by the module, which is left as it is"),
            )
        })?;
        self.module.destroy();
        Ok(())
    }
}

/// What the engine said, as text of one line each.
fn lines(cookie: &'static Cookie) -> StatLines {
    let plain = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(|c: char| c.is_control(), " ");
    cookie.take_said().lines.iter().map(|(name, value)| (plain(name), plain(value))).collect()
}
