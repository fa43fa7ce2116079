//! Engines from shared libraries, through the C interface of memcached's engine branch.
//!
//! [`ModuleEngine::open`] loads a library, calls its `create_instance`, checks what it made and initialises it; from then on
//! it is an [`Engine`](larder_engine::Engine) like any other. `docs/write-an-engine-in-c.md` is for whoever writes such a
//! library.
//!
//! # What a module may rely on
//!
//! **One call at a time for a cookie, on one thread.** All calls for a connection come from its worker, in line
//! (`session`). **Later means later.** A function that answers `EWOULDBLOCK` is called again, with the same arguments, once
//! the module has notified success; another status stands for its answer (`raw::cookie`). Notifications may come from any
//! thread, before the function returns, twice, or unasked. **References are given back once**, on the cookie's thread and
//! before the module hears that the connection is gone (`raw::held`).
//!
//! # What a module can break
//!
//! It shares the process: nothing here can stop it from writing where it should not, from blocking a worker, or from ending
//! the process. What it says is checked where that is cheap; an answer that breaks a rule becomes an error that names the
//! function and the rule, and is counted.
//!
//! # What the interface has no word for
//!
//! Stale marks, tokens, a CAS of the client's choice, a flush of one prefix and a list of all items are `Unsupported`;
//! touch and get-and-touch go through `unknown_command` as packets. Tap and vbuckets are not offered.
//!
//! # Map
//!
//! | module | subject |
//! |---|---|
//! | `open` | from a name to an engine, or to one line that says why not |
//! | `engine`, `write`, `arithmetic`, `touch` | the commands |
//! | `port` | the module's functions, asked until they answer |
//! | `tenant` | counters that the module keeps apart for its tenants |
//! | `checks` | which checks of the engine kit are about what C's interface has words for |
//! | `session` | cookies and the operations that stand in line for them |
//! | `raw` | the border to C: layouts, the library, tables, cookies, references |

mod arithmetic;
mod checks;
mod engine;
mod error;
mod open;
mod port;
mod profile;
pub mod raw;
mod session;
mod tenant;
mod touch;
mod write;

pub use checks::CHECKS;
pub use engine::ModuleEngine;
pub use open::{ModuleOptions, OpenError, load_utilities};
pub use profile::Profile;
