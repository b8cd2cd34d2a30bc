//! `requests-in-flight-at-exit`: the process closed connections or left by itself while requests were unanswered.

use super::{Fired, Rule, apps, count, evidence, known_servers};
use crate::report::{Report, Severity, TimelineEvent};

pub(super) const RULE: Rule = Rule {
    id: "requests-in-flight-at-exit",
    severity: Severity::Error,
    fires: "The process closed connections or exited by itself while requests were unanswered.",
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
        let counts = &container.connections;
        let what = match (counts.exit_in_flight, counts.closed_unanswered) {
            (0, 0) => continue,
            (at_exit, 0) => format!("exited with work in flight on {}", count(at_exit, "connection")),
            (0, before) => format!("closed {} with a request unanswered", count(before, "connection")),
            (at_exit, before) => format!(
                "closed {} with a request unanswered, and exited with work in flight on {at_exit} more",
                count(before, "connection")
            ),
        };
        let summary = format!("the process {what}{}", super::own(counts));
        let advice = known_servers::better_signal(container).unwrap_or_else(|| {
            "Wait for requests in flight before closing their connections and exiting: most servers have a graceful \
             shutdown call that does. (A client that waits by design, as in a blocking pop or a long poll, looks the same)"
                .to_owned()
        });
        let events = [TimelineEvent::ContainerExited, TimelineEvent::ConnectionsClosed];
        let evidence = evidence(report, container, &events);
        fired.push(Fired { container: container.name.clone(), summary, evidence, advice });
    }
    fired
}
