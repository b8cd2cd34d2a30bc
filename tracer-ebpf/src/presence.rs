//! Who may be in a map, so that nobody is looked for in vain: nearly every event of a node is about a cgroup that is not traced, nearly
//! every one of a traced pod about one that is not being stopped, and a look-up of what is not there takes some 40 ns.
//!
//! Counts by the last digits of an id, of which two may share a slot: where a count is 0, nobody with these digits is there. One is counted
//! before it is put in and after it is taken out, so that a count may be too large for a moment and is never too small. (Ids of cgroups
//! are given out one after the other, so they spread by themselves.)

use crate::emit::add;
use aya_ebpf::bindings::{BPF_ANY, BPF_EXIST, BPF_NOEXIST};
use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;
use tracer_ebpf::{TARGET_SLOTS, target_slot};

/// How many cgroups the probes have put into `TARGETS`, less those that they have taken out, by [`target_slot`].
#[map]
static TARGETS_MADE: Array<u64> = Array::with_max_entries(TARGET_SLOTS, 0);

/// The same of user space, which writes it. Whoever put one in, the other may take it out: the sum of both is what counts.
#[map]
static TARGETS_FOUND: Array<u64> = Array::with_max_entries(TARGET_SLOTS, 0);

/// How many pods are in `STOPPING`, by the last digits of their ids. Those that user space takes out stay counted.
#[map]
static PODS_STOPPING: Array<u64> = Array::with_max_entries(POD_SLOTS, 0);

/// How many are in `KUBELET_CALLS`. Those that are overwritten there stay counted.
#[map]
static PODS_CALLED: Array<u64> = Array::with_max_entries(POD_SLOTS, 0);

/// As many as pods that may be stopped at once; a power of two.
const POD_SLOTS: u32 = 4096;

/// How many there are in a slot; none where that is not known, which no slot is.
#[derive(Clone, Copy)]
pub(crate) struct Count(Option<*mut u64>);

impl Count {
    /// Whether somebody may be there.
    #[inline(always)]
    pub(crate) fn is_any(self) -> bool {
        // SAFETY: an aligned word of a map's value, which lives as long as the program
        self.0.is_none_or(|word| unsafe { word.read_volatile() } != 0)
    }

    /// One has been taken out.
    #[inline(always)]
    pub(crate) fn gone(self) {
        // one less, in a sum that goes round
        self.add(u64::MAX);
    }

    /// Puts one in by `insert`, which is told a flag and says whether it could; gives whether it is in now. One that was in already is not
    /// counted again.
    #[inline(always)]
    pub(crate) fn put(self, insert: impl Fn(u32) -> bool) -> bool {
        self.add(1);
        if insert(BPF_NOEXIST) {
            return true;
        }
        // if neither can be, it was taken out in between, or there is no room
        let is_counted = insert(BPF_EXIST);
        let is_in = is_counted || insert(BPF_ANY);
        if is_counted || !is_in {
            self.gone();
        }
        is_in
    }

    #[inline(always)]
    fn add(self, count: u64) {
        if let Some(word) = self.0 {
            add(word, count);
        }
    }
}

/// Whether a cgroup may be in `TARGETS`.
#[inline(always)]
pub(crate) fn may_be_traced(cgroup: u64) -> bool {
    let slot = target_slot(cgroup);
    let (Some(made), Some(found)) = (TARGETS_MADE.get_ptr(slot), TARGETS_FOUND.get_ptr(slot)) else {
        return true;
    };
    // SAFETY: aligned words of maps' values, which live as long as the program
    let read = |word: *const u64| unsafe { word.read_volatile() };
    let before = read(made);
    let sum = before.wrapping_add(read(found));
    // one that the probes put in and user space took out, both between the two looks, would be missing from a sum that says 0
    sum != 0 || read(made) != before
}

/// Those that the probes have put into `TARGETS`.
#[inline(always)]
pub(crate) fn targets(cgroup: u64) -> Count {
    Count(TARGETS_MADE.get_ptr_mut(target_slot(cgroup)))
}

/// Those in `STOPPING`.
#[inline(always)]
pub(crate) fn stopping(pod: u64) -> Count {
    Count(PODS_STOPPING.get_ptr_mut(pod_slot(pod)))
}

/// Those in `KUBELET_CALLS`.
#[inline(always)]
pub(crate) fn called(pod: u64) -> Count {
    Count(PODS_CALLED.get_ptr_mut(pod_slot(pod)))
}

#[inline(always)]
fn pod_slot(pod: u64) -> u32 {
    pod as u32 & (POD_SLOTS - 1)
}
