//! What happened, in order, each moment since the start.

use super::page::{Ink, Page, fit, width_of};
use crate::report::{Report, TimelineEntry, TimelineEvent};
use crate::sink::words::{count, moment};

/// How much of a longer timeline is shown: its beginning and its end. The JSON has it all.
const FIRST: usize = 40;
const LAST: usize = 20;
/// Widest name of a container.
const NAME_COLUMNS: usize = 16;

pub(super) fn draw(page: &mut Page, report: &Report) {
    page.heading("Timeline");
    if report.timeline.is_empty() {
        page.line(&[(Ink::Plain, "  nothing was seen")]);
    }
    let several = report.containers.len() > 1;
    let names = report.timeline.iter().filter_map(|entry| entry.container.as_deref()).filter(|_| several);
    let name_columns = names.map(width_of).max().unwrap_or(0).min(NAME_COLUMNS);
    let moment_columns = report.timeline.iter().map(|entry| moment(entry.at_ms).len()).max().unwrap_or(0);
    let total = report.timeline.len();
    let omitted = total.saturating_sub(FIRST + LAST);
    for (index, entry) in report.timeline.iter().enumerate() {
        if omitted > 0 && index == FIRST {
            page.line(&[(Ink::Faint, &format!("  … {omitted} more …"))]);
        }
        if omitted > 0 && (FIRST..FIRST + omitted).contains(&index) {
            continue;
        }
        let at = format!("  {:>moment_columns$}  ", moment(entry.at_ms));
        let name = match &entry.container {
            _ if name_columns == 0 => String::new(),
            Some(name) => fit(name, name_columns) + "  ",
            None => " ".repeat(name_columns + 2),
        };
        page.hanging(&[(Ink::Faint, &at), (Ink::Plain, &name)], ink(entry.event), &sentence(entry));
    }
}

fn ink(event: TimelineEvent) -> Ink {
    match event {
        TimelineEvent::KillSent
        | TimelineEvent::OomVictim
        | TimelineEvent::ConnectionsDropped
        | TimelineEvent::ConnectionsRefused
        | TimelineEvent::StopSignalIgnored => Ink::Bad,
        TimelineEvent::EventsLost => Ink::Warning,
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
        | TimelineEvent::SandboxExited => Ink::Plain,
    }
}

fn sentence(entry: &TimelineEntry) -> String {
    let who = match (&entry.comm, entry.pid) {
        (Some(comm), Some(pid)) => format!(", {comm}({pid})"),
        (Some(comm), None) => format!(", {comm}"),
        (None, Some(pid)) => format!(", process {pid}"),
        (None, None) => String::new(),
    };
    let detail = entry.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
    format!("{}{who}{detail}", what(entry))
}

fn what(entry: &TimelineEntry) -> String {
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
