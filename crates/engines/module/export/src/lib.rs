//! The way back: an engine in Rust as a shared library with the C interface of memcached's engine branch.
//!
//! ```no_run
//! use std::error::Error;
//! use std::sync::Arc;
//!
//! use larder_engine::{Engine, Services};
//!
//! fn open(services: &Services, config: Option<&str>) -> Result<Arc<dyn Engine>, Box<dyn Error + Send + Sync>> {
//!     Err("opens the engine in the folder that `config` names".into())
//! }
//!
//! larder_module_export::export_engine!(open);
//! # fn main() {}
//! ```
//!
//! In a package with `crate-type = ["cdylib"]` this makes a module that larder, or any server with that interface, loads.
//!
//! # How a call goes
//!
//! A server in C knows nothing of futures, and its workers run no event loop of ours. So the engine gets workers of its own:
//! every call of the server is handed to the one that a connection belongs to, the server is told "not yet", and notified when
//! the answer is there. `allocate`, `release` and the descriptions of items are answered on the spot.
//!
//! # What is lost on the way
//!
//! What C's interface has no word for: levels of durability, stale marks and tokens, a CAS of the client's choice, scans,
//! flushes of one prefix. The server sees an engine without them.

mod code;
mod entry;
mod guest;
mod item;
mod server;
mod table;
mod workers;

use std::error::Error;
use std::sync::Arc;

use larder_engine::{Engine, Services};

#[doc(hidden)]
pub use entry::create_instance;
#[doc(hidden)]
pub use larder_module::raw::layout::{Code, Handle};
#[doc(hidden)]
pub use server::GetServerApi;

/// Opens an engine: with the server's clock, this machine's disk, and the text the operator gave it, if any.
///
/// What it says when it fails goes to standard error.
pub type Open = fn(&Services, Option<&str>) -> Result<Arc<dyn Engine>, Box<dyn Error + Send + Sync>>;
