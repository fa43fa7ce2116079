//! Engines that a reload took out of service, while they are being closed in the background.
//!
//! A store that is still being closed cannot be opened again; a reload that wants it back waits for the end, and a stop
//! waits for all of them.

use std::path::PathBuf;
use std::thread::JoinHandle;

use crate::build::NotClosed;

/// What is being closed. Owned by the thread that reloads.
#[derive(Default)]
pub struct Closing {
    under_way: Vec<UnderWay>,
    next: u64,
}

struct UnderWay {
    number: u64,
    stores: Vec<PathBuf>,
    thread: JoinHandle<Vec<NotClosed>>,
}

impl Closing {
    /// Closes by `work`, on a thread of its own, what stands on these store files; `work` is given the number by which
    /// [`Closing::ended`] is told of its end.
    pub fn begin(
        &mut self,
        stores: Vec<PathBuf>,
        work: impl FnOnce(u64) -> Vec<NotClosed> + Send + 'static,
    ) -> std::io::Result<()> {
        let number = self.next;
        self.next += 1;
        let thread = std::thread::Builder::new().name("closing".to_owned()).spawn(move || work(number))?;
        self.under_way.push(UnderWay { number, stores, thread });
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
            }
        }
    }

    /// Waits for the end of all. What could not be brought down, by name.
    pub fn finish(&mut self) -> Vec<NotClosed> {
        self.under_way.drain(..).flat_map(join).collect()
    }
}

fn join(under_way: UnderWay) -> Vec<NotClosed> {
    under_way.thread.join().unwrap_or_else(|_panic| {
        let names: Vec<_> = under_way.stores.iter().map(|file| file.display().to_string()).collect();
        vec![NotClosed { name: names.join(", "), why: "the thread that closed it has failed".to_owned() }]
    })
}
