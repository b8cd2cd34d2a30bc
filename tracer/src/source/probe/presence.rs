//! The counts that spare the probes most look-ups, as far as user space has a part in them; see [`filter`](tracer_ebpf::filter).

use aya::maps::{Array, MapData, MapError};
use std::collections::BTreeMap;

/// One of the maps `CGROUP_FILTER` and `POD_FILTER`.
pub(super) struct Presence {
    words: Array<MapData, u64>,
    /// Those that nobody else writes, which cannot be added to.
    own: BTreeMap<u32, u64>,
}

impl Presence {
    pub(super) fn new(words: Array<MapData, u64>) -> Self {
        Self { words, own: BTreeMap::new() }
    }

    /// Counts one more at the index of a word that is user space's own.
    pub(super) fn more(&mut self, index: u32) -> Result<(), MapError> {
        self.add(index, 1)
    }

    /// Counts one less there, in a sum that goes round.
    pub(super) fn less(&mut self, index: u32) -> Result<(), MapError> {
        self.add(index, u64::MAX)
    }

    fn add(&mut self, index: u32, change: u64) -> Result<(), MapError> {
        let count = self.own.entry(index).or_default();
        *count = count.wrapping_add(change);
        self.words.set(index, *count, 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tracer_ebpf::filter::{self, pod_in, traced};

    /// Ids as they are given out, and any others.
    fn ids() -> impl Strategy<Value = u64> {
        prop_oneof![1..100_000_u64, 1..1_u64 << 34, any::<u64>()]
    }

    proptest! {
        #[test]
        fn a_word_says_the_pod_or_nothing(pod in ids(), further in prop_oneof![0..100_u64, 0..1_u64 << 26, any::<u64>()], taken_out: u64) {
            let cgroup = pod.wrapping_add(further);
            let word = traced(cgroup, pod, taken_out);
            prop_assert_eq!(pod_in(word, cgroup, taken_out), (word != 0).then_some(pod));
            let is_usual = further < (1 << 24) - 1 && cgroup < 1 << 40 && cgroup >= pod;
            prop_assert!(!is_usual || word != 0, "what is usual fits");
        }

        #[test]
        fn a_word_says_nothing_of_others(cgroup in ids(), pod in ids(), slots_on in 1..u64::MAX >> 13, taken_out: u64) {
            let other = cgroup.wrapping_add(slots_on.wrapping_mul(filter::CGROUP_SLOTS.into()));
            prop_assert_eq!(filter::cgroup(cgroup, 0), filter::cgroup(other, 0), "it has the same slot");
            prop_assert_eq!(pod_in(traced(cgroup, pod, taken_out), other, taken_out), None);
        }

        #[test]
        fn a_word_says_nothing_any_more_once_one_was_taken_out(cgroup in ids(), pod in ids(), taken_out: u64, more in 1..8192_u64) {
            prop_assert_eq!(pod_in(traced(cgroup, pod, taken_out), cgroup, taken_out.wrapping_add(more)), None);
        }
    }
}
