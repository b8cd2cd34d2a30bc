//! `connections-dropped`: established connections were cut by a kill.

use super::{Fired, Rule, apps, count, evidence};
use crate::report::{Report, Severity, TimelineEvent};

pub(super) const RULE: Rule = Rule {
    id: "connections-dropped",
    severity: Severity::Error,
    fires: "Established connections were cut because a signal ended the process that held them.",
    means: "The kernel closed them for a process that no longer could. The clients see a reset or an early \
            end; with work in flight a request was lost, and not every client may send it again. What counts \
            as work in flight is partly an estimate: see `work` in docs/report.md.",
    advice: "On the stop signal stop accepting, finish what is in flight, close idle keep-alive connections, \
             and exit before the grace period ends. Most servers can: `Server.Shutdown` in Go, \
             `server.close()` and `closeIdleConnections()` in Node.js, `server.shutdown=graceful` in Spring \
             Boot, `--timeout-graceful-shutdown` of uvicorn, `--graceful-timeout` of gunicorn. What has no \
             end of its own (WebSockets, streams) must be told to go elsewhere.",
    check,
};

fn check(report: &Report) -> Vec<Fired> {
    let mut fired = Vec::new();
    for container in apps(report) {
        let connections = &container.connections;
        if connections.dropped_by_kill == 0 {
            continue;
        }
        let ended_by = connections.dropped_by.as_deref().unwrap_or("fatal signals");
        let work = match (connections.dropped_in_flight, connections.in_flight_unknown) {
            (0, 0) if connections.dropped_by_kill == 1 => "without work in flight".to_owned(),
            (0, 0) => "none of them with work in flight".to_owned(),
            (0, unknown) => format!("none known to have work in flight ({unknown} not known)"),
            (some, 0) => format!("{some} with work in flight"),
            (some, unknown) => format!("{some} with work in flight ({unknown} not known)"),
        };
        let own = super::own(connections);
        let dropped = count(connections.dropped_by_kill, "connection");
        let summary = format!("{dropped} dropped by {ended_by}, {work}{own}");
        let advice = "On the stop signal stop accepting, finish what is in flight, close idle keep-alive connections, \
                      and exit before the grace period ends"
            .to_owned();
        // those that nobody had accepted were not cut
        let cut = |index: &usize| {
            let entry = &report.timeline[*index];
            entry.event != TimelineEvent::ConnectionsDropped || entry.detail.is_none()
        };
        let evidence = evidence(report, container, &[TimelineEvent::KillSent, TimelineEvent::ConnectionsDropped]);
        let evidence = evidence.into_iter().filter(cut).collect();
        fired.push(Fired { container: container.name.clone(), summary, evidence, advice });
    }
    fired
}
