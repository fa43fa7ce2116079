//! The chassis of larder: listeners, workers, connections, the prefix router, statistics, reload.
