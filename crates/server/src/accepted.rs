//! memcached's settings that steer what larder does not have: slabs, its hash table, its segmented LRU, its crawler.
//!
//! They are taken and checked so that a command line written for memcached works, and `stats settings` shows them.
//! Nothing else follows from them, but for [`Accepted::lru_crawler`], which decides whether crawler commands are
//! taken and which numbers `stats` lists.

/// The numbers as given; the defaults say what larder has in their place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Growth of slab classes, in hundredths.
    pub growth_factor: u32,
    /// Least space of an item, in bytes.
    pub chunk_bytes_min: u32,
    /// Power of two of the first hash table; 0 is the server's choice.
    pub hash_power: u32,
    /// The hash of keys.
    pub hash_algorithm: &'static str,
    /// Whether slab pages move between classes.
    pub slab_reassign: bool,
    /// How eagerly: 0, 1 or 2.
    pub slab_automove: u32,
    /// In hundredths.
    pub slab_automove_ratio: u32,
    /// In seconds.
    pub slab_automove_window: u32,
    /// Largest chunk, in bytes.
    pub slab_chunk_bytes_max: u32,
    /// In seconds; 0 is never.
    pub tail_repair_seconds: u32,
    /// Whether there is a crawler to be told what to do.
    pub lru_crawler: bool,
    /// Pause of the crawler, in microseconds.
    pub lru_crawler_sleep_us: u32,
    /// Items the crawler looks at; 0 is all.
    pub lru_crawler_to_crawl: u32,
    /// Whether a thread of its own keeps the LRU; `None`: nobody asked.
    pub lru_maintainer: Option<bool>,
    /// Whether the LRU is in parts.
    pub lru_segmented: bool,
    /// Share of the hot part, percent.
    pub hot_percent: u32,
    /// Share of the warm part, percent.
    pub warm_percent: u32,
    /// Age factor of the hot part, in hundredths.
    pub hot_factor: u32,
    /// Age factor of the warm part, in hundredths.
    pub warm_factor: u32,
    /// Items that live no longer than this many seconds are kept apart; `None`: they are not.
    pub temporary_ttl_seconds: Option<u32>,
    /// Whether numbers of an answer are kept as text.
    pub inline_ascii_response: bool,
    /// Queues of network cards to follow.
    pub napi_ids: u32,
}

impl Default for Accepted {
    fn default() -> Self {
        Accepted {
            growth_factor: 125,
            chunk_bytes_min: 48,
            hash_power: 0,
            hash_algorithm: "foldhash",
            slab_reassign: false,
            slab_automove: 0,
            slab_automove_ratio: 80,
            slab_automove_window: 30,
            slab_chunk_bytes_max: 524_288,
            tail_repair_seconds: 0,
            lru_crawler: true,
            lru_crawler_sleep_us: 100,
            lru_crawler_to_crawl: 0,
            lru_maintainer: None,
            lru_segmented: false,
            hot_percent: 20,
            warm_percent: 40,
            hot_factor: 20,
            warm_factor: 200,
            temporary_ttl_seconds: None,
            inline_ascii_response: false,
            napi_ids: 0,
        }
    }
}
