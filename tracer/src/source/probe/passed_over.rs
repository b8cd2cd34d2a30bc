//! What the kernel passed our programs over for, and no other of ours made up for. The kernel guards each program against
//! recursion, by processor: while one is interrupted (or, from 7.0 on, preempted) in its middle, nothing else that
//! happens there is shown to it (`__bpf_trace_run`). It counts that for the whole node: whose it was it does not tell.

use aya::Ebpf;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;
use tracer_ebpf::slot;

/// An event that the first program was passed over for has come to the second one by then: nearly always by the first, and by the
/// second also where the processor it happens on was taken away for a while.
const SETTLED: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(20)];

/// For how many events of the whole node a hook's first program was passed over, and for how many its second one knows to have
/// made up for that.
#[derive(Clone, Copy, Debug)]
pub struct PassedOver {
    /// The tracepoint.
    pub hook: &'static str,
    /// By the kernel's count.
    pub missed: u64,
    /// By the probes' own.
    pub made_up: u64,
}

/// A hook's first program, and what was known of it when this was looked at last.
#[derive(Debug)]
pub(super) struct Guarded {
    hook: &'static str,
    first: RawFd,
    /// For how many events it was passed over since it was loaded.
    missed: u64,
    /// For how many of them it has been told that no program ran.
    told: u64,
}

impl Guarded {
    /// The hook's, by the name of its first program, if it is loaded.
    pub(super) fn of(ebpf: &Ebpf, hook: &'static str, program: &str) -> Option<Self> {
        let first = ebpf.program(program)?.fd().ok()?.as_fd().as_raw_fd();
        Some(Self { hook, first, missed: 0, told: 0 })
    }

    /// For how many events no program of this hook ran since the last call; `made_up` reads the probes' own counter.
    pub(super) fn take(&mut self, made_up: impl Fn(u32) -> u64) -> Option<(&'static str, u64)> {
        self.look();
        let news = news(self.missed, &mut self.told, || made_up(slot(self.hook)), std::thread::sleep);
        (news > 0).then_some((self.hook, news))
    }

    /// Both counters as they are.
    pub(super) fn counts(&mut self, made_up: impl Fn(u32) -> u64) -> PassedOver {
        self.look();
        PassedOver { hook: self.hook, missed: self.missed, made_up: made_up(slot(self.hook)) }
    }

    fn look(&mut self) {
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", self.first)).ok();
        // since 5.12; a kernel that does not tell has no such guard
        self.missed = info.as_deref().and_then(misses).unwrap_or(self.missed);
    }
}

/// What was missed and not made up for, beyond what was told.
///
/// Both counters go on while they are read. The one of what was missed is read first, so that what is made up for meanwhile
/// makes the difference smaller and never larger; and both are taken from the start, or the next difference would be larger by
/// that. What it hides now is told the next time.
fn news(missed: u64, told: &mut u64, made_up: impl Fn() -> u64, settle: impl Fn(Duration)) -> u64 {
    let mut unseen = missed.saturating_sub(made_up());
    for pause in SETTLED {
        if unseen <= *told {
            break;
        }
        // an event that is on its way from one program to the other is in the first counter alone
        settle(pause);
        unseen = missed.saturating_sub(made_up());
    }
    let news = unseen.saturating_sub(*told);
    *told += news;
    news
}

/// Of the line `recursion_misses: 3`.
fn misses(fdinfo: &str) -> Option<u64> {
    fdinfo.lines().find_map(|line| line.strip_prefix("recursion_misses:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{misses, news};
    use std::cell::Cell;

    #[test]
    fn reads_what_the_kernel_tells() {
        assert_eq!(misses("pos:\t0\nprog_type:\t17\nrecursion_misses:\t12\nverified_insns:\t90\n"), Some(12));
        assert_eq!(misses("pos:\t0\nprog_type:\t17\n"), None);
    }

    #[test]
    fn what_is_made_up_for_is_not_missed() {
        let mut told = 0;
        let mut check = |missed: u64, made_up: [u64; 3], told_now: u64| {
            let reading = Cell::new(0);
            let news = news(missed, &mut told, || made_up[reading.get()], |_| reading.set(reading.get() + 1));
            assert_eq!(news, told_now, "{missed} missed, {made_up:?} made up for");
        };
        check(9, [9, 9, 9], 0);
        // on its way to the second program, and for long
        check(12, [11, 12, 12], 0);
        check(13, [12, 12, 13], 0);
        // many more came between the readings …
        check(13, [268, 268, 268], 0);
        // … and are no loss when the first counter has them too
        check(268, [268, 268, 268], 0);
        check(270, [268, 268, 268], 2);
        check(271, [269, 269, 269], 0);
        check(273, [270, 270, 270], 1);
    }
}
