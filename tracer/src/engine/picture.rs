//! One end of a pod, cut out of its state: which containers, from when on, under which names.

use super::container::Container;
use super::ended::Ended;
use super::facts::Facts;
use super::losses::LossesOf;
use super::pod::Pod;
use super::verdict;
use crate::input::{BootNs, CgroupId, ContainerRole, Sees, Session, TraceScope};
use crate::report::{ClosedBy, ConnectionEnd, Direction, Scope, Work};

/// What a report is made from.
pub(super) struct Sources<'a> {
    pub pod: &'a Pod,
    pub facts: &'a Facts,
    pub session: &'a Session,
    pub wall_offset_ns: i64,
    /// What is missing since tracing began.
    pub losses: LossesOf<'a>,
    /// Only this container, which ended while its pod lives on.
    pub only: Option<CgroupId>,
}

/// One end of a pod, cut out of its state and ready to be told.
pub(super) struct Picture<'a> {
    pub pod: &'a Pod,
    pub facts: &'a Facts,
    pub containers: Vec<&'a Container>,
    /// Filled by `tally`.
    pub connections: Vec<Concluded>,
    /// What is missing since the start.
    pub losses: LossesOf<'a>,
    pub start: BootNs,
    pub session: &'a Session,
    pub wall_offset_ns: i64,
    pub scope: Scope,
}

/// A connection and what is concluded of it.
pub(super) struct Concluded {
    /// When it ended; `None` if it is still open.
    pub at: Option<BootNs>,
    pub end: ConnectionEnd,
    pub closed_by: ClosedBy,
    /// The signal that ended the process whose end closed it.
    pub killed_by: Option<i32>,
    pub container: Option<String>,
    pub opened_after_stop: bool,
    pub accepted_after_stop: bool,
    /// Its other end belongs to the pod as well.
    pub internal: bool,
    pub owner: Option<CgroupId>,
    pub direction: Direction,
    pub work: Work,
    pub ended: Ended,
}

impl<'a> Picture<'a> {
    pub(super) fn of(sources: &Sources<'a>) -> Option<Self> {
        let Sources { pod, facts, session, wall_offset_ns, losses, only } = *sources;
        let containers: Vec<&Container> = match only {
            Some(id) => pod.containers.get(id).into_iter().collect(),
            None => last_of_each_name(pod, facts),
        };
        let scope = if only.is_some() { Scope::Container } else { Scope::Pod };
        let began = |container: &&Container| verdict::began(pod, container, facts);
        let ending = ending(&containers, pod, scope);
        let asked = ending.iter().filter(|c| c.stop.is_some() || c.kill.is_some()).filter_map(began).min();
        let start = asked.or_else(|| ending.iter().filter_map(began).min())?;
        let losses = losses.since(start);
        let connections = Vec::new();
        Some(Self { pod, facts, containers, connections, losses, start, session, wall_offset_ns, scope })
    }

    /// The containers whose end this is.
    pub(super) fn ending(&self) -> Vec<&'a Container> {
        ending(&self.containers, self.pod, self.scope)
    }

    /// What can be counted of this pod's.
    pub(super) fn sees(&self) -> Sees {
        let sees = self.session.sees;
        let host = self.pod.uid.as_deref().and_then(|uid| self.facts.pod(uid)).and_then(|facts| facts.host_network);
        let is_seen = sees.on_host_network || host != Some(true);
        Sees { connections: sees.connections && is_seen, refused: sees.refused && is_seen, ..sees }
    }

    /// Milliseconds since the start, to a microsecond.
    pub(super) fn ms(&self, at: BootNs) -> f64 {
        round(at.ms_since(self.start))
    }

    /// What a container is called: its name, or the first digits of its id, or the program of `gracetrace run`.
    pub(super) fn name(&self, container: &Container) -> Option<String> {
        if let TraceScope::Command { program, .. } = &self.session.scope {
            return Some(program.clone());
        }
        let id = container.id.as_deref()?;
        let named = self.facts.container(id).and_then(|facts| facts.name.clone());
        named.or_else(|| Some(id.chars().take(12).collect()))
    }

    /// When and as which process the sandbox ended.
    pub(super) fn sandbox_exit(&self) -> Option<(BootNs, (u32, String))> {
        let sandboxes = self.pod.containers.values();
        let sandbox = sandboxes.filter(|c| self.pod.role(c, self.facts) == Some(ContainerRole::Sandbox));
        let exits =
            sandbox.filter_map(|c| Some((c.exit?.0, c.init.as_ref().map(|init| (init.tgid, init.comm.to_string()))?)));
        exits.max_by_key(|(at, _)| *at).filter(|_| self.scope == Scope::Pod)
    }

    /// When the container's last listener closed; one that closed before the end began is none of it.
    pub(super) fn listener_closed(&self, container: &Container) -> Option<BootNs> {
        let all_closed = container.listeners_open.is_none_or(|open| open <= 0);
        container.listener_closed.filter(|at| all_closed && *at >= self.start)
    }

    /// The first stop signal of all.
    pub(super) fn stopped_at(&self) -> Option<BootNs> {
        self.ending().iter().filter_map(|container| container.stop.as_ref()).map(|stop| stop.at).min()
    }
}

/// The containers whose end this is: not one that ended alone before, while its pod lived on, and was reported then.
fn ending<'a>(containers: &[&'a Container], pod: &Pod, scope: Scope) -> Vec<&'a Container> {
    let is_told = |container: &&&Container| scope == Scope::Container || !pod.reported.contains(&container.cgroup);
    let ending: Vec<&Container> = containers.iter().filter(is_told).copied().collect();
    if ending.is_empty() { containers.to_vec() } else { ending }
}

/// The containers the pod ended with: of several with one name (restarted ones) the last, the sandbox left out.
fn last_of_each_name<'a>(pod: &'a Pod, facts: &Facts) -> Vec<&'a Container> {
    let mut own: Vec<&Container> =
        pod.containers.values().filter(|c| pod.role(c, facts) != Some(ContainerRole::Sandbox)).collect();
    own.sort_by_key(|container| (container.since, container.cgroup));
    let name = |container: &Container| container.id.as_deref().and_then(|id| facts.container(id)?.name.clone());
    let names: Vec<Option<String>> = own.iter().map(|container| name(container)).collect();
    let replaced = |index: usize| names[index].is_some() && names[index + 1..].contains(&names[index]);
    own.into_iter().enumerate().filter(|(index, _)| !replaced(*index)).map(|(_, container)| container).collect()
}

/// To a microsecond (or a millionth, for ratios): what the clocks are good for.
pub(super) fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
