//! What the kernel passed our programs over for. It guards each program against recursion, by processor: while one is
//! interrupted (or, from 7.0 on, preempted) in its middle, nothing else that happens there is shown to it
//! (`__bpf_trace_run`). Counts them, for the whole node: whose they were the kernel does not tell.

use aya::Ebpf;
use aya::programs::RawTracePoint;
use std::os::fd::{AsFd, AsRawFd, RawFd};

/// A hook's programs, and what each had been passed over for when this was looked at last.
#[derive(Debug)]
pub(super) struct Guarded {
    hook: &'static str,
    programs: Vec<(RawFd, u64)>,
}

impl Guarded {
    /// The hook's programs by their names; those that are not loaded are not counted.
    pub(super) fn of(ebpf: &Ebpf, hook: &'static str, names: &[&str]) -> Self {
        let fd = |name: &&str| {
            let program: &RawTracePoint = ebpf.program(name)?.try_into().ok()?;
            Some((program.fd().ok()?.as_fd().as_raw_fd(), 0))
        };
        Self { hook, programs: names.iter().filter_map(fd).collect() }
    }

    /// For how many events at most no program of this hook ran since the last call: where there are two, one makes up for
    /// the other.
    pub(super) fn take(&mut self) -> Option<(&'static str, u64)> {
        let mut least = u64::MAX;
        for (fd, before) in &mut self.programs {
            // since 5.12; where the kernel does not tell, it has no such guard
            let now = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok().as_deref().and_then(misses);
            let now = now.unwrap_or(*before);
            least = least.min(now.saturating_sub(*before));
            *before = now;
        }
        (least > 0 && least < u64::MAX).then_some((self.hook, least))
    }
}

/// Of the line `recursion_misses: 3`.
fn misses(fdinfo: &str) -> Option<u64> {
    fdinfo.lines().find_map(|line| line.strip_prefix("recursion_misses:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::misses;

    #[test]
    fn reads_what_the_kernel_tells() {
        assert_eq!(misses("pos:\t0\nprog_type:\t17\nrecursion_misses:\t12\nverified_insns:\t90\n"), Some(12));
        assert_eq!(misses("pos:\t0\nprog_type:\t17\n"), None);
    }
}
