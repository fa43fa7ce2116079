//! The replies of a connection: what is on its way out, and what must wait.

use std::hash::BuildHasher;

use larder_engine::Ordering;
use larder_protocol::Get;

use super::output::Output;
use super::queue::{Claim, Queue};
use crate::command::Turn;
use crate::router::Routes;

/// A client that lets this many bytes of answers pile up is not read until it takes some.
const UNSENT_BYTES_MAX: usize = 4 << 20;

/// The same while the answers that all clients let pile up are as many as the bytes in flight may be.
const SCARCE_BYTES_MAX: usize = 64 << 10;

/// Replies of a connection: what is on its way out, and what must wait.
#[derive(Default)]
pub(crate) struct Replies {
    pub(crate) output: Output,
    pub(crate) queue: Queue,
    hasher: foldhash::fast::RandomState,
    /// All clients together leave so much unread that each gets less at a time.
    pub(super) are_scarce: bool,
}

impl Replies {
    /// Where an answer that is ready goes.
    #[inline]
    pub(crate) fn tail(&mut self) -> &mut Output {
        if self.queue.is_empty() { &mut self.output } else { self.queue.tail() }
    }

    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    /// Whether a retrieval of several keys must wait for one of them.
    pub(super) fn any_conflicts(&self, turn: &Turn<'_>, get: &Get<'_>) -> bool {
        let writes = get.touch.is_some();
        !self.queue.is_empty()
            && get.keys.into_iter().any(|key| {
                let claim = Claim { key_hash: self.hash(key), writes };
                self.queue.conflicts(claim) || is_ordered_by_connection(turn.routes, key)
            })
    }

    /// Whether the client has enough to take before more is executed.
    #[inline]
    pub(crate) fn are_enough(&self) -> bool {
        let bytes_max = if self.are_scarce { SCARCE_BYTES_MAX } else { UNSENT_BYTES_MAX };
        self.queue.is_full() || self.bytes() > bytes_max
    }

    /// What waits here to be sent, executed or taken, in bytes.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.output.unsent() + self.queue.bytes()
    }
}

/// Whether requests on this key take effect in the order of their connection, so that none may pass another.
pub(super) fn is_ordered_by_connection(routes: &Routes, key: &[u8]) -> bool {
    routes.route(key).is_some_and(|(stack, _)| stack.description.ordering == Ordering::PerConnection)
}
