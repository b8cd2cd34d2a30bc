//! The timeline of a report: facts of containers and connections, in order, floods drawn together.

use super::connections::Caller;
use super::container::Container;
use super::ended::Opened;
use super::hook;
use super::picture::Picture;
use super::signals::by_process;
use super::verdict;
use crate::input::{BootNs, SignalResult, WaitStatus};
use crate::report::{ConnectionEnd, PreStopKind, TimelineEntry, TimelineEvent};
use crate::signal;

/// Connection events closer together than this become one entry with a count.
const SPAN_MS: f64 = 100.0;
/// Ends of processes other than PID 1 told one by one.
const MAX_EXITS: usize = 32;

/// An entry with its time on the boot clock.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    at: BootNs,
    event: TimelineEvent,
    container: Option<String>,
    pid: Option<u32>,
    comm: Option<String>,
    signal: Option<String>,
    count: Option<u64>,
    detail: Option<String>,
}

impl Entry {
    fn new(at: BootNs, event: TimelineEvent, container: Option<String>) -> Self {
        Self { at, event, container, pid: None, comm: None, signal: None, count: None, detail: None }
    }

    fn process(mut self, pid: u32, comm: &str) -> Self {
        self.pid = Some(pid);
        self.comm = Some(comm.to_owned());
        self
    }

    fn signal(mut self, number: i32) -> Self {
        self.signal = Some(signal::name(number));
        self
    }

    fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// How it ended: the signal that did it in its own field too.
    fn ended(mut self, status: WaitStatus) -> Self {
        self.signal = status.signal().map(signal::name);
        self.detail(status_text(status))
    }

    fn count(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }
}

/// Every entry of the report, in order of time.
pub(super) fn entries(picture: &Picture<'_>) -> Vec<TimelineEntry> {
    let mut entries = Vec::new();
    for container in &picture.containers {
        let name = picture.name(container);
        pre_stop(&mut entries, picture, container, name.as_ref());
        signals(&mut entries, container, name.as_ref());
        ends(&mut entries, picture, container, name.as_ref());
    }
    connections(&mut entries, picture);
    if let Some((at, init)) = picture.sandbox_exit() {
        entries.push(Entry::new(at, TimelineEvent::SandboxExited, None).process(init.0, &init.1));
    }
    for ((at, what, count), is_own) in picture.losses.records() {
        let entry = Entry::new(*at, TimelineEvent::EventsLost, None).count(*count);
        entries.push(entry.detail(format!("{what} records{}", if is_own { " of this pod" } else { "" })));
    }
    entries.sort_by_key(|entry| entry.at);
    entries.into_iter().map(|entry| told(entry, picture)).collect()
}

fn told(entry: Entry, picture: &Picture<'_>) -> TimelineEntry {
    let Entry { at, event, container, pid, comm, signal, count, detail } = entry;
    TimelineEntry { at_ms: picture.ms(at), event, container, pid, comm, signal, count, detail }
}

fn pre_stop(entries: &mut Vec<Entry>, picture: &Picture<'_>, container: &Container, name: Option<&String>) {
    let Some(hook) = hook::of(container, picture.facts, picture.pod.kubelet_call.as_ref()) else { return };
    let told = |at, event| match (&hook.process, hook.kind) {
        (Some((pid, comm)), _) => Entry::new(at, event, name.cloned()).process(*pid, comm),
        (None, PreStopKind::Sleep) => Entry::new(at, event, name.cloned()).detail("as the sleep hook declares it"),
        (None, PreStopKind::Exec | PreStopKind::HttpGet) => Entry::new(at, event, name.cloned()),
    };
    entries.extend(hook.start.map(|at| told(at, TimelineEvent::PreStopStarted)));
    if let Some(end) = hook.end {
        let entry = told(end, TimelineEvent::PreStopEnded);
        entries.push(match hook.status {
            Some(status) => entry.ended(status),
            None => entry,
        });
    }
}

fn signals(entries: &mut Vec<Entry>, container: &Container, name: Option<&String>) {
    let init = container.init.as_ref();
    let (pid, comm) = init.map_or((0, ""), |init| (init.tgid, init.comm.as_str()));
    let entry = |at, event| Entry::new(at, event, name.cloned()).process(pid, comm);
    if let Some(stop) = &container.stop {
        let sent = entry(stop.at, TimelineEvent::StopSignalSent).signal(stop.signal);
        entries.push(sent.detail(format!("by {} ({})", stop.sender.comm, stop.sender.tgid)));
        if stop.result == SignalResult::Ignored {
            entries.push(entry(stop.at, TimelineEvent::StopSignalIgnored).signal(stop.signal));
        }
        if let Some(at) = container.discarded_again() {
            let again = entry(at, TimelineEvent::StopSignalIgnored).signal(stop.signal);
            entries.push(again.detail("raised again by its own handler, with the default action"));
        }
        if let Some(at) = container.delivered {
            entries.push(entry(at, TimelineEvent::StopSignalHandled).signal(stop.signal));
        }
    }
    for forwarded in &container.forwarded {
        let to = &forwarded.to;
        let told = Entry::new(forwarded.at, TimelineEvent::SignalForwarded, name.cloned()).process(to.tgid, &to.comm);
        let from = &forwarded.from;
        entries.push(told.signal(forwarded.signal).detail(format!("by {} ({})", from.comm, from.tgid)));
    }
    if let Some(kill) = &container.kill {
        let sent = entry(kill.at, TimelineEvent::KillSent).signal(signal::SIGKILL);
        let by = if by_process(kill.code) {
            format!("by {} ({})", kill.sender.comm, kill.sender.tgid)
        } else {
            "by the kernel".to_owned()
        };
        entries.push(sent.detail(by));
    }
}

fn ends(entries: &mut Vec<Entry>, picture: &Picture<'_>, container: &Container, name: Option<&String>) {
    for (at, victim) in verdict::oom_victims(container) {
        let entry = Entry::new(*at, TimelineEvent::OomVictim, name.cloned());
        entries.push(entry.process(victim.tgid, &victim.comm));
    }
    for (at, process, status) in container.exits.iter().take(MAX_EXITS) {
        let entry = Entry::new(*at, TimelineEvent::ProcessExited, name.cloned()).process(process.tgid, &process.comm);
        entries.push(entry.ended(*status));
    }
    if let Some(((at, ..), rest)) = container.exits.get(MAX_EXITS..).and_then(<[_]>::split_first) {
        let count = u64::try_from(rest.len()).unwrap_or(u64::MAX).saturating_add(1);
        let entry = Entry::new(*at, TimelineEvent::ProcessExited, name.cloned()).count(count);
        entries.push(entry.detail("further processes"));
    }
    if let Some(at) = picture.listener_closed(container) {
        entries.push(Entry::new(at, TimelineEvent::ListenerClosed, name.cloned()));
    }
    if let Some((at, status)) = container.exit {
        let (pid, comm) = container.init.as_ref().map_or((0, ""), |init| (init.tgid, init.comm.as_str()));
        let entry = Entry::new(at, TimelineEvent::ContainerExited, name.cloned()).process(pid, comm);
        entries.push(entry.ended(status));
    }
}

fn connections(entries: &mut Vec<Entry>, picture: &Picture<'_>) {
    let mut moments = Vec::new();
    for one in picture.connections.iter().filter(|one| !one.internal) {
        let Some(ended_at) = one.at else { continue };
        let (event, detail) = match one.end {
            ConnectionEnd::ClosedGracefully | ConnectionEnd::ClosedAtExit => (TimelineEvent::ConnectionsClosed, None),
            ConnectionEnd::DroppedByKill => (TimelineEvent::ConnectionsDropped, None),
            ConnectionEnd::RefusedInBacklog => (TimelineEvent::ConnectionsDropped, Some("never accepted")),
            ConnectionEnd::ResetByPeer => (TimelineEvent::ConnectionsClosed, Some("reset by the peer")),
            ConnectionEnd::TimedOut => (TimelineEvent::ConnectionsClosed, Some("the peer answered no more")),
            ConnectionEnd::StillOpen | ConnectionEnd::Unknown => {
                (TimelineEvent::ConnectionsClosed, Some("how is not known"))
            }
        };
        moments.push((ended_at, event, detail, one.container.clone()));
        if let (true, Opened::At(opened)) = (one.accepted_after_stop, one.ended.opened) {
            moments.push((opened, TimelineEvent::ConnectionsAccepted, None, one.container.clone()));
        }
    }
    moments.sort_by_key(|(at, ..)| *at);
    let mut spans: Vec<Entry> = Vec::new();
    for (at, event, detail, container) in moments {
        let open = spans
            .iter_mut()
            .rev()
            .take_while(|span| at.ms_since(span.at) < SPAN_MS)
            .find(|span| span.event == event && span.detail.as_deref() == detail && span.container == container);
        if let Some(span) = open {
            span.count = span.count.map(|count| count + 1);
        } else {
            let entry = Entry { detail: detail.map(str::to_owned), ..Entry::new(at, event, container) };
            spans.push(entry.count(1));
        }
    }
    entries.append(&mut spans);
    for span in picture.pod.connections.refused.iter().filter(|span| span.at >= picture.start && span.by != Caller::Own)
    {
        let owner = span.container.and_then(|id| picture.pod.containers.get(id));
        let name = owner.and_then(|container| picture.name(container));
        entries.push(Entry::new(span.at, TimelineEvent::ConnectionsRefused, name).count(span.count));
    }
}

/// `exited with 0`, `ended by SIGKILL`, `ended by SIGSEGV (core dumped)`.
fn status_text(status: WaitStatus) -> String {
    match (status.code(), status.signal()) {
        (_, Some(number)) if status.core_dumped() => format!("ended by {} (core dumped)", signal::name(number)),
        (_, Some(number)) => format!("ended by {}", signal::name(number)),
        (Some(code), None) => format!("exited with {code}"),
        (None, None) => "ended".to_owned(),
    }
}
