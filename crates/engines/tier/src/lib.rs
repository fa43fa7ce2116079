//! A cache over a store: read-through, write-through, write-behind, single flight.
