//! What was learnt about pods and containers from outside the kernel: the newest word on each.

use crate::input::{ContainerFacts, FactSource, PodFacts};
use std::collections::BTreeMap;

/// Names of pods by uid and of containers by id.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pods: BTreeMap<String, PodFacts>,
    containers: BTreeMap<String, ContainerFacts>,
}

impl Facts {
    pub(super) fn learn_pod(&mut self, facts: PodFacts) {
        let better = self.pods.get(&facts.uid).is_none_or(|known| rank(facts.source) >= rank(known.source));
        if better {
            self.pods.insert(facts.uid.clone(), facts);
        }
    }

    pub(super) fn learn_container(&mut self, facts: ContainerFacts) {
        let better = self.containers.get(&facts.id).is_none_or(|known| rank(facts.source) >= rank(known.source));
        if better {
            self.containers.insert(facts.id.clone(), facts);
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
        self.containers.retain(|_, container| container.pod_uid != uid);
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
