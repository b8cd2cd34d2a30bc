//! What the kernel passed our programs over for, and no other of ours made up for. The kernel guards each program against
//! recursion, by processor: while one is interrupted (or, from 7.0 on, preempted) in its middle, nothing else that
//! happens there is shown to it (`__bpf_trace_run`). It counts that for the whole node: whose it was it does not tell.

use aya::Ebpf;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use tracer_ebpf::slot;

/// A hook's first program, and what was known of it when this was looked at last.
#[derive(Debug)]
pub(super) struct Guarded {
    hook: &'static str,
    first: RawFd,
    before: Counts,
}

/// Since the program was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    /// For how many events it was passed over.
    missed: u64,
    /// For how many of them the hook's second program was there.
    made_up: u64,
}

impl Guarded {
    /// The hook's, by the name of its first program, if it is loaded.
    pub(super) fn of(ebpf: &Ebpf, hook: &'static str, program: &str) -> Option<Self> {
        let first = ebpf.program(program)?.fd().ok()?.as_fd().as_raw_fd();
        Some(Self { hook, first, before: Counts::default() })
    }

    /// For how many events no program of this hook ran since the last call; `made_up` reads the probes' own counter.
    pub(super) fn take(&mut self, made_up: impl Fn(u32) -> u64) -> Option<(&'static str, u64)> {
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", self.first)).ok();
        // since 5.12; a kernel that does not tell has no such guard
        let missed = info.as_deref().and_then(misses).unwrap_or(self.before.missed);
        // after the kernel's counter, which is the first to count
        let now = Counts { missed, made_up: made_up(slot(self.hook)) };
        let unseen = now.since(self.before);
        self.before = now;
        (unseen > 0).then_some((self.hook, unseen))
    }
}

impl Counts {
    /// What was missed and not made up for in between.
    fn since(self, before: Self) -> u64 {
        (self.missed - before.missed).saturating_sub(self.made_up - before.made_up)
    }
}

/// Of the line `recursion_misses: 3`.
fn misses(fdinfo: &str) -> Option<u64> {
    fdinfo.lines().find_map(|line| line.strip_prefix("recursion_misses:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Counts, misses};

    #[test]
    fn reads_what_the_kernel_tells() {
        assert_eq!(misses("pos:\t0\nprog_type:\t17\nrecursion_misses:\t12\nverified_insns:\t90\n"), Some(12));
        assert_eq!(misses("pos:\t0\nprog_type:\t17\n"), None);
    }

    #[test]
    fn what_is_made_up_for_is_not_missed() {
        let check = |before: (u64, u64), now: (u64, u64), unseen| {
            let counts = |(missed, made_up)| Counts { missed, made_up };
            assert_eq!(counts(now).since(counts(before)), unseen);
        };
        check((0, 0), (9, 9), 0);
        check((9, 9), (12, 10), 2);
        // read while one of them was happening
        check((9, 9), (9, 10), 0);
    }
}
