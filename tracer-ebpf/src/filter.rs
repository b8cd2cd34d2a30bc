//! The words of the maps `CGROUP_FILTER` and `POD_FILTER`, by which the probes spare themselves look-ups.
//!
//! A slot belongs to all ids with the same last digits and is some words in a row. Each word has one writer, the probes or user space: user
//! space cannot add, only write, and not even that at once.

/// How many slots `CGROUP_FILTER` has; a power of two.
pub const CGROUP_SLOTS: u32 = 8192;
/// How many slots `POD_FILTER` has: as many as pods may be stopped at once; a power of two.
pub const POD_SLOTS: u32 = 4096;
/// Words of a slot.
pub const WORDS: u32 = 4;

/// How many the probes have put in, less those that they took out, in a sum that goes round: cgroups into `TARGETS`, or pods into `STOPPING`.
pub const BY_PROBES: u32 = 0;
/// The same of user space. Whoever put one in, the other may take it out: the sum of both words is what counts.
pub const BY_USER_SPACE: u32 = 1;
/// In `CGROUP_FILTER`: how often user space has taken one out of `TARGETS`.
pub const TAKEN_OUT: u32 = 2;
/// In `CGROUP_FILTER`: a cgroup that a probe has found in `TARGETS`, and its pod, as [`traced`] says it.
pub const TRACED: u32 = 3;
/// In `POD_FILTER`: how many pods are in `KUBELET_CALLS`, or were overwritten there.
pub const CALLED: u32 = 2;

/// Binary digits of the word [`TRACED`]: by how much the pod's id is smaller than the cgroup's, and one more …
const DISTANCE_BITS: u32 = 24;
/// … before them the last ones of [`TAKEN_OUT`] …
const TAKEN_OUT_BITS: u32 = 13;
/// … and at the beginning those of the cgroup's id that its slot does not tell.
const REST_BITS: u32 = u64::BITS - TAKEN_OUT_BITS - DISTANCE_BITS;

/// Index of a cgroup's word in `CGROUP_FILTER`.
#[must_use]
pub const fn cgroup(cgroup: u64, word: u32) -> u32 {
    of_slot(cgroup, CGROUP_SLOTS) + word
}

/// Index of a pod's word in `POD_FILTER`.
#[must_use]
pub const fn pod(pod: u64, word: u32) -> u32 {
    of_slot(pod, POD_SLOTS) + word
}

/// Index of the first word of an id's slot.
#[expect(clippy::cast_possible_truncation, reason = "the last digits are what is wanted")]
const fn of_slot(id: u64, slots: u32) -> u32 {
    (id as u32 & (slots - 1)) * WORDS
}

/// The word that says whose a cgroup is for as long as user space has taken out so many; 0, which says nothing, where that does not fit.
/// (A pod's cgroup is made before those in it, a moment ago as a rule, and ids are given out one after the other.)
#[must_use]
pub const fn traced(cgroup: u64, pod: u64, taken_out: u64) -> u64 {
    let distance = cgroup.wrapping_sub(pod).wrapping_add(1);
    let fits = rest(cgroup) >> REST_BITS == 0 && distance != 0 && distance >> DISTANCE_BITS == 0;
    if fits { head(cgroup, taken_out) << DISTANCE_BITS | distance } else { 0 }
}

/// The pod that a word says a cgroup of this slot is of; none if it says nothing, or something of another cgroup, or is from before user space
/// took one out.
#[must_use]
pub const fn pod_in(word: u64, cgroup: u64, taken_out: u64) -> Option<u64> {
    let distance = word & ((1 << DISTANCE_BITS) - 1);
    if distance != 0 && word >> DISTANCE_BITS == head(cgroup, taken_out) {
        Some(cgroup.wrapping_sub(distance - 1))
    } else {
        None
    }
}

const fn head(cgroup: u64, taken_out: u64) -> u64 {
    rest(cgroup) << TAKEN_OUT_BITS | (taken_out & ((1 << TAKEN_OUT_BITS) - 1))
}

const fn rest(cgroup: u64) -> u64 {
    cgroup >> CGROUP_SLOTS.trailing_zeros()
}
