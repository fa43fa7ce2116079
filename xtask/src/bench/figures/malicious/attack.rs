//! The attacks. Each goes at a steady pace that a single slow machine could keep up, so that what is measured is the
//! server's patience and not how fast the attacker is.

use anyhow::{Context, Result, anyhow};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub(super) struct Attack {
    pub(super) name: &'static str,
    /// What one stroke is, in words.
    pub(super) what: &'static str,
    /// Between two strokes.
    pause: Duration,
    /// Opens what the attack needs.
    begin: fn(&str) -> Result<Stroke>,
}

/// One stroke of an attack.
type Stroke = Box<dyn FnMut() -> Result<()> + Send>;

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "huge-multi-get",
        what: "a get of 20,000 keys",
        pause: Duration::from_millis(50),
        begin: huge_multi_get,
    },
    Attack {
        name: "slow-senders",
        what: "a byte on each of 200 connections",
        pause: Duration::from_millis(100),
        begin: slow_senders,
    },
    Attack {
        name: "half-commands",
        what: "20 connections with a command cut off",
        pause: Duration::from_millis(50),
        begin: half_commands,
    },
    Attack {
        name: "connection-storm",
        what: "50 connections beyond the limit",
        pause: Duration::from_millis(50),
        begin: connection_storm,
    },
    Attack {
        name: "cut-off-values",
        what: "a value of 900 kB that ends in its middle",
        pause: Duration::from_millis(50),
        begin: cut_off_values,
    },
    Attack {
        name: "cut-off-small-values",
        what: "20 connections with a value of 16 kB that ends in its middle",
        pause: Duration::from_millis(50),
        begin: cut_off_small_values,
    },
    Attack {
        name: "endless-lines",
        what: "64 kB more of a get that never ends, and a new one after 4 MB",
        pause: Duration::from_millis(20),
        begin: endless_lines,
    },
    Attack {
        name: "unread-answers",
        what: "asks for 1 MB that nobody reads",
        pause: Duration::from_millis(20),
        begin: unread_answers,
    },
];

/// An attack under way.
pub(super) struct Running {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<u64>>,
}

impl Attack {
    pub(super) fn start(&self, address: &str) -> Running {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let (stop, address) = (stop.clone(), address.to_owned());
            let (begin, pause) = (self.begin, self.pause);
            move || {
                let mut stroke = begin(&address)?;
                let mut strokes = 0;
                while !stop.load(Ordering::Relaxed) {
                    stroke()?;
                    strokes += 1;
                    thread::sleep(pause);
                }
                Ok(strokes)
            }
        });
        Running { stop, thread }
    }
}

impl Running {
    /// How many strokes there were.
    pub(super) fn stop(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the attacker panicked"))?.context("the attack broke off")
    }
}

fn connect(address: &str) -> Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn huge_multi_get(address: &str) -> Result<Stroke> {
    let mut stream = connect(address)?;
    let keys: String = (0..20_000).map(|number| format!(" missing-{number}")).collect();
    let line = format!("get{keys}\r\n");
    let mut end = [0; 5];
    Ok(Box::new(move || {
        stream.write_all(line.as_bytes())?;
        // None of the keys is there.
        stream.read_exact(&mut end)?;
        Ok(())
    }))
}

fn slow_senders(address: &str) -> Result<Stroke> {
    const REQUEST: &[u8] = b"set slow 0 0 20\r\n01234567890123456789\r\n";
    let mut senders = (0..200).map(|_| connect(address)).collect::<Result<Vec<_>>>()?;
    let mut at = 0;
    Ok(Box::new(move || {
        for sender in &mut senders {
            sender.write_all(&[REQUEST[at % REQUEST.len()]])?;
        }
        at += 1;
        if at % REQUEST.len() == 0 {
            for sender in &mut senders {
                sender.read_exact(&mut [0; 8])?;
            }
        }
        Ok(())
    }))
}

fn half_commands(address: &str) -> Result<Stroke> {
    let address = address.to_owned();
    let mut open = std::collections::VecDeque::new();
    Ok(Box::new(move || {
        for number in 0..20 {
            let mut stream = connect(&address)?;
            match number % 4 {
                0 => stream.write_all(b"set half 0 0 900000\r\nhalf")?,
                1 => stream.write_all(format!("get {}", "k ".repeat(500)).as_bytes())?,
                2 => stream.write_all(&[0x80, 1, 0, 1, 8])?,
                _ => stream.write_all(b"ms half")?,
            }
            open.push_back(stream);
        }
        // The oldest leave without another word.
        while open.len() > 200 {
            open.pop_front();
        }
        Ok(())
    }))
}

fn connection_storm(address: &str) -> Result<Stroke> {
    let address = address.to_owned();
    let mut open = Vec::new();
    Ok(Box::new(move || {
        // Places that are free are kept, so that all others are refused. Those of the clients that are measured were
        // taken before this one's turn, or come free while it sleeps.
        for _ in 0..50 {
            let stream = connect(&address)?;
            if open.len() < 200 {
                open.push(stream);
            }
        }
        Ok(())
    }))
}

fn cut_off_values(address: &str) -> Result<Stroke> {
    let address = address.to_owned();
    let half = vec![b'v'; 450_000];
    Ok(Box::new(move || {
        let mut stream = connect(&address)?;
        stream.write_all(b"set cut 0 0 900000\r\n")?;
        stream.write_all(&half)?;
        Ok(())
    }))
}

fn cut_off_small_values(address: &str) -> Result<Stroke> {
    let address = address.to_owned();
    let half = format!("set cut 0 0 16000\r\n{}", "v".repeat(15_000));
    let mut open = std::collections::VecDeque::new();
    Ok(Box::new(move || {
        for _ in 0..20 {
            let mut stream = connect(&address)?;
            stream.write_all(half.as_bytes())?;
            open.push_back(stream);
        }
        while open.len() > 200 {
            open.pop_front();
        }
        Ok(())
    }))
}

fn endless_lines(address: &str) -> Result<Stroke> {
    const PIECES: usize = 64;
    let address = address.to_owned();
    let piece = " k".repeat(32 << 10);
    let mut stream = connect(&address)?;
    let mut sent = 0;
    Ok(Box::new(move || {
        if sent % PIECES == 0 {
            stream = connect(&address)?;
            stream.write_all(b"get")?;
        }
        stream.write_all(piece.as_bytes())?;
        sent += 1;
        Ok(())
    }))
}

fn unread_answers(address: &str) -> Result<Stroke> {
    let mut setter = connect(address)?;
    setter.write_all(b"set unread 0 0 1000000\r\n")?;
    setter.write_all(&vec![b'v'; 1_000_000])?;
    setter.write_all(b"\r\n")?;
    setter.read_exact(&mut [0; 8])?;
    let mut stream = connect(address)?;
    stream.set_nonblocking(true)?;
    Ok(Box::new(move || match stream.write(b"get unread\r\n") {
        // Full: the server has stopped reading.
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
        outcome => outcome.map(drop).map_err(Into::into),
    }))
}
