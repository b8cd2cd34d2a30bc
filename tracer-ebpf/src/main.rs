//! The kernel side: one short function per hook, under the argument for that hook.
//!
//! All are raw tracepoints: named by the kernel's source, attached with `bpf(2)` alone (no tracefs),
//! the cheapest hook there is. Each filters by the cgroup of the task or socket the event is
//! *about* before it does anything else. Struct layouts come from BTF through `OFFSETS`, what differs
//! between kernels through `SETTINGS`; both are frozen before the verifier looks, so branches a kernel
//! does not need are never there at run time.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]

#[cfg(target_arch = "bpf")]
mod cgroup;
#[cfg(target_arch = "bpf")]
mod emit;
#[cfg(target_arch = "bpf")]
mod kernel;
#[cfg(target_arch = "bpf")]
mod learn;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod oom;
#[cfg(target_arch = "bpf")]
mod process;
#[cfg(target_arch = "bpf")]
mod refused;
#[cfg(target_arch = "bpf")]
mod signal;
#[cfg(target_arch = "bpf")]
mod socket;

/// On the host this package is its library; the object is built for `bpfel-unknown-none`.
#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
mod hooks {
    use crate::emit::finish;
    use crate::{cgroup, oom, process, refused, signal, socket};
    use aya_ebpf::macros::raw_tracepoint;
    use aya_ebpf::programs::RawTracePointContext;

    /// `__send_signal_locked` has decided what becomes of a signal: queued, ignored, already pending.
    /// The only place that shows a stop signal which is *thrown away* (an init without a handler), and
    /// who sent it. Since 2.6.33, `result` since 3.3. Context: the sender's for `kill()` and its kin, the
    /// faulting task's for faults, anybody's for timers; the target's `siglock` is held, IRQs are off.
    #[raw_tracepoint(tracepoint = "signal_generate")]
    fn signal_generate(ctx: RawTracePointContext) -> u32 {
        finish(signal::generated(&ctx))
    }

    /// `get_signal` hands a signal to its receiver: the moment a handler begins. A fatal default action
    /// shows as signal 9 here and is left to the exit. Since 2.6.33. Context: the receiving thread's.
    #[raw_tracepoint(tracepoint = "signal_deliver")]
    fn signal_deliver(ctx: RawTracePointContext) -> u32 {
        finish(signal::delivered(&ctx))
    }

    /// `kernel_clone` has made a task that does not run yet; its cgroup is final, `CLONE_INTO_CGROUP`
    /// included. Since 2.6.x. Context: the parent's.
    #[raw_tracepoint(tracepoint = "sched_process_fork")]
    fn sched_process_fork(ctx: RawTracePointContext) -> u32 {
        finish(process::forked(&ctx))
    }

    /// `exec_binprm` has replaced the program: comm, mm and arguments are the new ones. What a container
    /// runtime starts in a container shows here by its parent. Since 3.4. Context: the task's own.
    #[raw_tracepoint(tracepoint = "sched_process_exec")]
    fn sched_process_exec(ctx: RawTracePointContext) -> u32 {
        finish(process::executed(&ctx))
    }

    /// `do_exit` of a thread, before files (and with them sockets) are closed. `bool group_dead` since
    /// 6.16; before, `signal->live == 0` tells the last thread, and two threads may both read it.
    /// Context: the dying thread's, cgroup still readable.
    #[raw_tracepoint(tracepoint = "sched_process_exit")]
    fn sched_process_exit(ctx: RawTracePointContext) -> u32 {
        finish(process::exited(&ctx))
    }

    /// `mark_oom_victim`: tells a SIGKILL of the OOM killer from any other, 20 µs after it. Gives the
    /// task since 6.9 and in stable kernels it was backported to; before, a pid. Context: the allocating task's.
    #[raw_tracepoint(tracepoint = "mark_victim")]
    fn mark_victim(ctx: RawTracePointContext) -> u32 {
        finish(oom::victim(&ctx))
    }

    /// `inet_sk_set_state`: a connection opens, is closed by either side, is reset; fires after
    /// `sk_shutdown` was set and before a RST goes out. Since 4.16. Context: the closer's for `close()`,
    /// softirq (anybody's) for what the peer does; on loopback the *peer* is `current`.
    #[raw_tracepoint(tracepoint = "inet_sock_set_state")]
    fn inet_sock_set_state(ctx: RawTracePointContext) -> u32 {
        finish(socket::state_set(&ctx))
    }

    /// `tcp_v4_send_reset`, `tcp_v6_send_reset` and `tcp_send_active_reset`: a RST leaves. `enum
    /// sk_rst_reason` and events without a socket (a refused SYN) since 6.10. Context: the closer's or softirq.
    #[raw_tracepoint(tracepoint = "tcp_send_reset")]
    fn tcp_send_reset(ctx: RawTracePointContext) -> u32 {
        finish(socket::reset_sent(&ctx))
    }

    /// `kfree_skb`: a packet was thrown away, here: a SYN because there is no socket for it. Attached only
    /// where `tcp_send_reset` does not tell of those (before 6.10) and this one tells why (`enum
    /// skb_drop_reason`, since 5.17). Fires for dropped packets only; context: softirq, anybody's.
    #[raw_tracepoint(tracepoint = "kfree_skb")]
    fn kfree_skb(ctx: RawTracePointContext) -> u32 {
        finish(refused::dropped(&ctx))
    }

    /// `cgroup_mkdir`: a container of a traced pod, a cgroup nested inside one, or a new pod. Tracked
    /// here, before any process can be in it. Since 4.14. Context: the writer's, IRQs off.
    #[raw_tracepoint(tracepoint = "cgroup_mkdir")]
    fn cgroup_mkdir(ctx: RawTracePointContext) -> u32 {
        finish(cgroup::made(&ctx))
    }

    /// `cgroup_rmdir`: the cgroup's end as user space sees it. Since 4.14. Context: the writer's.
    #[raw_tracepoint(tracepoint = "cgroup_rmdir")]
    fn cgroup_rmdir(ctx: RawTracePointContext) -> u32 {
        finish(cgroup::removed(&ctx))
    }

    /// `css_release_work_fn`: the last reference (a closing socket may be one) is gone, the id means
    /// nothing any more. Since 4.14. Context: a kworker's, tens of milliseconds after `rmdir`.
    #[raw_tracepoint(tracepoint = "cgroup_release")]
    fn cgroup_release(ctx: RawTracePointContext) -> u32 {
        finish(cgroup::released(&ctx))
    }

    /// `cgroup_update_populated`: the last process of a cgroup and of all below it has left. Since 5.1.
    /// Context: the dying task's before 6.19, its successor's on the CPU since.
    #[raw_tracepoint(tracepoint = "cgroup_notify_populated")]
    fn cgroup_notify_populated(ctx: RawTracePointContext) -> u32 {
        finish(cgroup::populated(&ctx))
    }
}

/// The kernel lends its tracing helpers to GPL-compatible programs only.
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
