//! Locks between the connections of one process: SQLite's five levels on a file, and the slots of shared memory.

use std::collections::HashMap;

/// Names an open file among all that were ever opened.
pub(super) type HandleId = u64;

/// SQLite's levels, as numbered there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Level {
    None,
    Shared,
    Reserved,
    Pending,
    Exclusive,
}

impl Level {
    /// From SQLite's number.
    pub(super) fn from_number(number: i32) -> Option<Level> {
        [Level::None, Level::Shared, Level::Reserved, Level::Pending, Level::Exclusive]
            .get(usize::try_from(number).ok()?)
            .copied()
    }
}

/// Another connection's lock is in the way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Busy;

/// The levels that connections hold on one file.
#[derive(Default)]
pub(super) struct FileLocks(HashMap<HandleId, Level>);

impl FileLocks {
    fn level(&self, handle: HandleId) -> Level {
        self.0.get(&handle).copied().unwrap_or(Level::None)
    }

    fn highest_of_others(&self, handle: HandleId) -> Level {
        let others = self.0.iter().filter(|(other, _)| **other != handle);
        others.map(|(_, level)| *level).max().unwrap_or(Level::None)
    }

    /// Raises the level of `handle` to `wanted`. On the way to exclusive it may get stuck at pending, which keeps new
    /// readers out until the old ones are gone.
    pub(super) fn lock(&mut self, handle: HandleId, wanted: Level) -> Result<(), Busy> {
        if self.level(handle) >= wanted {
            return Ok(());
        }
        let others = self.highest_of_others(handle);
        match wanted {
            Level::None => {}
            Level::Shared if others >= Level::Pending => return Err(Busy),
            Level::Reserved | Level::Pending if others >= Level::Reserved => return Err(Busy),
            Level::Exclusive if others >= Level::Reserved => return Err(Busy),
            Level::Exclusive if others == Level::Shared => {
                self.0.insert(handle, Level::Pending);
                return Err(Busy);
            }
            _ => {}
        }
        self.0.insert(handle, wanted);
        Ok(())
    }

    /// Lowers the level of `handle` to `wanted`, which is shared or none.
    pub(super) fn unlock(&mut self, handle: HandleId, wanted: Level) {
        if wanted == Level::None {
            self.0.remove(&handle);
        } else if self.level(handle) > wanted {
            self.0.insert(handle, wanted);
        }
    }

    /// Whether any connection means to write.
    pub(super) fn is_reserved(&self) -> bool {
        self.0.values().any(|level| *level >= Level::Reserved)
    }
}

/// SQLite's slots: writer, checkpointer, recovery and five readers.
const SLOTS: usize = 8;

/// Locks on the slots of one file's shared memory.
#[derive(Default)]
pub(super) struct SlotLocks {
    slots: [Slot; SLOTS],
}

#[derive(Default)]
struct Slot {
    shared: Vec<HandleId>,
    exclusive: Option<HandleId>,
}

impl SlotLocks {
    fn range(&mut self, first: usize, count: usize) -> &mut [Slot] {
        &mut self.slots[first..first + count]
    }

    pub(super) fn lock_shared(&mut self, handle: HandleId, first: usize, count: usize) -> Result<(), Busy> {
        let slots = self.range(first, count);
        if slots.iter().any(|slot| slot.exclusive.is_some_and(|owner| owner != handle)) {
            return Err(Busy);
        }
        for slot in slots.iter_mut().filter(|slot| !slot.shared.contains(&handle)) {
            slot.shared.push(handle);
        }
        Ok(())
    }

    pub(super) fn lock_exclusive(
        &mut self,
        handle: HandleId,
        first: usize,
        count: usize,
    ) -> Result<(), Busy> {
        let slots = self.range(first, count);
        let taken = |slot: &Slot| {
            slot.exclusive.is_some_and(|owner| owner != handle)
                || slot.shared.iter().any(|owner| *owner != handle)
        };
        if slots.iter().any(taken) {
            return Err(Busy);
        }
        slots.iter_mut().for_each(|slot| slot.exclusive = Some(handle));
        Ok(())
    }

    pub(super) fn unlock(&mut self, handle: HandleId, first: usize, count: usize) {
        for slot in self.range(first, count) {
            slot.shared.retain(|owner| *owner != handle);
            slot.exclusive = slot.exclusive.filter(|owner| *owner != handle);
        }
    }

    /// Gives back whatever `handle` holds.
    pub(super) fn unlock_all(&mut self, handle: HandleId) {
        self.unlock(handle, 0, SLOTS);
    }
}

/// Whether `first` and `count` name slots there are.
pub(super) fn slots_are_sane(first: i32, count: i32) -> Option<(usize, usize)> {
    let (first, count) = (usize::try_from(first).ok()?, usize::try_from(count).ok()?);
    (count >= 1 && first + count <= SLOTS).then_some((first, count))
}
