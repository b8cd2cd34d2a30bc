//! The containers of a pod, in the order of their cgroups: a handful, so they lie in a row.

use super::container::Container;
use crate::input::CgroupId;

/// All of a pod.
#[derive(Clone, Debug, Default)]
pub(super) struct Containers {
    /// By cgroup.
    sorted: Vec<Container>,
    /// Cgroups of the first ones, where the pod itself is in memory; no cgroup has the id 0.
    first: [CgroupId; 4],
}

impl Containers {
    pub(super) fn get(&self, cgroup: CgroupId) -> Option<&Container> {
        self.find(cgroup).ok().map(|index| &self.sorted[index])
    }

    pub(super) fn get_mut(&mut self, cgroup: CgroupId) -> Option<&mut Container> {
        self.find(cgroup).ok().map(|index| &mut self.sorted[index])
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Container> {
        self.sorted.iter()
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Container> {
        self.sorted.iter_mut()
    }

    /// Adds one, in place of the one of the same cgroup.
    pub(super) fn insert(&mut self, container: Container) {
        match self.find(container.cgroup) {
            Ok(index) => self.sorted[index] = container,
            Err(index) => {
                if let Some(free) = self.first.get_mut(self.sorted.len()) {
                    *free = container.cgroup;
                }
                // one at a time: a pod has hardly more than it begins with
                self.sorted.reserve_exact(1);
                self.sorted.insert(index, container);
            }
        }
    }

    /// Whether this is surely the cgroup of one of them; it may be of a further one.
    pub(super) fn are_known_by(&self, cgroup: CgroupId) -> bool {
        cgroup != CgroupId(0) && self.first.contains(&cgroup)
    }

    fn find(&self, cgroup: CgroupId) -> Result<usize, usize> {
        self.sorted.binary_search_by_key(&cgroup, |container| container.cgroup)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::BootNs;

    #[test]
    fn keeps_them_in_the_order_of_their_cgroups() {
        let mut containers = Containers::default();
        for (cgroup, since) in [(7, 1), (3, 2), (9, 3), (3, 4)] {
            containers.insert(Container::new(CgroupId(cgroup), BootNs(since)));
        }
        let all: Vec<(u64, u64)> = containers.values().map(|c| (c.cgroup.0, c.since.0)).collect();
        assert_eq!(all, [(3, 4), (7, 1), (9, 3)]);
        containers.values_mut().for_each(|container| container.adopted = container.cgroup == CgroupId(7));
        assert!(containers.get_mut(CgroupId(7)).is_some_and(|container| container.adopted));
        assert!(containers.get(CgroupId(8)).is_none());
        let known = [0, 3, 7, 8, 9].map(|id| containers.are_known_by(CgroupId(id)));
        assert_eq!(known, [false, true, true, false, true]);
        for further in 10..20 {
            containers.insert(Container::new(CgroupId(further), BootNs(0)));
        }
        assert!(containers.are_known_by(CgroupId(10)) && !containers.are_known_by(CgroupId(11)));
    }
}
