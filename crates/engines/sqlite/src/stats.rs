//! What the store says of itself.

use std::sync::atomic::Ordering;

use larder_engine::{MemoryUse, StatsSink};

use crate::checkpoint::FRAME_BYTES;
use crate::journal::SLOT_FILE_BYTES;
use crate::running::Running;
use crate::shared::Shared;

/// Items and bytes. Items that are journalled but not folded are counted as new ones, so a store whose items are
/// being overwritten counts some twice until the journal is folded.
pub(crate) fn memory_use(shared: &Shared) -> MemoryUse {
    let rows = shared.rows.load(Ordering::Relaxed).max(0) as u64;
    let counters = &shared.counters;
    MemoryUse {
        items: rows + shared.overlay.items() as u64,
        bytes: shared.file_bytes.load(Ordering::Relaxed) + shared.overlay.bytes() as u64,
        bytes_limit: 0,
        reclaimed: counters.purge_removed.get(),
        expired_unfetched: 0,
        ..MemoryUse::default()
    }
}

pub(crate) fn write(running: &Running, sink: &mut dyn StatsSink) {
    let shared = &running.shared;
    let (commands, bytes) = shared.writes.depth();
    sink.stat("queue_commands", &commands);
    sink.stat("queue_bytes", &bytes);
    sink.stat("queue_without_room", &shared.writes.without_room());
    let reads: usize = running.readers.desks.iter().map(|desk| desk.waiting()).sum();
    sink.stat("queue_reads", &reads);
    sink.stat("journal_keys", &shared.overlay.entries());
    sink.stat("journal_memory_bytes", &shared.overlay.bytes());
    sink.stat("damaged", &u8::from(shared.health.is_damaged()));
    let slots = shared.journal_slots.load(Ordering::Relaxed);
    sink.stat("journal_file_bytes", &(slots * SLOT_FILE_BYTES as u64));
    sink.stat("log_bytes", &(shared.log_pages.load(Ordering::Relaxed) * FRAME_BYTES));
    sink.stat("table_rows", &shared.rows.load(Ordering::Relaxed).max(0));
    sink.stat("file_bytes", &shared.file_bytes.load(Ordering::Relaxed));
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
