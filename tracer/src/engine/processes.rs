//! The processes of a container by tgid. They lie in a row, as the kernel counts upwards: nearly always a new one goes to the end, and
//! beside a thousand other pods that is one place in memory to fetch, where each level of a tree is another. What they mean is `container`'s to say.

use super::container::Tracked;

/// All of a container.
#[derive(Clone, Debug, Default)]
pub(super) struct Processes {
    /// By tgid; in boxes, as one that goes moves those after it.
    sorted: Vec<(u32, Box<Tracked>)>,
}

impl Processes {
    pub(super) fn len(&self) -> usize {
        self.sorted.len()
    }

    pub(super) fn get(&self, tgid: u32) -> Option<&Tracked> {
        self.find(tgid).ok().map(|index| &*self.sorted[index].1)
    }

    /// Those in the order of their tgids.
    pub(super) fn values(&self) -> impl Iterator<Item = &Tracked> {
        self.sorted.iter().map(|(_, tracked)| &**tracked)
    }

    /// Adds one, in place of the one of the same tgid.
    pub(super) fn insert(&mut self, tracked: Tracked) {
        let tgid = tracked.process.tgid;
        match self.find(tgid) {
            Ok(index) => *self.sorted[index].1 = tracked,
            Err(index) => self.sorted.insert(index, (tgid, Box::new(tracked))),
        }
    }

    pub(super) fn remove(&mut self, tgid: u32) -> Option<Tracked> {
        self.find(tgid).ok().map(|index| *self.sorted.remove(index).1)
    }

    fn find(&self, tgid: u32) -> Result<usize, usize> {
        match self.sorted.last() {
            Some((last, _)) if *last < tgid => Err(self.sorted.len()),
            Some(_) | None => self.sorted.binary_search_by_key(&tgid, |(known, _)| *known),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{BootNs, Process};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn tracked(tgid: u32, start: u64) -> Tracked {
        let process = Process { tgid, start: BootNs(start), ns_tgid: 1, parent_tgid: 0, comm: "a".into(), exe: None };
        Tracked { process, stage: false, runtime_exec: None }
    }

    proptest! {
        #[test]
        fn are_a_map(steps in prop::collection::vec((0..3_u8, 0..30_u32), 1..200)) {
            let mut processes = Processes::default();
            let mut plain: BTreeMap<u32, u64> = BTreeMap::new();
            let start = |tracked: &Tracked| tracked.process.start.0;
            for (number, (step, tgid)) in (0..).zip(steps) {
                if step == 0 {
                    prop_assert_eq!(processes.remove(tgid).as_ref().map(start), plain.remove(&tgid));
                } else {
                    processes.insert(tracked(tgid, number));
                    plain.insert(tgid, number);
                }
                prop_assert_eq!(processes.get(tgid).map(start), plain.get(&tgid).copied());
                prop_assert_eq!(processes.len(), plain.len());
                prop_assert!(processes.values().map(start).eq(plain.values().copied()));
            }
        }
    }
}
