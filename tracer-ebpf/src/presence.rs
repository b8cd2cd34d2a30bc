//! Who may be in a map, so that nobody is looked for in vain: nearly every event of a node is about a cgroup that is not traced, nearly
//! every one of a traced pod about one that is not being stopped, and a look-up in a hash map takes some 40 ns.
//!
//! Counts by the last digits of an id, of which two may share a slot: where a count is 0, nobody with these digits is there. One is counted
//! before it is put in and after it is taken out, so that a count may be too large for a moment and is never too small. Who has been found
//! by a look-up is known from then on. The slots are described in [`filter`].

use crate::count::add_to_short;
use aya_ebpf::bindings::{BPF_ANY, BPF_EXIST, BPF_F_MMAPABLE, BPF_NOEXIST};
use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;
use tracer_ebpf::filter::{self, CGROUP_SLOTS, CgroupSlot, NodeSlot, POD_SLOTS, PodSlot};

/// What is known of cgroups by the last digits of their ids. User space counts here as well.
#[map]
static CGROUP_FILTER: Array<CgroupSlot> = Array::with_max_entries(CGROUP_SLOTS, BPF_F_MMAPABLE);

/// The same of pods.
#[map]
static POD_FILTER: Array<PodSlot> = Array::with_max_entries(POD_SLOTS, BPF_F_MMAPABLE);

/// The same of all pods of the node together.
#[map]
static NODE_FILTER: Array<NodeSlot> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// How many there are of those with the same last digits.
#[derive(Clone, Copy)]
pub(crate) struct Count(*mut u32);

impl Count {
    /// Whether somebody may be there.
    #[inline(always)]
    pub(crate) fn is_any(self) -> bool {
        // SAFETY: an aligned word of a map's value, which the verifier makes sure of, and which lives as long as the program
        unsafe { self.0.read_volatile() != 0 }
    }

    /// One has been taken out.
    #[inline(always)]
    pub(crate) fn gone(self) {
        // one less, in a sum that goes round
        add_to_short(self.0, u32::MAX);
    }
}

/// Puts one in by `insert`, which is told a flag and says whether it could, and counts it in each of these; gives whether it is in now. One that was
/// in already is not counted again.
#[inline(always)]
pub(crate) fn put<const N: usize>(counts: [Count; N], insert: impl Fn(u32) -> bool) -> bool {
    for count in counts {
        add_to_short(count.0, 1);
    }
    if insert(BPF_NOEXIST) {
        return true;
    }
    // if neither can be, it was taken out in between, or there is no room
    let is_counted = insert(BPF_EXIST);
    let is_in = is_counted || insert(BPF_ANY);
    if is_counted || !is_in {
        counts.into_iter().for_each(Count::gone);
    }
    is_in
}

/// Those in `STOPPING`, of the whole node.
#[inline(always)]
pub(crate) fn all_stopping() -> Option<Count> {
    // SAFETY: a place in a map's value, which the verifier makes sure of
    NODE_FILTER.get_ptr_mut(0).map(|slot| Count(unsafe { &raw mut (*slot).stopping }))
}

/// What is known of a cgroup by its last digits.
#[derive(Clone, Copy)]
pub(crate) struct OfCgroup {
    cgroup: u64,
    slot: *mut CgroupSlot,
}

impl OfCgroup {
    /// Of a cgroup. It has a slot whatever its id; the verifier does not know that.
    #[inline(always)]
    pub(crate) fn new(cgroup: u64) -> Option<Self> {
        CGROUP_FILTER.get_ptr_mut(filter::cgroup(cgroup)).map(|slot| Self { cgroup, slot })
    }

    /// Those in `TARGETS`.
    #[inline(always)]
    pub(crate) fn targets(self) -> Count {
        // SAFETY: a place in a map's value, which the verifier makes sure of
        Count(unsafe { &raw mut (*self.slot).targets })
    }

    /// How often user space has taken one with these digits out of `TARGETS`. Asked before a look-up there, it tells how long what was found holds.
    #[inline(always)]
    pub(crate) fn taken_out(self) -> u32 {
        // SAFETY: an aligned word of a map's value, which the verifier makes sure of, and which lives as long as the program
        unsafe { (&raw const (*self.slot).taken_out).read_volatile() }
    }

    /// The pod that it is known to be of, without a look-up: nearly every one that is traced and has been looked up once.
    #[inline(always)]
    pub(crate) fn known_pod(self, taken_out: u32) -> Option<u64> {
        // SAFETY: as above
        let word = unsafe { (&raw const (*self.slot).traced).read_volatile() };
        filter::pod_in(word, self.cgroup, taken_out)
    }

    /// It was found to be of this one.
    #[inline(always)]
    pub(crate) fn know(self, pod: u64, taken_out: u32) {
        let word = filter::traced(self.cgroup, pod, taken_out);
        // SAFETY: as above; at once, whoever else may write here meanwhile
        unsafe { (&raw mut (*self.slot).traced).write_volatile(word) }
    }
}

/// What is known of a pod by its last digits.
#[derive(Clone, Copy)]
pub(crate) struct OfPod {
    pod: u64,
    slot: *mut PodSlot,
}

impl OfPod {
    /// Of a pod, as of a cgroup.
    #[inline(always)]
    pub(crate) fn new(pod: u64) -> Option<Self> {
        POD_FILTER.get_ptr_mut(filter::pod(pod)).map(|slot| Self { pod, slot })
    }

    /// Those in `STOPPING`: to be counted, for what it counts is told by [`stopping`](Self::stopping).
    #[inline(always)]
    pub(crate) fn stops(self) -> Count {
        // SAFETY: a place in a map's value, which the verifier makes sure of
        Count(unsafe { &raw mut (*self.slot).stopping })
    }

    /// How many are there, and how often one was taken out. Asked before a look-up there, it tells how long what was found holds.
    #[inline(always)]
    pub(crate) fn stopping(self) -> u32 {
        // SAFETY: an aligned word of a map's value, which the verifier makes sure of, and which lives as long as the program
        unsafe { (&raw const (*self.slot).stopping).read_volatile() }
    }

    /// Whether it is known to be there, without a look-up: nearly every one that has been looked up once.
    #[inline(always)]
    pub(crate) fn is_known_to_stop(self, stopping: u32) -> bool {
        // SAFETY: as above
        let word = unsafe { (&raw const (*self.slot).stopped).read_volatile() };
        filter::is_stopped(word, self.pod, stopping)
    }

    /// It was found there.
    #[inline(always)]
    pub(crate) fn know_to_stop(self, stopping: u32) {
        let word = filter::stopped(self.pod, stopping);
        // SAFETY: as above; at once, whoever else may write here meanwhile
        unsafe { (&raw mut (*self.slot).stopped).write_volatile(word) }
    }

    /// It was taken out of there.
    #[inline(always)]
    pub(crate) fn let_be(self) {
        add_to_short(self.stops().0, filter::LET_BE);
    }

    /// Those in `KUBELET_CALLS`.
    #[inline(always)]
    pub(crate) fn called(self) -> Count {
        // SAFETY: as above
        Count(unsafe { &raw mut (*self.slot).called })
    }
}
