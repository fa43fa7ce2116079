//! Keys whose change is named but not yet durable, which nobody may be shown.
//!
//! The writer announces a key before it names or removes its file, and takes it out once the folder is synced. Whoever
//! has read a file asks here *after* reading: a key that is not here was durable as it was read. A look-up of a key that is
//! here is parked with it, and answered from the change when that is durable.

use hashbrown::HashMap;
use larder_engine::durable::KeyBytes;
use parking_lot::{Condvar, Mutex};

use crate::reader::GetRead;

/// See the module.
#[derive(Default)]
pub(crate) struct InFlight {
    keys: Mutex<HashMap<KeyBytes, Way, foldhash::fast::RandomState>>,
    changed: Condvar,
}

/// How far a change is.
enum Way {
    /// It will be settled soon; these look-ups wait for that.
    Moving(Vec<GetRead>),
    /// Its folder could not be synced: what a crash would leave is not known.
    Doubtful,
}

/// What becomes of a look-up.
pub(crate) enum Parked {
    /// It waits for the change.
    Waits,
    /// What was read is durable.
    Free(GetRead),
    /// What was read may be lost in a crash.
    Doubtful(GetRead),
}

impl InFlight {
    /// Announces changes.
    pub fn announce<'k>(&self, keys: impl Iterator<Item = &'k KeyBytes>) {
        let mut in_flight = self.keys.lock();
        in_flight.extend(keys.map(|key| (key.clone(), Way::Moving(Vec::new()))));
    }

    /// Takes a key out: its change is durable, or did not happen. The look-ups that waited for it.
    pub fn settle(&self, key: &KeyBytes) -> Vec<GetRead> {
        let way = self.keys.lock().remove(key);
        self.changed.notify_all();
        way.map_or_else(Vec::new, Way::waiting)
    }

    /// It is not known what a crash would leave of the key. The look-ups that waited for it.
    pub fn doubt(&self, key: &KeyBytes) -> Vec<GetRead> {
        let way = self.keys.lock().insert(key.clone(), Way::Doubtful);
        self.changed.notify_all();
        way.map_or_else(Vec::new, Way::waiting)
    }

    /// Parks a look-up if its key is on its way.
    pub fn park(&self, read: GetRead) -> Parked {
        let mut keys = self.keys.lock();
        match keys.get_mut(&read.key) {
            None => Parked::Free(read),
            Some(Way::Doubtful) => Parked::Doubtful(read),
            Some(Way::Moving(waiting)) => {
                waiting.push(read);
                Parked::Waits
            }
        }
    }

    /// Waits until a change of the key is settled. Whether there was none; if there was, what was read before is to be
    /// read again. An error: it will not be settled soon.
    pub fn wait_for(&self, key: &[u8]) -> Result<bool, Doubtful> {
        let mut keys = self.keys.lock();
        let mut was_free = true;
        loop {
            match keys.get(key) {
                None => return Ok(was_free),
                Some(Way::Doubtful) => return Err(Doubtful),
                Some(Way::Moving(_)) => self.changed.wait(&mut keys),
            }
            was_free = false;
        }
    }

    /// Answers nothing any more: every look-up that waits, and nobody waits from now on.
    pub fn abandon(&self) -> Vec<GetRead> {
        let left = std::mem::take(&mut *self.keys.lock());
        self.changed.notify_all();
        left.into_values().flat_map(Way::waiting).collect()
    }
}

/// What a crash would leave of the key is not known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Doubtful;

impl Way {
    fn waiting(self) -> Vec<GetRead> {
        match self {
            Way::Moving(waiting) => waiting,
            Way::Doubtful => Vec::new(),
        }
    }
}
