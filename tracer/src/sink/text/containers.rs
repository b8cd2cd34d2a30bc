//! One paragraph a container: preStop hook, stop signal and what became of it, kill, exit, processes.

use super::connections;
use super::page::{Ink, Page};
use crate::report::{
    Container, ContainerRole, Exit, Kill, KillCause, PreStopKind, PreStopRun, Report, Sender, Stop, StopDisposition,
    StopResult,
};
use crate::sink::words::{self, UNKNOWN, moment};

pub(super) fn draw(page: &mut Page, report: &Report) {
    for container in &report.containers {
        page.blank();
        page.hanging(&[(Ink::Plain, "  "), (Ink::Heading, &label(container))], Ink::Plain, &about(container));
        if let Some(hook) = &container.pre_stop {
            page.field("  preStop", &pre_stop(hook));
        }
        page.field("  stop", &container.stop.as_ref().map_or_else(|| "no stop signal was seen".to_owned(), stop));
        if let Some(at) = container.listeners_closed_ms {
            page.field("  listeners", &format!("the last one closed at {}", moment(at)));
        }
        if let Some(killed) = &container.kill {
            page.field("  kill", &kill(killed));
        }
        page.field("  exit", &exit(container));
        page.field("  processes", &processes(container));
        if report.containers.len() > 1 {
            page.field("  sockets", &connections::sentence(&container.connections, std::slice::from_ref(container)));
        }
    }
}

/// The container's name or, without one, the beginning of its id.
pub(super) fn label(container: &Container) -> String {
    match (&container.name, &container.id) {
        (Some(name), _) => name.clone(),
        (None, Some(id)) => id.rsplit('/').next().unwrap_or(id).chars().take(12).collect(),
        (None, None) => UNKNOWN.to_owned(),
    }
}

fn about(container: &Container) -> String {
    let role = match container.role {
        Some(ContainerRole::App) => " app",
        Some(ContainerRole::Sidecar) => " sidecar",
        Some(ContainerRole::Init) => " init container",
        Some(ContainerRole::Ephemeral) => " ephemeral container",
        Some(ContainerRole::Sandbox) => " sandbox",
        None => " container of unknown type",
    };
    let mut text = role.to_owned();
    text += &match (&container.init_comm, container.init_pid) {
        (Some(comm), Some(pid)) => format!(", PID 1 is {comm}({pid})"),
        (Some(comm), None) => format!(", PID 1 is {comm}"),
        (None, Some(pid)) => format!(", PID 1 is process {pid}"),
        (None, None) => ", PID 1 not known".to_owned(),
    };
    if let Some(image) = &container.image {
        text += &format!(", image {image}");
    }
    if let Some(restarts) = container.restarts.filter(|restarts| *restarts > 0) {
        text += &format!(
            ", restarted {} before",
            if restarts == 1 { "once".to_owned() } else { format!("{restarts} times") }
        );
    }
    format!(" {}", text.trim_start())
}

fn pre_stop(hook: &PreStopRun) -> String {
    let kind = match hook.kind {
        PreStopKind::Exec => "exec hook",
        PreStopKind::HttpGet => "httpGet hook",
        PreStopKind::Sleep => "sleep hook",
    };
    let took = match hook.end_ms {
        Some(end) => format!("took {}", words::duration(end - hook.start_ms)),
        None => "was not seen to end".to_owned(),
    };
    let status = match (&hook.signal, hook.exit_code) {
        (Some(signal), _) => format!(", ended by {signal}"),
        (None, Some(code)) => format!(", exit code {code}"),
        (None, None) => String::new(),
    };
    format!("{kind} began at {}, {took}{status}", moment(hook.start_ms))
}

fn stop(stop: &Stop) -> String {
    let result = match stop.result {
        StopResult::Delivered => "delivered",
        StopResult::Ignored => "discarded by the kernel",
        StopResult::AlreadyPending => "one was pending already",
        StopResult::Lost => "lost, it could not be queued",
        StopResult::Unknown => "what the kernel did with it is unknown",
    };
    let disposition = match stop.disposition {
        StopDisposition::Handler => "PID 1 has a handler for it",
        StopDisposition::Default => "PID 1 has no handler for it",
        StopDisposition::Ignore => "PID 1 ignores it",
        StopDisposition::Blocked => "PID 1 blocks it and fetches it (sigwait or signalfd)",
        StopDisposition::Unknown => "what PID 1 does with it is unknown",
    };
    let ran = match stop.delivered_ms {
        Some(at) => format!(", which ran {} later", words::duration(at - stop.at_ms)),
        None => String::new(),
    };
    let (signal, at, sender) = (&stop.signal, moment(stop.at_ms), sender(&stop.sender));
    format!("{signal} at {at} from {sender}: {result}; {disposition}{ran}")
}

fn kill(kill: &Kill) -> String {
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

fn exit(container: &Container) -> String {
    let Some(exit) = &container.exit else {
        return "not seen".to_owned();
    };
    let mut text = format!("{} at {}", status(exit), moment(exit.at_ms));
    if let Some(ms) = container.stop_to_exit_ms {
        text += &format!(", {} after the stop signal", words::duration(ms));
    }
    if let Some(ms) = container.kill_to_exit_ms {
        text += &format!(", {} after SIGKILL", words::duration(ms));
    }
    text
}

fn status(exit: &Exit) -> String {
    let core = if exit.core_dumped { ", core dumped," } else { "" };
    match (&exit.signal, exit.code) {
        (Some(signal), _) => format!("ended by {signal}{core}"),
        (None, Some(code)) => format!("exit code {code}{core}"),
        (None, None) => format!("status unknown{core}"),
    }
}

fn processes(container: &Container) -> String {
    let processes = &container.processes;
    if processes.seen == 0 {
        return "none seen".to_owned();
    }
    let mut text = format!("{} seen, {} got the stop signal", processes.seen, processes.signalled);
    if processes.killed_by_pid_namespace > 0 {
        text += &format!(", {} killed by the kernel because PID 1 had left", processes.killed_by_pid_namespace);
    }
    text
}
