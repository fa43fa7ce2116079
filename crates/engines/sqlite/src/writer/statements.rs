//! The writer's prepared statements.

use larder_engine::durable::Flushes;
use rusqlite::{Connection, OptionalExtension, Statement};

use crate::journal::{self, Slots};
use crate::kept::{self, COLUMNS, Kept, KeyBytes, state};
use crate::schema::{META_IDS, META_ITEMS, META_JOURNAL};

/// See the module.
pub(crate) struct Statements<'c> {
    begin: Statement<'c>,
    commit: Statement<'c>,
    rollback: Statement<'c>,
    select: Statement<'c>,
    update: Statement<'c>,
    insert: Statement<'c>,
    delete: Statement<'c>,
    delete_version: Statement<'c>,
    fill_slot: Statement<'c>,
    make_slot: Statement<'c>,
    meta: Statement<'c>,
    forget_flushes: Statement<'c>,
    flush: Statement<'c>,
    /// Whether the last upsert found no row: then the next one probably does not either.
    expects_new: bool,
}

/// What an upsert found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Upserted {
    Inserted,
    Updated,
}

impl<'c> Statements<'c> {
    pub fn new(connection: &'c Connection) -> rusqlite::Result<Self> {
        let select = format!("SELECT {COLUMNS} FROM items WHERE key = ?1");
        let update =
            "UPDATE items SET version = ?2, cas = ?3, expiry = ?4, flags = ?5, state = ?6, value = ?7
                      WHERE key = ?1";
        let insert = "INSERT OR IGNORE INTO items(key, version, cas, expiry, flags, state, value)
                      VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        Ok(Statements {
            begin: connection.prepare("BEGIN IMMEDIATE")?,
            commit: connection.prepare("COMMIT")?,
            rollback: connection.prepare("ROLLBACK")?,
            select: connection.prepare(&select)?,
            update: connection.prepare(update)?,
            insert: connection.prepare(insert)?,
            delete: connection.prepare("DELETE FROM items WHERE key = ?1")?,
            delete_version: connection.prepare("DELETE FROM items WHERE key = ?1 AND version = ?2")?,
            fill_slot: connection.prepare("UPDATE journal SET part = ?2 WHERE slot = ?1")?,
            make_slot: connection.prepare("INSERT INTO journal(slot, part) VALUES(?1, ?2)")?,
            meta: connection.prepare("UPDATE meta SET value = ?2 WHERE name = ?1")?,
            forget_flushes: connection.prepare("DELETE FROM flushes")?,
            flush: connection.prepare("INSERT INTO flushes(prefix, at, version) VALUES(?1, ?2, ?3)")?,
            expects_new: true,
        })
    }

    pub fn begin(&mut self) -> rusqlite::Result<()> {
        self.begin.execute([]).map(drop)
    }

    pub fn commit(&mut self) -> rusqlite::Result<()> {
        self.commit.execute([]).map(drop)
    }

    pub fn rollback(&mut self) -> rusqlite::Result<()> {
        self.rollback.execute([]).map(drop)
    }

    pub fn select(&mut self, key: &[u8]) -> rusqlite::Result<Option<Kept>> {
        self.select.query_row([key], |row| kept::from_row(row, 0)).optional()
    }

    /// Puts an item into the table.
    pub fn upsert(&mut self, key: &[u8], kept: &Kept) -> rusqlite::Result<Upserted> {
        if self.expects_new && write_row(&mut self.insert, key, kept)? == 1 {
            return Ok(Upserted::Inserted);
        }
        if write_row(&mut self.update, key, kept)? == 1 {
            self.expects_new = false;
            return Ok(Upserted::Updated);
        }
        self.expects_new = true;
        write_row(&mut self.insert, key, kept)?;
        Ok(Upserted::Inserted)
    }

    /// Removes a row; whether there was one.
    pub fn delete(&mut self, key: &[u8]) -> rusqlite::Result<bool> {
        Ok(self.delete.execute([key])? == 1)
    }

    /// Removes a row if it has not changed; whether it was there.
    pub fn delete_version(&mut self, key: &KeyBytes, version: u64) -> rusqlite::Result<bool> {
        Ok(self.delete_version.execute((&key[..], version as i64))? == 1)
    }

    /// Writes a batch into the next slots; how many it took.
    pub fn journal(&mut self, slots: &Slots, seq: u64, batch: &[u8]) -> rusqlite::Result<usize> {
        let mut count = 0;
        for part in journal::parts(seq, batch) {
            let (slot, is_new) = slots.next(count);
            let statement = if is_new { &mut self.make_slot } else { &mut self.fill_slot };
            let changed = statement.execute((slot, part))?;
            if changed != 1 {
                // The slots known are those in the file, unless its pages are no longer what was written.
                return Err(rusqlite::Error::StatementChangedRows(changed));
            }
            count += 1;
        }
        Ok(count)
    }

    /// Batches before `first` are folded.
    pub fn set_journal_first(&mut self, first: u64) -> rusqlite::Result<()> {
        self.meta.execute((META_JOURNAL, first as i64)).map(drop)
    }

    pub fn reserve_ids(&mut self, below: u64) -> rusqlite::Result<()> {
        self.meta.execute((META_IDS, below as i64)).map(drop)
    }

    pub fn set_items(&mut self, items: i64) -> rusqlite::Result<()> {
        self.meta.execute((META_ITEMS, items)).map(drop)
    }

    /// Replaces what the file knows of flushes.
    pub fn set_flushes(&mut self, flushes: &Flushes) -> rusqlite::Result<()> {
        self.forget_flushes.execute([])?;
        for flush in &flushes.in_effect {
            self.flush.execute((&flush.prefix[..], 0, flush.version as i64))?;
        }
        for waiting in &flushes.waiting {
            self.flush.execute((&waiting.prefix[..], waiting.at.0, 0))?;
        }
        Ok(())
    }
}

fn write_row(statement: &mut Statement<'_>, key: &[u8], kept: &Kept) -> rusqlite::Result<usize> {
    statement.execute((
        key,
        kept.version as i64,
        kept.cas as i64,
        kept.expiry.raw(),
        kept.flags,
        state(kept),
        &kept.value[..],
    ))
}
