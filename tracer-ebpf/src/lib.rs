//! The ABI between the probes in the kernel and the reader in user space: one `#[repr(C)]` record
//! per kind (two of a socket's state), without padding, and the read-only globals that tell the probes about this kernel.
//!
//! Both sides are compiled from this file, `filter.rs`, `sockets.rs`, `values.rs` and `tracepoints.rs`. They hold layouts and constants, and how to
//! reckon with them: no other logic, no dependencies, no `bool`, no pointers. User space parses the bytes with a cursor and never casts
//! them, so nothing here may be a Rust enum.
#![no_std]

pub mod filter;
mod sockets;
mod tracepoints;
mod values;

pub use sockets::{Socket, SocketAfterClose, SocketRefused, SocketReset, SocketState, socket_flag};
pub use tracepoints::{CPUS, TRACEPOINTS, nests, slot};
pub use values::{KubeletCall, Share, Target};

/// Length of a task's `comm` in the kernel (`TASK_COMM_LEN`), the last byte being NUL.
pub const COMM_LEN: usize = 16;
/// Room for the command line of a process that a container runtime put into a container.
pub const ARGV_LEN: usize = 256;
/// Room for a cgroup's path relative to the root of its hierarchy.
pub const PATH_LEN: usize = 512;

/// What a record tells; the first field of its [`Header`].
pub mod kind {
    /// [`SignalGenerated`](super::SignalGenerated): `signal_generate`.
    pub const SIGNAL_GENERATED: u16 = 0;
    /// [`SignalDelivered`](super::SignalDelivered): `signal_deliver`.
    pub const SIGNAL_DELIVERED: u16 = 1;
    /// [`ProcessForked`](super::ProcessForked): `sched_process_fork`, processes only.
    pub const PROCESS_FORKED: u16 = 2;
    /// [`ProcessExecuted`](super::ProcessExecuted): `sched_process_exec`.
    pub const PROCESS_EXECUTED: u16 = 3;
    /// [`ProcessExited`](super::ProcessExited): `sched_process_exit` of the last thread.
    pub const PROCESS_EXITED: u16 = 4;
    /// [`OomVictim`](super::OomVictim): `mark_victim`.
    pub const OOM_VICTIM: u16 = 5;
    /// [`SocketState`](super::SocketState), or the shorter [`SocketAfterClose`](super::SocketAfterClose): `inet_sock_set_state`.
    pub const SOCKET_STATE: u16 = 6;
    /// [`SocketReset`](super::SocketReset): `tcp_send_reset`.
    pub const SOCKET_RESET: u16 = 7;
    /// [`Cgroup`](super::Cgroup): `cgroup_mkdir`, `cgroup_rmdir`, `cgroup_notify_populated`.
    pub const CGROUP: u16 = 8;
    /// [`SocketRefused`](super::SocketRefused): a SYN met a closed port.
    pub const SOCKET_REFUSED: u16 = 9;
    /// How many kinds there are; sizes the loss counters.
    pub const COUNT: usize = 10;
    /// The names of the kinds, in order, as reports and metrics write them.
    pub const NAMES: [&str; COUNT] = [
        "signal_generate",
        "signal_deliver",
        "process_fork",
        "process_exec",
        "process_exit",
        "oom_victim",
        "socket_state",
        "socket_reset",
        "cgroup",
        "socket_refused",
    ];
}

/// Opens every record.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Header {
    /// One of [`kind`].
    pub kind: u16,
    /// Size of the whole record in bytes.
    pub size: u16,
    /// 1 if somebody waits for it, so that the reader was woken; 0 if it may lie until the reader looks next.
    pub urgent: u32,
    /// `bpf_ktime_get_boot_ns()`: nanoseconds since boot, suspend included.
    pub at_ns: u64,
    /// Id (inode number) of the cgroup the record is about: the target's, the dying task's, the socket's; 0 if unknown.
    pub cgroup: u64,
}

/// A process, seen from the initial PID namespace.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Process {
    /// Thread group id.
    pub tgid: u32,
    /// The thread the event happened to.
    pub tid: u32,
    /// `group_leader->start_boottime`: with `tgid`, unique since boot.
    pub start_ns: u64,
    /// Thread group id as the innermost PID namespace numbers it; 1 for a container's init.
    pub ns_tgid: u32,
    /// `real_parent`'s thread group id.
    pub parent_tgid: u32,
    /// `comm` of the thread group's leader.
    pub comm: [u8; COMM_LEN],
}

/// The task that was running when the event happened (`current`), and who its parent is.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Actor {
    /// Thread group id.
    pub tgid: u32,
    /// Thread group id of `real_parent`.
    pub parent_tgid: u32,
    /// Its cgroup's id.
    pub cgroup: u64,
    /// `group_leader->comm`.
    pub comm: [u8; COMM_LEN],
    /// `real_parent->group_leader->comm`.
    pub parent_comm: [u8; COMM_LEN],
    /// `task_struct.flags`, of which [`PF_EXITING`] and [`PF_KTHREAD`] are of use.
    pub task_flags: u32,
    /// Thread group id in its innermost PID namespace.
    pub ns_tgid: u32,
}

/// The task that was running when something happened to a socket, as far as that matters.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Caller {
    /// Its cgroup's id.
    pub cgroup: u64,
    /// Thread group id.
    pub tgid: u32,
    /// `task_struct.flags`, of which [`PF_EXITING`] and [`PF_KTHREAD`] are of use.
    pub task_flags: u32,
    /// `group_leader->comm`.
    pub comm: [u8; COMM_LEN],
}

/// `PF_EXITING`: the task is in `do_exit`.
pub const PF_EXITING: u32 = 0x0000_0004;
/// `PF_KTHREAD`: a kernel thread.
pub const PF_KTHREAD: u32 = 0x0020_0000;

/// What a process does with a signal.
pub mod handler {
    /// `SIG_DFL`.
    pub const DEFAULT: u32 = 0;
    /// `SIG_IGN`.
    pub const IGNORE: u32 = 1;
    /// A handler of its own.
    pub const FUNCTION: u32 = 2;
}

/// A signal was sent to a process of a traced pod.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SignalGenerated {
    /// Common part; `cgroup` is the target's.
    pub header: Header,
    /// Who the signal is for.
    pub target: Process,
    /// `current`: the sender for `kill()` and its kin.
    pub sender: Actor,
    /// Signal number.
    pub signal: u32,
    /// `si_code`; `SI_USER` (0) when the kernel passed no information, `SI_KERNEL` (0x80) when it was the kernel.
    pub code: i32,
    /// 1 if for the whole thread group.
    pub group: u32,
    /// `TRACE_SIGNAL_*`: 0 delivered, 1 ignored, 2 already pending, 3 overflow, 4 information lost.
    pub result: u32,
    /// One of [`handler`], as it stood then.
    pub handler: u32,
    /// 1 if the target thread blocks the signal.
    pub blocked: u32,
}

/// A signal that a traced pod was sent from outside has reached a handler, or ends the process.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SignalDelivered {
    /// Common part; `cgroup` is the receiver's.
    pub header: Header,
    /// The receiver.
    pub process: Process,
    /// Signal number.
    pub signal: u32,
    /// One of [`handler`].
    pub handler: u32,
}

/// A process was made inside a traced pod.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ProcessForked {
    /// Common part; `cgroup` is the child's.
    pub header: Header,
    /// The child.
    pub child: Process,
}

/// A process of a traced pod has begun another program.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ProcessExecuted {
    /// Common part; `cgroup` is the process's.
    pub header: Header,
    /// The process, under its new name.
    pub process: Process,
    /// Its real parent: outside the pod when a container runtime started it.
    pub parent: Actor,
    /// Inode number of its network namespace.
    pub netns: u32,
    /// Length of the command line in bytes, of which [`ARGV_LEN`] at most are in `argv`; 0 unless the parent is outside the pod.
    pub argv_len: u32,
    /// Name of the program's file, NUL-terminated; cut at the end.
    pub exe: [u8; COMM_LEN],
    /// NUL-separated arguments.
    pub argv: [u8; ARGV_LEN],
}

/// The last thread of a process of a traced pod is leaving.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ProcessExited {
    /// Common part; `cgroup` is the process's.
    pub header: Header,
    /// The process.
    pub process: Process,
    /// As `wait()` gives it: low 7 bits the signal, 0x80 core dumped, bits 8–15 the exit value.
    pub status: u32,
    /// Inode number of its network namespace.
    pub netns: u32,
}

/// The OOM killer chose a process of a traced pod.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct OomVictim {
    /// Common part; `cgroup` is the victim's.
    pub header: Header,
    /// The victim.
    pub process: Process,
}

/// What happened to a cgroup; [`Cgroup::operation`].
pub mod cgroup_operation {
    /// Made.
    pub const MADE: u32 = 0;
    /// Removed.
    pub const REMOVED: u32 = 1;
    /// The last process of it and all below it has left.
    pub const EMPTIED: u32 = 2;
}

/// A cgroup of a pod was made, emptied or removed.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Cgroup {
    /// Common part; `cgroup` is the one it happened to.
    pub header: Header,
    /// Its parent's id.
    pub parent: u64,
    /// The traced pod's cgroup it belongs to (itself for a pod's own).
    pub pod: u64,
    /// One of [`cgroup_operation`].
    pub operation: u32,
    /// Bytes used of `path`.
    pub path_len: u32,
    /// Path relative to the root of the v2 hierarchy; empty for [`cgroup_operation::EMPTIED`].
    pub path: [u8; PATH_LEN],
}

macro_rules! offsets {
    ($($field:ident = $structure:literal / $member:literal,)*) => {
        /// Where things are in this kernel, from its BTF: byte offsets, sizes, or [`ABSENT`].
        #[repr(C)]
        #[derive(Clone, Copy)]
        #[cfg_attr(not(target_arch = "bpf"), derive(Debug))]
        pub struct Offsets {
            $(
                #[doc = concat!("`", $structure, ".", $member, "`; the size of the struct where no member is named.")]
                pub $field: u32,
            )*
        }

        /// What each word of [`Offsets`] is: field, struct, path of members (empty: the struct's size).
        pub const OFFSET_SOURCES: &[(&str, &str, &str)] = &[$((stringify!($field), $structure, $member),)*];
    };
}

offsets! {
    task_stack = "task_struct" / "stack",
    task_cgroups = "task_struct" / "cgroups",
    task_comm = "task_struct" / "comm",
    task_tgid = "task_struct" / "tgid",
    task_pid = "task_struct" / "pid",
    task_group_leader = "task_struct" / "group_leader",
    task_real_parent = "task_struct" / "real_parent",
    task_start_boottime = "task_struct" / "start_boottime",
    task_thread_pid = "task_struct" / "thread_pid",
    task_nsproxy = "task_struct" / "nsproxy",
    task_signal = "task_struct" / "signal",
    task_sighand = "task_struct" / "sighand",
    task_flags = "task_struct" / "flags",
    task_exit_code = "task_struct" / "exit_code",
    task_mm = "task_struct" / "mm",
    task_blocked = "task_struct" / "blocked",
    task_real_blocked = "task_struct" / "real_blocked",
    css_set_dfl_cgrp = "css_set" / "dfl_cgrp",
    css_set_subsys = "css_set" / "subsys",
    css_cgroup = "cgroup_subsys_state" / "cgroup",
    cgroup_kn = "cgroup" / "kn",
    cgroup_root = "cgroup" / "root",
    cgroup_self_parent = "cgroup" / "self.parent",
    cgroup_root_hierarchy_id = "cgroup_root" / "hierarchy_id",
    kernfs_node_id = "kernfs_node" / "id",
    kernfs_node_name = "kernfs_node" / "name",
    signal_flags = "signal_struct" / "flags",
    signal_group_exit_code = "signal_struct" / "group_exit_code",
    signal_live = "signal_struct" / "live",
    sighand_action = "sighand_struct" / "action",
    sizeof_k_sigaction = "k_sigaction" / "",
    k_sigaction_handler = "k_sigaction" / "sa.sa_handler",
    pid_level = "pid" / "level",
    pid_numbers = "pid" / "numbers",
    sizeof_pid = "pid" / "",
    sizeof_upid = "upid" / "",
    upid_nr = "upid" / "nr",
    nsproxy_net_ns = "nsproxy" / "net_ns",
    net_ns_inum = "net" / "ns.inum",
    mm_arg_start = "mm_struct" / "arg_start",
    mm_arg_end = "mm_struct" / "arg_end",
    mm_exe_file = "mm_struct" / "exe_file",
    file_dentry = "file" / "f_path.dentry",
    dentry_name = "dentry" / "d_name.name",
    siginfo_code = "kernel_siginfo" / "si_code",
    sock_daddr = "sock" / "__sk_common.skc_daddr",
    sock_rcv_saddr = "sock" / "__sk_common.skc_rcv_saddr",
    sock_dport = "sock" / "__sk_common.skc_dport",
    sock_num = "sock" / "__sk_common.skc_num",
    sock_family = "sock" / "__sk_common.skc_family",
    sock_state = "sock" / "__sk_common.skc_state",
    sock_net = "sock" / "__sk_common.skc_net.net",
    sock_v6_daddr = "sock" / "__sk_common.skc_v6_daddr",
    sock_v6_rcv_saddr = "sock" / "__sk_common.skc_v6_rcv_saddr",
    sock_protocol = "sock" / "sk_protocol",
    sock_shutdown = "sock" / "sk_shutdown",
    sock_socket = "sock" / "sk_socket",
    sock_cgroup = "sock" / "sk_cgrp_data.cgroup",
    sock_err = "sock" / "sk_err",
    inet_sport = "inet_sock" / "inet_sport",
    icsk_lrcvtime = "inet_connection_sock" / "icsk_ack.lrcvtime",
    tcp_copied_seq = "tcp_sock" / "copied_seq",
    tcp_rcv_nxt = "tcp_sock" / "rcv_nxt",
    tcp_snd_wl1 = "tcp_sock" / "snd_wl1",
    tcp_write_seq = "tcp_sock" / "write_seq",
    tcp_snd_una = "tcp_sock" / "snd_una",
    tcp_bytes_received = "tcp_sock" / "bytes_received",
    tcp_bytes_acked = "tcp_sock" / "bytes_acked",
    tcp_bytes_sent = "tcp_sock" / "bytes_sent",
    tcp_lsndtime = "tcp_sock" / "lsndtime",
    tcp_snd_nxt = "tcp_sock" / "snd_nxt",
    tcp_bytes_retrans = "tcp_sock" / "bytes_retrans",
    tcp_is_mptcp = "tcp_sock" / "is_mptcp",
    skb_dev = "sk_buff" / "dev",
    skb_head = "sk_buff" / "head",
    skb_network_header = "sk_buff" / "network_header",
    skb_transport_header = "sk_buff" / "transport_header",
    net_device_net = "net_device" / "nd_net.net",
}

/// A field this kernel has not.
pub const ABSENT: u32 = i32::MAX.cast_unsigned();

/// What stands in the programs' instructions for the words of [`Offsets`] and, after them, of [`Settings`], until the loader puts the
/// words themselves there: no program asks a map for what stays the same as long as the kernel runs.
pub mod placeholder {
    /// That many words there can be.
    pub const WORDS: u32 = 128;
    /// The first word as the number that a register is set to (`BPF_MOV`, at once), or that of a function of the kernel's which is
    /// called (`BPF_CALL`; no helper has a number as high); the next ones follow. A call of one that there is not gives back what it is given.
    pub const NUMBER: u32 = 0x7a3e_0000;
    /// The first word as the distance of a load from its pointer (`BPF_LDX`); the next ones follow, then all again, each 8 bytes
    /// further on. No distance that is known when the programs are compiled is as long.
    pub const DISTANCE: u32 = 0x7e00;
}

const _: () = assert!((size_of::<Offsets>() + size_of::<Settings>()) / 4 <= placeholder::WORDS as usize);

/// What differs in the tracepoints of this kernel, and what user space wants. 0 or 1 unless said otherwise.
#[repr(C)]
#[derive(Clone, Copy)]
#[cfg_attr(not(target_arch = "bpf"), derive(Debug))]
pub struct Settings {
    /// `sched_process_exit` has `bool group_dead` (6.16 and later).
    pub exit_has_group_dead: u32,
    /// `tcp_send_reset` has `enum sk_rst_reason` (6.10 and later), and `sk` may be NULL.
    pub reset_has_reason: u32,
    /// `mark_victim` gives the task and not its pid.
    pub victim_is_task: u32,
    /// Follow every new cgroup that is named like a pod's.
    pub follow_new_pods: u32,
    /// Bytes waiting in the ring from which on the reader is woken for records nobody is in a hurry
    /// for, and again at every multiple: an eighth of it, and a power of two.
    pub wakeup_bytes: u32,
    /// `kfree_skb` has `enum skb_drop_reason` (5.17 and later), and this is its `NO_SOCKET`; 0 where
    /// `tcp_send_reset` tells of refused attempts itself, or where nothing does.
    pub drop_reason_no_socket: u32,
    /// A task can be preempted in the middle of a tracepoint's program (7.0 and later): each hook has a second
    /// program there, for what the first one missed, and not only those that [`nests`] names.
    pub preemptible: u32,
    /// `cgroup_root.hierarchy_id` of the hierarchy whose cgroups are watched: 0 is v2. Ids of cgroups are unique in one
    /// hierarchy only.
    pub hierarchy_id: u32,
    /// The number of a controller of that hierarchy (`enum cgroup_subsys_id`), by which a task's cgroup in it is found; of
    /// no meaning for v2.
    pub subsys: u32,
    /// Bytes of a task's stack, where that tells what a process does from what an interrupt does that breaks in on it, and no CPU has a number
    /// of [`CPUS`] or more: a hook's two programs then know exactly what is the same event to both. 0 where it cannot be told so.
    pub stack_bytes: u32,
    /// The number that `bpf_rdonly_cast` has in the kernel's types (6.2 and later); 0 if there is none.
    pub rdonly_cast: u32,
    /// That of `struct task_struct`.
    pub task_type: u32,
    /// That of `struct kernel_siginfo`.
    pub siginfo_type: u32,
}

/// Slots of the map `LEARNT` (an array of `u64`): what the probes learn about the kernel from one
/// canary, a `SIGURG` that gracetrace sends to itself right after it attached.
pub mod learnt {
    /// `jiffies_64` at the canary. User space works out the tick rate from it.
    pub const JIFFIES: u32 = 0;
    /// `bpf_ktime_get_boot_ns()` at the canary; 0 until there was one.
    pub const AT_NS: u32 = 1;
    /// Inode number of the network namespace of the host's init: never a pod's.
    pub const HOST_NETNS: u32 = 2;
    /// Inode number of the network namespace of the canary's sender: never a pod's either.
    pub const OWN_NETNS: u32 = 3;
    /// Ticks a second (`CONFIG_HZ`), written by user space; until then canaries are taken, afterwards not.
    pub const HZ: u32 = 4;
    /// How many slots there are.
    pub const COUNT: u32 = 5;
}

macro_rules! assert_layout {
    ($($record:ty = $size:expr),* $(,)?) => {
        $(const _: () = assert!(size_of::<$record>() == $size && size_of::<$record>() % 8 == 0);)*
    };
}

// No padding: each size is the sum of its fields' sizes.
assert_layout! {
    Header = 24,
    Process = 40,
    Actor = 56,
    Caller = 32,
    SignalGenerated = 24 + 40 + 56 + 6 * 4,
    SignalDelivered = 24 + 40 + 2 * 4,
    ProcessForked = 24 + 40,
    ProcessExecuted = 24 + 40 + 56 + 2 * 4 + COMM_LEN + ARGV_LEN,
    ProcessExited = 24 + 40 + 2 * 4,
    OomVictim = 24 + 40,
    Socket = 5 * 8 + 4 * 2 + 2 * 16 + 9 * 4 + 2 * 2,
    SocketState = 24 + 120 + 32,
    SocketAfterClose = 24 + 2 * 8 + 4 * 4,
    SocketReset = 24 + 2 * 8 + 2 * 4 + 4 * 2 + 2 * 16,
    SocketRefused = 24 + 8 + 4 * 2 + 2 * 4 + 2 * 16 + 32,
    Cgroup = 24 + 2 * 8 + 2 * 4 + PATH_LEN,
    Target = 8,
    KubeletCall = 4 * 8,
    Share = (1 + kind::COUNT) * 8,
}
