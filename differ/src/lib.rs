//! Random command streams, sent to larder and to memcached alike; every answer is compared.
//!
//! A [`generate`]d stream is batches of commands, decided by a seed. A [`session`] sends each batch to both servers,
//! cut into writes at random places, and compares the answers after [`reply`] has put names in place of CAS numbers
//! and tolerances in place of seconds. Where they differ, the answers must be explained by the table of intended
//! [`differences`]; otherwise the stream is [`shrink`]ed to the commands that matter and printed. A [`campaign`] runs
//! streams until enough commands were sent.

pub mod campaign;
pub mod differences;
pub mod explained;
pub mod generate;
pub mod reply;
pub mod servers;
pub mod session;
pub mod shrink;
pub mod stream;
