//! The event loop.

use std::cell::Cell;
use std::rc::Rc;

use crate::completion::completion;
use crate::kit::LocalExecutor;
use crate::reply::Operation;

#[test]
fn an_answer_from_another_thread_arrives() {
    let executor = LocalExecutor::new(0);
    let (completer, completion) = completion::<u32>(executor.worker());
    let thread = std::thread::spawn(move || completer.complete(Ok(7)));
    assert_eq!(executor.block_on(completion).unwrap(), 7);
    thread.join().unwrap();
}

#[test]
fn a_dropped_driven_operation_runs_to_its_end() {
    let executor = LocalExecutor::new(0);
    let done = Rc::new(Cell::new(false));
    let mark = done.clone();
    drop(Operation::driven(executor.worker(), async move {
        mark.set(true);
        Ok(())
    }));
    assert!(!done.get());
    executor.finish();
    assert!(done.get());
}
