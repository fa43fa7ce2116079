use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::context::Connection;
use crate::error::ErrorKind;
use crate::kit::LocalExecutor;
use crate::time::Timestamp;

/// Asks on a worker of its own and waits.
fn asked<S: Send + 'static, T: Send + 'static>(
    owner: &OwnThread<S>,
    work: impl FnOnce(&mut S) -> Result<T, EngineError> + Send + 'static,
) -> Result<T, EngineError> {
    let executor = LocalExecutor::new(0);
    let connection = Connection::new(1, "test".into(), -1);
    let context =
        Context { connection: &connection, worker: executor.worker(), now: Timestamp(1), deadline: None };
    match owner.ask::<T, T>(&context, 1, work) {
        Reply::Ready(answer) => answer,
        Reply::Pending(operation) => executor.block_on(operation),
    }
}

fn add(number: u64) -> impl FnOnce(&mut u64) -> Result<u64, EngineError> {
    move |sum| {
        *sum += number;
        Ok(*sum)
    }
}

#[test]
fn work_is_done_in_order_and_the_state_comes_back() {
    let owner = OwnThread::start("sum", 1000, 0u64).unwrap();
    assert_eq!(asked(&owner, add(2)).unwrap(), 2);
    assert_eq!(asked(&owner, add(3)).unwrap(), 5);
    assert_eq!(owner.stop(), Some(5));
    assert_eq!(owner.stop(), None);
    assert_eq!(asked(&owner, add(1)).unwrap_err().kind(), ErrorKind::Unavailable);
}

#[test]
fn nobody_waits_for_a_thread_that_panicked() {
    let owner = OwnThread::start("sum", 1000, 0u64).unwrap();
    let failed = asked(&owner, |_| -> Result<(), EngineError> { panic!("on purpose") });
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::OutcomeUnknown);
    // What comes after may still have met the open queue; either way it is answered.
    let later = catch_unwind(AssertUnwindSafe(|| asked(&owner, add(1)))).expect("it is answered");
    assert!(later.is_err());
    assert_eq!(owner.stop(), None);
}
