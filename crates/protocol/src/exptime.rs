//! Expiry times as clients write them, and what they mean.

/// An expiry as the client wrote it: relative seconds, a Unix time, zero or negative.
///
/// Text and meta write a signed 32-bit number, the binary protocol an unsigned one; both fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExpTime(pub i64);

/// What an [`ExpTime`] means at a given moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expiry {
    /// The item never expires.
    Never,
    /// The item is gone once the clock shows this Unix time, in seconds: it must not be returned at
    /// that very second any more.
    At(u32),
    /// The item is expired at once: the command succeeds, the next read misses.
    Past,
}

impl ExpTime {
    /// Never expires.
    pub const NEVER: ExpTime = ExpTime(0);

    /// Numbers up to this one (30 days) are seconds from now, greater ones are Unix times.
    pub const RELATIVE_SECONDS_MAX: i64 = 60 * 60 * 24 * 30;

    /// Resolves the client's number at `now_unix_seconds`.
    ///
    /// 0 is never; negative is in the past; 1 to 2,592,000 are seconds from now; above is a Unix time, in
    /// the past unless later than now. A moment beyond 32 bits is the last one that fits.
    #[inline]
    pub fn resolve(self, now_unix_seconds: u32) -> Expiry {
        match self.0 {
            0 => Expiry::Never,
            ..0 => Expiry::Past,
            seconds if seconds <= Self::RELATIVE_SECONDS_MAX => {
                Expiry::At(now_unix_seconds.saturating_add(seconds as u32))
            }
            unix if unix > i64::from(now_unix_seconds) => Expiry::At(u32::try_from(unix).unwrap_or(u32::MAX)),
            _ => Expiry::Past,
        }
    }

    /// The Unix time, in seconds, at which a `flush_all` with this delay takes effect; `None` is at once
    /// (0, negative, or a moment already past).
    #[inline]
    pub fn flush_at(self, now_unix_seconds: u32) -> Option<u32> {
        match self.resolve(now_unix_seconds) {
            Expiry::At(unix_seconds) => Some(unix_seconds),
            Expiry::Never | Expiry::Past => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u32 = 1_800_000_000;

    #[test]
    fn resolves() {
        for (number, expected) in [
            (0, Expiry::Never),
            (-1, Expiry::Past),
            (i64::MIN, Expiry::Past),
            (1, Expiry::At(NOW + 1)),
            (2_592_000, Expiry::At(NOW + 2_592_000)),
            (2_592_001, Expiry::Past),
            (i64::from(NOW), Expiry::Past),
            (i64::from(NOW) + 1, Expiry::At(NOW + 1)),
            (i64::from(u32::MAX), Expiry::At(u32::MAX)),
            (i64::MAX, Expiry::At(u32::MAX)),
        ] {
            assert_eq!(ExpTime(number).resolve(NOW), expected, "{number}");
        }
        assert_eq!(ExpTime(2_592_000).resolve(u32::MAX - 1), Expiry::At(u32::MAX));
    }

    #[test]
    fn a_flush_without_delay_is_now() {
        for number in [0, -5, 2_592_001] {
            assert_eq!(ExpTime(number).flush_at(NOW), None, "{number}");
        }
        assert_eq!(ExpTime(10).flush_at(NOW), Some(NOW + 10));
    }
}
