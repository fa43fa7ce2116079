//! The durable local store of larder, on SQLite.
