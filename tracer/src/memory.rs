//! How much memory the allocator keeps: a daemon that has met one storm is not to be as large as the storm for ever.
//!
//! Both calls are glibc's; another C library does as it sees fit.

/// Has all threads share one part of memory, all of which [`give_back`] can make smaller: of another thread's part the end would stay, up
/// to twice the largest list that was ever freed. To be called before there is a second thread; those here allocate little at the same time.
pub fn keep_together() {
    #[cfg(target_env = "gnu")]
    // SAFETY: two numbers; nobody else allocates yet
    unsafe {
        // a refusal would leave things as they are
        libc::mallopt(libc::M_ARENA_MAX, 1);
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
