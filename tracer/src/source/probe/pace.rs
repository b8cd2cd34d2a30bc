//! How often the thread that empties the ring looks into it, and of which rounds it tells. Knows what a round has found, and no record;
//! `ring` goes by it, and the pipeline says by `batches` when something is due.

use std::time::{Duration, Instant};

/// How long records may lie while somebody waits for what happens next.
const BUSY: Duration = Duration::from_millis(25);
/// The same while nobody does, whatever comes, and how often time alone is told then if something is due: a wake-up of two threads
/// takes up to 0.1 ms where each goes through a hypervisor, and several times that where it must first be woken itself. What
/// somebody waits for wakes the thread at once.
const IDLE: Duration = Duration::from_millis(980);
/// So long after the last round that somebody waited for the pace slackens, as nobody waits for what happens next. With something due:
/// longer than a report waits for late closes.
const SLACK_WHILE_DUE: Duration = Duration::from_millis(1500);
/// With nothing due: until it has been looked once more which pods are being stopped, so that one that only got a signal is let go.
const SLACK: Duration = Duration::from_millis(650);
/// Of so many idle rounds without a record one is told of if nothing is due.
const IDLE_TOLD: u32 = 4;
/// Of so many idle rounds after others it is told in any case: the newest records may be held back until it is told that nothing older
/// comes, and by the second one it can be told that a rush is over.
const FIRST_TOLD: u32 = 2;

/// What a round has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// No record.
    Nothing,
    /// Records that nobody waits for.
    Records,
    /// One that somebody waits for, or as many as are handed over at a time; or it was told to hurry.
    Urgent,
}

/// The pace of the rounds.
#[derive(Debug)]
pub(super) struct Pace {
    /// When the last round was that somebody waited for.
    waited_for: Instant,
    /// Idle rounds without a record until one is told of.
    untold: u32,
    /// Of so many from now on it is told in any case.
    first: u32,
}

impl Pace {
    /// Busy: a start is something that somebody waits for.
    pub(super) const fn new(now: Instant) -> Self {
        Self { waited_for: now, untold: IDLE_TOLD, first: FIRST_TOLD }
    }

    /// How long to wait for the next round at the most.
    pub(super) fn wait(&self, is_due: bool, now: Instant) -> Duration {
        if self.is_idle(is_due, now) { IDLE } else { BUSY }
    }

    /// Nobody waits for what happens next.
    pub(super) fn is_idle(&self, is_due: bool, now: Instant) -> bool {
        now.saturating_duration_since(self.waited_for) >= if is_due { SLACK_WHILE_DUE } else { SLACK }
    }

    /// A round is over; gives whether it is told of. While something `is_due`, whatever comes keeps the pace up.
    pub(super) fn after(&mut self, found: Found, is_due: bool, now: Instant) -> bool {
        let is_lively = found != Found::Nothing || !self.is_idle(is_due, now);
        if found == Found::Urgent || found == Found::Records && is_due {
            self.waited_for = now;
        }
        if is_lively {
            (self.first, self.untold) = (FIRST_TOLD, IDLE_TOLD);
            return true;
        }
        let is_first = self.first > 0;
        self.first = self.first.saturating_sub(1);
        self.untold = self.untold.saturating_sub(1);
        let is_told = is_due || is_first || self.untold == 0;
        if is_told {
            self.untold = IDLE_TOLD;
        }
        is_told
    }
}

#[cfg(test)]
mod tests {
    use super::{BUSY, Found, IDLE, Instant, Pace, SLACK, SLACK_WHILE_DUE};
    use std::time::Duration;

    const MOMENT: Duration = Duration::from_millis(1);

    /// A pace, and when it is idle.
    fn idle() -> (Pace, Instant) {
        let begun = Instant::now();
        (Pace::new(begun), begun + SLACK_WHILE_DUE)
    }

    #[test]
    fn what_somebody_waits_for_quickens_the_pace_for_a_while() {
        for (is_due, slack) in [(false, SLACK), (true, SLACK_WHILE_DUE)] {
            let (mut pace, now) = idle();
            assert_eq!(pace.wait(is_due, now), IDLE);
            assert!(pace.after(Found::Urgent, is_due, now));
            let nearly = now + slack.saturating_sub(MOMENT);
            assert_eq!(pace.wait(is_due, nearly), BUSY);
            assert!(pace.after(Found::Nothing, is_due, nearly));
            assert_eq!(pace.wait(is_due, now + slack), IDLE);
        }
    }

    #[test]
    fn a_flood_that_nobody_waits_for_does_not_shorten_it() {
        let (mut pace, now) = idle();
        assert!(pace.after(Found::Urgent, false, now));
        (0..600).for_each(|round| assert!(pace.after(Found::Records, false, now + MOMENT * round)));
        assert_eq!(pace.wait(false, now + MOMENT * 600), BUSY);
        assert_eq!(pace.wait(false, now + SLACK), IDLE);
    }

    #[test]
    fn records_that_nobody_waits_for_do_not_unless_something_is_due() {
        let (mut pace, now) = idle();
        assert!(pace.after(Found::Records, false, now));
        assert_eq!(pace.wait(false, now), IDLE);
        assert!(pace.after(Found::Records, true, now));
        assert_eq!(pace.wait(true, now), BUSY);
        assert_eq!((pace.wait(false, now + SLACK), pace.wait(true, now + SLACK)), (IDLE, BUSY));
    }

    #[test]
    fn of_idle_rounds_the_first_two_and_every_fourth_are_told_unless_something_is_due() {
        let (mut pace, now) = idle();
        let mut told = |found, is_due| pace.after(found, is_due, now);
        // the first two, of what was there before
        assert_eq!([false; 6].map(|is_due| told(Found::Nothing, is_due)), [true, true, false, false, false, true]);
        assert!(!told(Found::Nothing, false));
        assert!(told(Found::Nothing, true));
        assert!(!told(Found::Nothing, false));
        // what was found, and that nothing older comes
        assert!(told(Found::Records, false));
        assert_eq!([false; 3].map(|is_due| told(Found::Nothing, is_due)), [true, true, false]);
    }
}
