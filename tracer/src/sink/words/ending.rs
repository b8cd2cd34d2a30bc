//! How it ended, in words: who, what the outcome means, what set it off, how long it took.

use super::{UNKNOWN, chosen, container, duration};
use crate::report::{GracePeriodSource, MetadataSource, Outcome, Pod, Report, Severity, TriggerKind};

/// What a name or its absence is said of.
pub(in crate::sink) fn what(pod: &Pod) -> &'static str {
    match pod.metadata_source {
        MetadataSource::Command => "command",
        MetadataSource::Kubernetes | MetadataSource::Cri | MetadataSource::Cgroup => "pod",
    }
}

/// `pod shop/web`, `container app of pod shop/web`, `command server`.
pub(in crate::sink) fn who(report: &Report) -> String {
    let what = what(&report.pod);
    match container(report) {
        _ if report.pod.metadata_source == MetadataSource::Command => {
            let program = report.containers.first().and_then(|container| container.name.as_deref());
            format!("{what} {}", program.unwrap_or(UNKNOWN))
        }
        Some(container) => format!("container {container} of {what} {}", super::pod(&report.pod)),
        None => format!("{what} {}", super::pod(&report.pod)),
    }
}

/// How bad an outcome or an event is, for those who show it in colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sink) enum Tone {
    Good,
    Warning,
    Bad,
}

/// How bad it is.
pub(in crate::sink) fn tone(outcome: Outcome) -> Tone {
    match outcome {
        Outcome::Graceful | Outcome::Completed => Tone::Good,
        Outcome::Terminated | Outcome::Failed | Outcome::Unknown => Tone::Warning,
        Outcome::ForceKilled | Outcome::OomKilled | Outcome::Crashed => Tone::Bad,
    }
}

/// What the outcome means; an end in good order is no good end for clients that were cut off.
pub(in crate::sink) fn sentence(report: &Report) -> &'static str {
    let is_marred = report.findings.iter().any(|finding| finding.severity == Severity::Error);
    match report.outcome {
        Outcome::Graceful if is_marred => {
            "It ended by itself after the stop signal, within its grace period, but not without loss: see the findings."
        }
        Outcome::Graceful => "It ended by itself after the stop signal, within its grace period.",
        Outcome::Terminated => "The stop signal itself ended it: nothing could be drained or cleaned up.",
        Outcome::Failed => "It ended by itself after the stop signal, but with a status that means failure.",
        Outcome::ForceKilled => "It did not end by itself: SIGKILL ended it.",
        Outcome::OomKilled => "It ran out of memory: the kernel's OOM killer ended it.",
        Outcome::Crashed => "It ended on its own with a failure; no stop signal came before.",
        Outcome::Completed => "It came to its own end with status 0; no stop signal came before.",
        Outcome::Unknown => "How it ended is not known: not enough was seen.",
    }
}

/// What set it off, and how that is known.
pub(in crate::sink) fn trigger(report: &Report) -> String {
    let kind = match report.trigger.kind {
        TriggerKind::Deletion => "the pod was deleted",
        TriggerKind::Eviction => "the pod was evicted",
        TriggerKind::Preemption => "preempted by a pod of higher priority",
        TriggerKind::NodeShutdown => "the node is shutting down",
        TriggerKind::LivenessProbe => "a liveness probe failed",
        TriggerKind::StartupProbe => "a startup probe failed",
        TriggerKind::Oom => "out of memory",
        TriggerKind::ContainerExit => "a container ended by itself",
        // `gracetrace run` plays the kubelet: it says itself what made it stop the command
        TriggerKind::External if report.pod.metadata_source == MetadataSource::Command => "outside",
        TriggerKind::External => "somebody outside Kubernetes and its runtime",
        TriggerKind::Unknown => UNKNOWN,
    };
    match &report.trigger.evidence {
        Some(evidence) if kind == "outside" => evidence.clone(),
        Some(evidence) => format!("{kind} ({evidence})"),
        None => kind.to_owned(),
    }
}

/// How long it took, of how much time.
pub(in crate::sink) fn stopping(report: &Report) -> String {
    let took = match report.stop_to_exit_ms {
        Some(ms) => format!("{} from the stop signal to the last exit", duration(ms)),
        None if report.containers.iter().all(|container| container.stop.is_none()) => {
            "no stop signal was seen".to_owned()
        }
        None => "time from the stop signal to the last exit not known".to_owned(),
    };
    let Some(seconds) = report.pod.termination_grace_period_seconds else {
        return format!("{took}; grace period not known");
    };
    let grace = chosen(seconds * 1e3);
    let source = grace_source(&report.pod);
    match report.grace_period_used_ratio {
        Some(ratio) if ratio.is_finite() => {
            format!("{took}; {:.1} % of the grace period of {grace}{source} used", ratio * 100.0)
        }
        _ => format!("{took}; grace period {grace}{source}"),
    }
}

/// Where the grace period comes from, if that needs to be said.
pub(in crate::sink) fn grace_source(pod: &Pod) -> &'static str {
    match pod.grace_period_source {
        Some(GracePeriodSource::Pod | GracePeriodSource::Annotations) => "",
        Some(GracePeriodSource::Flag) => " (as --grace-period says)",
        Some(GracePeriodSource::Inferred) => " (inferred from stop signal and kill)",
        None => " (from an unknown source)",
    }
}

/// Where the pod was, and what made it.
pub(in crate::sink) fn about(pod: &Pod) -> String {
    let mut parts = Vec::new();
    if let Some(workload) = &pod.workload {
        parts.push(format!("of {} {}", workload.kind, workload.name));
    }
    if let Some(node) = &pod.node {
        parts.push(format!("on node {node}"));
    }
    if let Some(class) = &pod.qos_class {
        parts.push(class.clone());
    }
    if pod.host_network == Some(true) {
        parts.push("on the node's network".to_owned());
    }
    if pod.name.is_none() && pod.metadata_source == MetadataSource::Cgroup {
        parts.push("its name is not known: no container runtime could be asked".to_owned());
    }
    parts.join(", ")
}
