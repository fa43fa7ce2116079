//! A durable memcached: keys live in RAM, in SQLite, or in both, by prefix.

fn main() {}
