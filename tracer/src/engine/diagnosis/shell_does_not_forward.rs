//! `shell-does-not-forward`: the main process is a shell; it got the stop signal, what it runs never did.

use super::{Fired, Rule, apps, evidence, init};
use crate::report::{Container, Report, Severity, TimelineEntry, TimelineEvent};

pub(super) const RULE: Rule = Rule {
    id: "shell-does-not-forward",
    severity: Severity::Error,
    fires: "The main process is a shell; it got the stop signal, what it runs never did, and somebody had to be killed.",
    means: "A shell waits for the program it has started and passes no signal on. The program goes on as if \
            nothing had happened, until SIGKILL ends both: every stop takes the whole grace period and cuts \
            what is open.",
    advice: "Let the program take the shell's place; make this the last line of the entrypoint:\n\n\
             \x20   exec my-server --port 8080\n\n\
             In a Dockerfile write the list, not the line, which starts a shell: `ENTRYPOINT \
             [\"my-server\"]`. If the shell has work to do afterwards, let it pass the signal on, and wait \
             twice, for the signal ends the first wait:\n\n\
             \x20   my-server & pid=$!\n\
             \x20   trap 'kill -TERM \"$pid\"' TERM\n\
             \x20   wait \"$pid\"; wait \"$pid\"",
    check,
};

/// The files of shells. A script that is PID 1 has its own name, and its interpreter's file.
const SHELLS: [&str; 9] = ["sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "fish", "rbash"];

fn check(report: &Report) -> Vec<Fired> {
    let mut fired = Vec::new();
    for container in apps(report).filter(|container| is_shell(container)) {
        let Some(stop) = &container.stop else { continue };
        if all_ended_by_themselves(report, container) {
            continue;
        }
        // its own forks are the same program, not what it runs
        let own = container.init_comm.as_ref();
        let missed: Vec<&String> =
            container.processes.unsignalled_comms.iter().filter(|comm| Some(*comm) != own).collect();
        let forwarded = evidence(report, container, &[TimelineEvent::SignalForwarded]);
        let Some(first) = missed.first().filter(|_| forwarded.is_empty()) else { continue };
        let others = match missed.len() - 1 {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let signal = &stop.signal;
        let summary =
            format!("{} got {signal} and did not pass it on: {first}{others} never got it", init(report, container));
        let short = signal.strip_prefix("SIG").unwrap_or(signal);
        let advice = format!(
            "Let the program take the shell's place: make `exec {first} …` the last line of the entrypoint, or write the \
             image's ENTRYPOINT as a JSON list. If the shell must stay: `trap 'kill -{short} $pid' {short}; {first} … & \
             pid=$!; wait $pid; wait $pid`"
        );
        let evidence = evidence(
            report,
            container,
            &[TimelineEvent::StopSignalSent, TimelineEvent::StopSignalIgnored, TimelineEvent::ProcessExited],
        );
        fired.push(Fired { container: container.name.clone(), summary, evidence, advice });
    }
    fired
}

/// Nobody was killed: what the shell runs was told to stop in another way, by another signal or a command of its own.
fn all_ended_by_themselves(report: &Report, container: &Container) -> bool {
    let killed = |entry: &TimelineEntry| {
        entry.event == TimelineEvent::ProcessExited
            && entry.container == container.name
            && entry.signal.as_deref() == Some("SIGKILL")
    };
    container.exit.is_some()
        && container.kill.is_none()
        && container.processes.killed_by_pid_namespace == 0
        && !report.timeline.iter().any(killed)
}

/// By the program's file; one file may be many programs (busybox), or not be known: then by its name.
fn is_shell(container: &Container) -> bool {
    let is = |name: &Option<String>| name.as_deref().is_some_and(|name| SHELLS.contains(&name));
    match container.init_exe.as_deref() {
        Some("busybox") | None => is(&container.init_comm),
        Some(_) => is(&container.init_exe),
    }
}
