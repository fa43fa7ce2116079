//! An engine that panics, as a module: a look-up at once, a store on its way. Everything else it has not.

use std::error::Error;
use std::sync::Arc;

use larder_engine::{
    Arithmetic, Context, Delete, Deleted, Description, Durability, Engine, EngineError, ErrorKind, Flushed,
    Get, GetReply, Key, MemoryUse, Number, Operation, Ordering, Reply, ScanOrder, ScanPage, Scope, Services,
    Sink, StatsSink, Store, Stored, Timestamp,
};

struct Panics;

impl Engine for Panics {
    fn describe(&self) -> Description {
        Description {
            name: "panics".into(),
            level: Durability::Ram,
            item_size_max: 1 << 20,
            shared: false,
            ordering: Ordering::PerKey,
            versions: false,
            tracks_access: false,
            scan_in_key_order: false,
            raw_commands: false,
            renames_keys: false,
        }
    }

    fn get(&self, _: &Context<'_>, _: Key<'_>, _: &Get, _: &mut dyn Sink) -> GetReply {
        panic!("on purpose, in get")
    }

    fn store(&self, context: &Context<'_>, _: Store<'_>) -> Reply<Stored> {
        Reply::Pending(Operation::driven(context.worker, async { panic!("on purpose, in store") }))
    }

    fn delete(&self, _: &Context<'_>, _: Key<'_>, _: &Delete) -> Reply<Deleted> {
        Reply::failed(ErrorKind::NotFound)
    }

    fn arithmetic(&self, _: &Context<'_>, _: Key<'_>, _: &Arithmetic) -> Reply<Number> {
        Reply::failed(ErrorKind::NotFound)
    }

    fn flush(&self, _: &Context<'_>, _: Scope<'_>, _: Option<Timestamp>) -> Reply<Flushed> {
        Reply::failed(ErrorKind::Unsupported)
    }

    fn scan(&self, _: &Context<'_>, _: ScanOrder, _: Option<&[u8]>, _: usize) -> Reply<ScanPage> {
        Reply::failed(ErrorKind::Unsupported)
    }

    fn memory_use(&self) -> MemoryUse {
        MemoryUse::default()
    }

    fn stats(&self, _: &mut dyn StatsSink) {}

    fn reset_stats(&self) {}

    fn close(&self) -> Result<(), EngineError> {
        Ok(())
    }
}

fn open(_: &Services, _: Option<&str>) -> Result<Arc<dyn Engine>, Box<dyn Error + Send + Sync>> {
    Ok(Arc::new(Panics))
}

larder_module_export::export_engine!(open);
