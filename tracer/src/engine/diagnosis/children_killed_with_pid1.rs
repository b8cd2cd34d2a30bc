//! `children-killed-with-pid1`: PID 1 left by itself, and its living children were cut down with it.

use super::{Fired, Rule, apps, count, evidence, init};
use crate::report::{KillCause, Report, Severity, TimelineEvent};

pub(super) const RULE: Rule = Rule {
    id: "children-killed-with-pid1",
    severity: Severity::Warning,
    fires: "The main process left by itself while processes it had started were still running.",
    means: "When PID 1 of a container leaves, the kernel kills every other process in it at once, as with \
            SIGKILL. Workers that were still serving were cut off, whatever the exit status says.",
    advice: "Let the main process stop its children and wait for each of them before it leaves. In a shell:\n\n\
             \x20   trap 'kill $(jobs -p)' TERM\n\
             \x20   worker & worker &\n\
             \x20   wait; wait\n\n\
             If children of children remain, run everything under an init that signals all of them: `tini -g \
             --`.",
    check,
};

fn check(report: &Report) -> Vec<Fired> {
    let mut fired = Vec::new();
    for container in apps(report) {
        let processes = &container.processes;
        let children = processes.killed_by_pid_namespace.saturating_sub(processes.execs_killed);
        // a PID 1 that was killed itself takes its children with it, and that is the kill's doing
        let killed = container.kill.as_ref().is_some_and(|kill| kill.cause != KillCause::PidNamespaceTeardown);
        let by_itself = container.exit.as_ref().is_some_and(|exit| exit.code.is_some()) && !killed;
        if children == 0 || !by_itself {
            continue;
        }
        let dropped = match container.connections.dropped_with_pid1 {
            0 => String::new(),
            some => format!(", with {}", count(some, "connection")),
        };
        let noun = if children == 1 { "1 child" } else { "children" };
        let number = if children == 1 { noun.to_owned() } else { format!("{children} {noun}") };
        let summary = format!(
            "{} left while {number} still ran: the kernel killed what was left{dropped}",
            init(report, container)
        );
        let advice = "Let the main process stop its children and wait for them before it leaves".to_owned();
        let evidence = evidence(report, container, &[TimelineEvent::ContainerExited, TimelineEvent::ProcessExited]);
        fired.push(Fired { container: container.name.clone(), summary, evidence, advice });
    }
    fired
}
