//! `grace-period-exceeded`: SIGKILL came because the grace period ran out.

use super::{Fired, Rule, apps, evidence, init, known_servers, span};
use crate::report::{Container, KillCause, Report, Severity, Stop, StopResult, TimelineEvent};

pub(super) const RULE: Rule = Rule {
    id: "grace-period-exceeded",
    severity: Severity::Error,
    fires: "SIGKILL came because the grace period ran out.",
    means: "The program had got its stop signal and was still running when the time was over. Either it does \
            not stop at all, or its drain takes longer than it may. What it had not finished is lost.",
    advice: "Bound the drain inside the program, by less than the grace period and what the preStop hook \
             takes of it; then nothing depends on the kill. If the work does take that long, give it more \
             time:\n\n\
             \x20   kubectl patch deployment NAME -p '{\"spec\":{\"template\":{\"spec\":{\"terminationGracePeriodSeconds\":60}}}}'\n\n\
             What it waits for can be tried without Kubernetes, as often as needed:\n\n\
             \x20   gracetrace run --stop-after 5s --grace-period 30s -- ./my-server",
    check,
};

fn check(report: &Report) -> Vec<Fired> {
    let mut fired = Vec::new();
    for container in apps(report) {
        let expired = |kill: &&crate::report::Kill| kill.cause == KillCause::GracePeriodExpired;
        let (Some(kill), Some(stop)) = (container.kill.as_ref().filter(expired), container.stop.as_ref()) else {
            continue;
        };
        let init = init(report, container);
        let after = span(kill.at_ms - stop.at_ms);
        let summary = format!("{init} was still running {after} after {}, and was killed", stop.signal);
        let advice = advice(report, container, stop);
        let evidence = evidence(report, container, &[TimelineEvent::StopSignalSent, TimelineEvent::KillSent]);
        fired.push(Fired { container: container.name.clone(), summary, evidence, advice });
    }
    fired
}

fn advice(report: &Report, container: &Container, stop: &Stop) -> String {
    if stop.result == StopResult::Ignored || stop.discarded_ms.is_some() {
        return format!("More time would not help: the kernel discarded {}, so it never began to stop", stop.signal);
    }
    if let Some(better) = known_servers::better_signal(container) {
        return better;
    }
    let open = container.connections.dropped_by_kill;
    let begun = open > 0 && stop.delivered_ms.is_some();
    let more_time = match report.pod.termination_grace_period_seconds {
        Some(grace) => format!(
            "raise terminationGracePeriodSeconds above {grace} s: how much longer it needed cannot be seen, for it was cut off"
        ),
        None => "raise terminationGracePeriodSeconds".to_owned(),
    };
    if begun && container.connections.dropped_in_flight == open {
        let all = if open == 1 {
            "The connection that was open until the kill had".to_owned()
        } else {
            format!("The {open} connections that were open until the kill all had")
        };
        format!("{all} work in flight. Bound how long it may take after {}, or {more_time}", stop.signal)
    } else if begun {
        format!(
            "{} open until the kill: a program that waits for its clients to leave (Node's server.close(), idle keep-alive \
             connections) never gets done. Close idle connections, and bound the wait for the others",
            if open == 1 { "1 connection was".to_owned() } else { format!("{open} connections were") }
        )
    } else {
        format!("Find what keeps it from leaving, or {more_time}")
    }
}
