//! The probes: loads the kernel side, attaches it, says what it cannot do here, reads its records.

pub mod decode;
pub mod order;

use crate::input::CgroupId;
use tokio::sync::mpsc;

/// How to load the probes.
#[derive(Clone, Debug)]
pub struct ProbeOptions {
    /// Let the kernel side follow every new cgroup named like a pod's.
    pub follow_new_pods: bool,
    /// Size of the ring buffer in bytes; rounded up to a power of two of pages.
    pub ring_bytes: u32,
    /// Pass the kernel side's own diagnostics to `tracing` (aya-log); costs time in every probe that has any.
    pub kernel_log: bool,
}

/// Why the probes cannot run: each is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Placeholder.
    #[error("{0}")]
    Other(String),
}

/// The loaded and attached probes; dropping this detaches them.
#[derive(Debug)]
pub struct Probes {}

/// What the reader thread took from the ring in one go.
#[derive(Debug)]
pub struct Batch {
    /// Whole records, one after the other, each as long as its header says.
    pub bytes: Vec<u8>,
    /// Every record older than this (boot clock) is in this batch or an earlier one.
    pub complete_until: crate::input::BootNs,
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

impl Probes {
    /// Reads the kernel's BTF, loads the programs, attaches them.
    pub fn load(_options: &ProbeOptions) -> Result<Self, ProbeError> {
        todo!()
    }

    /// What this kernel cannot give, each with the reason, for reports.
    pub fn limits(&self) -> Vec<String> {
        todo!()
    }

    /// Probe by probe.
    pub fn status(&self) -> Vec<ProbeStatus> {
        todo!()
    }

    /// Trace this cgroup as part of the pod whose own cgroup is `pod`.
    pub fn track(&mut self, _cgroup: CgroupId, _pod: CgroupId) -> Result<(), ProbeError> {
        todo!()
    }

    /// Trace nothing of this pod any more, cgroups made inside it since included.
    pub fn forget_pod(&mut self, _pod: CgroupId) -> Result<(), ProbeError> {
        todo!()
    }

    /// What was dropped since the last call, by kind of record.
    pub fn take_lost(&mut self) -> Vec<(&'static str, u64)> {
        todo!()
    }

    /// How many records were generated and dropped since the start, by kind.
    pub fn counts(&mut self) -> Vec<(&'static str, u64, u64)> {
        todo!()
    }

    /// Starts the thread that empties the ring into `batches`; it ends when the receiver is dropped. A full queue makes it wait.
    pub fn spawn_reader(&mut self, _batches: mpsc::Sender<Batch>) -> Result<std::thread::JoinHandle<()>, ProbeError> {
        todo!()
    }
}
