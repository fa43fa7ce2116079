//! Threads that help the writer: what waits for the disk is done side by side, so that one sync of the disk serves many
//! files.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

type Task = Box<dyn FnOnce() + Send>;

/// See the module. Dropping it ends the threads.
pub(crate) struct Hands {
    desk: Arc<Desk>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Desk {
    tasks: Mutex<Tasks>,
    added: Condvar,
}

#[derive(Default)]
struct Tasks {
    waiting: VecDeque<Task>,
    closed: bool,
}

impl Hands {
    /// So many threads.
    pub fn new(count: usize) -> io::Result<Hands> {
        let mut hands = Hands { desk: Arc::default(), threads: Vec::new() };
        for _ in 0..count {
            let desk = hands.desk.clone();
            let thread = std::thread::Builder::new().name("larder-hand".into()).spawn(move || desk.work())?;
            hands.threads.push(thread);
        }
        Ok(hands)
    }

    /// Does `work` with each of `inputs`, this thread helping; the results in their order.
    ///
    /// # Panics
    /// When `work` did.
    pub fn all<I, O>(&self, inputs: Vec<I>, work: impl Fn(I) -> O + Clone + Send + 'static) -> Vec<O>
    where
        I: Send + 'static,
        O: Send + 'static,
    {
        if inputs.len() <= 1 || self.threads.is_empty() {
            return inputs.into_iter().map(work).collect();
        }
        let count = inputs.len();
        let (sender, receiver) = mpsc::channel();
        {
            let mut tasks = self.desk.tasks.lock();
            for (index, input) in inputs.into_iter().enumerate() {
                let (sender, work) = (sender.clone(), work.clone());
                tasks.waiting.push_back(Box::new(move || {
                    // The receiver is there until all results are.
                    drop(sender.send((index, work(input))));
                }));
            }
        }
        drop(sender);
        self.desk.added.notify_all();
        while let Some(task) = self.desk.next_at_once() {
            task();
        }
        let mut outputs: Vec<(usize, O)> = receiver.iter().collect();
        assert_eq!(outputs.len(), count, "a hand of the writer has failed");
        outputs.sort_unstable_by_key(|(index, _)| *index);
        outputs.into_iter().map(|(_, output)| output).collect()
    }
}

impl Drop for Hands {
    fn drop(&mut self) {
        self.desk.tasks.lock().closed = true;
        self.desk.added.notify_all();
        for thread in self.threads.drain(..) {
            // Whoever gave it the work that failed has seen it.
            drop(thread.join());
        }
    }
}

impl Desk {
    fn work(&self) {
        while let Some(task) = self.next() {
            task();
        }
    }

    fn next(&self) -> Option<Task> {
        let mut tasks = self.tasks.lock();
        loop {
            if let Some(task) = tasks.waiting.pop_front() {
                return Some(task);
            }
            if tasks.closed {
                return None;
            }
            self.added.wait(&mut tasks);
        }
    }

    fn next_at_once(&self) -> Option<Task> {
        self.tasks.lock().waiting.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_inputs() {
        let hands = Hands::new(3).unwrap();
        for count in [0, 1, 2, 100] {
            let doubled = hands.all((0..count).collect(), |number: u32| 2 * number);
            assert_eq!(doubled, (0..count).map(|number| 2 * number).collect::<Vec<_>>());
        }
    }

    #[test]
    fn one_piece_of_work_may_wait_for_another() {
        let hands = Hands::new(1).unwrap();
        let barrier = Arc::new(std::sync::Barrier::new(2));
        hands.all(vec![barrier.clone(), barrier], |barrier| barrier.wait().is_leader());
    }
}
