//! The limits of single values, whichever source they come from.

use std::path::PathBuf;
use std::time::Duration;

use super::report::{Objection, objection};
use super::units::{format_size, parse_duration};

/// More workers than this never help.
pub const THREADS_MAX: usize = 256;

/// More connections than this no machine of ours was made for.
pub const CONNECTIONS_MAX: usize = 1_000_000;

/// memcached's limits of `-I`.
pub const ITEM_SIZE_BYTES_MIN: u64 = 1 << 10;
/// memcached's limits of `-I`.
pub const ITEM_SIZE_BYTES_MAX: u64 = 1 << 30;

/// Requests a worker may answer in one turn; beyond it the other connections would starve.
pub const REQUESTS_PER_TURN_MAX: u32 = 1_000_000;

/// A connection silent for longer than this is none that anybody waits for, in seconds: a year.
pub const IDLE_SECONDS_MAX: u64 = 366 * 24 * 60 * 60;

/// More than this nobody receives at a time.
pub const BYTES_IN_FLIGHT_MAX: u64 = 1 << 40;

/// More lines than this nobody wants to wait for.
pub const LOG_BUFFER_KIB_MAX: u64 = 1 << 20;

/// The most talkative level.
pub const VERBOSITY_MAX: u8 = 3;

/// A whole number between two bounds. `what` names the number, as in "threads".
pub fn count(what: &str, number: i128, least: i128, most: i128) -> Result<i128, Objection> {
    if (least..=most).contains(&number) {
        return Ok(number);
    }
    let bound = if number < least { "too small" } else { "too large" };
    Err(objection(
        format!("{number} is {bound} for {what}"),
        format!("write a whole number from {least} to {most}"),
    ))
}

/// How many worker threads.
pub fn threads(number: i128) -> Result<usize, Objection> {
    count("a number of threads", number, 1, THREADS_MAX as i128).map(|number| number as usize)
}

/// How many client connections at a time.
pub fn connections(number: i128) -> Result<usize, Objection> {
    count("a number of connections", number, 1, CONNECTIONS_MAX as i128).map(|number| number as usize)
}

/// How many requests in one turn.
pub fn requests_per_turn(number: i128) -> Result<u32, Objection> {
    count("the requests of one turn", number, 1, REQUESTS_PER_TURN_MAX.into()).map(|number| number as u32)
}

/// How much is said.
pub fn verbosity(number: i128) -> Result<u8, Objection> {
    count("the verbosity", number, 0, VERBOSITY_MAX.into()).map(|number| number as u8)
}

/// The size of the largest value.
pub fn item_size(bytes: u64) -> Result<u64, Objection> {
    let (least, most) = (format_size(ITEM_SIZE_BYTES_MIN), format_size(ITEM_SIZE_BYTES_MAX));
    let bound = match bytes {
        ..ITEM_SIZE_BYTES_MIN => "too small",
        ITEM_SIZE_BYTES_MIN..=ITEM_SIZE_BYTES_MAX => return Ok(bytes),
        _ => "too large",
    };
    Err(objection(
        format!("{} is {bound} for the largest item", format_size(bytes)),
        format!("write a size from {least} to {most}"),
    ))
}

/// The permission bits of unix sockets, in octal digits.
pub fn unix_mask(text: &str) -> Result<u32, Objection> {
    let octal = !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    let mask = octal.then(|| u32::from_str_radix(text, 8).ok()).flatten();
    mask.filter(|mask| *mask <= 0o777).ok_or_else(|| {
        objection(
            format!("`{text}` is no permission of a file"),
            "write it in octal digits up to 777, as in 700",
        )
    })
}

/// How long an absent key is remembered. Caches count whole seconds.
pub fn negative_ttl(text: &str) -> Result<Duration, Objection> {
    whole_seconds(text, "to remember nothing")
}

/// How long a copy counts as fresh.
pub fn fresh(text: &str) -> Result<Duration, Objection> {
    whole_seconds(text, "to keep copies until they are evicted")
}

fn whole_seconds(text: &str, zero: &str) -> Result<Duration, Objection> {
    let time = parse_duration(text)?;
    if time.subsec_nanos() == 0 {
        return Ok(time);
    }
    Err(objection(
        format!("`{text}` is no whole number of seconds"),
        format!("write {}s, or 0s {zero}", time.as_secs() + 1),
    ))
}

/// When a silent connection is closed.
pub fn idle_timeout(text: &str) -> Result<Duration, Objection> {
    let timeout = parse_duration(text)?;
    if timeout.is_zero() {
        return Err(objection(
            "an `idle_timeout` of zero would close every connection",
            "remove it to close none",
        ));
    }
    Ok(timeout)
}

/// The data folder.
pub fn data(text: &str) -> Result<PathBuf, Objection> {
    if text.trim().is_empty() {
        return Err(objection(
            "the data folder is empty",
            "write a folder, as in larder-data, or . for this one",
        ));
    }
    if text.contains('\0') {
        return Err(objection("the data folder contains a zero byte", "write the folder without it"));
    }
    Ok(PathBuf::from(text))
}

/// The prefix of keys.
pub fn prefix_key(text: &str) -> Result<String, Objection> {
    const BYTES_MAX: usize = larder_engine::key::KEY_LENGTH_MAX;
    if text.len() > BYTES_MAX {
        return Err(objection(
            format!("the prefix is {} bytes long and could never match a key", text.len()),
            format!("write at most {BYTES_MAX} bytes, the length of the longest key"),
        ));
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(objection(
            "the prefix contains a space or a control character, which no key sent as text contains",
            "write it without",
        ));
    }
    Ok(text.to_owned())
}
