//! `connections-dropped`: established connections were cut by a kill.

use super::{Fired, Rule, apps, count, evidence};
use crate::report::{Report, Severity, TimelineEvent};

pub(super) const RULE: Rule = Rule { id: "connections-dropped", severity: Severity::Error, check };

fn check(report: &Report) -> Vec<Fired> {
    let mut fired = Vec::new();
    for container in apps(report) {
        let connections = &container.connections;
        if connections.dropped_by_kill == 0 {
            continue;
        }
        let ended_by = connections.dropped_by.as_deref().unwrap_or("fatal signals");
        let work = match connections.dropped_in_flight {
            0 => "none of them with work in flight".to_owned(),
            some => format!("{some} with work in flight"),
        };
        let dropped = count(connections.dropped_by_kill, "connection");
        let summary = format!("{dropped} dropped by {ended_by}, {work}");
        let advice = "On the stop signal stop accepting, finish what is in flight, close idle keep-alive connections, \
                      and exit before the grace period ends"
            .to_owned();
        let evidence = evidence(report, container, &[TimelineEvent::KillSent, TimelineEvent::ConnectionsDropped]);
        fired.push(Fired { container: container.name.clone(), summary, evidence, advice });
    }
    fired
}
