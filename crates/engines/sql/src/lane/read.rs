//! Reads: many keys of one table are one statement.

use std::sync::Arc;

use hashbrown::HashMap;
use larder_engine::completion::{Completer, Wakes};
use larder_engine::{Get, Item, ScanPage, Timestamp, semantics};

use super::Lane;
use crate::cluster::lane_of;
use crate::command::{AnswerTo, Command, Read, ReadWhat, Write};
use crate::dialect::Class;
use crate::failure::Failure;
use crate::model::ExpireOnRead;
use crate::plan::Plan;
use crate::row::{self, KeyCells, Row};
use crate::statement::{self, KEYS_MAX};
use crate::table::Table;
use crate::types::Cell;

type Rows = HashMap<KeyCells, Row, foldhash::fast::RandomState>;

/// The reads of one table, each once for each key.
#[derive(Default)]
struct Wanted {
    keys: Vec<KeyCells>,
    rows: Vec<WantedRow>,
    pages: Vec<WantedPage>,
}

struct WantedRow {
    key: KeyCells,
    get: Get,
    done: Completer<Option<Item>>,
}

struct WantedPage {
    prefix: Arc<[u8]>,
    after: Option<KeyCells>,
    rows_max: usize,
    done: Completer<ScanPage>,
}

impl Lane {
    pub(super) async fn read_batch(&mut self, batch: Vec<Read>) {
        let mut tables: Vec<(Arc<Table>, Wanted)> = Vec::new();
        for Read { table, what } in batch {
            let at = tables.iter().position(|(known, _)| Arc::ptr_eq(known, &table)).unwrap_or_else(|| {
                tables.push((table, Wanted::default()));
                tables.len() - 1
            });
            let wanted = &mut tables[at].1;
            match what {
                ReadWhat::Row { key, get, done } => {
                    wanted.keys.push(key.clone());
                    wanted.rows.push(WantedRow { key, get, done });
                }
                ReadWhat::Page { prefix, after, rows_max, done } => {
                    wanted.pages.push(WantedPage { prefix, after, rows_max, done });
                }
            }
        }
        for (table, mut wanted) in tables {
            wanted.keys.sort();
            wanted.keys.dedup();
            self.read_rows(&table, wanted.keys, wanted.rows).await;
            for page in wanted.pages {
                self.read_page(&table, page).await;
            }
        }
    }

    async fn read_rows(&mut self, table: &Arc<Table>, keys: Vec<KeyCells>, wanted: Vec<WantedRow>) {
        if keys.is_empty() {
            return;
        }
        let plan = table.plan();
        table.counters.reads.add(wanted.len() as u64);
        let outcome = self.fetch(table, &keys).await;
        let mut wakes = Wakes::default();
        let rows = match outcome {
            Ok(rows) => rows,
            Err(failure) => {
                table.counters.errors.add(wanted.len() as u64);
                let error = failure.answer(&plan.container.name);
                wanted.into_iter().for_each(|row| row.done.complete_with(Err(error.repeat()), &mut wakes));
                return;
            }
        };
        let now = self.shared.now();
        let mut expired: Vec<KeyCells> = Vec::new();
        for WantedRow { key, get, done } in wanted {
            let held = rows.get(&key).map(|row| row::held(&plan, row));
            let item = match held {
                Some(held) if held.expiry.is_past(now) => {
                    expired.push(key);
                    None
                }
                Some(held) if semantics::get_changes(&held.current(), &get, now) => {
                    self.change(table, key, get, done);
                    continue;
                }
                held => held.and_then(row::Held::item),
            };
            done.complete_with(Ok(item), &mut wakes);
        }
        if plan.container.options.expire_on_read == ExpireOnRead::Delete {
            self.remove_expired(table, expired);
        }
    }

    /// The rows of these keys; a lost connection or a changed table is tried once more.
    async fn fetch(&mut self, table: &Arc<Table>, keys: &[KeyCells]) -> Result<Rows, Failure> {
        self.flush_due(table).await?;
        let mut tried = false;
        loop {
            let plan = table.plan();
            match self.fetch_once(table, &plan, keys).await {
                Err(Failure::Database(error)) if !tried && error.class == Class::Lost => tried = true,
                Err(Failure::Database(error)) if !tried && error.class == Class::SchemaChanged => {
                    tried = true;
                    self.replan(table).await?;
                }
                outcome => return outcome,
            }
        }
    }

    async fn fetch_once(&mut self, table: &Table, plan: &Plan, keys: &[KeyCells]) -> Result<Rows, Failure> {
        // Rows found under another spelling of the key are told apart by their statement.
        let size = if plan.has_aliases() { 1 } else { KEYS_MAX };
        let chunks: Vec<Vec<&[Cell]>> =
            keys.chunks(size).map(|chunk| chunk.iter().map(|key| &**key).collect()).collect();
        let queries: Vec<_> = chunks.iter().map(|chunk| statement::select(plan, chunk, false)).collect();
        table.counters.read_statements.add(queries.len() as u64);
        let answers = self.run_all(&queries).await?;
        let mut rows = Rows::default();
        for (chunk, answered) in chunks.iter().zip(answers) {
            for cells in answered.rows {
                let (key, row) = row::settle(plan, cells);
                let key = if plan.has_aliases() { chunk[0].into() } else { key };
                rows.insert(key, row);
            }
        }
        Ok(rows)
    }

    /// Lets the writing lanes remove rows that were seen expired. A full queue leaves them for the next read.
    fn remove_expired(&self, table: &Arc<Table>, keys: Vec<KeyCells>) {
        for key in keys {
            let write = Write {
                table: table.clone(),
                key,
                command: Command::RemoveExpired,
                answer_to: AnswerTo::Nobody,
            };
            let weight = write.weight();
            let queue = &self.shared.writes[lane_of(&write.key, self.shared.writes.len())];
            if queue.push(write, weight).is_ok() {
                table.counters.expired_removed.one();
            }
        }
    }

    /// Hands a look-up that hands out a token to the lane that writes.
    fn change(&self, table: &Arc<Table>, key: KeyCells, get: Get, done: Completer<Option<Item>>) {
        let queue = &self.shared.writes[lane_of(&key, self.shared.writes.len())];
        let (command, answer_to) = (Command::Get(get), AnswerTo::Item(done));
        let write = Write { table: table.clone(), key, command, answer_to };
        let weight = write.weight();
        if let Err((write, error)) = queue.push(write, weight) {
            write.answer_to.give(Err(error), &mut Wakes::default());
        }
    }

    async fn read_page(&mut self, table: &Arc<Table>, wanted: WantedPage) {
        let WantedPage { prefix, after, rows_max, done } = wanted;
        let plan = table.plan();
        let outcome = match self.flush_due(table).await {
            Ok(()) => self.run_all(&[statement::scan(&plan, after.as_deref(), rows_max)]).await,
            Err(failure) => Err(failure),
        };
        let page = outcome.map(|answers| {
            let rows = answers.into_iter().flat_map(|answered| answered.rows).collect();
            page(&plan, &prefix, rows, rows_max, self.shared.now())
        });
        done.complete(page.map_err(|failure| failure.answer(&plan.container.name)));
    }
}

/// The living items of a page, and the key it ended at.
fn page(plan: &Plan, prefix: &[u8], rows: Vec<Vec<Cell>>, rows_max: usize, now: Timestamp) -> ScanPage {
    let mut page = ScanPage::default();
    let is_full = rows.len() >= rows_max;
    let mut last = None;
    for cells in rows {
        let (key, row) = row::settle(plan, cells);
        let suffix = row::key_text(plan, &key);
        let held = row::held(plan, &row);
        if !held.expiry.is_past(now)
            && let Some(item) = held.item()
        {
            page.items.push(([prefix, &suffix].concat().into(), item));
        }
        last = Some(suffix);
    }
    page.next = last.filter(|_| is_full);
    page
}
