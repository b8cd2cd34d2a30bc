//! The engine: inputs in, reports out. Pure: no IO, no clock, no threads.
//!
//! Contract:
//! - [`Engine::handle`] takes every input in order of time, as far as the kernel can order them; time is
//!   in the inputs and nowhere else. Any input may bring reports that were waiting for time to pass, but for what is learnt or missed
//!   (names, the wall clock, losses): that is handed in when it is known, ahead of what happened before.
//! - [`Engine::poll`] gives finished reports, oldest first, until there are none.
//! - [`Engine::next_deadline`] says at what time an [`Input::Tick`] is wanted, and why.
//!
//! The way of an event: attributed to pod and container here (by `places`), collected in `pod` and `container`,
//! concluded in `verdict` and `work`, put together in `assemble`, judged in `diagnosis`.

pub mod cgroup_path;

mod agenda;
mod assemble;
mod by_name;
mod chunks;
mod close;
mod connections;
mod container;
mod containers;
mod diagnosis;
mod ended;
mod exits;
mod facts;
mod goes_on;
mod hook;
mod last_word;
mod losses;
mod picture;
mod places;
mod pod;
mod processes;
mod runtime_names;
mod signals;
mod tally;
mod timeline;
mod verdict;
mod work;

#[cfg(test)]
mod connection_tests;
#[cfg(test)]
mod finish_tests;
#[cfg(test)]
mod judgement_tests;
#[cfg(test)]
mod loss_tests;
#[cfg(test)]
mod pod_tests;
#[cfg(test)]
mod tests;

use crate::input::{Actor, BootNs, CgroupFound, CgroupId, Event, Input, PodFacts, Session, Sockets, TraceScope, What};
use crate::report::Report;
use crate::signal;
use agenda::{Agenda, Due};
use by_name::ByName;
use container::Container;
pub use diagnosis::{RULES, Rule};
use facts::Facts;
use losses::Losses;
use places::{Place, Places};
use pod::{Context, Cut, Pod};
use std::collections::{BTreeMap, VecDeque};

/// A container that ended while its pod lives on gets its own report after this time, unless it is started again before.
const CONTAINER_REPORT_MS: u64 = 60_000;

/// The state machine of everything traced.
#[derive(Debug)]
pub struct Engine {
    session: Session,
    wall_offset_ns: i64,
    facts: Facts,
    /// In boxes: what is looked through for one of them stays small.
    pods: BTreeMap<CgroupId, Box<Pod>>,
    /// Those whose uid is known, by that.
    by_uid: ByName<Vec<CgroupId>>,
    places: Places,
    agenda: Agenda,
    losses: Losses,
    finished: VecDeque<Report>,
    /// Until when time has passed without anything else, as long as not all that was due by then is polled.
    ticked: Option<BootNs>,
    /// Pods that ended without a name, when only one pod was asked for.
    nameless: u64,
}

impl Engine {
    /// An engine that knows nothing yet.
    pub fn new(session: Session) -> Self {
        let mut engine = Self {
            wall_offset_ns: session.wall_offset_ns,
            facts: Facts::default(),
            pods: BTreeMap::new(),
            by_uid: ByName::default(),
            places: Places::default(),
            agenda: Agenda::default(),
            losses: Losses::default(),
            finished: VecDeque::new(),
            ticked: None,
            nameless: 0,
            session,
        };
        if let TraceScope::Command { cgroup, .. } = engine.session.scope {
            let started = engine.session.started_at;
            engine.place_container(cgroup, cgroup, None, None, started);
            engine.look_again(cgroup);
        }
        engine
    }

    /// Takes one input.
    pub fn handle(&mut self, input: &Input) {
        if let Some(until) = self.ticked.take() {
            self.advance(until);
        }
        match input {
            Input::Event(event) => {
                self.advance(event.at);
                if self.event(event)
                    && let Some(pod) = self.pod_of(event)
                {
                    self.look_again(pod);
                }
            }
            Input::CgroupFound(found) => {
                self.advance(found.at);
                self.found(found);
                self.look_again(found.pod);
            }
            // What is learnt is handed in when it is, and no time passes by it: records from before may yet be on their way.
            Input::Pod(facts) => {
                self.facts.learn_pod(facts.clone(), |uid| self.by_uid.get(uid).is_some());
                self.look_again_at(&facts.uid);
            }
            Input::Container(facts) => {
                self.facts.learn_container(facts.clone(), |uid| self.by_uid.get(uid).is_some());
                self.look_again_at(&facts.pod_uid);
            }
            Input::Sockets(sockets) => {
                self.advance(sockets.at);
                self.sockets(sockets);
                self.look_again(sockets.pod);
            }
            Input::KubeletCall(call) => {
                self.advance(call.at);
                self.pods.get_mut(&call.pod).into_iter().for_each(|pod| pod.kubelet_call = Some(call.clone()));
            }
            Input::PodGone { at, pod } => {
                self.advance(*at);
                self.pods.get_mut(pod).into_iter().for_each(|pod| pod.gone(*at));
                self.look_again(*pod);
            }
            Input::LetBe { at, pod } => {
                self.advance(*at);
                self.pods.get_mut(pod).into_iter().for_each(|pod| pod.let_be());
                self.look_again(*pod);
            }
            Input::StopRequested { at, reason } => {
                self.advance(*at);
                for pod in self.pods.values_mut() {
                    pod.stop_requested.get_or_insert_with(|| (*at, reason.clone()));
                }
            }
            Input::Clock { at: _, wall_offset_ns } => self.wall_offset_ns = *wall_offset_ns,
            // What is noticed now may have been lost before, so it is told in what is due by now as well.
            Input::Lost { at, what, count, pod } => {
                self.losses.lost((*at, what.clone(), *count), *pod, |pod| self.pods.contains_key(&pod));
            }
            Input::PassedOver { at, hook, count } => self.losses.passed_over((*at, hook.clone(), *count)),
            Input::Tick { at } => self.ticked = Some(*at),
            Input::Finish { at } => {
                self.advance(*at);
                self.finish(*at);
            }
        }
    }

    #[cfg(test)]
    fn see(&mut self, sees: crate::input::Sees) {
        self.session.sees = sees;
    }

    /// The pod whose sockets are to be looked at for this event, if it may be a stop signal: somebody outside the
    /// pod sent it to what may be a container's init. An event may be shown here before it is handed in.
    pub fn may_begin_stop(&self, event: &Event) -> Option<CgroupId> {
        let What::SignalGenerated { target, sender, signal, code, .. } = &event.what else { return None };
        let place = event.cgroup.and_then(|id| self.places.get(id))?;
        let outside = self.places.get(sender.cgroup).is_none_or(|of| of.pod != place.pod);
        let asks = *signal != signal::SIGKILL && signals::by_process(*code);
        if !outside || !asks {
            // nearly always, for most are what a pod's processes send each other
            return None;
        }
        let container = self.pods.get(&place.pod)?.containers.get(place.container?)?;
        let to_init = container.init.is_none() || container.is_init(target);
        // a stranger's signal is taken for it only until the one that is meant comes
        let meant = |by: &Actor| runtime_names::is_runtime(by) || by.tgid == self.session.tracer_tgid;
        let is_new = container.stop.as_ref().is_none_or(|stop| !meant(&stop.sender) && meant(sender));
        (to_init && is_new).then_some(place.pod)
    }

    /// Whether an end has begun in this pod, as of now, that is not told yet.
    pub fn is_ending(&self, pod: CgroupId, now: BootNs) -> bool {
        self.pods.get(&pod).is_some_and(|pod| pod.is_watched(now))
    }

    /// A finished report, if there is one. What time alone has finished is put together here, one after the other: of a crowd
    /// that ends together there is never more than one in memory.
    pub fn poll(&mut self) -> Option<Report> {
        loop {
            if let Some(report) = self.finished.pop_front() {
                return Some(report);
            }
            if !self.report_next(self.ticked?) {
                self.ticked = None;
            }
        }
    }

    /// When time itself would change something, and what.
    pub fn next_deadline(&self) -> Option<(BootNs, &'static str)> {
        self.agenda.first().map(|(at, due)| match due {
            Due::Pod(_) => (at, "a pod's report is due"),
            Due::Container(..) => (at, "a container's report is due"),
        })
    }

    /// How many pods ended unreported, as nobody knew their name (when one is traced by name).
    pub fn ended_nameless(&self) -> u64 {
        self.nameless
    }

    /// Takes an event; whether it may change what is due.
    fn event(&mut self, event: &Event) -> bool {
        match &event.what {
            What::CgroupMade { parent, pod, path } => {
                if let Some(id) = event.cgroup {
                    self.place(id, *parent, *pod, path, event.at);
                }
                true
            }
            What::CgroupEmptied { pod } => {
                if let (Some(id), Some(pod)) = (event.cgroup, self.pods.get_mut(pod)) {
                    pod.emptied(event.at, id);
                }
                true
            }
            What::CgroupRemoved { pod } => {
                if let (Some(id), Some(pod)) = (event.cgroup, self.pods.get_mut(pod)) {
                    pod.cgroup_removed(event.at, id);
                }
                true
            }
            What::SocketState { socket, current, .. } => {
                // one that was handed in is its user's
                let owner = if socket.by_current { Some(current.cgroup) } else { event.cgroup };
                self.socket(event, socket.pod, owner)
            }
            // found by its address
            What::SocketAfterClose { pod, .. } => self.socket(event, *pod, None),
            What::SocketReset { pod, .. } | What::SocketRefused { pod, .. } => self.socket(event, *pod, event.cgroup),
            What::SignalGenerated { sender: actor, .. } | What::ProcessExecuted { parent: actor, .. } => {
                self.process(event, Some(actor.cgroup))
            }
            What::ProcessExited { .. }
            | What::OomVictim { .. }
            | What::SignalDelivered { .. }
            | What::ProcessForked { .. } => self.process(event, None),
        }
    }

    /// An event about a process; `actor` is the cgroup of who caused it. Whether it may change what is due.
    fn process(&mut self, event: &Event, actor: Option<CgroupId>) -> bool {
        let Some(place) = event.cgroup.and_then(|id| self.places.get(id)) else {
            return false;
        };
        let of = actor.and_then(|id| self.places.get(id));
        let inside = of.is_some_and(|of| of.pod == place.pod);
        let from_container = of.is_some_and(|of| of.container.is_some());
        let (Some(container), Some(pod)) = (place.container, self.pods.get_mut(&place.pod)) else {
            return false;
        };
        let context = Context { at: event.at, container, from_container, session: &self.session, facts: &self.facts };
        pod.process_event(&context, &event.what, inside)
    }

    fn sockets(&mut self, sockets: &Sockets) {
        let places = &self.places;
        if let Some(pod) = self.pods.get_mut(&sockets.pod) {
            pod.sockets(sockets, |id| places.get(id).and_then(|place| place.container));
        }
    }

    /// An event about a socket. A report waits for connections only as long as something is on its way.
    fn socket(&mut self, event: &Event, pod: CgroupId, owner: Option<CgroupId>) -> bool {
        let caller = if let What::SocketRefused { current, .. } = &event.what { Some(current.cgroup) } else { None };
        let current = caller.and_then(|cgroup| self.places.get(cgroup));
        let caller_in_pod = current.is_some_and(|place| place.pod == pod);
        let Some(pod) = self.pods.get_mut(&pod) else { return false };
        let container = match owner {
            // nearly always it is a container's own, which the pod knows
            Some(own) if pod.containers.are_known_by(own) => Some(own),
            Some(other) => self.places.get(other).and_then(|place| place.container),
            None => None,
        };
        let before = pod.connections.is_draining();
        pod.socket_event(event.at, container, &event.what, caller_in_pod);
        before != pod.connections.is_draining()
    }

    fn found(&mut self, found: &CgroupFound) {
        let CgroupFound { at, id, pod, path, processes } = found;
        if self.places.get(*id).is_none() {
            self.place(*id, *pod, *pod, path, *at);
        }
        let container = self.places.get(*id).and_then(|place| place.container);
        if let (Some(container), Some(pod)) = (container, self.pods.get_mut(pod))
            && let Some(container) = pod.containers.get_mut(container)
        {
            container.found(processes);
        }
    }

    /// Learns where a cgroup belongs.
    fn place(&mut self, id: CgroupId, parent: CgroupId, pod: CgroupId, path: &str, at: BootNs) {
        if self.places.get(id).is_some() {
            return;
        }
        let parsed = cgroup_path::parse(path);
        if let Some(parsed) = &parsed {
            let entry = self.pods.entry(pod).or_insert_with(|| Box::new(Pod::new(pod)));
            if entry.uid.is_none() {
                entry.uid = Some(parsed.uid.clone());
                self.by_uid.get_or_default(&parsed.uid).push(pod);
            }
            entry.qos_class = entry.qos_class.or(parsed.qos_class);
        }
        let depth = path.split('/').filter(|part| !part.is_empty()).count();
        match parsed.and_then(|parsed| parsed.container) {
            Some(own) if own.depth == depth => self.place_container(id, pod, Some(own.id), own.runtime, at),
            Some(own) => {
                // deeper than the container's own cgroup: part of it
                let known = self.pods.get(&pod).and_then(|pod| {
                    pod.containers.values().find(|container| container.id.as_ref() == Some(&own.id)).map(|c| c.cgroup)
                });
                self.places.insert(id, Place { pod, container: known });
            }
            None => {
                let container = self.places.get(parent).and_then(|place| place.container);
                self.places.insert(id, Place { pod, container });
            }
        }
    }

    fn place_container(
        &mut self,
        id: CgroupId,
        pod: CgroupId,
        name: Option<String>,
        runtime: Option<&'static str>,
        at: BootNs,
    ) {
        let mut container = Container::new(id, at);
        container.id = name;
        container.runtime = runtime;
        self.places.insert(id, Place { pod, container: Some(id) });
        self.pods.entry(pod).or_insert_with(|| Box::new(Pod::new(pod))).containers.insert(container);
    }

    fn report_container(&mut self, pod: CgroupId, container: CgroupId) {
        let report = self.pods.get(&pod).and_then(|pod| assemble::report(&self.sources(pod, Some(container))));
        self.finished.extend(report);
        if let Some(pod) = self.pods.get_mut(&pod) {
            pod.reported(container);
        }
    }

    fn report_pod(&mut self, id: CgroupId) {
        let Some(pod) = self.pods.remove(&id) else {
            return;
        };
        if self.wanted(&pod) {
            self.finished.extend(assemble::report(&self.sources(&pod, None)));
        }
        self.losses.forget(id);
        self.places.forget_pod(id);
        if let Some(uid) = &pod.uid {
            self.facts.forget_pod(uid);
            if let Some(pods) = self.by_uid.get_mut(uid) {
                pods.retain(|pod| *pod != id);
                if pods.is_empty() {
                    self.by_uid.remove(uid);
                }
            }
        }
    }

    fn sources<'a>(&'a self, pod: &'a Pod, only: Option<CgroupId>) -> picture::Sources<'a> {
        let Self { session, wall_offset_ns, facts, losses, .. } = self;
        picture::Sources { pod, facts, session, wall_offset_ns: *wall_offset_ns, losses: losses.of(pod.cgroup), only }
    }

    /// Whether this pod was asked for.
    fn wanted(&mut self, pod: &Pod) -> bool {
        let TraceScope::Pod { namespace, name } = &self.session.scope else {
            return true;
        };
        if pod.uid.as_ref() == Some(name) {
            // asked for by its uid
            return true;
        }
        let facts = pod.uid.as_deref().and_then(|uid| self.facts.pod(uid));
        if let Some(PodFacts { name: Some(own), namespace: within, .. }) = facts {
            own == name && (namespace.is_none() || namespace == within)
        } else {
            self.nameless += 1;
            false
        }
    }

    /// Reports every end that has begun, as far as it has come: of the pod, or of a container alone.
    fn finish(&mut self, at: BootNs) {
        let is_command = matches!(self.session.scope, TraceScope::Command { .. });
        let is_node = self.session.scope == TraceScope::Node;
        for id in self.pods.keys().copied().collect::<Vec<_>>() {
            let Some(pod) = self.pods.get_mut(&id) else { continue };
            let is_whole = is_command || pod.ends_as_a_whole(&self.facts, at);
            pod.cut = Some(Cut { at, is_whole });
            // who asked for one pod is told what is known of it: no report is about a container of it alone
            if pod.is_ending(&self.facts) && (is_whole || !is_node) {
                self.report_pod(id);
            } else if is_node {
                let alone = pod.ended_alone(&self.facts, CONTAINER_REPORT_MS);
                for (_, container) in alone {
                    self.report_container(id, container);
                }
            }
            self.look_again(id);
        }
    }
}
