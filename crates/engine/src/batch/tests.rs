use std::future::Future;

use super::*;

#[test]
fn takes_all_that_waits_in_order() {
    let queue = BatchQueue::new(1000);
    for n in 0..5 {
        queue.push(n, 10).unwrap();
    }
    let mut batch = Vec::new();
    assert_eq!(queue.take(&mut batch, 3, 1000, None), Taken::Batch);
    assert_eq!(batch, [0, 1, 2]);
    batch.clear();
    assert_eq!(queue.take(&mut batch, 10, 15, None), Taken::Batch);
    assert_eq!(batch, [3]);
    assert_eq!(queue.depth(), (1, 10));
}

#[test]
fn refuses_beyond_its_bound_but_takes_one_giant() {
    let queue = BatchQueue::new(100);
    queue.push("giant", 5000).unwrap();
    let (entry, error) = queue.push("more", 1).unwrap_err();
    assert_eq!((entry, error.kind()), ("more", ErrorKind::TryAgain));
}

struct HandClock(std::sync::atomic::AtomicU64);

impl Clock for HandClock {
    fn now(&self) -> crate::time::Timestamp {
        crate::time::Timestamp(1)
    }

    fn elapsed(&self) -> Duration {
        Duration::from_secs(self.0.load(std::sync::atomic::Ordering::Relaxed))
    }
}

#[test]
fn a_patient_queue_lets_entries_wait_in_order_and_refuses_when_it_hangs() {
    let clock = Arc::new(HandClock(0.into()));
    let queue = BatchQueue::patient(100, 301, Duration::from_secs(5), clock.clone());
    for n in 0..6 {
        queue.push(n, 60).unwrap();
    }
    // Behind others that wait, also what would fit.
    queue.push(6, 1).unwrap();
    assert_eq!((queue.depth(), queue.without_room()), ((7, 361), 6));
    assert_eq!(queue.push(7, 1).unwrap_err().1.kind(), ErrorKind::TryAgain);
    let mut batch = Vec::new();
    assert_eq!(queue.take(&mut batch, 10, 1000, None), Taken::Batch);
    assert_eq!((&batch[..], queue.without_room()), (&[0][..], 5));
    assert!(queue.overdue().is_empty());
    clock.0.store(5, std::sync::atomic::Ordering::Relaxed);
    let (entry, error) = queue.push(7, 1).unwrap_err();
    assert_eq!((entry, error.kind()), (7, ErrorKind::TryAgain));
    batch.clear();
    assert_eq!(queue.take(&mut batch, 10, 1000, None), Taken::Batch);
    assert_eq!(batch, [1]);
    assert_eq!(queue.overdue(), [3, 4, 5, 6]);
    queue.push(8, 60).unwrap();
    queue.close();
    batch.clear();
    while queue.take(&mut batch, 10, 1000, None) == Taken::Batch {}
    assert_eq!((&batch[..], queue.depth()), (&[2, 8][..], (0, 0)));
}

#[test]
fn closes_after_the_rest() {
    let queue = BatchQueue::new(100);
    queue.push(1, 1).unwrap();
    queue.close();
    assert_eq!(queue.push(2, 1).unwrap_err().1.kind(), ErrorKind::Unavailable);
    let mut batch = Vec::new();
    assert_eq!(queue.take(&mut batch, 10, 10, None), Taken::Batch);
    batch.clear();
    assert_eq!(queue.take(&mut batch, 10, 10, None), Taken::Closed);
}

#[test]
fn a_waiting_consumer_is_woken() {
    let queue = std::sync::Arc::new(BatchQueue::new(100));
    let consumer = std::thread::spawn({
        let queue = queue.clone();
        move || {
            let mut batch = Vec::new();
            assert_eq!(queue.take(&mut batch, 10, 10, None), Taken::Batch);
            batch
        }
    });
    queue.push(9, 1).unwrap();
    assert_eq!(consumer.join().unwrap(), [9]);
}

#[test]
fn a_nudge_ends_a_wait() {
    let queue = BatchQueue::<u8>::new(100);
    queue.nudge();
    assert_eq!(queue.take(&mut Vec::new(), 10, 10, None), Taken::TimedOut);
}

/// What a consumer takes from `queue`, once it waits.
fn waiting_consumer(queue: &Arc<BatchQueue<u32>>) -> std::thread::JoinHandle<Vec<u32>> {
    let consumer = std::thread::spawn({
        let queue = queue.clone();
        move || {
            let mut batch = Vec::new();
            assert_eq!(queue.take(&mut batch, 1000, 1000, None), Taken::Batch);
            batch
        }
    });
    while !queue.state.lock().consumer_waits {
        std::thread::yield_now();
    }
    consumer
}

#[test]
fn a_turn_wakes_the_consumer_once_with_all_it_brought() {
    let queue = Arc::new(BatchQueue::new(1000));
    let worker = Worker::new(0, |_| unreachable!("nothing is spawned"));
    let mut deliver = std::pin::pin!(worker.mailbox().clone().deliver());
    let mut task = std::task::Context::from_waker(std::task::Waker::noop());
    let consumer = waiting_consumer(&queue);
    for number in 0..3 {
        queue.push_in_turn(&worker, number, 1).unwrap();
    }
    assert!(queue.state.lock().consumer_waits, "it is left alone until the turn ends");
    assert!(deliver.as_mut().poll(&mut task).is_pending());
    assert_eq!(consumer.join().unwrap(), [0, 1, 2]);
}

#[test]
fn a_long_turn_wakes_the_consumer_before_its_end() {
    let queue = Arc::new(BatchQueue::new(1000));
    let worker = Worker::new(0, |_| unreachable!("nothing is spawned"));
    let consumer = waiting_consumer(&queue);
    for number in 0..ENTRIES_A_TURN as u32 {
        queue.push_in_turn(&worker, number, 1).unwrap();
    }
    assert_eq!(consumer.join().unwrap().len(), ENTRIES_A_TURN);
}
