//! What the store says of itself.

use larder_engine::{MemoryUse, StatsSink};

use crate::shared::Shared;

/// Items and bytes of their files. After a crash they are counted anew, in the background.
pub(crate) fn memory_use(shared: &Shared) -> MemoryUse {
    let (items, bytes) = shared.tally();
    MemoryUse { items, bytes, reclaimed: shared.counters.purge_removed.get(), ..MemoryUse::default() }
}

pub(crate) fn write(shared: &Shared, sink: &mut dyn StatsSink) {
    let (commands, bytes) = shared.writes.depth();
    sink.stat("queue_commands", &commands);
    sink.stat("queue_bytes", &bytes);
    sink.stat("queue_without_room", &shared.writes.without_room());
    sink.stat("queue_reads", &shared.readers.waiting());
    sink.stat("damaged", &u8::from(shared.health.is_damaged()));
    let (items, bytes) = shared.tally();
    sink.stat("files", &items);
    sink.stat("file_bytes", &bytes);
    let flushes = shared.flushes.load();
    let (in_effect, waiting) =
        flushes.map_or((0, 0), |flushes| (flushes.in_effect.len(), flushes.waiting.len()));
    sink.stat("flushes_in_effect", &in_effect);
    sink.stat("flushes_waiting", &waiting);
    shared.counters.each(|name, value| match name.ends_with("_max") {
        true => sink.stat(name, &value),
        false => sink.count(name, value),
    });
}
