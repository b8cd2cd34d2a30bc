//! The two clocks: boot time for durations, wall time for display.

use crate::input::BootNs;

/// `CLOCK_BOOTTIME` now.
pub fn boot_now() -> BootNs {
    todo!()
}

/// Wall clock minus boot clock in nanoseconds, sampled so that a preemption between the two readings shows and is retried.
pub fn wall_offset_ns() -> i64 {
    todo!()
}
