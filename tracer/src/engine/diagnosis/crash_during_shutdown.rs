//! `crash-during-shutdown`: a fatal signal of its own after the stop signal.

use super::{Fired, Rule, apps, evidence, init, span};
use crate::report::{Report, Severity, TimelineEvent};

pub(super) const RULE: Rule = Rule {
    id: "crash-during-shutdown",
    severity: Severity::Error,
    fires: "After the stop signal the main process died of a fatal signal of its own, like SIGSEGV or \
            SIGABRT.",
    means: "The way out of the program has a bug: something was used after it had gone, an assertion failed, \
            a runtime gave up. What should have been done after that point was not done.",
    advice: "Stop the program the same way where it can be looked at, and keep the core:\n\n\
             \x20   ulimit -c unlimited\n\
             \x20   gracetrace run --stop-after 5s -- ./my-server\n\
             \x20   coredumpctl debug my-server",
    check,
};

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
