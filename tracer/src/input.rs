//! The waist: everything the program may *know*. Kernel records, metadata, clock samples, ticks and
//! losses all become an [`Input`]; the engine sees nothing else, and the event log is a list of them.
//!
//! Plain data only: no IO, no clock, no conclusions. The names and shapes here are the event log's
//! format, so a change must keep old logs readable (`log::FORMAT`).

mod facts;
mod sockets;

pub use facts::{ContainerFacts, ContainerRole, FactSource, PodFacts, PreStop};
pub use sockets::{FoundSocket, KubeletCall, Opener, Socket, SocketCounters, Sockets, TcpState};

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// Nanoseconds since boot, suspend included (`CLOCK_BOOTTIME`, `bpf_ktime_get_boot_ns`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootNs(pub u64);

impl BootNs {
    /// Milliseconds from `earlier` to `self`; negative if `self` is the earlier one.
    pub fn ms_since(self, earlier: Self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "spans of hours are exact to a nanosecond in 53 bits")]
        let ms = (i128::from(self.0) - i128::from(earlier.0)) as f64 / 1e6;
        ms
    }

    /// This time and `ms` milliseconds, saturating.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms.saturating_mul(1_000_000)))
    }
}

/// Id of a cgroup in the hierarchy that is watched: the inode number of its directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CgroupId(pub u64);

/// What is known about the tracing itself; the first line of an event log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// When tracing began: every probe attached.
    pub started_at: BootNs,
    /// Wall clock minus boot clock, in nanoseconds, at that moment.
    pub wall_offset_ns: i64,
    /// The node's name, where known.
    pub node: Option<String>,
    /// Kernel release, as `uname -r` says it.
    pub kernel: String,
    /// gracetrace's own process id.
    pub tracer_tgid: u32,
    /// Grace period in milliseconds for pods that do not tell theirs (`--grace-period`).
    pub default_grace_ms: Option<u64>,
    /// What is traced.
    pub scope: TraceScope,
    /// How many connections a report lists one by one.
    pub max_connections: usize,
    /// Facts this kernel cannot give, each with its reason, for `completeness`.
    pub limits: Vec<String>,
    /// What can be counted on this kernel.
    #[serde(default)]
    pub sees: Sees,
}

/// What can be counted on this kernel; what cannot is `null` in a report and not 0. The default is
/// what the first logs were written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sees {
    /// TCP connections.
    pub connections: bool,
    /// Attempts to connect to a closed port.
    pub refused: bool,
    /// Both also for pods in the node's own network namespace.
    #[serde(default = "everywhere")]
    pub on_host_network: bool,
}

/// What was so when logs did not tell.
fn everywhere() -> bool {
    true
}

impl Default for Sees {
    fn default() -> Self {
        Self { connections: true, refused: false, on_host_network: true }
    }
}

/// What is traced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "PascalCase", rename_all_fields = "camelCase")]
pub enum TraceScope {
    /// Every pod on the node.
    Node,
    /// One pod.
    Pod {
        /// Its namespace, if it was given.
        namespace: Option<String>,
        /// Its name.
        name: String,
    },
    /// A command of `gracetrace run`, in a cgroup of its own.
    Command {
        /// That cgroup.
        cgroup: CgroupId,
        /// The program's name (not its arguments).
        program: String,
        /// The stop signal that will be sent.
        stop_signal: i32,
    },
}

/// Everything that can reach the engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "input", rename_all = "PascalCase", rename_all_fields = "camelCase")]
pub enum Input {
    /// A record from the kernel.
    Event(Event),
    /// A cgroup of a pod that was there before tracing began, or whose making was not seen.
    CgroupFound(CgroupFound),
    /// Who a pod is.
    Pod(PodFacts),
    /// Who a container is.
    Container(ContainerFacts),
    /// The connection that the kubelet made to a pod last, before the pod's stop signal.
    KubeletCall(KubeletCall),
    /// A pod's cgroup is not there any more, though no record told of its end: looked for after records were lost.
    PodGone {
        /// When it was looked for.
        at: BootNs,
        /// The pod's cgroup.
        pod: CgroupId,
    },
    /// From here on the kernel side tells nothing of a pod's connections: it is not being stopped after all, or what ended in it is over.
    LetBe {
        /// When.
        at: BootNs,
        /// The pod's cgroup.
        pod: CgroupId,
    },
    /// The sockets of a pod as they were a moment after its stop signal.
    Sockets(Sockets),
    /// `gracetrace run` is about to send the stop signal.
    StopRequested {
        /// When.
        at: BootNs,
        /// Why: `--stop-after 5s`, `SIGINT`, `SIGTERM`.
        reason: String,
    },
    /// Wall clock minus boot clock, sampled again.
    Clock {
        /// When.
        at: BootNs,
        /// Nanoseconds.
        wall_offset_ns: i64,
    },
    /// Records were lost since the last such input.
    Lost {
        /// When the loss was noticed.
        at: BootNs,
        /// What kind of record, as `tracer_ebpf::kind::NAMES` has it, or `decode`.
        what: String,
        /// How many.
        count: u64,
        /// The only pod that they can have told of: it had written more than its share of a ring that was filling up. Absent: they may
        /// be anybody's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pod: Option<CgroupId>,
    },
    /// Events for which none of a hook's programs ran, since the last such input: the kernel passes over a program that it has
    /// interrupted in its middle.
    PassedOver {
        /// When it was noticed.
        at: BootNs,
        /// The tracepoint.
        hook: String,
        /// How many, of the whole node: the kernel does not tell whose they were.
        count: u64,
    },
    /// Time has passed, and every event up to then has been handed in.
    Tick {
        /// Until when.
        at: BootNs,
    },
    /// Tracing ends (gracetrace was told to stop, or `--timeout` has passed): whatever can be reported is reported now.
    Finish {
        /// When.
        at: BootNs,
    },
}

/// A record from the kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// When it happened.
    pub at: BootNs,
    /// The cgroup it is about: the target's, the dying task's, the socket's; `None` if unknown.
    pub cgroup: Option<CgroupId>,
    /// What happened.
    pub what: What,
}

/// What the kernel saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "PascalCase", rename_all_fields = "camelCase", remote = "Self")]
pub enum What {
    /// A signal was sent to a process of a traced pod.
    SignalGenerated {
        /// Who it was for.
        target: Process,
        /// Who was running: the sender for `kill()` and its kin.
        sender: Actor,
        /// Signal number.
        signal: i32,
        /// `si_code`: 0 `SI_USER`, 0x80 `SI_KERNEL`.
        code: i32,
        /// For the whole process, not one thread.
        group: bool,
        /// What the kernel did with it.
        result: SignalResult,
        /// What the target would do with it.
        disposition: Disposition,
    },
    /// A signal sent from outside has reached its target.
    SignalDelivered {
        /// The receiver.
        process: Process,
        /// Signal number.
        signal: i32,
        /// It reached a handler of the process's own.
        handled: bool,
    },
    /// A process was made.
    ProcessForked {
        /// The child.
        child: Process,
    },
    /// A process has begun another program.
    ProcessExecuted {
        /// The process, under its new name.
        process: Process,
        /// Its parent: outside the pod if a container runtime started it.
        parent: Actor,
        /// Its network namespace.
        netns: Option<u32>,
        /// Digests of its arguments, if its parent is outside the pod; see [`crate::argv`].
        argv: Option<Argv>,
    },
    /// The last thread of a process has left.
    ProcessExited {
        /// The process.
        process: Process,
        /// Its wait status.
        status: WaitStatus,
        /// Its network namespace.
        netns: Option<u32>,
    },
    /// The OOM killer chose this process.
    OomVictim {
        /// The victim.
        process: Process,
    },
    /// A TCP socket has changed state.
    SocketState {
        /// The socket.
        socket: Socket,
        /// Who was running.
        current: Caller,
        /// State before.
        old: TcpState,
        /// State after.
        new: TcpState,
    },
    /// A TCP socket that its side has closed has changed state: what became of what was written. (Older logs have it as
    /// [`SocketState`](Self::SocketState), and so has a process that dies while nobody has asked its pod to stop.)
    SocketAfterClose {
        /// The socket's address in the kernel.
        address: u64,
        /// The pod's cgroup.
        pod: CgroupId,
        /// Written and not acknowledged, our FIN counted as one; `None` where it cannot be read.
        unacked: Option<u32>,
        /// `sk_err`.
        error: u32,
        /// State before.
        old: TcpState,
        /// State after.
        new: TcpState,
    },
    /// An attempt to connect met a port on which the pod had listened and nobody does any more.
    SocketRefused {
        /// The pod's cgroup.
        pod: CgroupId,
        /// Network namespace.
        netns: u32,
        /// What was tried.
        local: std::net::SocketAddr,
        /// Who tried.
        peer: std::net::SocketAddr,
        /// Who was running: who tried, if that is a process of this node; else anybody.
        current: Caller,
    },
    /// A RST went out.
    SocketReset {
        /// The socket's address in the kernel, if a socket sent it.
        address: Option<u64>,
        /// The pod's cgroup.
        pod: CgroupId,
        /// `enum sk_rst_reason`, where the kernel has it.
        reason: Option<u32>,
        /// The socket's state.
        state: Option<TcpState>,
        /// Local and peer's address, unless the socket had given up its port.
        #[serde(default)]
        ends: Option<(std::net::SocketAddr, std::net::SocketAddr)>,
    },
    /// A cgroup was made inside a pod, or a pod's own.
    CgroupMade {
        /// Its parent.
        parent: CgroupId,
        /// The pod's cgroup.
        pod: CgroupId,
        /// Path below the root of the hierarchy that is watched, starting with `/`.
        path: String,
    },
    /// The last process of a cgroup and of all below it has left.
    CgroupEmptied {
        /// The pod's cgroup.
        pod: CgroupId,
    },
    /// A cgroup was removed.
    CgroupRemoved {
        /// The pod's cgroup.
        pod: CgroupId,
    },
}

/// A process, named so that a reused pid is another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Thread group id in the initial PID namespace.
    pub tgid: u32,
    /// When it was forked (when found in `/proc`: rounded down to a clock tick of 10 ms).
    pub start: BootNs,
    /// Thread group id in its innermost PID namespace.
    pub ns_tgid: u32,
    /// Its parent.
    pub parent_tgid: u32,
    /// `comm`, cleaned.
    pub comm: CompactString,
    /// Name of the program's file, of a script its interpreter's, cleaned; told when it begins a program, or is found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exe: Option<CompactString>,
}

/// The task that was running when something happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", remote = "Self")]
pub struct Actor {
    /// Thread group id.
    pub tgid: u32,
    /// Thread group id in its innermost PID namespace.
    pub ns_tgid: u32,
    /// Its parent.
    pub parent_tgid: u32,
    /// Its cgroup.
    pub cgroup: CgroupId,
    /// `comm`, cleaned.
    pub comm: CompactString,
    /// Its parent's `comm`, cleaned.
    pub parent_comm: CompactString,
    /// It was on its way out (`PF_EXITING`).
    pub exiting: bool,
    /// A kernel thread.
    pub kernel_thread: bool,
}

/// The task that was running when something happened to a socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", remote = "Self")]
pub struct Caller {
    /// Thread group id.
    pub tgid: u32,
    /// Its cgroup.
    pub cgroup: CgroupId,
    /// `comm`, cleaned.
    pub comm: CompactString,
    /// It was on its way out (`PF_EXITING`).
    pub exiting: bool,
    /// A kernel thread.
    pub kernel_thread: bool,
}

/// `TRACE_SIGNAL_*`: what `__send_signal` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignalResult {
    /// Queued.
    Delivered,
    /// Discarded: nobody would act on it.
    Ignored,
    /// Already waiting; this one adds nothing.
    AlreadyPending,
    /// No room in the queue, or its information was lost.
    Lost,
    /// A number this version does not know.
    Unknown,
}

/// What the target would do with a signal when it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Disposition {
    /// A handler of its own.
    Handler,
    /// No handler, and waiting in `sigwait` or `signalfd` (the signal is blocked).
    Blocked,
    /// `SIG_IGN`.
    Ignore,
    /// `SIG_DFL`.
    Default,
    /// A value this version does not know.
    Unknown,
}

/// How a process ended, as `wait()` encodes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WaitStatus(pub u32);

impl WaitStatus {
    /// The exit value, unless a signal ended the process.
    pub fn code(self) -> Option<i32> {
        self.signal().is_none().then_some(((self.0 >> 8) & 0xff).cast_signed())
    }

    /// The signal that ended the process.
    pub fn signal(self) -> Option<i32> {
        let signal = (self.0 & 0x7f).cast_signed();
        (signal != 0).then_some(signal)
    }

    /// A core was dumped.
    pub fn core_dumped(self) -> bool {
        self.0 & 0x80 != 0
    }
}

/// Digests of a command line: enough to recognise one, not to read one. See [`crate::argv`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Argv {
    /// One digest an argument.
    pub digests: Vec<u64>,
    /// There was more than the kernel side could take; the last digest is of a cut argument and left out.
    pub truncated: bool,
}

/// A cgroup that was already there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CgroupFound {
    /// When it was looked at.
    pub at: BootNs,
    /// Its id.
    pub id: CgroupId,
    /// The pod's cgroup.
    pub pod: CgroupId,
    /// Path below the root of the hierarchy that is watched, starting with `/`.
    pub path: String,
    /// The processes in it (not in those below it), oldest first.
    pub processes: Vec<Process>,
}
