//! The bound on memory, and flushes, in every interleaving of threads: the code itself, counting with the model checker's
//! atomics.

use loom::sync::{Arc, Mutex};
use loom::thread;

mod atomics {
    pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};
}

#[path = "../src/memory.rs"]
mod memory;

#[path = "../src/epochs.rs"]
mod epochs;

use epochs::Epochs;
use memory::Budget;

#[test]
fn nobody_sees_more_in_use_than_the_limit() {
    loom::model(|| {
        let budget = Arc::new(Budget::new(10));
        let take_and_give = |bytes: u64| {
            let budget = budget.clone();
            thread::spawn(move || {
                let taken = budget.reserve(bytes);
                assert!(budget.used() <= budget.limit());
                if taken {
                    budget.release(bytes);
                }
                taken
            })
        };
        let threads = [take_and_give(6), take_and_give(5)];
        assert!(budget.used() <= 10);
        let taken = threads.map(|thread| thread.join().unwrap());
        assert!(taken[0] || taken[1], "one of them is first, and there is room for one");
        assert_eq!((budget.used(), budget.lacking(4), budget.lacking(12)), (0, 0, 2));
    });
}

#[test]
fn what_readers_hold_counts_until_the_last_lets_go() {
    loom::model(|| {
        // A large value that is sent while it is replaced: its pages go with the last of those who hold them.
        struct Pages(Arc<Budget>);
        impl Drop for Pages {
            fn drop(&mut self) {
                self.0.release(6);
            }
        }
        let budget = Arc::new(Budget::new(10));
        assert!(budget.reserve(6));
        let item = Arc::new(Pages(budget.clone()));
        let reader = {
            let (value, budget) = (item.clone(), budget.clone());
            thread::spawn(move || {
                assert!(budget.used() >= 6, "what is being sent is counted");
                drop(value);
            })
        };
        drop(item);
        let replaced = budget.reserve(6);
        assert!(budget.used() <= 10);
        reader.join().unwrap();
        if !replaced {
            assert!(budget.reserve(6), "once it was sent there is room");
        }
        assert_eq!(budget.used(), 6);
    });
}

#[test]
fn a_lowered_limit_lets_nobody_in() {
    loom::model(|| {
        let budget = Arc::new(Budget::new(10));
        let writer = {
            let budget = budget.clone();
            thread::spawn(move || budget.reserve(6))
        };
        budget.set_limit(5);
        assert!(!budget.reserve(6), "the limit is lower now");
        let taken = writer.join().unwrap();
        assert_eq!(
            budget.lacking(0),
            u64::from(taken),
            "who came before is still there, and lacks what is over"
        );
        assert_eq!(budget.reserve(1), !taken);
    });
}

/// An item under its shard's lock: the byte of its epoch, `None` once it is gone.
type Item = Mutex<Option<u8>>;

/// What a look-up does: an item of an older epoch is taken out or moved up.
fn is_found(item: &Item, epochs: &Epochs) -> bool {
    let mut item = item.lock().expect("no holder panics");
    if let Some(byte) = *item
        && byte != epochs.now() as u8
    {
        *item = epochs.spared_until(byte, |_| false).map(|epoch| epoch as u8);
    }
    item.is_some()
}

#[test]
fn what_was_flushed_is_not_found_again() {
    loom::model(|| {
        let epochs = Arc::new(Epochs::new());
        let item = Arc::new(Mutex::new(Some(epochs.now() as u8)));
        // A flush of some other prefix, so that a look-up has to ask.
        epochs.begin(2, false);
        let reader = {
            let (item, epochs) = (item.clone(), epochs.clone());
            thread::spawn(move || is_found(&item, &epochs))
        };
        epochs.begin(3, true);
        assert!(!is_found(&item, &epochs), "the flush is over");
        reader.join().unwrap();
        assert!(!is_found(&item, &epochs), "nor does a look-up that overlapped with it bring it back");
    });
}

#[test]
fn what_is_written_after_a_flush_stays() {
    loom::model(|| {
        let epochs = Arc::new(Epochs::new());
        let item = Arc::new(Mutex::new(Some(epochs.now() as u8)));
        let reader = {
            let (item, epochs) = (item.clone(), epochs.clone());
            thread::spawn(move || {
                is_found(&item, &epochs);
            })
        };
        epochs.begin(2, true);
        {
            let mut item = item.lock().unwrap();
            *item = Some(epochs.now() as u8);
        }
        reader.join().unwrap();
        assert!(is_found(&item, &epochs), "it was written after all flushes");
    });
}
