//! How the processes of a pod ended, the last of them: a socket that is closed for one that dies is closed a moment after its exit.

use crate::input::WaitStatus;
use std::collections::{BTreeMap, VecDeque};

/// So many are remembered of a pod of which nothing ends.
const HEALTHY: usize = 512;
/// And so many once something does.
const ENDING: usize = 65_536;

/// Those of a pod.
#[derive(Clone, Debug, Default)]
pub(super) struct Exits {
    /// By tgid; with the status, which of all exits it was: a tgid is given out again.
    by_tgid: BTreeMap<u32, (u32, WaitStatus)>,
    /// In the order in which they came.
    order: VecDeque<(u32, u32)>,
    all: u32,
}

impl Exits {
    /// A process has ended; the oldest is forgotten where there are too many.
    pub(super) fn insert(&mut self, tgid: u32, status: WaitStatus, pod_ends: bool) {
        let most = if pod_ends { ENDING } else { HEALTHY };
        while self.order.len() >= most {
            let Some((nth, oldest)) = self.order.pop_front() else { break };
            if self.by_tgid.get(&oldest).is_some_and(|(last, _)| *last == nth) {
                self.by_tgid.remove(&oldest);
            }
        }
        self.order.push_back((self.all, tgid));
        self.by_tgid.insert(tgid, (self.all, status));
        self.all = self.all.wrapping_add(1);
    }

    /// How the last process of this tgid ended.
    pub(super) fn of(&self, tgid: u32) -> Option<WaitStatus> {
        self.by_tgid.get(&tgid).map(|(_, status)| *status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_remembered() {
        let mut exits = Exits::default();
        for tgid in 1..=600 {
            exits.insert(tgid, WaitStatus(0), false);
        }
        assert_eq!((exits.of(88), exits.of(89), exits.of(600)), (None, Some(WaitStatus(0)), Some(WaitStatus(0))));
        // given out again: what is forgotten is the one before
        exits.insert(89, WaitStatus(9), false);
        exits.insert(601, WaitStatus(0), false);
        assert_eq!((exits.of(89), exits.of(90)), (Some(WaitStatus(9)), None));
        for tgid in 1_000..66_000 {
            exits.insert(tgid, WaitStatus(1), true);
        }
        assert_eq!((exits.of(1_000), exits.of(65_999)), (Some(WaitStatus(1)), Some(WaitStatus(1))));
        assert_eq!(exits.order.len(), 65_512);
        assert_eq!(exits.by_tgid.len(), 65_512);
    }
}
