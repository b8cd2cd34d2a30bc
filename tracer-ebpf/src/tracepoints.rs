//! What is known of the hooked tracepoints on both sides: their names, their slots, which of them break in on themselves.

/// The tracepoints that are hooked, in the order of the slots of map `MADE_UP`: for how many events a hook's second program ran
/// and the first one did not.
pub const TRACEPOINTS: [&str; 13] = [
    "signal_generate",
    "signal_deliver",
    "sched_process_fork",
    "sched_process_exec",
    "sched_process_exit",
    "mark_victim",
    "inet_sock_set_state",
    "tcp_send_reset",
    "kfree_skb",
    "cgroup_mkdir",
    "cgroup_rmdir",
    "cgroup_release",
    "cgroup_notify_populated",
];

/// The place of a name among [`TRACEPOINTS`]. A name that is not there does not compile where this is a constant.
pub const fn slot(tracepoint: &str) -> u32 {
    let mut slot = 0_u32;
    while !is_same(TRACEPOINTS[slot as usize].as_bytes(), tracepoint.as_bytes()) {
        slot += 1;
    }
    slot
}

const fn is_same(a: &[u8], b: &[u8]) -> bool {
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    at == a.len() && at == b.len()
}

/// Whether what a tracepoint tells of happens in interrupts as well as in the processes that these break in on. The kernel
/// passes a program over that it has interrupted, so such a hook has two.
pub const fn nests(tracepoint: &str) -> bool {
    matches!(tracepoint.as_bytes(), b"inet_sock_set_state" | b"tcp_send_reset" | b"kfree_skb")
}

/// How many CPUs the probes keep what a hook's first program has begun with for, in a variable of their own.
pub const CPUS: u32 = 1024;
