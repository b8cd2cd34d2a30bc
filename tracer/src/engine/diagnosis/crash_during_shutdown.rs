//! `crash-during-shutdown`: a fatal signal of its own after the stop signal.

use super::{Fired, Rule, apps, evidence, init, span};
use crate::report::{Report, Severity, TimelineEvent};

pub(super) const RULE: Rule = Rule { id: "crash-during-shutdown", severity: Severity::Error, check };

/// Signals that a process brings upon itself.
const OWN: [&str; 8] = ["SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE", "SIGTRAP", "SIGSYS", "SIGXCPU"];

fn check(report: &Report) -> Vec<Fired> {
    let mut fired = Vec::new();
    for container in apps(report) {
        let (Some(stop), Some(exit)) = (container.stop.as_ref(), container.exit.as_ref()) else {
            continue;
        };
        let Some(signal) = exit.signal.as_deref().filter(|signal| OWN.contains(signal) && *signal != stop.signal)
        else {
            continue;
        };
        let after = span(exit.at_ms - stop.at_ms);
        let core = if exit.core_dumped { " and dumped core" } else { "" };
        let summary = format!("{} died of {signal}{core} {after} after {}", init(report, container), stop.signal);
        let advice = "Look for the bug in the shutdown path: the program crashed while it was stopping".to_owned();
        let evidence = evidence(report, container, &[TimelineEvent::StopSignalSent, TimelineEvent::ContainerExited]);
        fired.push(Fired { container: container.name.clone(), summary, evidence, advice });
    }
    fired
}
