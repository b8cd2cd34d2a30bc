//! What happened, in words.

use super::count;
use super::ending::Tone;
use crate::report::{TimelineEntry, TimelineEvent};

/// What, of which process, and more of it.
pub(in crate::sink) fn sentence(entry: &TimelineEntry) -> String {
    let who = process(entry).map(|process| format!(", {process}")).unwrap_or_default();
    let detail = detail(entry).map(|detail| format!(": {detail}")).unwrap_or_default();
    format!("{}{who}{detail}", what(entry))
}

/// The process it happened to.
pub(in crate::sink) fn process(entry: &TimelineEntry) -> Option<String> {
    match (&entry.comm, entry.pid) {
        (Some(comm), Some(pid)) => Some(format!("{comm}({pid})")),
        (Some(comm), None) => Some(comm.clone()),
        (None, Some(pid)) => Some(format!("process {pid}")),
        (None, None) => None,
    }
}

/// What the detail adds; nothing if it has been said already.
pub(in crate::sink) fn detail(entry: &TimelineEntry) -> Option<&str> {
    let what = what(entry);
    entry.detail.as_deref().filter(|detail| !what.ends_with(detail))
}

/// What happened.
pub(in crate::sink) fn what(entry: &TimelineEntry) -> String {
    let signal = entry.signal.as_deref().unwrap_or("stop signal");
    let ended = entry.signal.as_ref().map(|signal| format!(" by {signal}")).unwrap_or_default();
    let number = |one: &str| entry.count.map_or_else(|| format!("{one}s"), |number| count(number, one));
    match entry.event {
        TimelineEvent::PreStopStarted => "preStop hook began".to_owned(),
        TimelineEvent::PreStopEnded => format!("preStop hook ended{ended}"),
        TimelineEvent::StopSignalSent => format!("{signal} sent"),
        TimelineEvent::StopSignalIgnored => format!("{signal} discarded by the kernel"),
        TimelineEvent::StopSignalHandled => format!("handler of {signal} began to run"),
        TimelineEvent::SignalForwarded => format!("{signal} forwarded inside the container"),
        TimelineEvent::ListenerClosed => "listener closed".to_owned(),
        TimelineEvent::ConnectionsAccepted => format!("{} accepted", number("connection")),
        TimelineEvent::ConnectionsRefused => format!("{} refused", number("connection")),
        TimelineEvent::ConnectionsClosed => format!("{} closed", number("connection")),
        TimelineEvent::ConnectionsDropped => format!("{} dropped", number("connection")),
        TimelineEvent::OomVictim => "chosen by the OOM killer".to_owned(),
        TimelineEvent::KillSent => "SIGKILL sent".to_owned(),
        TimelineEvent::ProcessExited => format!("process ended{ended}"),
        TimelineEvent::ContainerExited => format!("main process ended{ended}"),
        TimelineEvent::ContainerRestarted => "container started again".to_owned(),
        TimelineEvent::SandboxExited => format!("sandbox ended{ended}"),
        TimelineEvent::EventsLost => format!("{} lost", number("record")),
    }
}

/// How bad it is, for those who show it in colour; most of what happens is neither good nor bad.
pub(in crate::sink) fn tone(event: TimelineEvent) -> Option<Tone> {
    match event {
        TimelineEvent::KillSent
        | TimelineEvent::OomVictim
        | TimelineEvent::ConnectionsDropped
        | TimelineEvent::ConnectionsRefused
        | TimelineEvent::StopSignalIgnored => Some(Tone::Bad),
        TimelineEvent::EventsLost => Some(Tone::Warning),
        TimelineEvent::PreStopStarted
        | TimelineEvent::PreStopEnded
        | TimelineEvent::StopSignalSent
        | TimelineEvent::StopSignalHandled
        | TimelineEvent::SignalForwarded
        | TimelineEvent::ListenerClosed
        | TimelineEvent::ConnectionsAccepted
        | TimelineEvent::ConnectionsClosed
        | TimelineEvent::ProcessExited
        | TimelineEvent::ContainerExited
        | TimelineEvent::ContainerRestarted
        | TimelineEvent::SandboxExited => None,
    }
}
