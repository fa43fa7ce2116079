//! The checks of caches.
