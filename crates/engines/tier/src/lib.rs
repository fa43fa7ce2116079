//! A cache over a store: read-through, write-through, write-behind, single flight.
//!
//! [`Tier`] makes one engine of a [`Cache`] and a store. Neither needs to know the other.
//!
//! | module | subject |
//! |---|---|
//! | `core` | what the parts share: how an answer of the store gets into the cache |
//! | `traffic` | the keys on their way to the store |
//! | `read` | reads, one of the store for all who want the key |
//! | `through` | writes that the store decides before the acknowledgement |
//! | `behind` | writes that are acknowledged when queued |
//! | `warm` | filling the cache at start |
//! | `thread`, `event_loop`, `signal` | the tier's own thread |
//! | `keys` | whose keys get into the cache |
//! | `marks`, `waiting` | what a fill must not undo: writes during a scan, flushes that fall due |

mod behind;
mod core;
mod counters;
mod event_loop;
mod keys;
mod marks;
mod options;
mod read;
mod signal;
mod thread;
mod through;
mod tier;
mod traffic;
mod waiting;
mod warm;

pub use keys::{IsOwn, Keys};
pub use options::{Behind, TierOptions, Write};
pub use tier::Tier;

// The interface is named in the documentation above.
#[allow(unused_imports)]
use larder_engine::Cache;
