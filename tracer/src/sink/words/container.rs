//! A container's end in words: its name and role, preStop hook, stop signal and what became of it, kill, exit.

use super::{UNKNOWN, duration, moment};
use crate::report::{
    Container, ContainerRole, Exit, HookEvidence, Kill, KillCause, PreStopKind, PreStopRun, Processes, Sender, Stop,
    StopDisposition, StopResult,
};

/// The container's name or, without one, the beginning of its id.
pub(in crate::sink) fn label(container: &Container) -> String {
    match (&container.name, &container.id) {
        (Some(name), _) => name.clone(),
        (None, Some(id)) => id.rsplit('/').next().unwrap_or(id).chars().take(12).collect(),
        (None, None) => UNKNOWN.to_owned(),
    }
}

/// What it is to its pod.
pub(in crate::sink) fn role(role: Option<ContainerRole>) -> &'static str {
    match role {
        Some(ContainerRole::App) => "app container",
        Some(ContainerRole::Sidecar) => "sidecar container",
        Some(ContainerRole::Init) => "init container",
        Some(ContainerRole::Ephemeral) => "ephemeral container",
        Some(ContainerRole::Sandbox) => "sandbox",
        None => "container",
    }
}

/// Its main process.
pub(in crate::sink) fn pid_1(container: &Container) -> String {
    match (&container.init_comm, container.init_pid) {
        (Some(comm), Some(pid)) => format!("{comm}({pid})"),
        (Some(comm), None) => comm.clone(),
        (None, Some(pid)) => format!("process {pid}"),
        (None, None) => UNKNOWN.to_owned(),
    }
}

/// Its preStop hook.
pub(in crate::sink) fn pre_stop(hook: &PreStopRun) -> String {
    let kind = match hook.kind {
        PreStopKind::Exec => "exec hook",
        PreStopKind::HttpGet => "httpGet hook",
        PreStopKind::Sleep => "sleep hook",
    };
    let Some(start) = hook.start_ms else {
        return format!("{kind}, which the kubelet ran from outside: when is not known");
    };
    let took = match hook.end_ms {
        Some(end) => format!("took {}", duration(end - start)),
        None => "was not seen to end".to_owned(),
    };
    let known = match hook.known_by {
        HookEvidence::Arguments => "",
        HookEvidence::Declaration => ", as it is declared",
        HookEvidence::Timing => " (taken for it because the stop signal followed at once)",
    };
    let status = match (&hook.signal, hook.exit_code) {
        (Some(signal), _) => format!(", ended by {signal}"),
        (None, Some(code)) => format!(", exit code {code}"),
        (None, None) => String::new(),
    };
    format!("{kind} began at {}, {took}{status}{known}", moment(start))
}

/// Its stop signal, and what became of it.
pub(in crate::sink) fn stop(stop: &Stop) -> String {
    let result = match stop.result {
        StopResult::Delivered => "delivered",
        StopResult::Ignored => "discarded by the kernel",
        StopResult::AlreadyPending => "one was pending already",
        StopResult::Lost => "lost, it could not be queued",
        StopResult::Unknown => "what the kernel did with it is unknown",
    };
    let disposition = match stop.disposition {
        StopDisposition::Handler => "the main process has a handler for it",
        StopDisposition::Default => "the main process has no handler for it",
        StopDisposition::Ignore => "the main process ignores it",
        StopDisposition::Blocked => "the main process holds it back (to fetch it with sigwait or signalfd)",
        StopDisposition::Unknown => "what the main process does with it is unknown",
    };
    let ran = match stop.delivered_ms {
        Some(at) => format!(", which ran {} later", duration(at - stop.at_ms)),
        None => String::new(),
    };
    let (signal, at, sender) = (&stop.signal, moment(stop.at_ms), sender(&stop.sender));
    format!("{signal} at {at} from {sender}: {result}; {disposition}{ran}")
}

/// Its SIGKILL.
pub(in crate::sink) fn kill(kill: &Kill) -> String {
    let cause = match kill.cause {
        KillCause::GracePeriodExpired => "the grace period was over",
        KillCause::NoGracePeriod => "no grace period was given",
        KillCause::Oom => "the kernel's OOM killer chose it",
        KillCause::Cleanup => "the runtime removed what was left, before the grace period was over",
        KillCause::CgroupKill => "through cgroup.kill",
        KillCause::PidNamespaceTeardown => "PID 1 had left, and the kernel removed the rest",
        KillCause::External => "the sender is no part of the container runtime",
        KillCause::Unknown => "why is unknown",
    };
    let from = kill.sender.as_ref().map_or_else(|| "the kernel".to_owned(), sender);
    format!("SIGKILL at {} from {from}: {cause}", moment(kill.at_ms))
}

/// `runc(52110) ← containerd-shim`.
fn sender(sender: &Sender) -> String {
    let or_unknown = |comm: &str| if comm.is_empty() { UNKNOWN.to_owned() } else { comm.to_owned() };
    format!("{}({}) ← {}", or_unknown(&sender.comm), sender.pid, or_unknown(&sender.parent_comm))
}

/// How it ended, and how long after what.
pub(in crate::sink) fn exit(container: &Container) -> String {
    let Some(exit) = &container.exit else {
        return "not seen".to_owned();
    };
    let after = |ms: Option<f64>, what| ms.map(|ms| format!(", {} after {what}", duration(ms))).unwrap_or_default();
    let (stop, kill) =
        (after(container.stop_to_exit_ms, "the stop signal"), after(container.kill_to_exit_ms, "SIGKILL"));
    format!("{} at {}{stop}{kill}", status(exit), moment(exit.at_ms))
}

fn status(exit: &Exit) -> String {
    let dump = if exit.core_dumped { ", core dumped," } else { "" };
    match (&exit.signal, exit.code) {
        (Some(signal), _) => format!("ended by {signal}{dump}"),
        (None, Some(code)) => format!("exit code {code}{dump}"),
        (None, None) => format!("status unknown{dump}"),
    }
}

/// How it ended, in a few words.
pub(in crate::sink) fn ending(container: &Container) -> String {
    container
        .exit
        .as_ref()
        .map_or_else(|| "end not seen".to_owned(), |exit| status(exit).trim_end_matches(',').to_owned())
}

/// How many processes it had, and what became of them.
pub(in crate::sink) fn processes(container: &Container) -> String {
    let Processes { seen, signalled, unsignalled: _, killed_by_pid_namespace, execs_killed: _, unsignalled_comms: _ } =
        &container.processes;
    if *seen == 0 {
        return "none seen".to_owned();
    }
    let mut parts = vec![format!("{seen} seen")];
    if container.stop.is_some() || *signalled > 0 {
        parts.push(format!("{signalled} got the stop signal"));
    }
    if *killed_by_pid_namespace > 0 {
        parts.push(format!("{killed_by_pid_namespace} killed by the kernel because PID 1 had left"));
    }
    parts.join(", ")
}
