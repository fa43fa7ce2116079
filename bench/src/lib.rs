//! A load generator for memcached-protocol servers, and side-by-side benchmarks.
