//! `stats items` and `stats slabs`: the memory classes of memcached. There is one here, number 1.

use larder_engine::StatsSink;

use super::{Lines, memory};
use crate::command::Turn;

pub(super) fn items(turn: &Turn<'_>, lines: &mut Lines<'_>) {
    let memory = memory(turn);
    if memory.items == 0 {
        return;
    }
    let mut class = |names: &[(&str, u64)]| {
        for (name, value) in names {
            lines.stat(&format!("items:1:{name}"), value);
        }
    };
    class(&[("number", memory.items), ("number_hot", 0), ("number_warm", 0), ("number_cold", memory.items)]);
    class(&[
        ("number_temp", 0),
        ("age_hot", 0),
        ("age_warm", 0),
        ("age", 0),
        ("mem_requested", memory.bytes),
    ]);
    class(&[("evicted", memory.evictions), ("evicted_nonzero", 0), ("evicted_time", 0)]);
    class(&[("outofmemory", memory.out_of_memory), ("tailrepairs", 0), ("reclaimed", memory.reclaimed)]);
    class(&[
        ("expired_unfetched", memory.expired_unfetched),
        ("evicted_unfetched", memory.evicted_unfetched),
        ("evicted_active", 0),
        ("crawler_reclaimed", 0),
        ("crawler_items_checked", 0),
        ("lrutail_reflocked", 0),
        ("moves_to_cold", 0),
        ("moves_to_warm", 0),
        ("moves_within_lru", 0),
        ("direct_reclaims", 0),
        ("hits_to_hot", 0),
        ("hits_to_warm", 0),
        ("hits_to_cold", turn.shared().totals().get_hits),
        ("hits_to_temp", 0),
    ]);
}

pub(super) fn slabs(turn: &Turn<'_>, lines: &mut Lines<'_>) {
    let memory = memory(turn);
    let totals = turn.shared().totals();
    if memory.items > 0 {
        let mut class = |names: &[(&str, u64)]| {
            for (name, value) in names {
                lines.stat(&format!("1:{name}"), value);
            }
        };
        class(&[
            ("chunk_size", 1),
            ("chunks_per_page", 1 << 20),
            ("total_pages", memory.bytes.div_ceil(1 << 20)),
        ]);
        class(&[("total_chunks", memory.bytes), ("used_chunks", memory.bytes), ("free_chunks", 0)]);
        class(&[("free_chunks_end", 0), ("get_hits", totals.get_hits), ("cmd_set", totals.cmd_set)]);
        class(&[("delete_hits", totals.delete_hits), ("incr_hits", totals.incr_hits)]);
        class(&[("decr_hits", totals.decr_hits), ("cas_hits", totals.cas_hits)]);
        class(&[("cas_badval", totals.cas_badval), ("touch_hits", totals.touch_hits)]);
    }
    lines.stat("active_slabs", &u64::from(memory.items > 0));
    lines.stat("total_malloced", &memory.bytes);
}
