//! Filling the cache from the store at start.
//!
//! In the background and with pauses, roughly newest first, until the cache is full. A copy never takes the place of a
//! newer one: see [`crate::marks`]. Nor does it stand for an item that others keep: see [`crate::keys`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use larder_engine::engine::StatsSink;
use larder_engine::reply::NoValue;
use larder_engine::{Cache, FillContent, Get, Item, Key, Lookup, Reply, ScanOrder};
use parking_lot::Mutex;

use crate::core::{Asker, Core, answer};
use crate::event_loop::Timer;
use crate::thread::Orders;

/// Bytes of values read from the store at a time.
const PAGE_BYTES: usize = 256 << 10;
/// Between two pages the store rests as long as the page took, at least this long.
const REST_MIN: Duration = Duration::from_micros(200);
/// How often the log is told of the progress.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// How far warming up has come.
#[derive(Default)]
pub(crate) struct WarmUp {
    state: Mutex<WarmState>,
    items: AtomicU64,
    bytes: AtomicU64,
}

/// Where warming up stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum WarmState {
    /// It has not begun, or was not asked for.
    #[default]
    Off,
    Running,
    /// All of the store is in the cache.
    Whole,
    /// The cache is full.
    Full,
    /// The store failed.
    Failed,
    /// The tier was closed, or answers for no key any more.
    Stopped,
}

impl WarmState {
    fn word(self) -> &'static str {
        match self {
            WarmState::Off => "off",
            WarmState::Running => "running",
            WarmState::Whole => "whole",
            WarmState::Full => "full",
            WarmState::Failed => "failed",
            WarmState::Stopped => "stopped",
        }
    }
}

impl WarmUp {
    fn set(&self, state: WarmState) {
        *self.state.lock() = state;
    }

    fn word(&self) -> &'static str {
        self.state.lock().word()
    }

    fn add(&self, bytes: usize) {
        self.items.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Lines for the tier's statistics.
    pub fn stats(&self, sink: &mut dyn StatsSink) {
        sink.stat("tier_warm_up", &self.word());
        sink.stat("tier_warm_up_items", &self.items.load(Ordering::Relaxed));
        sink.stat("tier_warm_up_bytes", &self.bytes.load(Ordering::Relaxed));
    }
}

impl<C: Cache + ?Sized> Core<C> {
    /// Warms the cache up. Ends when it is full, at the end of the store, on an error or an order to stop.
    pub(crate) async fn warm_up(self: Arc<Self>, asker: Asker, timer: Timer, orders: Arc<Orders>) {
        self.keys.any().await;
        self.warm_up.set(WarmState::Running);
        let began = timer.elapsed();
        let end = self.warm_pages(&asker, &timer, &orders).await;
        self.warm_up.set(end);
        let items = self.warm_up.items.load(Ordering::Relaxed);
        let bytes = self.warm_up.bytes.load(Ordering::Relaxed);
        let seconds = (timer.elapsed() - began).as_secs_f32();
        let stack = &self.options.name;
        tracing::info!(%stack, items, bytes, seconds, end = self.warm_up.word(), "the cache was warmed up");
    }

    async fn warm_pages(&self, asker: &Asker, timer: &Timer, orders: &Orders) -> WarmState {
        let mut cursor: Option<Vec<u8>> = None;
        let mut logged_at = timer.elapsed();
        loop {
            if orders.stop() || self.keys.is_none() {
                return WarmState::Stopped;
            }
            if !self.cache.has_room() {
                return WarmState::Full;
            }
            let began = timer.elapsed();
            let asker = asker.at(self.now());
            let marks = self.marks.copy();
            let context = asker.context(asker.now);
            let page =
                answer(self.store.scan(&context, ScanOrder::Newest, cursor.as_deref(), PAGE_BYTES)).await;
            let page = match page {
                Ok(page) => page,
                Err(error) => {
                    let stack = &self.options.name;
                    tracing::warn!(
                        %stack, %error,
                        "warming up has ended early: the store failed; what is not in the cache is read when it is asked for"
                    );
                    return WarmState::Failed;
                }
            };
            for (key, item) in page.items {
                self.warm_item(&asker, &marks, &key, item).await;
            }
            let Some(next) = page.next else {
                return if self.keys.is_none() { WarmState::Stopped } else { WarmState::Whole };
            };
            cursor = Some(next);
            let now = timer.elapsed();
            if now >= logged_at + LOG_EVERY {
                logged_at = now;
                let items = self.warm_up.items.load(Ordering::Relaxed);
                tracing::info!(stack = %self.options.name, items, "warming up the cache");
            }
            timer.sleep((now - began).max(REST_MIN)).await;
        }
    }

    /// Puts one item of a page into the cache if nothing is known there and nothing was written since.
    async fn warm_item(&self, asker: &Asker, marks: &[u32], key: &[u8], item: Item) {
        if !self.keys.include(key) {
            return;
        }
        let key = self.owned(Key::new(key));
        let get = Get { bump: false, ..Get::plain() };
        let known = self.cache.lookup(&asker.context(asker.now), key.cached(), &get, &mut NoValue);
        if !matches!(known, Reply::Ready(Ok(Lookup::Unknown))) || !self.cache.has_room() {
            return;
        }
        let Some(lease) = self.lease(&key) else { return };
        // In this order: a write that comes after these looks finds the lease and revokes it.
        if self.marks.moved(marks, key.name()) || !self.traffic.is_quiet(key.name()) {
            return;
        }
        let bytes = item.value.len();
        // A cache that fails is logged by the fill itself; warming up is no promise.
        if self.fill(asker, &key, Some(&lease), FillContent::Item(item), 0).await.is_ok() {
            self.warm_up.add(bytes);
        }
    }
}
