//! `libmemcached_utilities.so.0`: the library that engines built for memcached's engine branch expect in the process.
//!
//! It is built from the C sources beside this crate and carried along inside the server, which loads it before the
//! first engine: the system's loader then takes it for every module that names it, by its soname, whatever the module's
//! own search path says. Its symbols are visible to all modules, as they were in a server linked with it.
//!
//! It also has what only C can do: take the variable arguments of a log line, write to a `FILE *`.

mod loader;

pub use loader::{LogSink, ParseConfig, Utilities, load};

/// The library's bytes, an ELF shared object.
pub static LIBRARY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/libmemcached_utilities.so.0"));

/// The name by which modules ask for it.
pub const SONAME: &str = "libmemcached_utilities.so.0";
