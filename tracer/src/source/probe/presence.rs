//! The counts that spare the probes most look-ups, as far as user space has a part in them; see [`filter`](tracer_ebpf::filter).

use super::mapping::Mapping;
use aya::maps::MapData;
use rustix::mm::ProtFlags;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

/// One of the maps `CGROUP_FILTER`, `POD_FILTER` and `NODE_FILTER`.
pub(super) struct Presence {
    words: Mapping,
    /// Stays open: whoever looks into this process's maps finds it (bpftool, a test).
    _map: MapData,
}

impl Presence {
    /// Of a map that has so many bytes, which the kernel rounds up to pages.
    pub(super) fn new(map: MapData, bytes: usize) -> io::Result<Self> {
        let words = Mapping::new(map.fd().as_fd(), 0, bytes, ProtFlags::READ | ProtFlags::WRITE)?;
        Ok(Self { words, _map: map })
    }

    /// Counts one more in a word, whoever else counts there at the same time.
    pub(super) fn more(&self, index: usize) {
        self.add(index, 1);
    }

    /// Adds to a word in the same way; a sum goes round.
    pub(super) fn add(&self, index: usize, count: u32) {
        self.words.short(index).fetch_add(count, Ordering::SeqCst);
    }

    /// Counts one less there, in a sum that goes round.
    pub(super) fn less(&self, index: usize) {
        self.words.short(index).fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tracer_ebpf::filter::{self, LET_BE, STOPPED, is_stopped, pod_in, stopped, stops, traced};

    /// Ids as they are given out, and any others.
    fn ids() -> impl Strategy<Value = u64> {
        prop_oneof![1..100_000_u64, 1..1_u64 << 34, any::<u64>()]
    }

    proptest! {
        #[test]
        fn a_word_says_the_pod_or_nothing(pod in ids(), further in prop_oneof![0..100_u64, 0..1_u64 << 26, any::<u64>()], taken_out: u32) {
            let cgroup = pod.wrapping_add(further);
            let word = traced(cgroup, pod, taken_out);
            prop_assert_eq!(pod_in(word, cgroup, taken_out), (word != 0).then_some(pod));
            let is_usual = further < (1 << 24) - 1 && cgroup < 1 << 40 && cgroup >= pod;
            prop_assert!(!is_usual || word != 0, "what is usual fits");
        }

        #[test]
        fn a_word_says_nothing_of_others(cgroup in ids(), pod in ids(), slots_on in 1..u64::MAX >> 13, taken_out: u32) {
            let other = cgroup.wrapping_add(slots_on.wrapping_mul(filter::CGROUP_SLOTS.into()));
            prop_assert_eq!(filter::cgroup(cgroup), filter::cgroup(other), "it has the same slot");
            prop_assert_eq!(pod_in(traced(cgroup, pod, taken_out), other, taken_out), None);
        }

        #[test]
        fn who_is_stopped_is_known_until_one_is_let_be(pod in ids(), slots_on in 1..u64::MAX >> 12, before in 0..9_u32, ends in 1..65_536_u32) {
            let now = (0..before).fold(2 * STOPPED, |stopping, _| stopping.wrapping_add(LET_BE).wrapping_add(STOPPED));
            prop_assert_eq!(stops(now), 2, "as many came as went");
            let word = stopped(pod, now);
            let fits = (pod >> 12) + 1 < 1 << 48;
            prop_assert_eq!(is_stopped(word, pod, now), fits);
            prop_assert!(is_stopped(word, pod, now.wrapping_add(STOPPED)) == fits, "one more says nothing of it");
            let other = pod.wrapping_add(slots_on.wrapping_mul(filter::POD_SLOTS.into()));
            prop_assert_eq!(filter::pod(pod), filter::pod(other), "it has the same slot");
            prop_assert!(!is_stopped(word, other, now));
            prop_assert!(!is_stopped(word, pod, now.wrapping_add(ends << 16)), "of before somebody was let be");
        }

        #[test]
        fn a_word_says_nothing_any_more_once_one_was_taken_out(cgroup in ids(), pod in ids(), taken_out: u32, more in 1..8192_u32) {
            prop_assert_eq!(pod_in(traced(cgroup, pod, taken_out), cgroup, taken_out.wrapping_add(more)), None);
        }
    }
}
