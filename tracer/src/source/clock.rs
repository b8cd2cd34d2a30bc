//! The two clocks: boot time for durations, wall time for display.

use crate::input::BootNs;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// How often the pair of readings is repeated; the tightest one counts.
const SAMPLES: usize = 8;

/// `CLOCK_BOOTTIME` now.
pub fn boot_now() -> BootNs {
    BootNs(nanoseconds(clock_gettime(ClockId::Boottime)).unsigned_abs())
}

/// Wall clock minus boot clock in nanoseconds, sampled so that a preemption between the two readings shows and is retried.
pub fn wall_offset_ns() -> i64 {
    offset_to_boot(|| nanoseconds(clock_gettime(ClockId::Realtime)))
}

/// Monotonic clock minus boot clock in nanoseconds: minus the time spent in suspend.
pub(crate) fn monotonic_offset_ns() -> i64 {
    offset_to_boot(|| nanoseconds(clock_gettime(ClockId::Monotonic)))
}

/// Reads the other clock between two readings of the boot clock, and takes the pair that were closest:
/// the error is half their distance at most.
fn offset_to_boot(other: impl Fn() -> i64) -> i64 {
    let boot = || nanoseconds(clock_gettime(ClockId::Boottime));
    (0..SAMPLES)
        .map(|_| {
            let (before, middle, after) = (boot(), other(), boot());
            (after - before, middle - (before + (after - before) / 2))
        })
        .min_by_key(|(distance, _)| *distance)
        .map_or(0, |(_, offset)| offset)
}

fn nanoseconds(time: Timespec) -> i64 {
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_clock_runs() {
        let first = boot_now();
        assert!(first.0 > 0);
        assert!(boot_now() >= first);
    }

    #[test]
    fn wall_offset_leads_back_to_the_wall_clock() {
        let wall = nanoseconds(clock_gettime(ClockId::Realtime));
        let estimate = i64::try_from(boot_now().0).expect("boot time fits") + wall_offset_ns();
        assert!((estimate - wall).abs() < 100_000_000, "off by {} ns", estimate - wall);
    }

    #[test]
    fn monotonic_clock_is_never_ahead_of_boot_time() {
        assert!(monotonic_offset_ns() < 1_000_000);
    }
}
