//! Column types: what text a column can hold, and what text it reads as.
//!
//! Texts are converted here, alike for all databases, from the declared type: a range or a length is enforced also
//! where the database would not.

mod decimal;
mod moment;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use larder_engine::{EngineError, ErrorKind};

use crate::model::{ContainerOptions, TimeInput, TimestampFormat};

/// What is in a column, in the one form in which it is compared and handed to drivers.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Cell {
    /// NULL.
    Null,
    /// A whole number of any integer type.
    Integer(i128),
    /// Text, and whatever is handed over as text: decimals, moments, labels.
    Text(Bytes),
    /// Bytes.
    Blob(Bytes),
}

impl Cell {
    /// Text of a Rust string.
    pub fn text(text: impl Into<String>) -> Cell {
        Cell::Text(Bytes::from(text.into().into_bytes()))
    }

    /// The bytes of a text or blob.
    pub fn bytes(&self) -> Option<&Bytes> {
        match self {
            Cell::Text(bytes) | Cell::Blob(bytes) => Some(bytes),
            Cell::Null | Cell::Integer(_) => None,
        }
    }

    /// About how many bytes it takes.
    pub fn weight(&self) -> usize {
        self.bytes().map_or(8, Bytes::len)
    }
}

/// The kind of a column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A whole number between these, both included.
    Integer {
        /// Least.
        min: i128,
        /// Most.
        max: i128,
    },
    /// PostgreSQL's boolean.
    Boolean,
    /// A decimal number of `precision` digits, `scale` of them behind the point.
    Decimal {
        /// All digits.
        precision: u32,
        /// Those behind the point.
        scale: u32,
    },
    /// A binary fraction.
    Float {
        /// Of 8 bytes, not 4.
        double: bool,
    },
    /// Text.
    Text {
        /// Most characters, if there is a bound.
        chars_max: Option<u64>,
        /// Most bytes, if there is a bound.
        bytes_max: Option<u64>,
        /// Of fixed length: blanks at the end do not count.
        fixed: bool,
        /// Of one byte a character.
        latin1: bool,
    },
    /// Bytes.
    Binary {
        /// Most bytes, if there is a bound.
        bytes_max: Option<u64>,
        /// Of fixed length: filled up with NUL.
        fixed: bool,
    },
    /// A day.
    Date,
    /// A time of day or a span of time.
    Time {
        /// Digits behind the seconds.
        digits: u32,
        /// Whether it is a span: with a sign, up to 838 hours.
        span: bool,
    },
    /// Day and time without zone.
    DateTime {
        /// Digits behind the seconds.
        digits: u32,
    },
    /// A moment.
    Timestamp {
        /// Digits behind the seconds.
        digits: u32,
        /// First and last second of Unix time it can hold.
        range: (i64, i64),
    },
    /// A year of four digits.
    Year,
    /// One of these labels.
    Enum(Vec<String>),
    /// JSON.
    Json,
    /// A bit field of so many bits.
    Bit(u32),
    /// A type the database reads from and writes as text; it alone knows which texts are right.
    Native,
    /// A type that cannot be mapped.
    Unsupported,
}

/// Most of a 64-bit number without sign.
pub const U64_MAX: i128 = u64::MAX as i128;

impl Kind {
    /// An integer of so many bits.
    pub fn integer(bits: u32, unsigned: bool) -> Kind {
        match unsigned {
            true => Kind::Integer { min: 0, max: (1i128 << bits) - 1 },
            false => Kind::Integer { min: -(1i128 << (bits - 1)), max: (1i128 << (bits - 1)) - 1 },
        }
    }

    /// Text without bounds.
    pub fn text() -> Kind {
        Kind::Text { chars_max: None, bytes_max: None, fixed: false, latin1: false }
    }

    /// Whether a counter can live in it.
    pub fn counter_max(&self) -> Option<u64> {
        match self {
            Kind::Integer { max, .. } => Some(u64::try_from(*max).unwrap_or(u64::MAX)),
            Kind::Decimal { precision: 20.., scale: 0 } => Some(u64::MAX),
            Kind::Decimal { precision, scale: 0 } => Some(10u64.pow(*precision) - 1),
            _ => None,
        }
    }

    /// Whether every 64-bit number fits.
    pub fn holds_u64(&self) -> bool {
        self.counter_max() == Some(u64::MAX)
    }

    /// Whether one text names one value, so that keys can be compared as texts.
    pub fn is_canonical(&self) -> bool {
        !matches!(self, Kind::Float { .. } | Kind::Native)
    }

    /// Most bytes of a value, where the type bounds them.
    pub fn bytes_max(&self) -> Option<u64> {
        match self {
            Kind::Text { chars_max, bytes_max, .. } => match (chars_max, bytes_max) {
                // A character takes at most four bytes.
                (Some(chars), Some(bytes)) => Some((*bytes).min(chars.saturating_mul(4))),
                (Some(chars), None) => Some(chars.saturating_mul(4)),
                (None, bytes) => *bytes,
            },
            Kind::Binary { bytes_max, .. } => *bytes_max,
            _ => None,
        }
    }
}

/// A text that a column cannot hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Misfit {
    /// Not of the right form.
    Form,
    /// Too long, or out of range.
    Size,
}

impl Misfit {
    /// As the answer of a command that wanted to write it into `column`.
    pub fn refusal(self, column: &str) -> EngineError {
        match self {
            Misfit::Form => {
                EngineError::new(ErrorKind::BadArgument, format!("bad value for column {column}"))
            }
            Misfit::Size => ErrorKind::TooLarge.into(),
        }
    }
}

/// Reads the text of a client as a value of `kind`.
///
/// # Errors
/// Whether form or size is wrong.
pub fn read_text(kind: &Kind, options: &ContainerOptions, text: &Bytes) -> Result<Cell, Misfit> {
    match kind {
        Kind::Integer { min, max } => integer(text, *min, *max).map(Cell::Integer),
        Kind::Boolean => match &**text {
            b"1" | b"t" | b"true" => Ok(Cell::text("1")),
            b"0" | b"f" | b"false" => Ok(Cell::text("0")),
            _ => Err(Misfit::Form),
        },
        Kind::Decimal { precision, scale } => {
            decimal::read(text, *precision, *scale, options.decimal_round).map(Cell::text)
        }
        Kind::Float { double } => float(text, *double),
        Kind::Text { chars_max, bytes_max, fixed, latin1 } => {
            let valid = std::str::from_utf8(text).map_err(|_| Misfit::Form)?;
            if *latin1 && valid.chars().any(|c| u32::from(c) > 0xff) {
                return Err(Misfit::Form);
            }
            let bytes = if *latin1 { valid.chars().count() } else { text.len() };
            if chars_max.is_some_and(|most| valid.chars().count() as u64 > most)
                || bytes_max.is_some_and(|most| bytes as u64 > most)
            {
                return Err(Misfit::Size);
            }
            let kept = if *fixed { valid.trim_end_matches(' ').len() } else { text.len() };
            Ok(Cell::Text(text.slice(..kept)))
        }
        Kind::Binary { bytes_max, fixed } => {
            let most = bytes_max.unwrap_or(u64::MAX);
            if text.len() as u64 > most {
                return Err(Misfit::Size);
            }
            if *fixed && (text.len() as u64) < most {
                let mut filled = text.to_vec();
                filled.resize(most as usize, 0);
                return Ok(Cell::Blob(filled.into()));
            }
            Ok(Cell::Blob(text.clone()))
        }
        Kind::Date => moment::date(text).map(Cell::text),
        Kind::Time { digits, span } => {
            moment::time(text, *digits, *span, options.time_input == TimeInput::Ndb).map(Cell::text)
        }
        Kind::DateTime { digits } => moment::date_time(text, *digits).map(Cell::text),
        Kind::Timestamp { digits, range } => moment::timestamp(text, *digits, *range).map(Cell::text),
        Kind::Year => year(text),
        Kind::Enum(labels) => {
            let known = labels.iter().any(|label| label.as_bytes() == &text[..]);
            if known { Ok(Cell::Text(text.clone())) } else { Err(Misfit::Form) }
        }
        Kind::Json | Kind::Native => {
            std::str::from_utf8(text).map_err(|_| Misfit::Form)?;
            Ok(Cell::Text(text.clone()))
        }
        Kind::Bit(bits) => integer(text, 0, (1i128 << bits) - 1).map(Cell::Integer),
        Kind::Unsupported => Err(Misfit::Form),
    }
}

/// Reads a part of a key: like a value, but only the one spelling that a value has.
///
/// # Errors
/// Whether form or size is wrong; no row can have such a key.
pub fn read_key_part(kind: &Kind, options: &ContainerOptions, text: &Bytes) -> Result<Cell, Misfit> {
    let is_character = matches!(kind, Kind::Text { .. } | Kind::Binary { .. });
    if text.is_empty() && !is_character {
        return Err(Misfit::Form);
    }
    let cell = read_text(kind, options, text)?;
    match &cell {
        // `07`, `+7` and `-0` are not the number's own spelling.
        Cell::Integer(number) if number.to_string().as_bytes() != &text[..] => Err(Misfit::Form),
        _ => Ok(cell),
    }
}

/// Brings what a driver read into the form in which [`read_text`] gives it, so that the two compare.
pub fn settle(kind: &Kind, cell: Cell) -> Cell {
    match (kind, cell) {
        (_, Cell::Null) => Cell::Null,
        (Kind::Integer { .. } | Kind::Bit(_), Cell::Text(text) | Cell::Blob(text)) => {
            match std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok()) {
                Some(number) => Cell::Integer(number),
                None => Cell::Text(text),
            }
        }
        (Kind::Binary { .. }, Cell::Text(bytes)) => Cell::Blob(bytes),
        (Kind::Text { fixed: true, .. }, Cell::Text(text) | Cell::Blob(text)) => {
            let end = text.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
            Cell::Text(text.slice(..end))
        }
        (Kind::Decimal { precision, scale }, Cell::Integer(number)) => {
            let text = Bytes::from(number.to_string());
            decimal::read(&text, *precision, *scale, true).map_or(Cell::Text(text), Cell::text)
        }
        (Kind::Decimal { precision, scale }, Cell::Text(text)) => {
            decimal::read(&text, *precision, *scale, true).map_or(Cell::Text(text), Cell::text)
        }
        (Kind::Boolean, Cell::Integer(number)) => Cell::text(if number == 0 { "0" } else { "1" }),
        (Kind::Boolean, Cell::Text(text)) => {
            Cell::text(if matches!(&*text, b"t" | b"true" | b"1") { "1" } else { "0" })
        }
        (
            Kind::Time { digits, .. } | Kind::DateTime { digits } | Kind::Timestamp { digits, .. },
            Cell::Text(text) | Cell::Blob(text),
        ) => moment::settle(&text, *digits).map_or(Cell::Text(text), Cell::text),
        (kind, Cell::Blob(bytes)) if !matches!(kind, Kind::Binary { .. }) => Cell::Text(bytes),
        (_, cell) => cell,
    }
}

/// The text that a client is shown, of a settled cell.
pub fn show(kind: &Kind, options: &ContainerOptions, cell: &Cell) -> Bytes {
    match (kind, cell) {
        (_, Cell::Null) => Bytes::new(),
        (_, Cell::Integer(number)) => Bytes::from(number.to_string()),
        (Kind::Timestamp { digits, .. }, Cell::Text(text)) => {
            let iso = options.timestamp_format == TimestampFormat::Iso;
            moment::show_timestamp(text, *digits, iso).map_or_else(|| text.clone(), Bytes::from)
        }
        (Kind::Text { chars_max: Some(chars), fixed: true, .. }, Cell::Text(text)) if options.pad_char => {
            let mut padded = text.to_vec();
            let missing = chars.saturating_sub(String::from_utf8_lossy(text).chars().count() as u64);
            padded.resize(padded.len() + missing as usize, b' ');
            padded.into()
        }
        (_, Cell::Text(bytes) | Cell::Blob(bytes)) => bytes.clone(),
    }
}

/// A moment for a column of type [`Kind::Timestamp`] or [`Kind::DateTime`], clamped to what the column holds.
pub fn moment_of(kind: &Kind, second: u32) -> Cell {
    let mut second = i64::from(second);
    if let Kind::Timestamp { range, .. } = kind {
        second = second.clamp(range.0, range.1);
    }
    Cell::text(moment::show_second(second))
}

/// The second of Unix time of a settled moment, rounded up: an item is gone once the whole moment has passed.
pub fn second_of(cell: &Cell) -> Option<i64> {
    match cell {
        Cell::Integer(second) => i64::try_from(*second).ok(),
        Cell::Text(text) => moment::second_of(text),
        Cell::Null | Cell::Blob(_) => None,
    }
}

fn integer(text: &[u8], min: i128, max: i128) -> Result<i128, Misfit> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Misfit::Form);
    }
    let text = std::str::from_utf8(text).map_err(|_| Misfit::Form)?;
    let number: i128 = text.parse().map_err(|_| Misfit::Size)?;
    if (min..=max).contains(&number) { Ok(number) } else { Err(Misfit::Size) }
}

fn float(text: &[u8], double: bool) -> Result<Cell, Misfit> {
    let text = std::str::from_utf8(text).map_err(|_| Misfit::Form)?;
    let is_plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'));
    let number: f64 = text.parse().map_err(|_| Misfit::Form)?;
    if !is_plain {
        return Err(Misfit::Form);
    }
    let fits = if double { number.is_finite() } else { (number as f32).is_finite() };
    if !fits {
        return Err(Misfit::Size);
    }
    Ok(Cell::text(show_float(number, double)))
}

/// The shortest text that reads back as the same number.
pub fn show_float(number: f64, double: bool) -> String {
    if double { format!("{number}") } else { format!("{}", number as f32) }
}

fn year(text: &[u8]) -> Result<Cell, Misfit> {
    if text.len() != 4 || !text.iter().all(u8::is_ascii_digit) {
        return Err(Misfit::Form);
    }
    match integer(text, 0, 9999)? {
        number @ (0 | 1901..=2155) => Ok(Cell::text(format!("{number:04}"))),
        _ => Err(Misfit::Size),
    }
}
