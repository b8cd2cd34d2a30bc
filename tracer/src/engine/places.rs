//! Where each cgroup belongs; found by the cgroup, and forgotten pod by pod, without going through those of others.

use crate::input::CgroupId;
use std::collections::BTreeMap;

/// Where a cgroup belongs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub pod: CgroupId,
    /// The container's own cgroup, if it lies that deep.
    pub container: Option<CgroupId>,
}

/// All that are known.
#[derive(Debug, Default)]
pub(super) struct Places {
    of: BTreeMap<CgroupId, Place>,
    of_pod: BTreeMap<CgroupId, Vec<CgroupId>>,
}

impl Places {
    pub(super) fn get(&self, cgroup: CgroupId) -> Option<Place> {
        self.of.get(&cgroup).copied()
    }

    /// Learns one, or that it belongs elsewhere.
    pub(super) fn insert(&mut self, cgroup: CgroupId, place: Place) {
        self.of.insert(cgroup, place);
        self.of_pod.entry(place.pod).or_default().push(cgroup);
    }

    /// Forgets a pod's.
    pub(super) fn forget_pod(&mut self, pod: CgroupId) {
        for cgroup in self.of_pod.remove(&pod).unwrap_or_default() {
            if self.get(cgroup).is_some_and(|place| place.pod == pod) {
                self.of.remove(&cgroup);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_elsewhere_by_now_stays() {
        let [one, other, cgroup, moved] = [1, 2, 3, 4].map(CgroupId);
        let mut places = Places::default();
        for id in [cgroup, moved] {
            places.insert(id, Place { pod: one, container: None });
        }
        places.insert(moved, Place { pod: other, container: Some(moved) });
        places.forget_pod(one);
        assert!(places.get(cgroup).is_none());
        assert_eq!(places.get(moved).map(|place| place.pod), Some(other));
        places.forget_pod(other);
        assert!(places.of.is_empty() && places.of_pod.is_empty());
    }
}
