//! The memory engine of larder.
