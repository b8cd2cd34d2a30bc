//! `late-connections`: new connections kept arriving after the stop signal.

use super::{Fired, Rule, apps, count, evidence, span};
use crate::report::{Report, Severity, TimelineEvent};

pub(super) const RULE: Rule = Rule {
    id: "late-connections",
    severity: Severity::Warning,
    fires: "Clients still connected 100 ms and more after the stop signal. The kubelet's own connections are \
            left out.",
    means: "The pod was still in use: endpoints, kube-proxy or a load balancer had not acted on the stop yet. \
            It went well as long as the program accepted; a faster exit would have refused them.",
    advice: "Delay the stop signal until nobody comes any more; the finding says how long the sleep would \
             have had to be:\n\n\
             \x20   lifecycle: {preStop: {sleep: {seconds: 10}}}\n\n\
             Clients that go on for minutes hold on to an address that they looked up once: look at their DNS \
             caches and connection pools.",
    check,
};

/// Sooner after the stop signal a connection was on its way already, whoever knew of the stop.
const ON_ITS_WAY_MS: f64 = 100.0;

fn check(report: &Report) -> Vec<Fired> {
    let mut fired = Vec::new();
    for container in apps(report) {
        let (Some(stop), counts) = (&container.stop, &container.connections) else { continue };
        let clients = counts.accepted_after_stop.unwrap_or(0).saturating_sub(counts.accepted_from_kubelet);
        let lag = counts.last_accepted_ms.map(|at| at - stop.at_ms).filter(|lag| *lag >= ON_ITS_WAY_MS);
        let Some(lag) = lag.filter(|_| clients > 0) else { continue };
        let summary = format!(
            "{} accepted after {}, the last one {} later: the pod was still in use",
            count(clients, "connection"),
            stop.signal,
            span(lag)
        );
        let advice = format!(
            "Delay the stop signal until nobody sends traffic here any more: a preStop hook that sleeps {} would have covered \
             it (and add that to terminationGracePeriodSeconds)",
            super::sleep_for(report, container, lag)
        );
        let evidence =
            evidence(report, container, &[TimelineEvent::StopSignalSent, TimelineEvent::ConnectionsAccepted]);
        fired.push(Fired { container: container.name.clone(), summary, evidence, advice });
    }
    fired
}
