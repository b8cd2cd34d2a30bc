//! The report: the only type that sinks see, and the source of the JSON Schema.
//!
//! Times are milliseconds since [`Report::start_time`], fractional, from a monotonic clock. What is
//! not known is `null`, never a guess and never 0. Field names and vocabularies are a contract with
//! users; `docs/report.md` explains each.

mod connections;

pub(crate) use connections::rank;
pub use connections::{
    ClosedBy, Connection, ConnectionCounts, ConnectionEnd, Connections, Direction, LeftFirst, Manner, Snapshot, Work,
};

use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

pub use crate::input::ContainerRole;

/// `apiVersion` of every report.
pub const API_VERSION: &str = "gracetrace.dev/v1";
/// `kind` of every report.
pub const KIND: &str = "ShutdownReport";

/// What happened when a pod (or one container of it) ended.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Always `gracetrace.dev/v1`.
    pub api_version: String,
    /// Always `ShutdownReport`.
    pub kind: String,
    /// A whole pod, or one container that ended while its pod lives on.
    pub scope: Scope,
    /// When the ending began, RFC 3339 with nanoseconds: the preStop hook, the stop signal, or the exit itself.
    pub start_time: String,
    /// From then to the last event of the timeline.
    pub duration_ms: f64,
    /// Who ended.
    pub pod: Pod,
    /// What set it off.
    pub trigger: Trigger,
    /// How it went.
    pub outcome: Outcome,
    /// From the first stop signal to the exit of the last app container.
    pub stop_to_exit_ms: Option<f64>,
    /// Share of the grace period used from `startTime` to the last app container's exit, preStop included; above 1 when it was overrun.
    pub grace_period_used_ratio: Option<f64>,
    /// One entry a container, the sandbox left out.
    pub containers: Vec<Container>,
    /// The pod's connections, all containers together.
    pub connections: Connections,
    /// What happened, in order.
    pub timeline: Vec<TimelineEntry>,
    /// What was not graceful, and what to change.
    pub findings: Vec<Finding>,
    /// Whether anything was missed.
    pub completeness: Completeness,
}

/// What a report is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "the words say it")]
pub enum Scope {
    Pod,
    Container,
}

/// The pod.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pod {
    /// Its namespace.
    pub namespace: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Its uid; for a static pod the hash of its configuration.
    pub uid: Option<String>,
    /// The node's name.
    pub node: Option<String>,
    /// Its labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// What made it; only the Kubernetes API knows.
    pub workload: Option<Workload>,
    /// `Guaranteed`, `Burstable` or `BestEffort`, from its cgroup.
    pub qos_class: Option<String>,
    /// It uses the node's network.
    pub host_network: Option<bool>,
    /// Its grace period.
    pub termination_grace_period_seconds: Option<f64>,
    /// Where the grace period comes from.
    pub grace_period_source: Option<GracePeriodSource>,
    /// Where its names come from.
    pub metadata_source: MetadataSource,
}

/// What made a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "the words say it")]
pub struct Workload {
    pub kind: String,
    pub name: String,
}

/// Where names come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MetadataSource {
    /// The Kubernetes API.
    Kubernetes,
    /// The container runtime.
    Cri,
    /// The cgroup's path and `/var/log/pods`.
    Cgroup,
    /// The command line of `gracetrace run`.
    Command,
}

/// Where the grace period comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub enum GracePeriodSource {
    /// The pod, from the Kubernetes API.
    Pod,
    /// The container's annotations, from the runtime.
    Annotations,
    /// `--grace-period`.
    Flag,
    /// The distance of stop signal and kill: an estimate.
    Inferred,
}

/// What set the ending off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Trigger {
    /// The kind.
    pub kind: TriggerKind,
    /// What it is concluded from.
    pub evidence: Option<String>,
}

/// What can set an ending off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub enum TriggerKind {
    /// The pod was deleted.
    Deletion,
    /// The pod was evicted.
    Eviction,
    /// A pod of higher priority needed its place.
    Preemption,
    /// The node is going down.
    NodeShutdown,
    /// A liveness probe failed.
    LivenessProbe,
    /// A startup probe failed.
    StartupProbe,
    /// The OOM killer.
    #[serde(rename = "OOM")]
    Oom,
    /// A container ended by itself.
    ContainerExit,
    /// Somebody outside Kubernetes and its runtime.
    External,
    /// The node cannot know.
    Unknown,
}

/// How an ending went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub enum Outcome {
    /// Every app container ended by itself after its stop signal, inside the grace period, with status 0 or 128+signal, or by the signal that its handler raised again.
    Graceful,
    /// The default action of the stop signal ended it: nothing could be drained.
    Terminated,
    /// Ended by itself after the stop signal, with another status.
    Failed,
    /// SIGKILL ended it.
    ForceKilled,
    /// The kernel's OOM killer ended it.
    #[serde(rename = "OOMKilled")]
    OomKilled,
    /// A fatal signal or a non-zero status without a stop signal before it.
    Crashed,
    /// Status 0 without a stop signal before it.
    Completed,
    /// Not enough was seen.
    Unknown,
}

/// One container.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// Its name.
    pub name: Option<String>,
    /// `<runtime>://<id>`.
    pub id: Option<String>,
    /// Its image.
    pub image: Option<String>,
    /// What it is to the pod.
    #[serde(rename = "type")]
    pub role: Option<ContainerRole>,
    /// Process id of its init (PID 1 inside), as the node numbers it.
    pub init_pid: Option<u32>,
    /// Its init's `comm`.
    pub init_comm: Option<String>,
    /// Name of its init's program file; of a script, its interpreter's.
    pub init_exe: Option<String>,
    /// How often it had been started again.
    pub restarts: Option<u32>,
    /// Its preStop hook, if one ran.
    pub pre_stop: Option<PreStopRun>,
    /// Its stop signal.
    pub stop: Option<Stop>,
    /// When its last listener closed.
    pub listeners_closed_ms: Option<f64>,
    /// The SIGKILL sent to its init.
    pub kill: Option<Kill>,
    /// Its init's end.
    pub exit: Option<Exit>,
    /// From stop signal to exit.
    pub stop_to_exit_ms: Option<f64>,
    /// From SIGKILL to exit.
    pub kill_to_exit_ms: Option<f64>,
    /// Its processes.
    pub processes: Processes,
    /// Its connections, without details.
    pub connections: ConnectionCounts,
}

/// A preStop hook that ran.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreStopRun {
    /// What kind.
    pub kind: PreStopKind,
    /// What it is known by.
    pub known_by: HookEvidence,
    /// When it began.
    pub start_ms: Option<f64>,
    /// When it ended.
    pub end_ms: Option<f64>,
    /// Its exit value.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<String>,
}

/// What a preStop hook is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub enum HookEvidence {
    /// A program with the arguments that the pod declares.
    Arguments,
    /// The pod declares it; the kubelet acts outside the pod, so times are worked out from the stop signal, or not known.
    Declaration,
    /// What a runtime ran, or the kubelet asked for, until just before the stop signal; whether the pod declares a hook is not known, or it is an HTTP one. An estimate.
    Timing,
}

/// Kinds of preStop hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "Kubernetes' own names")]
pub enum PreStopKind {
    Exec,
    HttpGet,
    Sleep,
}

/// The stop signal of a container.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stop {
    /// Its name.
    pub signal: String,
    /// When it was sent.
    pub at_ms: f64,
    /// What the kernel did with it.
    pub result: StopResult,
    /// What PID 1 would do with it.
    pub disposition: StopDisposition,
    /// Who sent it.
    pub sender: Sender,
    /// When a handler began to run (or, for a blocked signal, `null`: the kernel does not tell when it is fetched).
    pub delivered_ms: Option<f64>,
    /// When PID 1 got it a second time, without a handler by then, and the kernel discarded it: its handler had raised it again.
    pub discarded_ms: Option<f64>,
}

/// What the kernel did with the stop signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub enum StopResult {
    /// Queued for PID 1.
    Delivered,
    /// Discarded.
    Ignored,
    /// One was already waiting.
    AlreadyPending,
    /// Could not be queued.
    Lost,
    /// Not known.
    Unknown,
}

/// What PID 1 does with the stop signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub enum StopDisposition {
    /// It has a handler.
    Handler,
    /// It has none.
    Default,
    /// It ignores it.
    Ignore,
    /// It blocks it and fetches it with `sigwait` or `signalfd`.
    Blocked,
    /// Not known.
    Unknown,
}

/// A process that sent a signal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sender {
    /// Its process id on the node.
    pub pid: u32,
    /// Its `comm`.
    pub comm: String,
    /// Its parent's `comm`.
    pub parent_comm: String,
}

/// A SIGKILL sent to a container's init.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Kill {
    /// When it was sent.
    pub at_ms: f64,
    /// Why.
    pub cause: KillCause,
    /// Who sent it; `null` when it was the kernel.
    pub sender: Option<Sender>,
}

/// Why SIGKILL was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub enum KillCause {
    /// The grace period ran out.
    GracePeriodExpired,
    /// No time was given at all.
    NoGracePeriod,
    /// The kernel's OOM killer.
    #[serde(rename = "OOM")]
    Oom,
    /// The kubelet or the runtime removed what was left before the grace period was over.
    Cleanup,
    /// Through `cgroup.kill`.
    CgroupKill,
    /// PID 1 had left, and the kernel removes the rest of its PID namespace.
    PidNamespaceTeardown,
    /// A process that is no part of the container runtime.
    External,
    /// Not known.
    Unknown,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Exit {
    /// When.
    pub at_ms: f64,
    /// Its exit value, unless a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<String>,
    /// A core was dumped.
    pub core_dumped: bool,
}

/// The processes of a container during its ending.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Processes {
    /// Alive at the beginning of the ending, or made since.
    pub seen: u32,
    /// Those that were sent the stop signal, by whomever.
    pub signalled: u32,
    /// Of its own (not what a runtime ran beside the main process), those that were there at the stop signal
    /// and were never sent it; the main process left out.
    pub unsignalled: u32,
    /// Those the kernel killed because PID 1 had left.
    pub killed_by_pid_namespace: u32,
    /// Of these, what a runtime had run beside the main process (`kubectl exec`, exec probes).
    pub execs_killed: u32,
    /// What the unsignalled ones are called; for the rules.
    #[serde(skip)]
    pub unsignalled_comms: Vec<String>,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TimelineEntry {
    /// When.
    pub at_ms: f64,
    /// What.
    pub event: TimelineEvent,
    /// In which container.
    pub container: Option<String>,
    /// The process it happened to, as the node numbers it.
    pub pid: Option<u32>,
    /// Its `comm`.
    pub comm: Option<String>,
    /// The signal it is about.
    pub signal: Option<String>,
    /// How many, for the aggregated ones.
    pub count: Option<u64>,
    /// More, for people.
    pub detail: Option<String>,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub enum TimelineEvent {
    /// The preStop hook began.
    PreStopStarted,
    /// The preStop hook ended.
    PreStopEnded,
    /// The stop signal was sent to PID 1.
    StopSignalSent,
    /// The kernel discarded it.
    StopSignalIgnored,
    /// A handler began to run.
    StopSignalHandled,
    /// A process of the pod sent it on to another.
    SignalForwarded,
    /// A listener closed.
    ListenerClosed,
    /// Connections were accepted (aggregated).
    ConnectionsAccepted,
    /// Connections were refused (aggregated).
    ConnectionsRefused,
    /// Connections ended in an orderly way (aggregated).
    ConnectionsClosed,
    /// Connections were dropped (aggregated).
    ConnectionsDropped,
    /// The OOM killer chose a process.
    #[serde(rename = "OOMVictim")]
    OomVictim,
    /// SIGKILL was sent to PID 1.
    KillSent,
    /// A process of the container, not its PID 1, has ended.
    ProcessExited,
    /// PID 1 has ended.
    ContainerExited,
    /// The container was started again.
    ContainerRestarted,
    /// The sandbox has ended.
    SandboxExited,
    /// Records were lost.
    EventsLost,
}

/// Something that was not graceful.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Finding {
    /// The rule's id, as `gracetrace rules` lists it.
    pub rule: String,
    /// How bad.
    pub severity: Severity,
    /// In which container.
    pub container: Option<String>,
    /// What was found, in one line, with the real numbers.
    pub summary: String,
    /// Indexes into the timeline.
    pub evidence: Vec<usize>,
    /// What to change.
    pub advice: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "the words say it")]
pub enum Severity {
    Info,
    Warning,
    Error,
}

/// Whether anything was missed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Completeness {
    /// Nothing was missed.
    pub complete: bool,
    /// Records the kernel side had to drop while this pod was ending: its own beyond its share of the ring buffer, and those that may be anybody's.
    pub events_lost: u64,
    /// The ending was seen from its beginning.
    pub start_seen: bool,
    /// What is missing, and why.
    pub reasons: Vec<String>,
}
