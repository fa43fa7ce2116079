//! Days, times and moments as text, in UTC.

use super::Misfit;

const SECONDS_A_DAY: i64 = 86_400;

/// `YYYY-MM-DD` or `YYYYMMDD`, as `YYYY-MM-DD`.
pub(super) fn date(text: &[u8]) -> Result<String, Misfit> {
    let (year, month, day) = match text {
        [y @ .., b'-', m1, m2, b'-', d1, d2] if y.len() == 4 => {
            (number(y)?, number(&[*m1, *m2])?, number(&[*d1, *d2])?)
        }
        digits if digits.len() == 8 => (number(&digits[..4])?, number(&digits[4..6])?, number(&digits[6..])?),
        _ => return Err(Misfit::Form),
    };
    let real = (1..=12).contains(&month) && year >= 1 && (1..=days_in(year, month)).contains(&day);
    if real { Ok(format!("{year:04}-{month:02}-{day:02}")) } else { Err(Misfit::Form) }
}

/// `[+-]H…H:MM:SS[.f]`, or two parts.
pub(super) fn time(
    text: &[u8],
    digits: u32,
    span: bool,
    two_parts_are_minutes: bool,
) -> Result<String, Misfit> {
    let (negative, rest) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let (clock, fraction) = split_fraction(rest)?;
    let parts: Vec<&[u8]> = clock.split(|byte| *byte == b':').collect();
    let (hours, minutes, seconds) = match parts[..] {
        [hours, minutes, seconds] => (number(hours)?, number(minutes)?, number(seconds)?),
        [first, second] if two_parts_are_minutes => (0, number(first)?, number(second)?),
        [first, second] if fraction.is_empty() => (number(first)?, number(second)?, 0),
        _ => return Err(Misfit::Form),
    };
    if minutes > 59 || seconds > 59 {
        return Err(Misfit::Form);
    }
    let within = if span { hours <= 838 } else { hours < 24 && !negative };
    if !within {
        return Err(Misfit::Size);
    }
    let sign = if negative { "-" } else { "" };
    Ok(format!("{sign}{hours:02}:{minutes:02}:{seconds:02}{}", fraction_of(fraction, digits)))
}

/// `YYYY-MM-DD HH:MM:SS[.f]`, with a blank or a `T` in the middle.
pub(super) fn date_time(text: &[u8], digits: u32) -> Result<String, Misfit> {
    if text.len() < 11 || !matches!(text[10], b' ' | b'T') {
        return Err(Misfit::Form);
    }
    let day = date(&text[..10])?;
    let clock = &text[11..];
    let is_full = clock.iter().filter(|byte| **byte == b':').count() == 2
        && clock.first().is_some_and(u8::is_ascii_digit);
    if !is_full {
        return Err(Misfit::Form);
    }
    let clock = time(clock, digits, false, false).map_err(|_| Misfit::Form)?;
    Ok(format!("{day} {clock}"))
}

/// Seconds of Unix time with a fraction, or date and time in UTC; kept as date and time.
pub(super) fn timestamp(text: &[u8], digits: u32, range: (i64, i64)) -> Result<String, Misfit> {
    let moment = if text.contains(&b'-') {
        date_time(text.strip_suffix(b"Z").unwrap_or(text), digits)?
    } else {
        let (seconds, fraction) = split_fraction(text)?;
        let second = number(seconds)?;
        if second > last_second() {
            return Err(Misfit::Size);
        }
        format!("{}{}", show_second(second), fraction_of(fraction, digits))
    };
    let second = floor_second(moment.as_bytes()).ok_or(Misfit::Form)?;
    if (range.0..=range.1).contains(&second) { Ok(moment) } else { Err(Misfit::Size) }
}

/// What a database shows, with just the digits that the column has, and without the zone, which is UTC.
pub(super) fn settle(text: &[u8], digits: u32) -> Option<String> {
    let (clock, fraction) = split_fraction(text).ok()?;
    let clock = std::str::from_utf8(clock).ok()?;
    let clock = clock.split_once('+').map_or(clock, |(clock, _)| clock);
    Some(format!("{clock}{}", fraction_of(fraction, digits)))
}

/// A moment as clients see it: seconds of Unix time, or date and time with a `Z`.
pub(super) fn show_timestamp(text: &[u8], digits: u32, iso: bool) -> Option<String> {
    let (_, fraction) = split_fraction(text).ok()?;
    let fraction = fraction_of(fraction, digits);
    let second = floor_second(text)?;
    Some(if iso { format!("{}{fraction}Z", show_second(second)) } else { format!("{second}{fraction}") })
}

/// The second of Unix time of a date and time, rounded up.
pub(super) fn second_of(text: &[u8]) -> Option<i64> {
    let (_, fraction) = split_fraction(text).ok()?;
    let is_whole = fraction.iter().all(|digit| *digit == b'0');
    Some(floor_second(text)? + i64::from(!is_whole))
}

fn floor_second(text: &[u8]) -> Option<i64> {
    let text = text.split(|byte| matches!(byte, b'.' | b'+')).next()?;
    if text.len() < 19 {
        return None;
    }
    let number = |range: std::ops::Range<usize>| number(&text[range]).ok();
    let day = days_from_epoch(number(0..4)?, number(5..7)?, number(8..10)?);
    Some(day * SECONDS_A_DAY + number(11..13)? * 3600 + number(14..16)? * 60 + number(17..19)?)
}

/// A second of Unix time as date and time.
pub(super) fn show_second(second: i64) -> String {
    let (day, rest) = (second.div_euclid(SECONDS_A_DAY), second.rem_euclid(SECONDS_A_DAY));
    let (year, month, day) = civil(day);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60)
}

/// The last second of the year 9999.
fn last_second() -> i64 {
    days_from_epoch(10_000, 1, 1) * SECONDS_A_DAY - 1
}

fn number(digits: &[u8]) -> Result<i64, Misfit> {
    if digits.is_empty() || digits.len() > 18 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Misfit::Form);
    }
    Ok(digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
}

fn split_fraction(text: &[u8]) -> Result<(&[u8], &[u8]), Misfit> {
    let Some(point) = text.iter().position(|byte| *byte == b'.') else { return Ok((text, b"")) };
    // A zone may follow in what databases show.
    let end = text[point..].iter().position(|byte| *byte == b'+').map_or(text.len(), |zone| point + zone);
    let fraction = &text[point + 1..end];
    if fraction.is_empty() || !fraction.iter().all(u8::is_ascii_digit) {
        return Err(Misfit::Form);
    }
    Ok((&text[..point], fraction))
}

/// Exactly `digits` digits behind a point; more are cut off.
fn fraction_of(fraction: &[u8], digits: u32) -> String {
    if digits == 0 {
        return String::new();
    }
    let digit = |at: usize| fraction.get(at).map_or('0', |digit| char::from(*digit));
    std::iter::once('.').chain((0..digits as usize).map(digit)).collect()
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a day of the Gregorian calendar.
fn days_from_epoch(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day is the last one.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The day of the Gregorian calendar so many days from 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}
