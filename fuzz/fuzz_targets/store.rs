//! What the durable store reads from its files besides SQLite's own: the head, the slots of the journal, the records
//! of a batch, and the frames of the write-ahead log.

#![no_main]

use larder_sqlite::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&selector, rest)) = data.split_first() else { return };
    match selector % 6 {
        0 => fuzzing::judge_head(rest),
        1 => fuzzing::read_journal(rest),
        2 => fuzzing::read_batch(rest),
        3 => fuzzing::read_batch(&fuzzing::with_checksum(rest)),
        4 => fuzzing::walk_log(rest),
        _ => fuzzing::walk_log(&fuzzing::with_log_checksums(rest)),
    }
});
