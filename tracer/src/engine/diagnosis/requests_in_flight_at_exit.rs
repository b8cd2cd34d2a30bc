//! `requests-in-flight-at-exit`: the process left by itself while requests were unanswered.

use super::{Fired, Rule, apps, count, evidence};
use crate::report::{Report, Severity, TimelineEvent};

pub(super) const RULE: Rule = Rule { id: "requests-in-flight-at-exit", severity: Severity::Error, check };

fn check(report: &Report) -> Vec<Fired> {
    let mut fired = Vec::new();
    for container in apps(report) {
        let connections = &container.connections;
        if connections.exit_in_flight == 0 {
            continue;
        }
        let requests = count(connections.exit_in_flight, "connection");
        let summary = format!("the process exited with work in flight on {requests}");
        let advice = "Wait for requests in flight before exiting: most servers have a graceful shutdown call that does"
            .to_owned();
        let events = [TimelineEvent::ContainerExited, TimelineEvent::ConnectionsClosed];
        let evidence = evidence(report, container, &events);
        fired.push(Fired { container: container.name.clone(), summary, evidence, advice });
    }
    fired
}
