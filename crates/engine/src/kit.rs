//! The engine kit: one generic suite that every engine must pass, and what it needs to own the world.
