//! How much memory the allocator keeps: a daemon that has met one storm is not to be as large as the storm for ever.
//!
//! `main` sets the limits, `pipeline/rest.rs` says when it is time to give back. Both calls are glibc's; another C library does as it sees fit.

/// What is larger than this has pages of its own, which go back when it is freed; and of what is free at the end of a thread's part of
/// memory no more than this is kept. Both are glibc's to raise, up to twice the largest list that was ever freed, unless they are set.
#[cfg(target_env = "gnu")]
const KEPT_BYTES: libc::c_int = 1 << 20;

/// Has the allocator keep little. Each thread keeps its own part of memory: with a part for all, the thread that empties the ring would wait
/// for others that are preempted while they allocate, and records were lost in some crowds (`docs/architecture.md`).
pub fn keep_little() {
    #[cfg(target_env = "gnu")]
    for what in [libc::M_MMAP_THRESHOLD, libc::M_TRIM_THRESHOLD] {
        // SAFETY: two numbers; a refusal leaves things as they are
        unsafe { libc::mallopt(what, KEPT_BYTES) };
    }
}

/// Gives back to the kernel every page that nothing is kept in, wherever it lies.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: a number; may be called by any thread at any time, and touches nothing that is in use
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use super::*;

    /// Resident pages that are no part of a file.
    fn anonymous_kib() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("RssAnon");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    #[test]
    fn what_is_free_goes_back_from_between_what_is_kept() {
        let mut rows: Vec<Vec<u8>> = (0..64_000).map(|_| vec![1; 1_000]).collect();
        rows.retain(|row| row.as_ptr().addr() % 64_000 < 1_000);
        assert!(!rows.is_empty() && rows.len() < 4_000, "{}", rows.len());
        let before = anonymous_kib();
        give_back();
        let after = anonymous_kib();
        // other tests have their own memory meanwhile
        assert!(after + 32_000 < before, "{after} KiB of {before}");
    }
}
