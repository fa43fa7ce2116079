//! What a bare prepared point SELECT costs on a store's own table: the processor time, in nanoseconds, of one.
//!
//! `cargo run --release -p larder-sqlite --example point_select -- larder-data/larder.db`, while no server runs.

use std::error::Error;
use std::fs;

use rusqlite::{Connection, OpenFlags};

const SELECTS: usize = 200_000;
const KEYS_MAX: usize = 1_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let path =
        std::env::args().nth(1).ok_or("name the database, as in: point_select larder-data/larder.db")?;
    let connection = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let keys: Vec<Vec<u8>> = connection
        .prepare("SELECT key FROM items LIMIT ?1")?
        .query_map([KEYS_MAX as i64], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    if keys.is_empty() {
        return Err(format!("{path}: there are no items in it").into());
    }
    let mut select =
        connection.prepare("SELECT version, cas, expiry, flags, state, value FROM items WHERE key = ?1")?;
    let mut bytes = 0;
    let mut run = |count: usize| -> Result<(), Box<dyn Error>> {
        let mut place = 0;
        // One snapshot for all, as a reader that serves a batch holds it.
        connection.execute_batch("BEGIN")?;
        for _ in 0..count {
            // A step that shares no factor with any likely count reaches keys far apart.
            place = (place + 7_368_787) % keys.len();
            bytes += select.query_row([&keys[place]], |row| Ok(row.get_ref(5)?.as_blob()?.len()))?;
        }
        connection.execute_batch("COMMIT")?;
        Ok(())
    };
    run(SELECTS / 4)?;
    let before_ns = run_time_ns()?;
    run(SELECTS)?;
    let spent_ns = run_time_ns()? - before_ns;
    if bytes == 0 {
        return Err(format!("{path}: all values are empty; fill it with others").into());
    }
    println!("{:.0}", spent_ns as f64 / SELECTS as f64);
    Ok(())
}

/// Processor time of this process so far.
fn run_time_ns() -> Result<u64, Box<dyn Error>> {
    let schedstat = fs::read_to_string("/proc/self/schedstat")?;
    Ok(schedstat.split_ascii_whitespace().next().ok_or("/proc/self/schedstat is empty")?.parse()?)
}
