use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use super::*;

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn counter() -> (Arc<Count>, Waker) {
    let count = Arc::<Count>::default();
    (count.clone(), Waker::from(count))
}

fn worker() -> Worker {
    Worker::new(0, |_| unreachable!("nothing is spawned"))
}

#[test]
fn many_answers_ring_a_worker_once() {
    let worker = worker();
    let (rings, bell) = counter();
    let (wakes_of_operations, waker) = counter();
    let mut deliver = pin!(worker.mailbox().clone().deliver());
    assert!(deliver.as_mut().poll(&mut TaskContext::from_waker(&bell)).is_pending());
    let mut wakes = Wakes::default();
    let mut waiting = Vec::new();
    for number in 0..10 {
        let (completer, mut completion) = completion(&worker);
        let polled = Pin::new(&mut completion).poll(&mut TaskContext::from_waker(&waker));
        assert!(polled.is_pending());
        completer.complete_with(Ok(number), &mut wakes);
        waiting.push(completion);
    }
    assert_eq!(rings.0.load(Ordering::SeqCst), 0);
    wakes.send();
    drop(wakes);
    assert_eq!(rings.0.load(Ordering::SeqCst), 1);
    assert!(deliver.as_mut().poll(&mut TaskContext::from_waker(&bell)).is_pending());
    assert_eq!(wakes_of_operations.0.load(Ordering::SeqCst), 10);
    for (number, mut completion) in waiting.into_iter().enumerate() {
        match Pin::new(&mut completion).poll(&mut TaskContext::from_waker(&waker)) {
            Poll::Ready(Ok(answer)) => assert_eq!(answer, number),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn wakes_that_are_dropped_are_sent() {
    let worker = worker();
    let (rings, bell) = counter();
    let mut deliver = pin!(worker.mailbox().clone().deliver());
    assert!(deliver.as_mut().poll(&mut TaskContext::from_waker(&bell)).is_pending());
    let (completer, mut completion) = completion(&worker);
    assert!(Pin::new(&mut completion).poll(&mut TaskContext::from_waker(&bell)).is_pending());
    completer.complete_with(Ok(()), &mut Wakes::default());
    assert_eq!(rings.0.load(Ordering::SeqCst), 1);
}

#[test]
fn a_completer_that_is_dropped_answers_that_nobody_knows() {
    let worker = worker();
    let (_, waker) = counter();
    let (completer, mut completion) = completion::<()>(&worker);
    drop(completer);
    match Pin::new(&mut completion).poll(&mut TaskContext::from_waker(&waker)) {
        Poll::Ready(Err(error)) => assert_eq!(error.kind(), ErrorKind::OutcomeUnknown),
        other => panic!("{other:?}"),
    }
}
