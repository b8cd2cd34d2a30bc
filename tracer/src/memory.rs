//! How much memory the allocator keeps: a daemon that has met one storm is not to be as large as the storm for ever.
//!
//! Both calls are glibc's; another C library does as it sees fit.

/// Has all threads share one part of memory, which [`give_back`] can make smaller. To be called before there is a second thread. The
/// threads here allocate little at the same time, and of what one of them has freed another's part would never be given back.
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
