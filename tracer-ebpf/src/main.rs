//! The kernel side: one short function per hook, under the argument for that hook.
//!
//! All are raw tracepoints: named by the kernel's source, attached with `bpf(2)` alone (no tracefs),
//! the cheapest hook there is. Each filters by the cgroup of the task or socket the event is
//! *about* before it does anything else. Struct layouts (`Offsets`, from BTF) and what differs
//! between kernels (`Settings`) the loader writes into the instructions before the verifier looks, so branches a kernel
//! does not need are never there at run time.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]

#[cfg(target_arch = "bpf")]
mod call;
#[cfg(target_arch = "bpf")]
mod cgroup;
#[cfg(target_arch = "bpf")]
mod count;
#[cfg(target_arch = "bpf")]
mod counters;
#[cfg(target_arch = "bpf")]
mod emit;
#[cfg(target_arch = "bpf")]
mod kernel;
#[cfg(target_arch = "bpf")]
mod known;
#[cfg(target_arch = "bpf")]
mod learn;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod marks;
#[cfg(target_arch = "bpf")]
mod oom;
#[cfg(target_arch = "bpf")]
mod place;
#[cfg(target_arch = "bpf")]
mod plain_load;
#[cfg(target_arch = "bpf")]
mod presence;
#[cfg(target_arch = "bpf")]
mod process;
#[cfg(target_arch = "bpf")]
mod record;
#[cfg(target_arch = "bpf")]
mod refused;
#[cfg(target_arch = "bpf")]
mod share;
#[cfg(target_arch = "bpf")]
mod signal;
#[cfg(target_arch = "bpf")]
mod socket;

/// On the host this package is its library; the object is built for `bpfel-unknown-none`.
#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
mod hooks {
    use crate::call::{ByAddress, ByPorts, ByTask, Call, HookId};
    use crate::emit::finish;
    use crate::place::{Far, Near};
    use crate::{cgroup, oom, process, refused, signal, socket};
    use aya_ebpf::EbpfContext;
    use aya_ebpf::macros::{btf_tracepoint, raw_tracepoint};
    use aya_ebpf::programs::{BtfTracePointContext, RawTracePointContext};

    /// A hook's two programs; the second is loaded only where the first can be passed over (see [`Call`]).
    macro_rules! hooks {
        ($($(#[doc = $why:literal])* $name:literal $first:ident, $name_again:literal $second:ident => $run:path;)*) => { $(
            $(#[doc = $why])*
            #[raw_tracepoint(tracepoint = $name)]
            fn $first(ctx: RawTracePointContext) -> u32 {
                let call = Call::<Far, ByAddress>::first(ctx.as_ptr(), const { HookId::of($name) });
                call.begin();
                finish($run(&call))
            }

            #[raw_tracepoint(tracepoint = $name_again)]
            fn $second(ctx: RawTracePointContext) -> u32 {
                let call = Call::<Far, ByAddress>::second(ctx.as_ptr(), const { HookId::of($name) });
                if call.has_just_been_seen() {
                    return 0;
                }
                finish($run(&call))
            }
        )* };
    }

    /// Programs that take the place of a hook's others where this kernel tells them the types of what they are given (see [`Near`]).
    macro_rules! near_hooks {
        ($($name:literal $spread:ty: $first:ident, $second:ident => $run:path;)*) => { $(
            #[btf_tracepoint(function = $name)]
            fn $first(ctx: BtfTracePointContext) -> u32 {
                let call = Call::<Near, $spread>::first(ctx.as_ptr(), const { HookId::of($name) });
                call.begin();
                finish($run(&call))
            }

            #[btf_tracepoint(function = $name)]
            fn $second(ctx: BtfTracePointContext) -> u32 {
                let call = Call::<Near, $spread>::second(ctx.as_ptr(), const { HookId::of($name) });
                if call.has_just_been_seen() {
                    return 0;
                }
                finish($run(&call))
            }
        )* };
    }

    near_hooks! {
        "signal_generate" ByAddress: signal_generate_near, signal_generate_near_again => signal::generated;
        "signal_deliver" ByAddress: signal_deliver_near, signal_deliver_near_again => signal::delivered;
        "sched_process_fork" ByTask: sched_process_fork_near, sched_process_fork_near_again => process::forked;
        "sched_process_exec" ByTask: sched_process_exec_near, sched_process_exec_near_again => process::executed;
        "sched_process_exit" ByTask: sched_process_exit_near, sched_process_exit_near_again => process::exited;
        "inet_sock_set_state" ByPorts: inet_sock_set_state_near, inet_sock_set_state_near_again => socket::state_set;
    }

    hooks! {
        /// `__send_signal_locked` has decided what becomes of a signal: queued, ignored, already pending.
        /// The only place that shows a stop signal which is *thrown away* (an init without a handler), and
        /// who sent it. Since 2.6.33, `result` since 3.3. Context: the sender's for `kill()` and its kin, the
        /// faulting task's for faults, anybody's for timers; the target's `siglock` is held, IRQs are off.
        "signal_generate" signal_generate, "signal_generate_again" signal_generate_again => signal::generated;

        /// `get_signal` hands a signal to its receiver: the moment a handler begins. A fatal default action
        /// shows as signal 9 here and is left to the exit. Since 2.6.33. Context: the receiving thread's.
        "signal_deliver" signal_deliver, "signal_deliver_again" signal_deliver_again => signal::delivered;

        /// `kernel_clone` has made a task that does not run yet; its cgroup is final, `CLONE_INTO_CGROUP`
        /// included. Since 2.6.x. Context: the parent's.
        "sched_process_fork" sched_process_fork, "sched_process_fork_again" sched_process_fork_again => process::forked;

        /// `exec_binprm` has replaced the program: comm, mm and arguments are the new ones. What a container
        /// runtime starts in a container shows here by its parent. Since 3.4. Context: the task's own.
        "sched_process_exec" sched_process_exec, "sched_process_exec_again" sched_process_exec_again => process::executed;

        /// `do_exit` of a thread, before files (and with them sockets) are closed. `bool group_dead` since
        /// 6.16; before, `signal->live == 0` tells the last thread, and two threads may both read it.
        /// Context: the dying thread's, cgroup still readable.
        "sched_process_exit" sched_process_exit, "sched_process_exit_again" sched_process_exit_again => process::exited;

        /// `mark_oom_victim`: tells a SIGKILL of the OOM killer from any other, 20 µs after it. Gives the
        /// task since 6.9 and in stable kernels it was backported to; before, a pid. Context: the allocating task's.
        "mark_victim" mark_victim, "mark_victim_again" mark_victim_again => oom::victim;

        /// `inet_sk_set_state`: a connection opens, is closed by either side, is reset; fires after
        /// `sk_shutdown` was set and before a RST goes out. Since 4.16. Context: the closer's for `close()`,
        /// softirq (anybody's) for what the peer does; on loopback the *peer* is `current`.
        "inet_sock_set_state" inet_sock_set_state, "inet_sock_set_state_again" inet_sock_set_state_again => socket::state_set;

        /// `tcp_v4_send_reset`, `tcp_v6_send_reset` and `tcp_send_active_reset`: a RST leaves. `enum
        /// sk_rst_reason` and events without a socket (a refused SYN) since 6.10. Context: the closer's or softirq.
        "tcp_send_reset" tcp_send_reset, "tcp_send_reset_again" tcp_send_reset_again => socket::reset_sent;

        /// `kfree_skb`: a packet was thrown away, here: a SYN because there is no socket for it. Attached only
        /// where `tcp_send_reset` does not tell of those (before 6.10) and this one tells why (`enum
        /// skb_drop_reason`, since 5.17). Fires for dropped packets only; context: softirq, anybody's.
        "kfree_skb" kfree_skb, "kfree_skb_again" kfree_skb_again => refused::dropped;

        /// `cgroup_mkdir`: a container of a traced pod, a cgroup nested inside one, or a new pod. Tracked
        /// here, before any process can be in it. Since 4.14. Context: the writer's, IRQs off.
        "cgroup_mkdir" cgroup_mkdir, "cgroup_mkdir_again" cgroup_mkdir_again => cgroup::made;

        /// `cgroup_rmdir`: the cgroup's end as user space sees it. Since 4.14. Context: the writer's.
        "cgroup_rmdir" cgroup_rmdir, "cgroup_rmdir_again" cgroup_rmdir_again => cgroup::removed;

        /// `css_release_work_fn`: the last reference (a closing socket may be one) is gone, the id means
        /// nothing any more. Since 4.14. Context: a kworker's, tens of milliseconds after `rmdir`.
        "cgroup_release" cgroup_release, "cgroup_release_again" cgroup_release_again => cgroup::released;

        /// `cgroup_update_populated`: the last process of a cgroup and of all below it has left. Since 5.1.
        /// Context: the dying task's before 6.19, its successor's on the CPU since.
        "cgroup_notify_populated" cgroup_notify_populated, "cgroup_notify_populated_again" cgroup_notify_populated_again => cgroup::populated;
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
