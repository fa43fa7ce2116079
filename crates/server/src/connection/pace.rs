//! The pace that a large value, or a long line, must keep while others wait for its room.

use larder_engine::Timestamp;

/// Nobody is hurried for this long, in seconds: a pause of the network is no ill will.
const GRACE_SECONDS: u64 = 10;

/// Slowest pace after that, in bytes a second from the start.
const BYTES_PER_SECOND_MIN: u64 = 64 << 10;

/// A value is here after this long at the pace asked for, in seconds, however large it is.
const SECONDS_MAX: u64 = 60;

/// A value that holds room among the bytes in flight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Upload {
    /// When it got the room.
    pub(super) since: Timestamp,
    pub(super) value_bytes: usize,
    pub(super) received: usize,
}

impl Upload {
    /// Whether others who wait need no longer bear with it.
    pub(crate) fn is_too_slow(&self, now: Timestamp) -> bool {
        let seconds = u64::from(now.seconds_since(self.since)).saturating_sub(GRACE_SECONDS);
        let pace = BYTES_PER_SECOND_MIN.max((self.value_bytes as u64).div_ceil(SECONDS_MAX));
        (self.received as u64) < pace.saturating_mul(seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_too_slow(value_bytes: usize, received: usize, seconds: u32) -> bool {
        let since = Timestamp(1_000);
        Upload { since, value_bytes, received }.is_too_slow(Timestamp(1_000 + seconds))
    }

    #[test]
    fn a_pause_is_borne_with() {
        assert!(!is_too_slow(1 << 20, 16 << 10, 10));
        assert!(is_too_slow(1 << 20, 16 << 10, 11));
    }

    #[test]
    fn a_steady_pace_is_borne_with() {
        for seconds in 0..30 {
            assert!(!is_too_slow(1 << 20, (64 << 10) * seconds as usize, seconds), "after {seconds} s");
        }
    }

    #[test]
    fn a_larger_value_must_come_faster() {
        assert!(!is_too_slow(1 << 20, 600 << 10, 19));
        assert!(is_too_slow(64 << 20, 600 << 10, 19));
        assert!(!is_too_slow(64 << 20, 10 << 20, 19));
    }

    #[test]
    fn the_largest_value_does_not_overflow() {
        assert!(is_too_slow(usize::MAX, 0, u32::MAX - 1_000));
    }
}
