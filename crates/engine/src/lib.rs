//! The engine interface of larder: keys, items, replies, durability, and the kit that judges an engine.
