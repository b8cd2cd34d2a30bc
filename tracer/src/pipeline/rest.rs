//! Says when a rush of records is over, so that what it needed in memory is given back (`memory`). Counts, and looks at no record.

use super::Pipeline;
use crate::memory;
use std::time::{Duration, Instant};

/// A rush is so many records since memory was given back …
const MANY: u64 = 10_000;
/// … and it is over when less than so many have come since the last look.
const FEW: u64 = 2_000;
/// So long after one: at once, when the reports that were due are out, and when those of containers that ended alone are as well.
const RESTS: [Duration; 3] = [Duration::ZERO, Duration::from_secs(5), Duration::from_secs(100)];

/// Notices when a rush is over. The start is one: the kernel's types were read.
#[derive(Debug)]
pub(super) struct Rush {
    /// Records that had come by the last look.
    seen: u64,
    /// Those since the last of the [`RESTS`], or since the start.
    gathered: u64,
    /// When it was over.
    over: Option<Instant>,
    /// How many of the [`RESTS`] there have been since.
    rests: usize,
}

impl Default for Rush {
    fn default() -> Self {
        Self { seen: 0, gathered: MANY, over: None, rests: 0 }
    }
}

impl Rush {
    /// Whether it is time to rest, now that so many records have come in all.
    pub(super) fn is_over(&mut self, now: Instant, read: u64) -> bool {
        let new = read.saturating_sub(self.seen);
        self.seen = read;
        self.gathered += new;
        if self.gathered < MANY || new >= FEW {
            (self.over, self.rests) = (None, 0);
            return false;
        }
        let over = *self.over.get_or_insert(now);
        let passed = now.saturating_duration_since(over);
        if RESTS.get(self.rests).is_none_or(|after| passed < *after) {
            return false;
        }
        self.rests += 1;
        if self.rests == RESTS.len() {
            *self = Self { seen: self.seen, gathered: 0, over: None, rests: 0 };
        }
        true
    }
}

impl Pipeline {
    /// Gives back what a rush needed, once one is over.
    pub(super) fn rest_after_rush(&mut self) {
        let begun = Instant::now();
        if !self.rush.is_over(begun, self.read.iter().sum()) {
            return;
        }
        self.order.shrink();
        memory::give_back();
        tracing::debug!(took = ?begun.elapsed(), "a rush is over: what it needed in memory is given back");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_rest_when_a_rush_is_over_and_twice_later() {
        let mut rush = Rush::default();
        let mut now = Instant::now();
        // the seconds, from the first look on, at which there is rest
        let mut rests = |reads: &[u64]| -> Vec<usize> {
            let looks = reads.iter().enumerate();
            let rests = looks.filter_map(|(look, read)| {
                now += Duration::from_secs(1);
                rush.is_over(now, *read).then_some(look)
            });
            rests.collect()
        };
        // the start, then little
        assert_eq!(rests(&[0; 200]), [0, 5, 100]);
        assert_eq!(rests(&[500, 9_000, 9_900]), [0; 0]);
        // a rush, another one before it was over for long, and one that trickles out
        assert_eq!(rests(&[12_000, 12_999, 13_500]), [1]);
        let trickle: Vec<u64> = (0..200).map(|look| 40_000 + 50 * look).collect();
        assert_eq!(rests(&trickle), [1, 6, 101]);
    }
}
