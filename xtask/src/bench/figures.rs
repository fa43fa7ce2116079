//! The figures, each with its question and its target.

mod behind_set;
mod cold_get;
mod durable_set;
mod expiry;
mod hit;
mod idle;
mod larger_than_memory;
mod malicious;
mod memcached;
mod memory;
mod module;
mod plain;
mod single_flight;
mod start;

use super::Bench;
use super::numbers::Verdict;
use anyhow::Result;

pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) question: &'static str,
    pub(crate) measure: fn(&Bench) -> Result<Vec<Verdict>>,
}

pub(crate) const FIGURES: &[Figure] = &[
    Figure {
        name: "durable-set",
        question: "how many durable SETs, beside Redis with appendfsync always?",
        measure: durable_set::measure,
    },
    Figure {
        name: "behind-set",
        question: "what does a SET cost under write=behind, beside ram alone?",
        measure: behind_set::measure,
    },
    Figure {
        name: "hit",
        question: "what does a store below cost a hit, beside ram alone?",
        measure: hit::measure,
    },
    Figure {
        name: "module",
        question: "what does a look-up through a module in C cost, beside ram?",
        measure: module::measure,
    },
    Figure {
        name: "cold-get",
        question: "what does a read from the store cost, beside a bare SELECT?",
        measure: cold_get::measure,
    },
    Figure {
        name: "larger-than-memory",
        question: "how fast is a store ten times as large as its cache?",
        measure: larger_than_memory::measure,
    },
    Figure {
        name: "single-flight",
        question: "how many SELECTs do 1,000 readers of one cold key cause?",
        measure: single_flight::measure,
    },
    Figure {
        name: "start",
        question: "how long until a server with 1,000,000 items answers?",
        measure: start::measure,
    },
    Figure {
        name: "expiry",
        question: "what do 1,000,000 items that expire at once do to reads?",
        measure: expiry::measure,
    },
    Figure {
        name: "plain",
        question: "how fast is larder without a store, beside memcached?",
        measure: plain::measure,
    },
    Figure {
        name: "memcached",
        question: "what does an operation cost larder's processor, beside memcached?",
        measure: memcached::measure,
    },
    Figure {
        name: "memory",
        question: "how much does larder keep in the memory that memcached takes?",
        measure: memory::measure,
    },
    Figure {
        name: "malicious",
        question: "what do hostile clients do to the others?",
        measure: malicious::measure,
    },
];
