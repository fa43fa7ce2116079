//! How eagerly queued writes are brought down.

use std::time::Duration;

/// Writes of one burst while nothing presses.
const BURST_ITEMS: usize = 1024;

/// How many times as long as a burst took the pause after it is, while nothing presses at all.
const PAUSE_FACTOR: f64 = 9.0;

/// The longest pause: the stop of a lone slow burst is no reason to leave writes lying about.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// From this part of a bound on, everything is sent as fast as the store takes it.
const PRESSING: f64 = 0.5;

/// A burst that lasts longer holds up no other: a write that the store keeps waiting keeps only its own key waiting.
const BURST_MAX: Duration = Duration::from_millis(100);

/// When the next writes are due. Bursts are measured by the clock: where the store is short of processor or disk, the pauses
/// grow with it.
#[derive(Default, Debug)]
pub(super) struct Pace {
    burst: Option<Burst>,
    next_burst: Option<Duration>,
}

#[derive(Debug)]
struct Burst {
    began: Duration,
    items: usize,
}

impl Pace {
    /// How many writes to send now. `urgency`: how much of a bound is used, the fuller one, from 0 to 1; `on_their_way`:
    /// writes sent and not answered.
    pub fn due(&mut self, now: Duration, urgency: f64, on_their_way: usize) -> usize {
        if urgency >= PRESSING {
            *self = Pace::default();
            return usize::MAX;
        }
        match &self.burst {
            Some(burst) if on_their_way > 0 && now < burst.began + BURST_MAX => {
                return BURST_ITEMS.saturating_sub(burst.items);
            }
            Some(burst) if on_their_way == 0 => {
                let ease = 1.0 - urgency / PRESSING;
                let pause = now.saturating_sub(burst.began).mul_f64(PAUSE_FACTOR * ease).min(PAUSE_MAX);
                self.next_burst = Some(now + pause);
            }
            _ => {}
        }
        self.burst = None;
        if self.next_burst.is_some_and(|next| now < next) {
            return 0;
        }
        self.next_burst = None;
        BURST_ITEMS
    }

    /// So many writes were sent.
    pub fn sent(&mut self, now: Duration, items: usize) {
        if items > 0 {
            self.burst.get_or_insert(Burst { began: now, items: 0 }).items += items;
        }
    }

    /// When the pause between two bursts ends, if there is one.
    pub fn next_burst(&self) -> Option<Duration> {
        self.next_burst
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn a_burst_is_followed_by_a_pause_in_its_measure() {
        let mut pace = Pace::default();
        assert_eq!(pace.due(ms(0), 0.0, 0), BURST_ITEMS);
        pace.sent(ms(0), 10);
        assert_eq!(pace.due(ms(4), 0.0, 0), 0);
        assert_eq!(pace.next_burst(), Some(ms(40)));
        assert_eq!(pace.due(ms(39), 0.0, 0), 0);
        assert_eq!(pace.due(ms(40), 0.0, 0), BURST_ITEMS);
    }

    #[test]
    fn a_burst_takes_up_what_comes_while_it_is_on_its_way() {
        let mut pace = Pace::default();
        pace.sent(ms(0), 1000);
        assert_eq!(pace.due(ms(1), 0.0, 7), BURST_ITEMS - 1000);
        pace.sent(ms(1), 24);
        assert_eq!(pace.due(ms(2), 0.0, 7), 0);
        assert_eq!(pace.due(ms(3), 0.0, 0), 0);
        assert_eq!(pace.next_burst(), Some(ms(30)));
    }

    #[test]
    fn one_write_that_takes_its_time_holds_up_no_other() {
        let mut pace = Pace::default();
        pace.sent(ms(0), BURST_ITEMS);
        assert_eq!(pace.due(ms(99), 0.0, 1), 0);
        assert_eq!(pace.due(ms(100), 0.0, 1), BURST_ITEMS);
    }

    #[test]
    fn nothing_sent_is_no_burst() {
        let mut pace = Pace::default();
        assert_eq!(pace.due(ms(0), 0.0, 0), BURST_ITEMS);
        pace.sent(ms(0), 0);
        assert_eq!(pace.due(ms(500), 0.0, 0), BURST_ITEMS);
    }

    #[test]
    fn pauses_shrink_as_a_bound_nears() {
        let mut pace = Pace::default();
        pace.sent(ms(0), 1);
        pace.due(ms(4), 0.25, 0);
        assert_eq!(pace.next_burst(), Some(ms(22)));
    }

    #[test]
    fn near_a_bound_everything_goes_at_once() {
        let mut pace = Pace::default();
        pace.sent(ms(0), 1000);
        assert_eq!(pace.due(ms(1), 0.5, 1000), usize::MAX);
        assert_eq!(pace.due(ms(1), 1.0, 0), usize::MAX);
        assert_eq!(pace.next_burst(), None);
    }

    #[test]
    fn no_pause_is_long() {
        let mut pace = Pace::default();
        pace.sent(ms(0), 1);
        pace.due(ms(10_000), 0.0, 0);
        assert_eq!(pace.next_burst(), Some(ms(10_000) + PAUSE_MAX));
    }
}
