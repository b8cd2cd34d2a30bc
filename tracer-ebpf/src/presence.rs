//! Who may be in a map, so that nobody is looked for in vain: nearly every event of a node is about a cgroup that is not traced, nearly
//! every one of a traced pod about one that is not being stopped, and a look-up of what is not there takes some 40 ns.
//!
//! Counts by the last digits of an id, of which two may share a slot: where a count is 0, nobody with these digits is there. One is counted
//! before it is put in and after it is taken out, so that a count may be too large for a moment and is never too small. (Ids of cgroups
//! are given out one after the other, so they spread by themselves.)

use crate::emit::add;
use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;
use tracer_ebpf::{TARGET_SLOTS, target_slot};

/// How many cgroups the probes have put into `TARGETS`, less those that they have taken out, by [`target_slot`].
#[map]
static TARGETS_MADE: Array<u64> = Array::with_max_entries(TARGET_SLOTS, 0);

/// The same of user space, which writes it. Whoever put one in, the other may take it out: the sum of both is what counts.
#[map]
static TARGETS_FOUND: Array<u64> = Array::with_max_entries(TARGET_SLOTS, 0);

/// Of pods, by the last digits of their ids. Those that user space takes out of `STOPPING` stay counted, and those that are overwritten in
/// `KUBELET_CALLS`.
#[map]
static PODS: Array<Pods> = Array::with_max_entries(POD_SLOTS, 0);

/// As many as pods that may be stopped at once; a power of two.
const POD_SLOTS: u32 = 4096;

/// How many pods are in a map.
#[repr(C)]
struct Pods {
    stopping: u64,
    called: u64,
}

/// What is added to a count.
#[derive(Clone, Copy)]
pub(crate) enum Change {
    /// One will be put in.
    Comes,
    /// One has been taken out, or was there already.
    Gone,
}

impl Change {
    /// In a sum that goes round.
    #[inline(always)]
    fn word(self) -> u64 {
        match self {
            Self::Comes => 1,
            Self::Gone => u64::MAX,
        }
    }
}

/// Whether a cgroup may be in `TARGETS`.
#[inline(always)]
pub(crate) fn may_be_traced(cgroup: u64) -> bool {
    let slot = target_slot(cgroup);
    match (TARGETS_MADE.get_ptr(slot), TARGETS_FOUND.get_ptr(slot)) {
        // SAFETY: aligned words of maps' values, which live as long as the program
        (Some(made), Some(found)) => unsafe { made.read_volatile().wrapping_add(found.read_volatile()) != 0 },
        _ => true,
    }
}

#[inline(always)]
pub(crate) fn count_target(cgroup: u64, change: Change) {
    if let Some(made) = TARGETS_MADE.get_ptr_mut(target_slot(cgroup)) {
        add(made, change.word());
    }
}

/// Whether a pod may be in `STOPPING`.
#[inline(always)]
pub(crate) fn may_be_stopping(pod: u64) -> bool {
    // SAFETY: an aligned word of a map's value
    pods(pod).is_none_or(|pods| unsafe { (&raw const (*pods).stopping).read_volatile() } != 0)
}

#[inline(always)]
pub(crate) fn count_stopping(pod: u64, change: Change) {
    if let Some(pods) = pods(pod) {
        // SAFETY: a word of a map's value
        add(unsafe { &raw mut (*pods).stopping }, change.word());
    }
}

/// Whether a pod may be in `KUBELET_CALLS`.
#[inline(always)]
pub(crate) fn may_be_called(pod: u64) -> bool {
    // SAFETY: an aligned word of a map's value
    pods(pod).is_none_or(|pods| unsafe { (&raw const (*pods).called).read_volatile() } != 0)
}

#[inline(always)]
pub(crate) fn count_called(pod: u64, change: Change) {
    if let Some(pods) = pods(pod) {
        // SAFETY: a word of a map's value
        add(unsafe { &raw mut (*pods).called }, change.word());
    }
}

/// Where a pod is counted.
#[inline(always)]
fn pods(pod: u64) -> Option<*mut Pods> {
    PODS.get_ptr_mut(pod as u32 & (POD_SLOTS - 1))
}
