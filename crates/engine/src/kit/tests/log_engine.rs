//! A durable engine as simple as can be: the model with a log of every change, synced before the answer. With bugs on
//! demand.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::context::Context;
use crate::disk::{Disk, DiskFile};
use crate::engine::{Description, Engine, MemoryUse, StatsSink};
use crate::error::{EngineError, ErrorKind};
use crate::key::Key;
use crate::kit::truth::TrueItem;
use crate::kit::{ModelEngine, World};
use crate::reply::{Deleted, Durability, Flushed, GetReply, Number, Reply, Sink, Stored};
use crate::request::{Arithmetic, Delete, Get, ScanOrder, ScanPage, Scope, Store};
use crate::time::{Expiry, Timestamp};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LogBug {
    None,
    NoSync,
    NoFolderSync,
    NoChecksum,
    CasStartsAnew,
    SaysNothingChanged,
    ForgetsDeletes,
}

pub(super) struct LogEngine {
    model: ModelEngine,
    log: Mutex<Log>,
    bug: LogBug,
    _lock: Box<dyn std::any::Any + Send + Sync>,
}

struct Log {
    file: Box<dyn DiskFile>,
    end: u64,
    /// A write failed: what is in memory is not what is on the disk.
    broken: bool,
}

/// One change. `last_id` comes with each, so that ids never go back.
enum Record {
    Item(Vec<u8>, Option<TrueItem>),
    Flush(Option<Vec<u8>>, Option<Timestamp>),
}

fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn encode(record: &Record, last_id: u64) -> Vec<u8> {
    let mut body = last_id.to_le_bytes().to_vec();
    let mut key = |tag: u8, key: &[u8]| {
        body.extend([tag, key.len() as u8]);
        body.extend(key);
    };
    match record {
        Record::Item(name, None) => key(b'd', name),
        Record::Item(name, Some(item)) => {
            key(b'i', name);
            body.extend(item.cas.expect("a kept item has its CAS").to_le_bytes());
            body.extend(item.flags.to_le_bytes());
            body.extend(item.expiry.raw().to_le_bytes());
            body.extend([u8::from(item.stale), u8::from(item.token_taken)]);
            body.extend(&item.value);
        }
        Record::Flush(prefix, when) => {
            key(if prefix.is_some() { b'p' } else { b'f' }, prefix.as_deref().unwrap_or_default());
            body.extend(when.map_or(0, |when| when.0).to_le_bytes());
        }
    }
    let mut record = (body.len() as u32).to_le_bytes().to_vec();
    record.extend(checksum(&body).to_le_bytes());
    record.extend(body);
    record
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

fn number<const BYTES: usize>(bytes: &mut &[u8]) -> Option<[u8; BYTES]> {
    take(bytes, BYTES)?.try_into().ok()
}

/// The first record, or `None` at the end or where the log is torn.
fn decode(bytes: &mut &[u8], checked: bool) -> Option<(Record, u64)> {
    let length = u32::from_le_bytes(number(bytes)?) as usize;
    let sum = u64::from_le_bytes(number(bytes)?);
    let mut body = take(bytes, length)?;
    if checked && checksum(body) != sum {
        return None;
    }
    let body = &mut body;
    let last_id = u64::from_le_bytes(number(body)?);
    let [tag, key_length] = number(body)?;
    let key = take(body, key_length.into())?.to_vec();
    let record = match tag {
        b'd' => Record::Item(key, None),
        b'i' => {
            let cas = Some(u64::from_le_bytes(number(body)?));
            let flags = u32::from_le_bytes(number(body)?);
            let expiry = Expiry::from_raw(u32::from_le_bytes(number(body)?));
            let [stale, token_taken] = number(body)?;
            let value = Bytes::copy_from_slice(body);
            let item =
                TrueItem { value, flags, cas, expiry, stale: stale != 0, token_taken: token_taken != 0 };
            Record::Item(key, Some(item))
        }
        _ => {
            let when = u32::from_le_bytes(number(body)?);
            Record::Flush((tag == b'p').then_some(key), (when != 0).then_some(Timestamp(when)))
        }
    };
    Some((record, last_id))
}

impl LogEngine {
    pub(super) fn open(world: &World, bug: LogBug) -> io::Result<LogEngine> {
        let disk: Arc<dyn Disk> = world.services().disk;
        let folder: PathBuf = world.folder();
        disk.create_folder(&folder)?;
        let lock = disk.lock(&folder.join("lock"))?;
        let file = disk.open(&folder.join("log"), true)?;
        if bug != LogBug::NoFolderSync {
            disk.sync_folder(folder.parent().unwrap_or(Path::new("/")))?;
            disk.sync_folder(&folder)?;
        }
        let model = ModelEngine::default();
        let end = replay(&model, &*file, bug)?;
        // What is torn must not be taken for a record once the log has grown to there.
        file.set_length(end)?;
        file.sync()?;
        Ok(LogEngine { model, log: Mutex::new(Log { file, end, broken: false }), bug, _lock: lock })
    }

    /// Runs a command on the model and logs what it changed; the answer waits for the sync.
    fn logged<T>(
        &self,
        context: &Context<'_>,
        key: Option<&[u8]>,
        record: Option<Record>,
        run: impl FnOnce() -> Reply<T>,
    ) -> Reply<T> {
        let mut log = self.log.lock();
        if log.broken {
            return Reply::failed(ErrorKind::Unavailable);
        }
        let mut records = Vec::new();
        for (prefix, when) in &self.model.state().flushes {
            if *when <= context.now {
                records.push(Record::Flush(prefix.clone(), None));
            }
        }
        let held = |key: Option<&[u8]>| key.and_then(|key| self.model.state().items.get(key).cloned());
        let before = held(key);
        let reply = run();
        let after = held(key);
        match key {
            Some(_) if after.is_none() && self.bug == LogBug::ForgetsDeletes => {}
            Some(key) if before != after => records.push(Record::Item(key.into(), after)),
            _ => records.extend(record),
        }
        if records.is_empty() {
            return reply;
        }
        let last_id = self.model.state().last_id;
        let bytes: Vec<u8> = records.iter().flat_map(|record| encode(record, last_id)).collect();
        let end = log.end;
        let sync = |log: &Log| if self.bug == LogBug::NoSync { Ok(()) } else { log.file.sync() };
        if log.file.write_at(&bytes, end).and_then(|()| sync(&log)).is_err() {
            log.broken = true;
            return Reply::failed(match self.bug {
                LogBug::SaysNothingChanged => ErrorKind::Unavailable,
                _ => ErrorKind::OutcomeUnknown,
            });
        }
        log.end += bytes.len() as u64;
        reply
    }
}

fn replay(model: &ModelEngine, file: &dyn DiskFile, bug: LogBug) -> io::Result<u64> {
    let mut bytes = vec![0; file.length()? as usize];
    file.read_at(&mut bytes, 0)?;
    let mut rest = &bytes[..];
    let mut end = 0;
    let mut state = model.state();
    while let Some((record, last_id)) = decode(&mut rest, bug != LogBug::NoChecksum) {
        end = bytes.len() - rest.len();
        if bug != LogBug::CasStartsAnew {
            state.last_id = last_id;
        }
        match record {
            Record::Item(key, Some(item)) => drop(state.items.insert(key, item)),
            Record::Item(key, None) => drop(state.items.remove(&key)),
            Record::Flush(prefix, when) => {
                state.flushes.retain(|(scope, _)| *scope != prefix);
                match when {
                    Some(when) => state.flushes.push((prefix, when)),
                    None => state.flush(prefix.as_deref()),
                }
            }
        }
    }
    Ok(end as u64)
}

/// The level is what the log makes of it.
fn local<T>(reply: Reply<T>, raise: impl FnOnce(&mut T)) -> Reply<T> {
    match reply {
        Reply::Ready(Ok(mut success)) => {
            raise(&mut success);
            Reply::done(success)
        }
        other => other,
    }
}

impl Engine for LogEngine {
    fn describe(&self) -> Description {
        Description { name: "log".into(), level: Durability::Local, ..self.model.describe() }
    }

    fn get(&self, context: &Context<'_>, key: Key<'_>, get: &Get, sink: &mut dyn Sink) -> GetReply {
        let mut kept = crate::reply::KeepItem::default();
        let reply = self.logged(context, Some(key.bytes()), None, || {
            match self.model.get(context, key, get, &mut kept) {
                Reply::Ready(answer) => Reply::Ready(answer),
                Reply::Pending(_) => unreachable!("the model is ready"),
            }
        });
        if let (Reply::Ready(Ok(Some(found))), Some(item)) = (&reply, kept.0) {
            sink.hit(found, &[&item.value.whole()]);
        }
        match reply {
            Reply::Ready(answer) => Reply::Ready(answer),
            Reply::Pending(_) => unreachable!("the model is ready"),
        }
    }

    fn store(&self, context: &Context<'_>, store: Store<'_>) -> Reply<Stored> {
        let key = store.key.bytes();
        let reply = self.logged(context, Some(key), None, || self.model.store(context, store));
        local(reply, |stored| stored.level = Durability::Local)
    }

    fn delete(&self, context: &Context<'_>, key: Key<'_>, delete: &Delete) -> Reply<Deleted> {
        let reply = self.logged(context, Some(key.bytes()), None, || self.model.delete(context, key, delete));
        local(reply, |deleted| deleted.level = Durability::Local)
    }

    fn arithmetic(&self, context: &Context<'_>, key: Key<'_>, arithmetic: &Arithmetic) -> Reply<Number> {
        let run = || self.model.arithmetic(context, key, arithmetic);
        local(self.logged(context, Some(key.bytes()), None, run), |number| number.level = Durability::Local)
    }

    fn flush(&self, context: &Context<'_>, scope: Scope<'_>, when: Option<Timestamp>) -> Reply<Flushed> {
        let prefix = match scope {
            Scope::All => None,
            Scope::Prefix(prefix) => Some(prefix.to_vec()),
        };
        let record = Some(Record::Flush(prefix, when));
        let reply = self.logged(context, None, record, || self.model.flush(context, scope, when));
        local(reply, |flushed| flushed.level = Durability::Local)
    }

    fn scan(
        &self,
        context: &Context<'_>,
        order: ScanOrder,
        cursor: Option<&[u8]>,
        bytes_max: usize,
    ) -> Reply<ScanPage> {
        self.model.scan(context, order, cursor, bytes_max)
    }

    fn memory_use(&self) -> MemoryUse {
        self.model.memory_use()
    }

    fn stats(&self, sink: &mut dyn StatsSink) {
        self.model.stats(sink);
    }

    fn reset_stats(&self) {}

    fn close(&self) -> Result<(), EngineError> {
        if self.log.lock().broken { Err(ErrorKind::Unavailable.into()) } else { Ok(()) }
    }
}
