//! `connections-refused`: attempts to connect met a closed port while traffic was still routed here, or were cut
//! before anybody had accepted them.

use super::{Fired, Rule, apps, count, evidence, sleep_for, span};
use crate::report::{Report, Severity, TimelineEvent};

pub(super) const RULE: Rule = Rule {
    id: "connections-refused",
    severity: Severity::Error,
    fires: "Attempts to connect met a closed port after the pod's last listener on it had closed, or connections \
            that waited to be accepted were cut with the listener. The kubelet's own attempts are left out.",
    means: "Traffic was still routed here when nobody listened any more, and the clients got \"connection \
            refused\". Endpoints, kube-proxy and load balancers hear of a stop when the program does, and \
            take seconds longer to act on it; the stop signal does not wait for them.",
    advice: "Keep listening until nobody comes any more. A preStop hook that waits does that without a change \
             to the program; its time must be in the grace period:\n\n\
             \x20   terminationGracePeriodSeconds: 40\n\
             \x20   containers:\n\
             \x20   - lifecycle: {preStop: {sleep: {seconds: 10}}}\n\n\
             The finding says how long the sleep would have had to be. Before Kubernetes 1.30, use `exec: \
             {command: [sleep, \"10\"]}`.",
    check,
};

fn check(report: &Report) -> Vec<Fired> {
    let mut fired = Vec::new();
    for container in apps(report) {
        let counts = &container.connections;
        let attempts = counts.refused_after_listener_close.unwrap_or(0).saturating_sub(counts.refused_to_kubelet);
        let backlog = counts.refused_in_backlog;
        let since = container.stop.as_ref().map_or(0.0, |stop| stop.at_ms);
        let last = counts.last_refused_ms.filter(|_| attempts > 0).map(|at| at - since);
        let after = container.stop.as_ref().map_or("the end began", |stop| stop.signal.as_str());
        let summary = match (last, backlog) {
            (None, 0) => continue,
            (Some(last), 0) => {
                format!("{} to connect refused, the last one {} after {after}", count(attempts, "attempt"), span(last))
            }
            (None, waiting) => format!("{} cut that nobody had accepted yet", count(waiting, "connection")),
            (Some(last), waiting) => format!(
                "{} to connect refused, the last one {} after {after}; {} cut that nobody had accepted yet",
                count(attempts, "attempt"),
                span(last),
                count(waiting, "connection")
            ),
        };
        let advice = match last {
            Some(last) => format!(
                "Keep listening until nobody sends traffic here any more: a preStop hook that sleeps {} would have \
                 covered it (and add that to terminationGracePeriodSeconds)",
                sleep_for(report, container, last)
            ),
            None => "Accept and answer what is waiting in the backlog before closing the listener; a preStop hook that sleeps \
                     lets the last clients come and be served"
                .to_owned(),
        };
        let events =
            [TimelineEvent::ListenerClosed, TimelineEvent::ConnectionsRefused, TimelineEvent::ConnectionsDropped];
        let of_this_rule = |index: &usize| {
            let entry = &report.timeline[*index];
            entry.event != TimelineEvent::ConnectionsDropped || entry.detail.is_some()
        };
        let evidence = evidence(report, container, &events).into_iter().filter(of_this_rule).collect();
        fired.push(Fired { container: container.name.clone(), summary, evidence, advice });
    }
    fired
}
