//! The border to C: everything `unsafe` of this crate. What is above sees checked values and safe calls.

pub(crate) mod block;
pub(crate) mod cookie;
pub(crate) mod crash;
pub(crate) mod held;
pub(crate) mod host;
pub mod layout;
pub(crate) mod library;
pub(crate) mod module;
