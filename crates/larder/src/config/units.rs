//! Sizes and durations as people write them: `64MiB`, `500k`, `50ms`, `2m`.

use std::time::Duration;

use super::report::{Objection, objection};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// No size is larger than this, so that every size fits signed 64-bit arithmetic.
pub const SIZE_BYTES_MAX: u64 = i64::MAX as u64;

/// No duration is longer than this.
pub const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Lower-case unit names. `k`, `m`, `g` are memcached's and mean 1024.
const SIZE_UNITS: &[(&str, u64)] = &[
    ("", 1),
    ("b", 1),
    ("k", KIB),
    ("kib", KIB),
    ("kb", 1_000),
    ("m", MIB),
    ("mib", MIB),
    ("mb", 1_000_000),
    ("g", GIB),
    ("gib", GIB),
    ("gb", 1_000_000_000),
    ("t", TIB),
    ("tib", TIB),
    ("tb", 1_000_000_000_000),
];

/// Milliseconds of each unit of time.
const DURATION_UNITS: &[(&str, u64)] =
    &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

const SIZE_ADVICE: &str = "write a whole number and KiB, MiB or GiB, as in 64MiB";
const DURATION_ADVICE: &str = "write a whole number and ms, s, m, h or d, as in 50ms or 5s";

/// A size in bytes, at least 1. `KiB MiB GiB TiB` and memcached's `k m g t` are powers of 1024, `KB MB GB TB`
/// powers of 1000, a bare number is bytes; letters in either case.
pub fn parse_size(text: &str) -> Result<u64, Objection> {
    let (number, unit) = split(text, "size", SIZE_ADVICE)?;
    let factor = SIZE_UNITS.iter().find(|(name, _)| *name == unit.to_ascii_lowercase());
    let Some((_, factor)) = factor else {
        return Err(objection(format!("`{text}`: `{unit}` is no unit of size"), SIZE_ADVICE));
    };
    let bytes = number.parse::<u64>().ok().and_then(|count| count.checked_mul(*factor));
    match bytes {
        Some(0) => Err(objection(format!("`{text}`: a size of zero keeps nothing"), SIZE_ADVICE)),
        Some(bytes) if bytes <= SIZE_BYTES_MAX => Ok(bytes),
        _ => Err(objection(
            format!("`{text}` is larger than any size larder can count"),
            "write a size that this machine has, as in 64MiB",
        )),
    }
}

/// A duration in whole milliseconds. Zero is parsed; whether it means something is the setting's business.
pub fn parse_duration(text: &str) -> Result<Duration, Objection> {
    let (number, unit) = split(text, "duration", DURATION_ADVICE)?;
    if unit.is_empty() {
        return Err(objection(
            format!("`{text}` has no unit of time"),
            format!("write {number}ms or {number}s, whichever is meant"),
        ));
    }
    let factor = DURATION_UNITS.iter().find(|(name, _)| *name == unit.to_ascii_lowercase());
    let Some((_, factor)) = factor else {
        return Err(objection(format!("`{text}`: `{unit}` is no unit of time"), DURATION_ADVICE));
    };
    let duration = number.parse::<u64>().ok().and_then(|count| count.checked_mul(*factor));
    match duration.map(Duration::from_millis) {
        Some(duration) if duration <= DURATION_MAX => Ok(duration),
        _ => Err(objection(format!("`{text}` is longer than a year"), "write at most 366d")),
    }
}

/// Digits and what follows them, refusing what is no whole number from 0 up.
fn split<'a>(text: &'a str, what: &str, advice: &str) -> Result<(&'a str, &'a str), Objection> {
    if text.trim().is_empty() {
        return Err(objection(format!("the {what} is empty"), advice));
    }
    if text.starts_with('-') {
        return Err(objection(format!("`{text}`: a {what} is never below zero"), advice));
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(objection(format!("`{text}` is no {what}"), advice));
    }
    if unit.starts_with(['.', ',']) {
        return Err(objection(
            format!("`{text}` is no whole number"),
            "write a whole number of the next smaller unit, as in 1536MiB for one and a half GiB",
        ));
    }
    if unit.starts_with(char::is_whitespace) && is_unit(unit.trim()) {
        return Err(objection(
            format!("`{text}` has a space in it"),
            format!("write {number}{}", unit.trim()),
        ));
    }
    Ok((number, unit.trim_start()))
}

/// Whether a word is a unit of size or of time.
pub fn is_unit(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    let known = |units: &[(&str, u64)]| units.iter().any(|(name, _)| !name.is_empty() && *name == word);
    known(SIZE_UNITS) || known(DURATION_UNITS)
}

/// A size in the largest binary unit that states it exactly; [`parse_size`] reads it back.
pub fn format_size(bytes: u64) -> String {
    let units = [("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)];
    match units.iter().find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor)) {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => bytes.to_string(),
    }
}

/// A duration in the largest unit that states it exactly; [`parse_duration`] reads it back. Whole milliseconds.
pub fn format_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let fits = |factor: &u64| millis >= *factor && millis.is_multiple_of(*factor);
    match DURATION_UNITS.iter().rev().find(|(_, factor)| fits(factor)) {
        Some((unit, factor)) => format!("{}{unit}", millis / factor),
        None => format!("{millis}ms"),
    }
}
