//! What is due, and when: kept up to date pod by pod, so that an input costs the same however many pods there are.
//!
//! Whoever changes a pod, or what is known about it, calls [`Engine::look_again`] (or [`Engine::look_again_at`]); nothing
//! here looks at a pod by itself.

use super::{CONTAINER_REPORT_MS, Engine, Pod};
use crate::input::{BootNs, CgroupId, Event, TraceScope, What};
use std::collections::{BTreeMap, BTreeSet};

/// What is to be reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// A pod.
    Pod(CgroupId),
    /// A container of a pod that lives on: the pod, the container.
    Container(CgroupId, CgroupId),
}

/// Reports that are due, in the order of their times; at the same time pods before containers.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    order: BTreeSet<(BootNs, Due)>,
    /// The same by pod.
    of_pod: BTreeMap<CgroupId, Vec<(BootNs, Due)>>,
}

impl Agenda {
    pub(super) fn first(&self) -> Option<(BootNs, Due)> {
        self.order.first().copied()
    }

    fn replace(&mut self, pod: CgroupId, dues: Vec<(BootNs, Due)>) {
        let before = self.of_pod.get(&pod).map_or(&[] as &[_], Vec::as_slice);
        if before == dues {
            return;
        }
        for due in before {
            self.order.remove(due);
        }
        self.order.extend(&dues);
        if dues.is_empty() {
            self.of_pod.remove(&pod);
        } else {
            self.of_pod.insert(pod, dues);
        }
    }
}

impl Engine {
    /// The pod may have changed, or may be gone.
    pub(super) fn look_again(&mut self, id: CgroupId) {
        let dues = self.pods.get(&id).map_or_else(Vec::new, |pod| self.dues(pod));
        self.agenda.replace(id, dues);
    }

    /// Something is known anew of the pod of this uid. (Of one that nobody knows, any may be meant.)
    pub(super) fn look_again_at(&mut self, uid: &str) {
        let known = self.by_uid.get(uid).cloned();
        for pod in known.unwrap_or_else(|| self.pods.keys().copied().collect()) {
            self.look_again(pod);
        }
    }

    fn dues(&self, pod: &Pod) -> Vec<(BootNs, Due)> {
        if !pod.has_ended_in_part() {
            return Vec::new();
        }
        let whole = pod.report_at(&self.facts).map(|at| (at, Due::Pod(pod.cgroup)));
        if self.session.scope != TraceScope::Node {
            return whole.into_iter().collect();
        }
        let single = pod.ended_alone(&self.facts, CONTAINER_REPORT_MS);
        let single = single.into_iter().map(|(at, container)| (at, Due::Container(pod.cgroup, container)));
        whole.into_iter().chain(single).collect()
    }

    /// The pod that an event may change.
    pub(super) fn pod_of(&self, event: &Event) -> Option<CgroupId> {
        match &event.what {
            What::CgroupMade { pod, .. }
            | What::CgroupEmptied { pod }
            | What::CgroupRemoved { pod }
            | What::SocketAfterClose { pod, .. }
            | What::SocketReset { pod, .. }
            | What::SocketRefused { pod, .. } => Some(*pod),
            What::SocketState { socket, .. } => Some(socket.pod),
            What::SignalGenerated { .. }
            | What::SignalDelivered { .. }
            | What::ProcessForked { .. }
            | What::ProcessExecuted { .. }
            | What::ProcessExited { .. }
            | What::OomVictim { .. } => event.cgroup.and_then(|id| self.places.get(id)).map(|place| place.pod),
        }
    }

    /// Reports everything that was due before `now`.
    pub(super) fn advance(&mut self, now: BootNs) {
        while self.report_next(now) {}
    }

    /// Reports the first thing that was due before `now`; false if there is none.
    pub(super) fn report_next(&mut self, now: BootNs) -> bool {
        let Some((_, due)) = self.agenda.first().filter(|(at, _)| *at <= now) else { return false };
        let pod = match due {
            Due::Pod(pod) => {
                self.report_pod(pod);
                pod
            }
            Due::Container(pod, container) => {
                self.report_container(pod, container);
                pod
            }
        };
        self.look_again(pod);
        true
    }
}
