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
//! | `marks`, `waiting` | what a fill must not undo: writes during a scan, flushes that fall due |

mod core;
mod counters;
mod marks;
mod options;
mod read;
mod through;
mod tier;
mod traffic;
mod waiting;

pub use options::{Behind, TierOptions, Write};
pub use tier::Tier;

// The interface is named in the documentation above.
#[allow(unused_imports)]
use larder_engine::Cache;
