//! What was learnt about pods and containers from outside the kernel: the newest word on each. What a name means for a report is `picture`'s
//! to say.

use super::by_name::ByName;
use crate::input::{ContainerFacts, FactSource, PodFacts};

/// Pods, and containers, remembered at most: more than a node has. A name that comes only after its pod was reported stays until it is
/// full, and goes then before any is left out.
const MAX_FACTS: usize = 8_192;

/// Names of pods by uid and of containers by id.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pods: ByName<PodFacts>,
    containers: ByName<ContainerFacts>,
    /// Ids of the latter by the uid of their pod.
    of_pod: ByName<Vec<String>>,
}

impl Facts {
    /// Takes what is known of a pod. `is_there` tells by its uid whether one is traced.
    pub(super) fn learn_pod(&mut self, new: PodFacts, is_there: impl Fn(&str) -> bool) {
        self.make_room(self.pods.len(), is_there);
        let known = self.pods.remove(&new.uid);
        let merged = match known {
            Some(known) if rank(known.source) > rank(new.source) => fill_pod(known, new),
            Some(known) => fill_pod(new, known),
            None => new,
        };
        if self.pods.len() < MAX_FACTS {
            self.pods.insert(merged.uid.clone(), merged);
        }
    }

    /// The same of a container.
    pub(super) fn learn_container(&mut self, new: ContainerFacts, is_there: impl Fn(&str) -> bool) {
        self.make_room(self.containers.len(), is_there);
        let known = self.containers.remove(&new.id);
        let merged = match known {
            Some(known) if rank(known.source) > rank(new.source) => fill_container(known, new),
            Some(known) => fill_container(new, known),
            None => new,
        };
        if self.containers.len() < MAX_FACTS {
            let of_pod = self.of_pod.get_or_default(&merged.pod_uid);
            if !of_pod.contains(&merged.id) {
                of_pod.push(merged.id.clone());
            }
            self.containers.insert(merged.id.clone(), merged);
        }
    }

    /// Those of pods that are gone are not asked for again.
    fn make_room(&mut self, len: usize, is_there: impl Fn(&str) -> bool) {
        if len >= MAX_FACTS {
            self.pods.retain(|uid, _| is_there(uid));
            self.containers.retain(|_, container| is_there(&container.pod_uid));
            self.of_pod.retain(|uid, _| is_there(uid));
        }
    }

    pub(super) fn pod(&self, uid: &str) -> Option<&PodFacts> {
        self.pods.get(uid)
    }

    pub(super) fn container(&self, id: &str) -> Option<&ContainerFacts> {
        self.containers.get(id)
    }

    /// Forgets a pod and its containers, once nothing more can come of them.
    pub(super) fn forget_pod(&mut self, uid: &str) {
        self.pods.remove(uid);
        for id in self.of_pod.remove(uid).unwrap_or_default() {
            if self.containers.get(&id).is_some_and(|container| container.pod_uid == uid) {
                self.containers.remove(&id);
            }
        }
    }
}

/// What `better` does not know is taken from `other`.
fn fill_pod(better: PodFacts, other: PodFacts) -> PodFacts {
    let PodFacts { at, uid, source, namespace, name, labels, sandbox_id, host_network, grace_ms } = better;
    PodFacts {
        at,
        uid,
        source,
        namespace: namespace.or(other.namespace),
        name: name.or(other.name),
        labels: labels.or(other.labels),
        sandbox_id: sandbox_id.or(other.sandbox_id),
        host_network: host_network.or(other.host_network),
        grace_ms: grace_ms.or(other.grace_ms),
    }
}

/// What `better` does not know is taken from `other`.
fn fill_container(better: ContainerFacts, other: ContainerFacts) -> ContainerFacts {
    let ContainerFacts {
        at,
        id,
        runtime,
        pod_uid,
        source,
        name,
        image,
        role,
        grace_ms,
        stop_signal,
        pre_stop,
        restarts,
    } = better;
    ContainerFacts {
        at,
        id,
        runtime: runtime.or(other.runtime),
        pod_uid,
        source,
        name: name.or(other.name),
        image: image.or(other.image),
        role: role.or(other.role),
        grace_ms: grace_ms.or(other.grace_ms),
        stop_signal: stop_signal.or(other.stop_signal),
        pre_stop: pre_stop.or(other.pre_stop),
        restarts: restarts.or(other.restarts),
    }
}

/// Who is believed more.
fn rank(source: FactSource) -> u8 {
    match source {
        FactSource::Kubernetes => 2,
        FactSource::Cri => 1,
        FactSource::Cgroup => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::BootNs;

    fn container(id: &str, pod_uid: &str) -> ContainerFacts {
        ContainerFacts {
            at: BootNs(1),
            id: id.to_owned(),
            runtime: None,
            pod_uid: pod_uid.to_owned(),
            source: FactSource::Cri,
            name: None,
            image: None,
            role: None,
            grace_ms: None,
            stop_signal: None,
            pre_stop: None,
            restarts: None,
        }
    }

    #[test]
    fn a_pods_containers_are_forgotten_with_it_and_no_others() {
        let mut facts = Facts::default();
        for (id, pod) in [("a", "one"), ("b", "one"), ("c", "two"), ("b", "two"), ("a", "one")] {
            facts.learn_container(container(id, pod), |_| true);
        }
        facts.forget_pod("one");
        let known = ["a", "b", "c"].map(|id| facts.container(id).is_some());
        assert_eq!(known, [false, true, true]);
        facts.forget_pod("two");
        assert_eq!((facts.containers.len(), facts.of_pod.len()), (0, 0));
    }

    fn pod(uid: &str) -> PodFacts {
        PodFacts {
            at: BootNs(1),
            uid: uid.to_owned(),
            source: FactSource::Cri,
            namespace: None,
            name: None,
            labels: None,
            sandbox_id: None,
            host_network: None,
            grace_ms: None,
        }
    }

    #[test]
    fn names_of_pods_that_are_gone_go_before_any_is_left_out() {
        let mut facts = Facts::default();
        let is_there = |uid: &str| uid.starts_with("there");
        let learn = |facts: &mut Facts, uid: &str| {
            facts.learn_pod(pod(uid), is_there);
            facts.learn_container(container(&format!("in {uid}"), uid), is_there);
        };
        learn(&mut facts, "there first");
        for late in 1..MAX_FACTS {
            learn(&mut facts, &format!("late {late}"));
        }
        assert_eq!((facts.pods.len(), facts.containers.len(), facts.of_pod.len()), (MAX_FACTS, MAX_FACTS, MAX_FACTS));
        learn(&mut facts, "there last");
        assert_eq!((facts.pods.len(), facts.containers.len(), facts.of_pod.len()), (2, 2, 2));
        let known = ["there first", "there last"].map(|uid| {
            let container = facts.container(&format!("in {uid}"));
            facts.pod(uid).is_some() && container.is_some_and(|container| container.pod_uid == uid)
        });
        assert_eq!(known, [true, true]);
    }

    #[test]
    fn more_pods_than_it_holds_have_no_names() {
        let mut facts = Facts::default();
        for number in 0..MAX_FACTS {
            facts.learn_pod(pod(&number.to_string()), |_| true);
        }
        facts.learn_pod(pod("one more"), |_| true);
        assert!(facts.pod("one more").is_none() && facts.pod("0").is_some());
        // what is known of one that has a place is still learnt
        facts.learn_pod(PodFacts { name: Some("web".to_owned()), ..pod("0") }, |_| true);
        assert_eq!(facts.pod("0").and_then(|pod| pod.name.as_deref()), Some("web"));
    }
}
