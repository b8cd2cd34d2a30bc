//! One pod as the engine knows it: takes the kernel's events, and knows when the pod has ended.
//!
//! Collects; the conclusions are drawn in `verdict`, the report is put together in `assemble`.

use super::close::{AfterClose, Change};
use super::connections::{Caller, Connections, Effect};
use super::container::{Container, Sent};
use super::containers::Containers;
use super::exits::Exits;
use super::facts::Facts;
use super::runtime_names::is_kubelet;
use super::signals;
use crate::input::{
    Argv, BootNs, CgroupId, ContainerRole, KubeletCall, PreStop, Session, Sockets, TcpState, WaitStatus, What,
};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Late closes may come this long after the end.
pub(super) const SETTLE_MS: u64 = 50;
/// So long the report waits for what was written to get through, or not.
pub(super) const DRAIN_MS: u64 = 1_000;
/// How long a container may outlive the sandbox before the report no longer waits for it.
const STRAGGLER_MS: u64 = 2_000;
/// Closes of listeners remembered until the look at the pod's sockets has come.
const KEPT_LISTENER_CLOSES: usize = 256;

/// A pod. In the order as written: what each connection that comes and goes asks for is first, close together in memory.
#[derive(Clone, Debug)]
#[repr(C)]
pub(super) struct Pod {
    /// The end of a container has begun, and is not told yet.
    pub(super) ends: bool,
    pub containers: Containers,
    pub connections: Connections,
    pub cgroup: CgroupId,
    /// Its uid; none for a command of `gracetrace run`.
    pub uid: Option<String>,
    pub qos_class: Option<&'static str>,
    /// How its processes ended.
    exits: Exits,
    /// Listeners that closed: when, whose, where.
    listener_closes: VecDeque<(BootNs, CgroupId, SocketAddr)>,
    /// `gracetrace run` asked for the stop.
    pub stop_requested: Option<(BootNs, String)>,
    /// What the kubelet had last to do with it before its stop signal.
    pub kubelet_call: Option<KubeletCall>,
    /// Its own cgroup is gone.
    removed: Option<BootNs>,
    /// Containers that had a report of their own.
    pub reported: Vec<CgroupId>,
    /// Tracing ended before its report was due.
    pub cut: Option<Cut>,
}

/// The end of tracing, as one pod met it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub at: BootNs,
    /// The pod was ending, and not containers of it alone, as far as could be told.
    pub is_whole: bool,
}

/// An event about one container of the pod.
pub(super) struct Context<'a> {
    pub at: BootNs,
    pub container: CgroupId,
    /// Who caused it is a process of a container, of whichever pod.
    pub from_container: bool,
    pub session: &'a Session,
    pub facts: &'a Facts,
}

impl Pod {
    pub(super) fn new(cgroup: CgroupId) -> Self {
        Self {
            cgroup,
            uid: None,
            qos_class: None,
            containers: Containers::default(),
            connections: Connections::default(),
            exits: Exits::default(),
            listener_closes: VecDeque::new(),
            stop_requested: None,
            kubelet_call: None,
            removed: None,
            reported: Vec::new(),
            cut: None,
            ends: false,
        }
    }

    /// Takes what happened to one of its processes; whether it may change when a report is due.
    pub(super) fn process_event(&mut self, context: &Context<'_>, what: &What, sender_in_pod: bool) -> bool {
        let Some(container) = self.containers.get_mut(context.container) else {
            return false;
        };
        let before = (container.ending, container.exit);
        match what {
            What::SignalGenerated { target, sender, signal, code, group, result, disposition } => {
                let sent = Sent {
                    at: context.at,
                    signal: *signal,
                    code: *code,
                    result: *result,
                    disposition: *disposition,
                    sender,
                    by_dying_init: signals::is_teardown(*code, sender),
                    from_container: context.from_container,
                };
                signals::signalled(container, context, target, &sent, *group, sender_in_pod);
            }
            What::SignalDelivered { process, signal, handled } => {
                let is_stop = container.stop.as_ref().is_some_and(|stop| stop.signal == *signal);
                if is_stop && container.is_init(process) {
                    let first = if *handled { &mut container.delivered } else { &mut container.raised_again };
                    first.get_or_insert(context.at);
                }
            }
            What::ProcessForked { child } => container.forked(child),
            What::ProcessExecuted { process, argv, parent: _, netns: _ } => {
                let outside = !sender_in_pod;
                container.executed(context.at, process, outside, argv.as_ref());
                if outside
                    && argv.as_ref().is_some_and(|argv| is_pre_stop(context.facts, container, argv, &process.comm))
                {
                    container.begin(context.at);
                }
            }
            What::ProcessExited { process, status, netns: _ } => {
                self.exits.insert(process.tgid, *status, self.ends);
                if container.is_init(process) {
                    container.begin(context.at);
                }
                container.exited(context.at, process, *status);
            }
            What::OomVictim { process } => container.oom_victims.push((context.at, process.clone())),
            What::SocketState { .. }
            | What::SocketAfterClose { .. }
            | What::SocketReset { .. }
            | What::SocketRefused { .. }
            | What::CgroupMade { .. }
            | What::CgroupEmptied { .. }
            | What::CgroupRemoved { .. } => {}
        }
        let ends = container.ending.is_some() && !self.reported.contains(&container.cgroup);
        // a program tells what a container is
        let may_be_due = matches!(what, What::ProcessExecuted { .. }) || (container.ending, container.exit) != before;
        if ends && !self.ends {
            self.ends = true;
            // what opened and closed before is no part of this end
            self.connections.forget();
        }
        may_be_due
    }

    /// Takes a change of one of its sockets; `container` is the one whose cgroup the socket has. `caller_in_pod`: who
    /// was running belongs to the pod.
    pub(super) fn socket_event(&mut self, at: BootNs, container: Option<CgroupId>, what: &What, caller_in_pod: bool) {
        match what {
            What::SocketState { socket, current, old, new } => {
                let change = Change { socket, current, old: *old, new: *new };
                let effect = self.connections.state(at, container, &change);
                match (effect, container) {
                    (Effect::None, _) | (_, None) => {}
                    (Effect::ListenerOpened, Some(id)) => self.listener_opened(id),
                    (Effect::ListenerClosed, Some(id)) => self.listener_closed(at, id, socket.local),
                }
                // connections that end while nothing is being stopped are nobody's loss
                if !self.ends {
                    self.connections.forget();
                }
            }
            What::SocketAfterClose { address, unacked, error, old, new, .. } => {
                let (address, unacked, error) = (*address, *unacked, *error);
                self.connections.followed(&AfterClose { address, unacked, error, old: *old, new: *new });
            }
            What::SocketReset { address, ends, .. } => self.connections.reset(*address, *ends),
            What::SocketRefused { current, .. } => {
                let by = match (caller_in_pod, is_kubelet(&current.comm)) {
                    (true, _) => Caller::Own,
                    (false, true) => Caller::Kubelet,
                    (false, false) => Caller::Client,
                };
                self.connections.refused(at, container, by);
            }
            What::SignalGenerated { .. }
            | What::SignalDelivered { .. }
            | What::ProcessForked { .. }
            | What::ProcessExecuted { .. }
            | What::ProcessExited { .. }
            | What::OomVictim { .. }
            | What::CgroupMade { .. }
            | What::CgroupEmptied { .. }
            | What::CgroupRemoved { .. } => {}
        }
    }

    /// Takes a part of what its sockets were right after the stop signal. `place` tells the container of a cgroup.
    pub(super) fn sockets(&mut self, sockets: &Sockets, place: impl Fn(CgroupId) -> Option<CgroupId>) {
        let told = |container: &&Container| !self.reported.contains(&container.cgroup);
        let stops = self.containers.values().filter(told).filter_map(|container| container.stop.as_ref());
        let stop = stops.map(|stop| stop.at).min();
        let known = self.connections.snapshot.as_ref().map(|known| known.taken_at);
        // the first after the stop signal counts; an earlier one was for a signal that meant something else
        let is_later = known.is_some_and(|known| known != sockets.taken_at && stop.is_some_and(|stop| known >= stop));
        if is_later {
            return;
        }
        if known != Some(sockets.taken_at) {
            for container in self.containers.values_mut() {
                container.listeners_open = sockets.problem.is_none().then_some(0);
            }
        }
        self.connections.found(sockets, &place);
        // a listener that closed while the sockets were read is listed and gone
        let mut closed: Vec<(CgroupId, SocketAddr)> = self
            .listener_closes
            .iter()
            .filter(|(at, ..)| *at >= sockets.taken_at)
            .map(|(_, container, local)| (*container, *local))
            .collect();
        for listener in sockets.found.iter().filter(|socket| socket.state == TcpState::Listen) {
            let Some(id) = listener.cgroup.and_then(&place) else { continue };
            if let Some(index) = closed.iter().position(|gone| *gone == (id, listener.local)) {
                closed.swap_remove(index);
            } else if let Some(container) = self.containers.get_mut(id) {
                add(&mut container.listeners_open, 1);
            }
        }
    }

    /// How a process of it ended.
    pub(super) fn exit_of(&self, tgid: u32) -> Option<WaitStatus> {
        self.exits.of(tgid)
    }

    /// A cgroup of it has no process left.
    pub(super) fn emptied(&mut self, at: BootNs, cgroup: CgroupId) {
        if let Some(container) = self.containers.get_mut(cgroup)
            && container.emptied.is_none()
        {
            container.emptied = Some(at);
        }
    }

    /// A cgroup of it was removed.
    pub(super) fn cgroup_removed(&mut self, at: BootNs, cgroup: CgroupId) {
        if cgroup == self.cgroup {
            self.removed = Some(at);
        }
        self.emptied(at, cgroup);
    }

    /// It has gone, and nothing told of it: whatever was not seen to end has ended by now.
    pub(super) fn gone(&mut self, at: BootNs) {
        let own = self.cgroup;
        for container in self.containers.values_mut() {
            container.emptied.get_or_insert(at);
        }
        self.cgroup_removed(at, own);
    }

    /// Whether anything of it has ended; a report is due only then.
    pub(super) fn has_ended_in_part(&self) -> bool {
        self.removed.is_some()
            || self.containers.values().any(|container| container.exit.is_some() || container.emptied.is_some())
    }

    /// When its report is due, once it has ended.
    pub(super) fn report_at(&self, facts: &Facts) -> Option<BootNs> {
        let settle_ms = if self.connections.is_draining() { DRAIN_MS } else { SETTLE_MS };
        if let Some(removed) = self.removed {
            return Some(removed.plus_ms(settle_ms));
        }
        let ended = |container: &Container| container.emptied.or(container.exit.map(|(at, _)| at));
        let is_sandbox = |container: &&Container| self.role(container, facts) == Some(ContainerRole::Sandbox);
        let (sandboxes, others): (Vec<&Container>, Vec<&Container>) = self.containers.values().partition(is_sandbox);
        if others.is_empty() {
            return None;
        }
        let Some(sandbox) = sandboxes.into_iter().max_by_key(|container| container.since) else {
            // no sandbox process: over when nothing runs in any container
            let emptied: Option<Vec<BootNs>> = others.iter().map(|container| container.emptied).collect();
            return emptied?.into_iter().max().map(|last| last.plus_ms(settle_ms));
        };
        let end = sandbox.exit.map(|(at, _)| at).or(sandbox.emptied)?;
        let last: Option<Vec<BootNs>> = others.into_iter().map(ended).collect();
        match last {
            Some(ends) => ends.into_iter().max().map(|last| last.max(end).plus_ms(settle_ms)),
            None => Some(end.plus_ms(STRAGGLER_MS)),
        }
    }

    /// Containers that ended while the pod lives on, and when each is to be reported: after `patience_ms`,
    /// or when one of the same name has been started in its place.
    pub(super) fn ended_alone(&self, facts: &Facts, patience_ms: u64) -> Vec<(BootNs, CgroupId)> {
        let name = |container: &Container| facts.container(container.id.as_deref()?)?.name.as_deref();
        let due = |(container, exit): (&Container, BootNs)| {
            let own = name(container)?;
            let mut after = self.containers.values().filter(|other| other.since > container.since);
            let replaced = after.find(|other| other.init.is_some() && name(other) == Some(own));
            let others_end = self.containers.values().any(|other| other.ending.is_some() && other.exit.is_none());
            let at = match replaced {
                Some(next) => next.since.max(exit.plus_ms(SETTLE_MS)),
                None if others_end => return None,
                None => exit.plus_ms(patience_ms),
            };
            Some((at, container.cgroup))
        };
        let open = self.containers.values().filter(|container| !self.reported.contains(&container.cgroup));
        // what it is to the pod is asked only of one that has ended
        let ended = open.filter_map(|container| Some((container, container.exit?.0)));
        let apps = ended.filter(|(container, _)| self.role(container, facts) != Some(ContainerRole::Sandbox));
        apps.filter_map(due).collect()
    }

    /// Whether the end of the whole pod has begun: every container that lived has been asked to stop or has ended.
    pub(super) fn is_ending(&self, facts: &Facts) -> bool {
        let mut apps =
            self.containers.values().filter(|c| self.role(c, facts) != Some(ContainerRole::Sandbox)).peekable();
        apps.peek().is_some() && apps.all(|container| container.ending.is_some())
    }

    /// Whether it is the pod that ends, as far as can be told when tracing does, and not a container that may be started again: all of
    /// it has ended, or something that was asked to end has not, or all that were asked have a moment ago.
    pub(super) fn ends_as_a_whole(&self, facts: &Facts, now: BootNs) -> bool {
        let has_gone = |container: &Container| container.exit.is_some() || container.emptied.is_some();
        let is_on_its_way = |container: &Container| container.ending.is_some() && !has_gone(container);
        if self.report_at(facts).is_some() || self.containers.values().any(is_on_its_way) {
            return true;
        }
        let is_app = |container: &&Container| self.role(container, facts) != Some(ContainerRole::Sandbox);
        let is_open = |container: &&Container| !self.reported.contains(&container.cgroup);
        let mut open = self.containers.values().filter(is_app).filter(is_open).peekable();
        let is_recent = |exit: Option<(BootNs, WaitStatus)>| exit.is_some_and(|(at, _)| at.plus_ms(STRAGGLER_MS) > now);
        open.peek().is_some() && open.all(|container| container.stop.is_some() && is_recent(container.exit))
    }

    /// Whether what happens to a connection that was closed then would be known by now.
    pub(super) fn has_waited_since(&self, closed: BootNs) -> bool {
        self.cut.is_none_or(|cut| closed.plus_ms(DRAIN_MS) <= cut.at)
    }

    /// Until when a report that is about these ends would have waited for what comes late.
    pub(super) fn settled_at(&self, last_exit: BootNs) -> BootNs {
        last_exit.plus_ms(if self.connections.is_draining() { DRAIN_MS } else { SETTLE_MS })
    }

    /// What a container is to the pod, as far as that is known.
    pub(super) fn role(&self, container: &Container, facts: &Facts) -> Option<ContainerRole> {
        if container.cgroup == self.cgroup {
            // a command of `gracetrace run` is all there is
            return Some(ContainerRole::App);
        }
        let id = container.id.as_deref();
        let sandbox = self.uid.as_deref().and_then(|uid| facts.pod(uid)).and_then(|pod| pod.sandbox_id.as_deref());
        if id.is_some() && id == sandbox {
            return Some(ContainerRole::Sandbox);
        }
        let told = id.and_then(|id| facts.container(id)).and_then(|facts| facts.role);
        let paused = container.init.as_ref().is_some_and(|init| init.comm == "pause");
        // kube-system's own pause image is the sandbox of every runtime that has one
        told.or_else(|| (paused && sandbox.is_none()).then_some(ContainerRole::Sandbox))
    }

    fn listener_opened(&mut self, container: CgroupId) {
        if let Some(container) = self.containers.get_mut(container) {
            add(&mut container.listeners_open, 1);
        }
    }

    fn listener_closed(&mut self, at: BootNs, id: CgroupId, local: SocketAddr) {
        if let Some(container) = self.containers.get_mut(id) {
            container.listener_closed = Some(at);
            add(&mut container.listeners_open, -1);
            self.listener_closes.truncate(KEPT_LISTENER_CLOSES - 1);
            self.listener_closes.push_front((at, id, local));
        }
    }
}

/// Counts on from what is known.
fn add(count: &mut Option<i64>, more: i64) {
    *count = count.map(|count| count + more);
}

/// Whether these arguments are the container's preStop hook.
pub(super) fn is_pre_stop(facts: &Facts, container: &Container, argv: &Argv, comm: &str) -> bool {
    let declared = container.id.as_deref().and_then(|id| facts.container(id)).and_then(|facts| facts.pre_stop.as_ref());
    match declared {
        Some(PreStop::Exec { argv: declared }) => argv.runs(declared, comm),
        Some(PreStop::HttpGet { .. } | PreStop::Sleep { .. }) | None => false,
    }
}
