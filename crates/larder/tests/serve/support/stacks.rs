//! The stacks that everything must work on.

use std::path::Path;

use tempfile::TempDir;

use super::client::Client;
use super::process::{Launch, Server};

/// The shapes of a stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stack {
    /// RAM alone.
    Ram,
    /// The store alone.
    Sqlite,
    /// The other store alone: one file a key.
    File,
    /// A store under RAM that holds so little that most reads go through.
    SmallRam,
}

/// Bytes of [`Stack::SmallRam`]'s RAM: the least a RAM may have.
const SMALL_RAM_BYTES: usize = 64 << 10;

/// A value as large as those that push everything else out of the small RAM.
const FILLER_BYTES: usize = 1000;

impl Stack {
    pub fn expression(self) -> String {
        match self {
            Stack::Ram => "ram".to_owned(),
            Stack::Sqlite => "sqlite".to_owned(),
            Stack::File => "file".to_owned(),
            Stack::SmallRam => format!("ram({}KiB) > sqlite", SMALL_RAM_BYTES >> 10),
        }
    }

    /// Whether no RAM is above the store.
    pub fn is_store_alone(self) -> bool {
        matches!(self, Stack::Sqlite | Stack::File)
    }

    pub fn is_durable(self) -> bool {
        self != Stack::Ram
    }

    pub fn launch(self, data: &Path) -> Launch {
        Launch::new(&self.expression(), data)
    }

    /// A server on a folder of its own, which goes with it.
    pub fn start(self) -> Running {
        self.start_with(&[])
    }

    /// The same with more arguments.
    pub fn start_with(self, arguments: &[&str]) -> Running {
        let data = tempfile::tempdir().unwrap();
        let server = self.launch(data.path()).args(arguments).start();
        Running { stack: self, server, data }
    }
}

/// A server with its data folder.
pub struct Running {
    pub stack: Stack,
    // Before the folder, so that it is stopped when the folder is removed.
    pub server: Server,
    pub data: TempDir,
}

impl Running {
    pub fn connect(&self) -> Client {
        self.server.connect()
    }

    /// Pushes every item out of a small RAM, so that the next reads must ask the store.
    pub fn cool(&self, client: &mut Client) {
        if self.stack != Stack::SmallRam {
            return;
        }
        let value = "f".repeat(FILLER_BYTES);
        let mut request = String::new();
        for number in 0..2 * SMALL_RAM_BYTES / FILLER_BYTES {
            request += &format!("set filler:{number} 0 0 {FILLER_BYTES} noreply\r\n{value}\r\n");
        }
        client.ask(request + "mn\r\n", "MN\r\n");
    }

    /// Stops with SIGTERM and starts again on the same data.
    pub fn restart(self) -> Running {
        self.server.stop_cleanly();
        Running { server: self.stack.launch(self.data.path()).start(), ..self }
    }
}

/// Makes the tests of a function for each stack: `each_stack!(name, …)` calls `name(Stack)`.
#[macro_export]
macro_rules! each_stack {
    ($($check:ident),+ $(,)?) => {
        mod on_ram {
            $(#[test] fn $check() { super::$check($crate::support::stacks::Stack::Ram) })+
        }
        mod on_sqlite {
            $(#[test] fn $check() { super::$check($crate::support::stacks::Stack::Sqlite) })+
        }
        mod on_file {
            $(#[test] fn $check() { super::$check($crate::support::stacks::Stack::File) })+
        }
        mod on_small_ram_over_sqlite {
            $(#[test] fn $check() { super::$check($crate::support::stacks::Stack::SmallRam) })+
        }
    };
}
