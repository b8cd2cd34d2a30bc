//! After a rush: what it needed in memory is given back.

use super::Pipeline;
use crate::memory;
use std::time::Instant;

/// A rush is so many records …
const MANY: u64 = 10_000;
/// … and it is over when less than so many have come since the last look.
const FEW: u64 = 1_000;

/// Notices when a rush is over. The start is one: the kernel's types were read.
#[derive(Debug)]
pub(super) struct Rush {
    /// Records that had come by the last look.
    seen: u64,
    /// Those since memory was given back.
    gathered: u64,
}

impl Default for Rush {
    fn default() -> Self {
        Self { seen: 0, gathered: MANY }
    }
}

impl Rush {
    /// Whether one is over now that so many records have come in all; once for each.
    pub(super) fn is_over(&mut self, read: u64) -> bool {
        let new = read.saturating_sub(self.seen);
        self.seen = read;
        self.gathered += new;
        let over = new < FEW && self.gathered >= MANY;
        if over {
            self.gathered = 0;
        }
        over
    }
}

impl Pipeline {
    /// Gives back what a rush needed, once one is over.
    pub(super) fn rest_after_rush(&mut self) {
        if !self.rush.is_over(self.read.iter().sum()) {
            return;
        }
        let begun = Instant::now();
        self.order.shrink();
        memory::give_back();
        tracing::debug!(took = ?begun.elapsed(), "a rush is over: what it needed in memory is given back");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rush_is_over_once() {
        let mut rush = Rush::default();
        let looks =
            [0, 500, 9_000, 9_500, 12_000, 12_999, 13_500, 13_500, 40_000, 41_000, 41_999, 42_000, 52_100, 52_100];
        let over: Vec<u64> = looks.into_iter().filter(|read| rush.is_over(*read)).collect();
        assert_eq!(over, [0, 12_999, 41_999, 52_100]);
    }
}
