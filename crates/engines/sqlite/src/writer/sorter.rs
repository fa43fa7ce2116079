//! Puts the keys of a sweep in order, on a thread of its own: sorting all of them would hold up the writer.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use crate::kept::KeyBytes;

/// So few keys are sorted at once, where they are.
const FEW_KEYS: usize = 2048;

/// See the module. Dropping it ends the thread, after what it is sorting.
pub(super) struct Sorter {
    unsorted: Option<Sender<Vec<KeyBytes>>>,
    sorted: Receiver<Vec<KeyBytes>>,
    thread: Option<JoinHandle<()>>,
}

/// The keys of a sweep.
pub(super) enum Keys {
    /// They are on the sorter's thread.
    Away,
    Sorted(Vec<KeyBytes>),
}

impl Sorter {
    /// # Errors
    /// The thread could not be started.
    pub fn start() -> std::io::Result<Self> {
        let (unsorted, to_sort) = channel::<Vec<KeyBytes>>();
        let (done, sorted) = channel();
        let thread = std::thread::Builder::new().name("larder-sort".into()).spawn(move || {
            for keys in to_sort {
                if done.send(in_order(keys)).is_err() {
                    break;
                }
            }
        })?;
        Ok(Sorter { unsorted: Some(unsorted), sorted, thread: Some(thread) })
    }

    /// Sorts, at once or by the thread. One list at a time.
    pub fn sort(&self, keys: Vec<KeyBytes>) -> Keys {
        if keys.len() <= FEW_KEYS {
            return Keys::Sorted(in_order(keys));
        }
        let unsorted = self.unsorted.as_ref().expect("the thread runs until the sorter is dropped");
        unsorted.send(keys).expect("sorting does not fail");
        Keys::Away
    }

    /// Fetches what the thread has sorted, if it is done, or once it is where the caller `waits`.
    pub fn fetch(&self, keys: &mut Keys, waits: bool) {
        if let Keys::Away = keys {
            let sorted = if waits { self.sorted.recv().ok() } else { self.sorted.try_recv().ok() };
            if let Some(sorted) = sorted {
                *keys = Keys::Sorted(sorted);
            }
        }
    }
}

impl Drop for Sorter {
    fn drop(&mut self) {
        drop(self.unsorted.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that sorts keys for folding panicked");
        }
    }
}

fn in_order(mut keys: Vec<KeyBytes>) -> Vec<KeyBytes> {
    keys.sort_unstable();
    keys.dedup();
    keys
}
