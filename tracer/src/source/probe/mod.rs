//! The probes: loads the kernel side, attaches it, says what it cannot do here, reads its records.

mod batches;
mod btf;
pub mod decode;
mod error;
mod load;
mod losses;
mod mapping;
mod offsets;
pub mod order;
mod pace;
mod passed_over;
mod presence;
mod programs;
mod ring;
mod ring_map;
mod targets;
mod ticks;
mod words;

pub use batches::{Batch, BatchReceiver, queue};
pub use btf::BtfError;
pub use error::ProbeError;
pub use losses::{Loss, Mismatch, mismatches};
pub use passed_over::PassedOver;

use crate::input::{BootNs, CgroupId, KubeletCall, Sees};
use crate::source::cgroupfs::Hierarchy;
use crate::source::clock;
use aya::maps::{HashMap, MapData, PerCpuArray};
use batches::BatchSender;
use std::fmt;
use std::thread::JoinHandle;
use targets::{Stopping, Targets};
use tracer_ebpf::kind;

/// How to load the probes.
#[derive(Clone, Debug)]
pub struct ProbeOptions {
    /// Whose cgroups are meant.
    pub hierarchy: Hierarchy,
    /// Let the kernel side follow every new cgroup named like a pod's.
    pub follow_new_pods: bool,
    /// Size of the ring buffer in bytes; rounded up to a power of two of pages.
    pub ring_bytes: u32,
    /// Pass the kernel side's own diagnostics to `tracing` (aya-log); costs time in every probe that has any.
    pub kernel_log: bool,
}

/// The loaded and attached probes; dropping this detaches them.
pub struct Probes {
    /// Keeps the programs loaded and attached, while it is there.
    ebpf: Option<aya::Ebpf>,
    maps: Maps,
    /// Taken by the reader thread.
    reader: Option<ring::Reader>,
    status: Vec<ProbeStatus>,
    limits: Vec<String>,
    sees: Sees,
    host_netns: Option<u32>,
    /// This process's.
    own_netns: Option<u32>,
    /// Each hook, and what the kernel had passed its program over for.
    guarded: Vec<passed_over::Guarded>,
    /// The same from the start to when the probes were taken off.
    passed_over: Vec<PassedOver>,
    /// What was already handed out as lost.
    told: losses::Told,
}

/// The maps that user space reads and writes while tracing.
struct Maps {
    targets: Targets,
    stopping: Stopping,
    netns: HashMap<MapData, u32, u64>,
    /// Four words each: `tracer_ebpf::KubeletCall`.
    kubelet_calls: HashMap<MapData, u64, [u64; 4]>,
    generated: PerCpuArray<MapData, u64>,
    dropped: PerCpuArray<MapData, u64>,
    /// The words of `tracer_ebpf::Share`.
    shares: HashMap<MapData, u64, [u64; 1 + kind::COUNT]>,
    /// By [`tracer_ebpf::slot`] of a hook.
    made_up: PerCpuArray<MapData, u64>,
}

/// One probe and whether it is there, for `doctor`.
#[derive(Clone, Debug)]
pub struct ProbeStatus {
    /// The tracepoint.
    pub name: &'static str,
    /// It is attached.
    pub attached: bool,
    /// What is lost without it, or which variant this kernel has.
    pub note: String,
}

impl fmt::Debug for Probes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probes").field("status", &self.status).field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Probes {
    /// Reads the kernel's BTF, loads the programs, attaches them.
    pub fn load(options: &ProbeOptions) -> Result<Self, ProbeError> {
        load::load(options)
    }

    /// What this kernel cannot give, each with the reason, for reports.
    pub fn limits(&self) -> Vec<String> {
        self.limits.clone()
    }

    /// What can be counted on this kernel.
    pub fn sees(&self) -> Sees {
        self.sees
    }

    /// Inode number of the node's own network namespace, if the canary told it.
    pub fn host_netns(&self) -> Option<u32> {
        self.host_netns
    }

    /// Probe by probe.
    pub fn status(&self) -> Vec<ProbeStatus> {
        self.status.clone()
    }

    /// Trace this cgroup as part of the pod whose own cgroup is `pod`.
    pub fn track(&mut self, cgroup: CgroupId, pod: CgroupId) -> Result<(), ProbeError> {
        let result = self.maps.targets.insert(cgroup.0, pod.0);
        result.map_err(|error| ProbeError::from_system(format!("trace cgroup {}", cgroup.0), &error))
    }

    /// A program of this pod runs in this network namespace. That tells whose a socket is where its cgroup does not: on v1.
    pub fn track_netns(&mut self, netns: u32, pod: CgroupId) -> Result<(), ProbeError> {
        let is_shared =
            self.host_netns.is_none_or(|host| host == netns) || self.own_netns.is_none_or(|own| own == netns);
        if self.sees.on_host_network || is_shared {
            return Ok(());
        }
        let result = self.maps.netns.insert(netns, pod.0, 0);
        result.map_err(|error| ProbeError::from_system(format!("trace network namespace {netns}"), &error))
    }

    /// Trace nothing of this pod any more, cgroups made inside it since included.
    pub fn forget_pod(&mut self, pod: CgroupId) -> Result<(), ProbeError> {
        let failed = |error| ProbeError::from_system(format!("forget the pod of cgroup {}", pod.0), &error);
        self.maps.targets.remove_pod(pod.0).map_err(failed)?;
        for netns in targets::keys_of(&self.maps.netns, pod.0).map_err(failed)? {
            targets::remove(&mut self.maps.netns, &netns).map_err(failed)?;
        }
        self.maps.stopping.let_be(pod.0, u64::MAX);
        Ok(())
    }

    /// The connection that the kubelet made to this pod last, before the pod was stopped.
    pub fn kubelet_call(&self, pod: CgroupId) -> Option<KubeletCall> {
        let [_sock, opened, closed, port] = self.maps.kubelet_calls.get(&pod.0, 0).ok()?;
        let closed = (closed != 0).then_some(BootNs(closed));
        Some(KubeletCall {
            at: clock::boot_now(),
            pod,
            port: u16::try_from(port).ok()?,
            opened: BootNs(opened),
            closed,
        })
    }

    /// Lets the sockets of pods be whose last signal, if it came before `until`, was no stop signal, or whose end is over: those of which
    /// `is_ending` says no. Which they are. (A signal that comes between the last look and the removal is lost to the sockets;
    /// that takes a microsecond, unless this thread is preempted there.)
    pub fn calm(&mut self, until: BootNs, is_ending: impl Fn(CgroupId) -> bool) -> Vec<CgroupId> {
        let before = self.maps.stopping.before(until.0);
        let over = before.into_iter().filter(|pod| !is_ending(CgroupId(*pod)));
        over.filter(|pod| self.maps.stopping.let_be(*pod, until.0)).map(CgroupId).collect()
    }

    /// What was dropped since the last call: what was refused to a pod beyond its share of the ring, and what nobody can
    /// be told of.
    pub fn take_lost(&mut self) -> Vec<Loss> {
        let Self { told, maps, .. } = self;
        // before the shares: the probes count a refused record for its pod first
        let dropped = by_kind(&maps.dropped);
        told.take(dropped, || maps.shares.iter().filter_map(Result::ok).map(|(pod, [_, refused @ ..])| (pod, refused)))
    }

    /// Nothing more is written from here on, but for what programs that run right now are about to. What the kernel passes
    /// over is not told any more.
    pub fn detach(&mut self) {
        let Self { guarded, maps, .. } = self;
        // and not asked for again: they name programs by numbers that will be somebody else's
        let counts = guarded.drain(..).map(|mut hook| hook.counts(|slot| sum(&maps.made_up, slot)));
        self.passed_over.extend(counts);
        self.ebpf = None;
    }

    /// For how many events of the whole node no program ran since the last call though it should have; hook by hook.
    pub fn take_passed_over(&mut self) -> Vec<(&'static str, u64)> {
        let Self { guarded, maps, .. } = self;
        guarded.iter_mut().filter_map(|hook| hook.take(|slot| sum(&maps.made_up, slot))).collect()
    }

    /// What the kernel passed each hook over for until the probes were taken off; nothing before.
    pub fn passed_over(&self) -> &[PassedOver] {
        &self.passed_over
    }

    /// How many records there was a reason to write since the start, and how many of them were not, by kind.
    pub fn counts(&self) -> [(u64, u64); kind::COUNT] {
        let (generated, dropped) = (by_kind(&self.maps.generated), by_kind(&self.maps.dropped));
        std::array::from_fn(|kind| (generated[kind], dropped[kind]))
    }

    /// Starts the thread that empties the ring into `batches`; it ends when the receiver is dropped. A full queue makes it wait.
    pub fn spawn_reader(&mut self, batches: BatchSender) -> Result<JoinHandle<()>, ProbeError> {
        let reader = self.reader.take().ok_or_else(|| ProbeError::Refused {
            doing: "read the ring".to_owned(),
            reason: "another thread reads it already".to_owned(),
        })?;
        std::thread::Builder::new()
            .name("ring".to_owned())
            .spawn(move || reader.run(&batches))
            .map_err(|error| ProbeError::from_system("start the thread that reads the ring", &error))
    }
}

/// A counter of each kind over all CPUs.
fn by_kind(counters: &PerCpuArray<MapData, u64>) -> [u64; kind::COUNT] {
    let mut kinds = 0..;
    [(); kind::COUNT].map(|()| kinds.next().map_or(0, |kind| sum(counters, kind)))
}

/// One counter over all CPUs.
fn sum(counters: &PerCpuArray<MapData, u64>, index: u32) -> u64 {
    counters.get(&index, 0).map_or(0, |values| values.iter().sum())
}
