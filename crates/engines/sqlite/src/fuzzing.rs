//! The readers of the file's format, for the fuzzer: none of them may panic, whatever they are given.

use std::io;
use std::path::Path;

use larder_engine::disk::DiskFile;

use crate::record::{self, Encoder, Record};
use crate::{header, journal, wal};
use larder_engine::durable::crc32;

/// Judges the first bytes of a file.
pub fn judge_head(head: &[u8]) {
    // Either verdict is one.
    let _verdict = header::judge(Path::new("larder.db"), head, head.len() as u64);
}

/// Reads the slots of a journal whose first batch that counts has the number that the input begins with; their heads
/// follow.
pub fn read_journal(bytes: &[u8]) {
    if let Some((first, heads)) = bytes.split_first_chunk() {
        journal::check_slots(u64::from_le_bytes(*first), heads);
    }
}

/// Reads the records of a batch; what is read reads the same when it is written again.
pub fn read_batch(blob: &[u8]) {
    let records = |blob: &[u8]| {
        let mut records: Vec<(Vec<u8>, Record)> = Vec::new();
        record::decode(blob, |key, record| {
            records.push((key.to_vec(), record));
            Ok(())
        })
        .map(|()| records)
    };
    let Ok(read) = records(blob) else { return };
    let mut encoder = Encoder::new(Vec::new());
    for (key, record) in &read {
        match record {
            Record::Latest(latest) => encoder.latest(key, latest),
            Record::InTable(version) => encoder.in_table(key, *version),
        }
    }
    assert_eq!(records(&encoder.finish()).as_ref(), Ok(&read));
}

/// Records behind the head that fits them.
pub fn with_checksum(records: &[u8]) -> Vec<u8> {
    let mut blob = Encoder::new(Vec::new()).finish();
    blob.extend_from_slice(records);
    let head = blob.len() - records.len();
    let sum = crc32(records);
    blob[head - 4..head].copy_from_slice(&sum.to_le_bytes());
    blob
}

/// Follows the frames of a write-ahead log.
pub fn walk_log(log: &[u8]) {
    wal::look_at(&Bytes(log)).expect("bytes in memory can be read");
}

/// The log with the checksums that its head and its frames should have, in pages of 512 bytes.
pub fn with_log_checksums(log: &[u8]) -> Vec<u8> {
    let mut log = log.to_vec();
    wal::mend_checksums(&mut log);
    log
}

/// A file that is in memory, and only read.
struct Bytes<'a>(&'a [u8]);

impl DiskFile for Bytes<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let start = usize::try_from(offset).map_or(self.0.len(), |offset| offset.min(self.0.len()));
        let count = buffer.len().min(self.0.len() - start);
        buffer[..count].copy_from_slice(&self.0[start..start + count]);
        Ok(count)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn write_at(&self, _bytes: &[u8], _offset: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn set_length(&self, _length: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync(&self) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}
