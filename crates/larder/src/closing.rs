//! Engines that a reload took out of service, while they are being closed in the background.
//!
//! What they have acknowledged is carried down however long the stores refuse it: only at a stop there is a limit. A store
//! that is still being closed cannot be opened again; a reload that wants it back waits for the end, and a stop waits for
//! all of them.

use std::path::PathBuf;
use std::thread::JoinHandle;

use crate::build::{Hurry, NotClosed};

/// What is being closed. Owned by the thread that reloads.
#[derive(Default)]
pub struct Closing {
    under_way: Vec<UnderWay>,
    next: u64,
    /// What could not be brought down by work that has ended.
    failed: Vec<NotClosed>,
}

struct UnderWay {
    number: u64,
    stores: Vec<PathBuf>,
    hurry: Hurry,
    thread: JoinHandle<Vec<NotClosed>>,
}

impl Closing {
    /// Closes by `work`, on a thread of its own, what stands on these store files, in a `hurry` at a stop; `work` is given the number by which
    /// [`Closing::ended`] is told of its end.
    pub fn begin(
        &mut self,
        stores: Vec<PathBuf>,
        hurry: Hurry,
        work: impl FnOnce(u64) -> Vec<NotClosed> + Send + 'static,
    ) -> std::io::Result<()> {
        let number = self.next;
        self.next += 1;
        let thread = std::thread::Builder::new().name("closing".to_owned()).spawn(move || work(number))?;
        self.under_way.push(UnderWay { number, stores, hurry, thread });
        Ok(())
    }

    /// The first of these files that is still being closed.
    pub fn holds<'f>(&self, files: &'f [PathBuf]) -> Option<&'f PathBuf> {
        files.iter().find(|file| self.under_way.iter().any(|under_way| under_way.stores.contains(*file)))
    }

    /// The work with this number has come to its end.
    pub fn ended(&mut self, number: u64) {
        if let Some(at) = self.under_way.iter().position(|under_way| under_way.number == number) {
            for error in join(self.under_way.swap_remove(at)) {
                tracing::error!("an engine that is no longer used could not be closed cleanly: {error}");
                self.failed.push(error);
            }
        }
    }

    /// For a stop: gives all one more chance and waits for their end. What could not be brought down since the start,
    /// by name.
    pub fn finish(&mut self) -> Vec<NotClosed> {
        self.under_way.iter().for_each(|under_way| under_way.hurry.now());
        let mut failed = std::mem::take(&mut self.failed);
        failed.extend(self.under_way.drain(..).flat_map(join));
        failed
    }
}

fn join(under_way: UnderWay) -> Vec<NotClosed> {
    under_way.thread.join().unwrap_or_else(|_panic| {
        let names: Vec<_> = under_way.stores.iter().map(|file| file.display().to_string()).collect();
        vec![NotClosed { name: names.join(", "), why: "the thread that closed it has failed".to_owned() }]
    })
}
