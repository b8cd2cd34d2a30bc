//! `requests-in-flight-at-exit`: the process left by itself while requests were unanswered.

use super::{Fired, Rule, apps, count, evidence};
use crate::report::{Report, Severity, TimelineEvent};

pub(super) const RULE: Rule = Rule {
    id: "requests-in-flight-at-exit",
    severity: Severity::Error,
    fires: "The process exited by itself while requests were unanswered.",
    means: "The program heard the stop signal and left too early: it did not wait for its workers, or `main` \
            returned while threads were still serving. The clients see a reset or an empty answer. What \
            counts as a request in flight is partly an estimate: see `work` in docs/report.md.",
    advice: "Do not exit in the signal handler. Let it begin the server's graceful shutdown, and wait for its \
             end before `main` returns; give that wait a bound below the grace period.",
    check,
};

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
