//! Scans of store and queue together.
//!
//! Queued writes come first, shard by shard; then the store's pages, in which items with a queued write are shown as
//! that write left them. What goes down to the store meanwhile is in the pages that follow, so an item that is there
//! throughout comes at least once. What goes down while the store reads a page is kept until the page has come: the
//! store may have read before.

use std::sync::Arc;

use larder_engine::{Cache, Context, EngineError, ErrorKind, Item, Operation, Reply, ScanOrder, ScanPage};

use super::Behind;
use crate::core::{Asker, Core, answer};

const QUEUE: u8 = 0;
const STORE: u8 = 1;

impl<C: Cache + ?Sized> Core<C> {
    /// A page of a scan.
    pub fn scan_behind(
        self: &Arc<Self>,
        behind: &Behind,
        context: &Context<'_>,
        order: ScanOrder,
        cursor: Option<&[u8]>,
        bytes_max: usize,
    ) -> Reply<ScanPage> {
        match cursor {
            None => Reply::done(self.scan_queue(behind, context, 0, bytes_max)),
            Some([QUEUE, shard]) => {
                Reply::done(self.scan_queue(behind, context, usize::from(*shard), bytes_max))
            }
            Some([STORE, rest @ ..]) => {
                let cursor = (!rest.is_empty()).then_some(rest);
                let scanning = Scanning::begin(self.clone());
                let page = self.store.scan(context, order, cursor, bytes_max);
                self.scan_store(context, scanning, page)
            }
            Some(_) => Reply::failed(EngineError::new(ErrorKind::BadArgument, "not a cursor of this scan")),
        }
    }

    fn scan_queue(
        &self,
        behind: &Behind,
        context: &Context<'_>,
        first_shard: usize,
        bytes_max: usize,
    ) -> ScanPage {
        let mut page = ScanPage::default();
        let mut bytes = 0;
        for (number, shard) in behind.dirty.shards().iter().enumerate().skip(first_shard) {
            if bytes >= bytes_max && bytes > 0 {
                page.next = Some(vec![QUEUE, number as u8]);
                return page;
            }
            for entry in shard.lock().entries() {
                if let Some(held) = self.live_entry(entry, context.now) {
                    bytes += held.value.len();
                    let key = entry.key.clone().unwrap_or_else(|| entry.name[..].into());
                    page.items.push((key, held.item()));
                }
            }
        }
        page.next = Some(vec![STORE]);
        page
    }

    fn scan_store(
        self: &Arc<Self>,
        context: &Context<'_>,
        scanning: Scanning<C>,
        reply: Reply<ScanPage>,
    ) -> Reply<ScanPage> {
        let asker = Asker::of(context);
        Reply::Pending(Operation::waiting(async move {
            let mut page = answer(reply).await?;
            let items = std::mem::take(&mut page.items).into_iter();
            page.items = items.filter_map(|(key, item)| scanning.0.overlaid(&asker, key, item)).collect();
            page.next = page.next.map(|next| {
                let mut cursor = vec![STORE];
                cursor.extend(next);
                cursor
            });
            Ok(page)
        }))
    }

    /// The item as the queue has it, if it has it.
    fn overlaid(&self, asker: &Asker, key: Box<[u8]>, item: Item) -> Option<(Box<[u8]>, Item)> {
        let owned = self.owned(larder_engine::Key::new(&key));
        let shard = self.behind().dirty.lock(owned.name());
        match shard.get_for_scan(owned.name()) {
            None => Some((key, item)),
            Some(entry) => {
                let held = self.live_entry(entry, asker.now)?;
                Some((key, held.item()))
            }
        }
    }
}

/// A page of the store that is on its way, or given up when this is dropped.
struct Scanning<C: Cache + ?Sized>(Arc<Core<C>>);

impl<C: Cache + ?Sized> Scanning<C> {
    fn begin(core: Arc<Core<C>>) -> Self {
        core.behind().dirty.shards().iter().for_each(|shard| shard.lock().begin_scan());
        Scanning(core)
    }
}

impl<C: Cache + ?Sized> Drop for Scanning<C> {
    fn drop(&mut self) {
        self.0.behind().dirty.shards().iter().for_each(|shard| shard.lock().end_scan());
    }
}
