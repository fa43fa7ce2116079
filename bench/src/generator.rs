//! One thread of load.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::arguments::Plan;
use crate::connection::Connection;
use crate::poll::{Poll, Ready};
use crate::tally::Tally;
use crate::wire::{Checker, Encoder, Flight};
use crate::workload::{Keyspace, Kind, Workload};

/// How often a thread looks up even if nothing happens.
const WAIT_MAX: Duration = Duration::from_millis(10);

/// What all threads see.
pub(crate) struct Shared {
    phase: AtomicU8,
    /// Operations done since the start, for the progress line.
    pub(crate) done: AtomicU64,
    /// Errors since the start, for the progress line.
    pub(crate) errors: AtomicU64,
    started: Instant,
    /// When the last thread had no more to do, in nanoseconds since the start.
    finished_ns: AtomicU64,
    /// Threads that have no more to do.
    finished: AtomicUsize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Phase {
    WarmUp = 0,
    Measure = 1,
    Stop = 2,
}

impl Shared {
    pub(crate) fn new(phase: Phase) -> Self {
        Shared {
            phase: AtomicU8::new(phase as u8),
            done: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            started: Instant::now(),
            finished_ns: AtomicU64::new(0),
            finished: AtomicUsize::new(0),
        }
    }

    /// Seconds from `begin` until the last thread had no more to do, or until now if one was stopped.
    pub(crate) fn seconds_since(&self, begin: Instant) -> f64 {
        let finished_ns = self.finished_ns.load(Ordering::Relaxed);
        let end =
            if finished_ns > 0 { self.started + Duration::from_nanos(finished_ns) } else { Instant::now() };
        end.saturating_duration_since(begin).as_secs_f64()
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Whether `threads` threads have no more to do, or one of them failed.
    pub(crate) fn is_over(&self, threads: usize) -> bool {
        self.finished.load(Ordering::Relaxed) >= threads || self.phase() == Phase::Stop
    }

    /// For a thread with no more to do: stays until told to stop, so that its processor time can still be read.
    fn linger(&self) {
        self.finished_ns.fetch_max(self.now_ns(), Ordering::Relaxed);
        self.finished.fetch_add(1, Ordering::Relaxed);
        while self.phase() != Phase::Stop {
            std::thread::park_timeout(WAIT_MAX);
        }
    }

    fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::WarmUp,
            1 => Phase::Measure,
            _ => Phase::Stop,
        }
    }

    #[inline]
    fn now_ns(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }
}

/// Where operations come from.
pub(crate) enum Source {
    /// A set of each of these keys; numbers from `keys` on are counters.
    Fill { next: u64, end: u64, keys: u64 },
    /// The mix asked for, endless or so many operations of the measurement.
    Mix { workload: Workload, left: Option<u64> },
}

/// Operations at fixed times.
struct Schedule {
    interval_ns: f64,
    start_ns: u64,
    started: u64,
}

impl Schedule {
    fn due_ns(&self) -> u64 {
        self.start_ns + (self.started as f64 * self.interval_ns) as u64
    }

    /// Operations that should have started by now and have not.
    fn behind(&self, now_ns: u64) -> u64 {
        let should = now_ns.saturating_sub(self.start_ns) as f64 / self.interval_ns;
        (should as u64).saturating_sub(self.started)
    }
}

pub(crate) struct Generator<'s> {
    shared: &'s Shared,
    poll: Poll,
    connections: Vec<Option<Connection>>,
    encoder: Encoder,
    checker: Checker,
    source: Source,
    pipeline: usize,
    get_keys: usize,
    /// A connection's next requests wait until all of its last are answered.
    batch: bool,
    /// Keys that gets did not find and that are stored next; none unless that is asked for.
    missed: Option<Vec<u64>>,
    schedule: Option<Schedule>,
    tally: Tally,
    is_measuring: bool,
    /// The connection that starts the next operation of a schedule.
    turn: usize,
    chosen: Vec<u64>,
}

impl<'s> Generator<'s> {
    /// Opens `connections` connections.
    pub(crate) fn new(
        plan: &Plan,
        keyspace: &Arc<Keyspace>,
        shared: &'s Shared,
        source: Source,
        connections: usize,
    ) -> Result<Self> {
        let arguments = &plan.arguments;
        let poll = Poll::new()?;
        let connections = (0..connections)
            .map(|token| Connection::open(&plan.address, arguments.protocol, token, &poll).map(Some))
            .collect::<Result<Vec<_>>>()?;
        let fills = matches!(source, Source::Fill { .. });
        let rate = plan.rate_per_thread.filter(|_| !fills);
        Ok(Generator {
            shared,
            poll,
            connections,
            encoder: Encoder::new(arguments.protocol, keyspace.clone(), arguments.exptime),
            checker: Checker::new(keyspace.clone()),
            source,
            pipeline: if fills { arguments.fill_pipeline } else { arguments.pipeline },
            get_keys: arguments.get_keys,
            batch: arguments.batch && !fills,
            missed: arguments.read_through.then(Vec::new),
            schedule: rate.map(|rate| Schedule { interval_ns: 1e9 / rate, start_ns: 0, started: 0 }),
            tally: Tally::new(),
            is_measuring: false,
            turn: 0,
            chosen: Vec::new(),
        })
    }

    /// Makes load until it is told to stop, or there is no more to do.
    ///
    /// # Errors
    /// If every connection was lost.
    pub(crate) fn run(mut self) -> Result<Tally> {
        self.look_at_phase();
        let now_ns = self.shared.now_ns();
        match &mut self.schedule {
            Some(schedule) => schedule.start_ns = now_ns,
            None => (0..self.connections.len()).for_each(|token| self.top_up(token, now_ns)),
        }
        let mut ready = Vec::new();
        loop {
            if self.look_at_phase() == Phase::Stop {
                break;
            }
            let patience = self.start_due();
            self.poll.wait(patience, &mut ready)?;
            for ready in &ready {
                self.serve(*ready);
            }
            if self.is_done() {
                self.shared.linger();
                break;
            }
            if self.connections.iter().all(Option::is_none) {
                let errors: Vec<_> = self.tally.errors.keys().cloned().collect();
                bail!("every connection was lost: {}", errors.join("; "));
            }
        }
        // What was asked for by number and has all begun leaves nothing that did not.
        if let Some(schedule) = &self.schedule
            && !self.is_exhausted()
        {
            self.tally.not_started = schedule.behind(self.shared.now_ns());
        }
        Ok(self.tally)
    }

    /// Begins to count when the measurement begins.
    fn look_at_phase(&mut self) -> Phase {
        let phase = self.shared.phase();
        if phase == Phase::Measure && !self.is_measuring {
            self.is_measuring = true;
            self.tally = Tally::new();
        }
        phase
    }

    /// Whether there is no operation left to begin.
    fn is_exhausted(&self) -> bool {
        let nothing_left = match &self.source {
            Source::Fill { next, end, .. } => next == end,
            Source::Mix { left, .. } => *left == Some(0),
        };
        nothing_left && self.missed.as_ref().is_none_or(Vec::is_empty)
    }

    fn is_done(&self) -> bool {
        self.is_exhausted()
            && self.connections.iter().flatten().all(|connection| connection.flights.is_empty())
    }

    /// Starts what a schedule says is due; how long to wait for the next.
    fn start_due(&mut self) -> Duration {
        let Some(schedule) = &self.schedule else { return WAIT_MAX };
        let now_ns = self.shared.now_ns();
        let mut due_ns = schedule.due_ns();
        let first = self.turn;
        while due_ns <= now_ns {
            let Some(token) = self.free_connection() else {
                self.flush_from(first);
                return WAIT_MAX;
            };
            if !self.issue(token, due_ns) {
                break;
            }
            if let Some(schedule) = &mut self.schedule {
                schedule.started += 1;
                due_ns = schedule.due_ns();
            }
        }
        self.flush_from(first);
        let now_ns = self.shared.now_ns();
        Duration::from_nanos(due_ns.saturating_sub(now_ns)).min(WAIT_MAX)
    }

    /// The next connection in turn with a free place.
    fn free_connection(&mut self) -> Option<usize> {
        for _ in 0..self.connections.len() {
            let token = self.turn;
            self.turn = (self.turn + 1) % self.connections.len();
            if self.connections[token]
                .as_ref()
                .is_some_and(|connection| connection.flights.len() < self.pipeline)
            {
                return Some(token);
            }
        }
        None
    }

    /// Writes what was started on the connections from `first` to the one whose turn it is now.
    fn flush_from(&mut self, first: usize) {
        let count = self.connections.len();
        for offset in 0..count {
            let token = (first + offset) % count;
            let Some(connection) = &mut self.connections[token] else { continue };
            if !connection.out.is_empty()
                && let Err(error) = connection.flush(&self.poll)
            {
                self.lose(token, &error.to_string());
            }
        }
    }

    /// Handles what a connection is ready for.
    fn serve(&mut self, ready: Ready) {
        let Some(connection) = &mut self.connections[ready.token] else { return };
        if ready.writable
            && let Err(error) = connection.flush(&self.poll)
        {
            return self.lose(ready.token, &error.to_string());
        }
        if ready.readable
            && let Err(error) = self.take_answers(ready.token)
        {
            self.lose(ready.token, &error);
        }
    }

    fn take_answers(&mut self, token: usize) -> Result<(), String> {
        let Some(connection) = &mut self.connections[token] else { return Ok(()) };
        let is_open = connection.fill().map_err(|error: io::Error| error.to_string())?;
        let now_ns = self.shared.now_ns();
        let mut done = 0;
        while let Some(flight) = connection.completed(&mut self.checker, &mut self.tally)? {
            self.tally.record(flight.kind, now_ns.saturating_sub(flight.started_ns));
            done += 1;
            if let Some(missed) = &mut self.missed
                && flight.kind == Kind::Get
                && flight.hits == 0
            {
                missed.push(flight.key);
            }
        }
        let is_idle = connection.flights.is_empty();
        if done > 0 {
            self.shared.done.fetch_add(done, Ordering::Relaxed);
            let errors = self.tally.error_count();
            if errors > 0 {
                self.shared.errors.store(errors, Ordering::Relaxed);
            }
        }
        if !is_open {
            return Err("the server closed the connection".into());
        }
        if self.schedule.is_none() && done > 0 && (is_idle || !self.batch) {
            self.top_up(token, now_ns);
        }
        Ok(())
    }

    /// Starts operations until the connection is full, and writes them.
    fn top_up(&mut self, token: usize, now_ns: u64) {
        while self.connections[token]
            .as_ref()
            .is_some_and(|connection| connection.flights.len() < self.pipeline)
        {
            if !self.issue(token, now_ns) {
                break;
            }
        }
        if let Some(connection) = &mut self.connections[token]
            && let Err(error) = connection.flush(&self.poll)
        {
            self.lose(token, &error.to_string());
        }
    }

    /// Puts one operation on a connection; `false` when there is none left.
    fn issue(&mut self, token: usize, started_ns: u64) -> bool {
        let Some(connection) = &mut self.connections[token] else { return true };
        let out = &mut connection.out;
        if let Some(number) = self.missed.as_mut().and_then(Vec::pop) {
            self.encoder.set(number, out);
            connection.flights.push_back(Flight::new(Kind::Set, number, 1, started_ns));
            return true;
        }
        let flight = match &mut self.source {
            Source::Fill { next, end, .. } if next == end => return false,
            Source::Fill { next, keys, .. } => {
                let number = *next;
                *next += 1;
                if number < *keys {
                    self.encoder.set(number, out);
                } else {
                    self.encoder.set_counter(number - *keys, out);
                }
                Flight::new(Kind::Set, number, 1, started_ns)
            }
            Source::Mix { left: Some(0), .. } => return false,
            Source::Mix { workload, left } => {
                if let Some(left) = left
                    && self.is_measuring
                {
                    *left -= 1;
                }
                let (kind, key) = (workload.kind(), workload.key());
                let mut keys = 1;
                match kind {
                    Kind::Get if self.get_keys > 1 => {
                        keys = self.get_keys as u32;
                        self.chosen.clear();
                        self.chosen.push(key);
                        self.chosen.extend((1..keys).map(|_| workload.key()));
                        self.encoder.get_many(&self.chosen, out);
                    }
                    Kind::Get => self.encoder.get(key, out),
                    Kind::Set => self.encoder.set(key, out),
                    Kind::Increment => self.encoder.increment(key, out),
                    Kind::Delete => self.encoder.delete(key, out),
                }
                Flight::new(kind, key, keys, started_ns)
            }
        };
        connection.flights.push_back(flight);
        true
    }

    #[cold]
    fn lose(&mut self, token: usize, why: &str) {
        self.connections[token] = None;
        self.tally.error(&format!("connection lost: {why}"));
        self.shared.errors.fetch_add(1, Ordering::Relaxed);
    }
}
