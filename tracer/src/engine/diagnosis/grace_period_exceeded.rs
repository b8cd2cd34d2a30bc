//! `grace-period-exceeded`: SIGKILL came because the grace period ran out.

use super::{Fired, Rule, apps, evidence, init, known_servers, span};
use crate::report::{ConnectionCounts, Container, KillCause, Report, Severity, Stop, StopResult, TimelineEvent};

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
    if begun && all_at_work(&container.connections) {
        let all = if open == 1 { "the connection".to_owned() } else { format!("each of the {open} connections") };
        format!(
            "Work seems to have been in flight on {all} that SIGKILL cut. Bound how long it may take after {}, or {more_time}",
            stop.signal
        )
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

/// Whether it can only have waited for work of its clients: nothing else was open that is known of, or may have been.
fn all_at_work(connections: &ConnectionCounts) -> bool {
    let of_others = connections.outbound_in_flight + connections.internal;
    connections.dropped_in_flight == connections.dropped_by_kill
        && connections.dropped_by.as_deref() == Some("SIGKILL")
        && of_others + connections.unknown + connections.still_open == 0
}

#[cfg(test)]
mod tests {
    use crate::engine::tests::{Story, process};
    use crate::input::TcpState::{Established, FinWait1};
    use crate::input::{Disposition, Opener, What};

    /// The advice to a server with a handler that was killed with connections of these addresses; `idle` has answered last,
    /// `own` was opened by itself.
    fn advice(addresses: std::ops::Range<u64>, idle: Option<u64>, own: Option<u64>) -> String {
        let mut story = Story::new();
        story.stop(Disposition::Handler);
        story.what(What::SignalDelivered { process: process(100, 1, "app"), signal: 15, handled: true });
        story.after_ms(30_000).kill().exit(100, 9);
        for address in addresses {
            story.socket(address, Established, FinWait1, |socket, current| {
                current.exiting = true;
                socket.opener = Some(if own == Some(address) { Opener::ThisSide } else { Opener::Peer });
                let Some(counters) = &mut socket.counters else { return };
                if idle == Some(address) || own == Some(address) {
                    (counters.bytes_sent, counters.bytes_acked, counters.since_sent_ms) = (4, 4, Some(5_000));
                    counters.received_minus_sent = -3;
                }
                if own == Some(address) {
                    counters.bytes_received = 0;
                }
            });
        }
        let report = story.report();
        let finding = report.findings.iter().find(|finding| finding.rule == super::RULE.id);
        finding.expect("the finding").advice.clone()
    }

    #[test]
    fn a_drain_that_waits_for_work_is_not_told_of_idle_clients() {
        let one = advice(1..2, None, None);
        assert!(
            one.starts_with("Work seems to have been in flight on the connection that SIGKILL cut. Bound"),
            "{one}"
        );
        let two = advice(1..3, None, None);
        assert!(two.starts_with("Work seems to have been in flight on each of the 2 connections that"), "{two}");
    }

    #[test]
    fn one_of_them_that_was_idle_or_its_own_may_be_what_it_waited_for() {
        for advice in [advice(1..3, Some(2), None), advice(1..3, None, Some(2))] {
            assert!(advice.starts_with("2 connections were open until the kill"), "{advice}");
        }
    }
}
