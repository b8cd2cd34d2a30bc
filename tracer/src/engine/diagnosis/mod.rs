//! What was not graceful and what to change: one rule a file, each judging the finished facts of a report.
//!
//! A rule sees the report and nothing else, so what it says can be checked against what the user sees.
//! It fires with evidence (indexes into the timeline) and advice with real values, or stays silent.

mod children_killed_with_pid1;
mod connections_dropped;
mod connections_refused;
mod crash_during_shutdown;
mod grace_period_exceeded;
mod incomplete;
mod killed_by_other;
mod known_servers;
mod late_connections;
mod listener_closed_early;
mod no_grace_period;
mod oom_killed;
mod prestop_ate_grace_period;
mod prestop_failed;
mod prestop_overran;
mod requests_in_flight_at_exit;
mod shell_does_not_forward;
mod sidecar_exited_first;
mod slow_exit;
mod stop_signal_ignored;
mod stop_signal_not_sigterm;

use crate::report::{
    ConnectionCounts, Container, ContainerRole, Finding, MetadataSource, Report, Severity, TimelineEvent,
};
use serde::Serialize;

/// A rule: what people are told about it, and how it judges a report.
#[derive(Clone, Debug, Serialize)]
pub struct Rule {
    /// As findings name it; never changes.
    pub id: &'static str,
    /// Of all its findings.
    pub severity: Severity,
    /// When it fires.
    pub fires: &'static str,
    /// What that means to whoever runs the pod.
    pub means: &'static str,
    /// What to change in general: paragraphs of Markdown, code indented by four spaces.
    pub advice: &'static str,
    #[serde(skip)]
    check: fn(&Report) -> Vec<Fired>,
}

/// A rule that fires.
struct Fired {
    container: Option<String>,
    summary: String,
    evidence: Vec<usize>,
    advice: String,
}

/// Every rule, the gravest first.
pub const RULES: [Rule; 20] = [
    oom_killed::RULE,
    shell_does_not_forward::RULE,
    stop_signal_ignored::RULE,
    grace_period_exceeded::RULE,
    prestop_overran::RULE,
    killed_by_other::RULE,
    crash_during_shutdown::RULE,
    connections_dropped::RULE,
    requests_in_flight_at_exit::RULE,
    connections_refused::RULE,
    children_killed_with_pid1::RULE,
    sidecar_exited_first::RULE,
    listener_closed_early::RULE,
    late_connections::RULE,
    prestop_ate_grace_period::RULE,
    prestop_failed::RULE,
    no_grace_period::RULE,
    slow_exit::RULE,
    incomplete::RULE,
    stop_signal_not_sigterm::RULE,
];

/// Every finding, the gravest first.
pub(super) fn findings(report: &Report) -> Vec<Finding> {
    let fired = |rule: &Rule| {
        let Rule { id, severity, fires: _, means: _, advice: _, check } = *rule;
        check(report).into_iter().map(move |fired| {
            let Fired { container, summary, evidence, advice } = fired;
            Finding { rule: id.to_owned(), severity, container, summary, evidence, advice }
        })
    };
    RULES.iter().flat_map(fired).collect()
}

/// The containers that decide how the pod ended.
fn apps(report: &Report) -> impl Iterator<Item = &Container> {
    report.containers.iter().filter(|container| match container.role {
        Some(ContainerRole::App | ContainerRole::Sidecar) | None => true,
        Some(ContainerRole::Init | ContainerRole::Ephemeral | ContainerRole::Sandbox) => false,
    })
}

/// Where in the timeline a container's events of these kinds are.
fn evidence(report: &Report, container: &Container, events: &[TimelineEvent]) -> Vec<usize> {
    let entries = report.timeline.iter().enumerate();
    entries
        .filter(|(_, entry)| events.contains(&entry.event) && entry.container == container.name)
        .map(|(index, _)| index)
        .collect()
}

/// `under 1 ms`, `340 ms`, `3.1 s`.
fn span(ms: f64) -> String {
    match ms {
        _ if ms < 1.0 => "under 1 ms".to_owned(),
        _ if ms < 999.5 => format!("{ms:.0} ms"),
        _ => format!("{:.1} s", ms / 1000.0),
    }
}

/// The preStop sleep, in whole seconds, that would have covered a lag counted from the container's stop signal: what
/// its hook took already comes on top.
fn sleep_for(report: &Report, container: &Container, lag_ms: f64) -> String {
    let hook = container.pre_stop.as_ref().and_then(|hook| Some(hook.end_ms? - hook.start_ms?)).unwrap_or(0.0);
    let seconds = ((lag_ms + hook) / 1000.0).ceil().max(1.0);
    let grace = report.pod.termination_grace_period_seconds;
    let too_long = grace.is_some_and(|grace| seconds >= grace);
    format!("{seconds:.0} s{}", if too_long { ", more than the grace period," } else { "" })
}

/// `; 1 of them its own, to a server`: a proxy's connection to what it stands before is no client's.
fn own(counts: &ConnectionCounts) -> String {
    match counts.outbound_in_flight {
        0 => String::new(),
        own => format!("; {own} of them its own, to a server"),
    }
}

/// `1 connection`, `4 connections`.
fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// The main process by name, as a summary calls it: PID 1 in a container, the command in `gracetrace run`.
fn init(report: &Report, container: &Container) -> String {
    let what = match report.pod.metadata_source {
        MetadataSource::Command => "the command",
        MetadataSource::Kubernetes | MetadataSource::Cri | MetadataSource::Cgroup => "PID 1",
    };
    container.init_comm.as_ref().map_or_else(|| what.to_owned(), |comm| format!("{what} ({comm})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_well_formed() {
        let mut ids: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
        assert!(ids.iter().all(|id| id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')));
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), RULES.len());
    }

    #[test]
    fn numbers_read_like_speech() {
        assert_eq!(span(0.4), "under 1 ms");
        assert_eq!(span(340.2), "340 ms");
        assert_eq!(span(999.9), "1.0 s");
        assert_eq!(count(1, "connection"), "1 connection");
        assert_eq!(count(0, "connection"), "0 connections");
    }
}
