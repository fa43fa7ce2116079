//! The memcached protocols (classic text, meta, binary) as sans-IO codecs.
