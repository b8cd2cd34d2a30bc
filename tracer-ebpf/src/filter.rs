//! What is kept by the last digits of an id, by which the probes spare themselves look-ups: the maps `CGROUP_FILTER`, `POD_FILTER` and
//! `NODE_FILTER`.
//!
//! A slot belongs to all ids with the same last digits. Probes and user space add to its counts at once, each wherever the other may be doing
//! the same: user space has the maps in its memory.

use core::mem::offset_of;

/// How many slots `CGROUP_FILTER` has; a power of two.
pub const CGROUP_SLOTS: u32 = 8192;
/// How many slots `POD_FILTER` has: as many as pods may be stopped at once; a power of two.
pub const POD_SLOTS: u32 = 4096;

/// A slot of `CGROUP_FILTER`. Counts go round.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CgroupSlot {
    /// How many are in `TARGETS`: one is counted before it is put in and after it was taken out.
    pub targets: u32,
    /// How often user space has taken one out of there.
    pub taken_out: u32,
    /// A cgroup that a probe has found there, and its pod, as [`traced`] says it. Only probes write it.
    pub traced: u64,
}

/// A slot of `POD_FILTER`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct PodSlot {
    /// How many are in `STOPPING`, counted in the same way, and before that how often one was taken out of there: see [`stops`].
    pub stopping: u32,
    /// How many are in `KUBELET_CALLS`, or were overwritten there.
    pub called: u32,
    /// A pod that a probe has found in `STOPPING`, as [`stopped`] says it. Only probes write it.
    pub stopped: u64,
}

/// The one slot of `NODE_FILTER`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NodeSlot {
    /// How many are in `STOPPING`, whatever their last digits.
    pub stopping: u32,
    /// Keeps what a slot has a power of two.
    pub reserved: u32,
}

/// Binary digits of [`CgroupSlot::traced`]: by how much the pod's id is smaller than the cgroup's, and one more …
const DISTANCE_BITS: u32 = 24;
/// … before them the last ones of [`CgroupSlot::taken_out`] …
const TAKEN_OUT_BITS: u32 = 13;
/// … and at the beginning those of the cgroup's id that its slot does not tell.
const REST_BITS: u32 = u64::BITS - TAKEN_OUT_BITS - DISTANCE_BITS;

/// Index of a cgroup's slot in `CGROUP_FILTER`.
#[must_use]
pub const fn cgroup(cgroup: u64) -> u32 {
    of_slot(cgroup, CGROUP_SLOTS)
}

/// Index of a pod's slot in `POD_FILTER`.
#[must_use]
pub const fn pod(pod: u64) -> u32 {
    of_slot(pod, POD_SLOTS)
}

#[expect(clippy::cast_possible_truncation, reason = "the last digits are what is wanted")]
const fn of_slot(id: u64, slots: u32) -> u32 {
    id as u32 & (slots - 1)
}

/// Index of [`CgroupSlot::targets`] of a cgroup's slot, of all words of 32 bits.
#[must_use]
pub const fn targets_word(id: u64) -> usize {
    word(cgroup(id), size_of::<CgroupSlot>(), offset_of!(CgroupSlot, targets))
}

/// The same of [`CgroupSlot::taken_out`].
#[must_use]
pub const fn taken_out_word(id: u64) -> usize {
    word(cgroup(id), size_of::<CgroupSlot>(), offset_of!(CgroupSlot, taken_out))
}

/// Index of [`PodSlot::stopping`] of a pod's slot, in the same way.
#[must_use]
pub const fn stopping_word(id: u64) -> usize {
    word(pod(id), size_of::<PodSlot>(), offset_of!(PodSlot, stopping))
}

/// Index of [`NodeSlot::stopping`], in the same way.
pub const ANY_STOPPING_WORD: usize = word(0, size_of::<NodeSlot>(), offset_of!(NodeSlot, stopping));

const fn word(slot: u32, size: usize, offset: usize) -> usize {
    (slot as usize * size + offset) / size_of::<u32>()
}

/// The word that says whose a cgroup is for as long as user space has taken out so many; 0, which says nothing, where that does not fit.
/// (A pod's cgroup is made before those in it, a moment ago as a rule, and ids are given out one after the other.)
#[must_use]
pub const fn traced(cgroup: u64, pod: u64, taken_out: u32) -> u64 {
    let distance = cgroup.wrapping_sub(pod).wrapping_add(1);
    let fits = rest(cgroup) >> REST_BITS == 0 && distance != 0 && distance >> DISTANCE_BITS == 0;
    if fits { head(cgroup, taken_out) << DISTANCE_BITS | distance } else { 0 }
}

/// The pod that a word says a cgroup of this slot is of; none if it says nothing, or something of another cgroup, or is from before user space
/// took one out.
#[must_use]
pub const fn pod_in(word: u64, cgroup: u64, taken_out: u32) -> Option<u64> {
    let distance = word & ((1 << DISTANCE_BITS) - 1);
    if distance != 0 && word >> DISTANCE_BITS == head(cgroup, taken_out) {
        Some(cgroup.wrapping_sub(distance - 1))
    } else {
        None
    }
}

/// What one more in `STOPPING` adds to [`PodSlot::stopping`] …
pub const STOPPED: u32 = 1;
/// … and one that was taken out: one less, and one more in the half before. (There are never as many in there as a half could not count.)
pub const LET_BE: u32 = (1 << STOPS_BITS) - STOPPED;

/// Binary digits of [`PodSlot::stopping`] that tell how many there are.
const STOPS_BITS: u32 = u32::BITS / 2;

/// How many are in `STOPPING`, by [`PodSlot::stopping`].
#[must_use]
pub const fn stops(stopping: u32) -> u32 {
    stopping & ((1 << STOPS_BITS) - 1)
}

/// The word that says that a pod was found in `STOPPING`, for as long as nobody of its slot was taken out since `stopping` was read; 0, which says
/// nothing, where that does not fit.
#[must_use]
pub const fn stopped(pod: u64, stopping: u32) -> u64 {
    // one more than what the slot does not tell of the id, so that the word of a small one is not 0
    let rest = (pod >> POD_SLOTS.trailing_zeros()) + 1;
    if rest >> (u64::BITS - STOPS_BITS) == 0 { rest << STOPS_BITS | (stopping >> STOPS_BITS) as u64 } else { 0 }
}

/// Whether a word says so of this pod.
#[must_use]
pub const fn is_stopped(word: u64, pod: u64, stopping: u32) -> bool {
    word != 0 && word == stopped(pod, stopping)
}

const fn head(cgroup: u64, taken_out: u32) -> u64 {
    rest(cgroup) << TAKEN_OUT_BITS | (taken_out as u64 & ((1 << TAKEN_OUT_BITS) - 1))
}

const fn rest(cgroup: u64) -> u64 {
    cgroup >> CGROUP_SLOTS.trailing_zeros()
}
