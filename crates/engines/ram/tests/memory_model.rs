//! The bound on memory in every interleaving of threads: the code itself, counting with the model checker's atomics.

use loom::sync::Arc;
use loom::thread;

mod atomics {
    pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};
}

#[path = "../src/memory.rs"]
mod memory;

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
