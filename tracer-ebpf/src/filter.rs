//! The words of the maps `CGROUP_FILTER` and `POD_FILTER`, by which the probes spare themselves look-ups: both sides write there.
//!
//! A slot belongs to all ids with the same last digits and is some words in a row, in one cache line. Each word has one writer, the probes or
//! user space, unless it says otherwise: user space cannot add, only write.

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
/// In `CGROUP_FILTER`: a cgroup that is traced, and its pod, as [`traced`] says it; either side writes it, at once.
pub const TRACED: u32 = 2;
/// In `POD_FILTER`: how many pods are in `KUBELET_CALLS`, or were overwritten there.
pub const CALLED: u32 = 2;

/// Binary digits of the word [`TRACED`] that tell how much smaller a pod's id is than that of a cgroup in it.
const DISTANCE_BITS: u32 = 24;
/// Those of a cgroup's id that its slot tells.
const SLOT_BITS: u32 = CGROUP_SLOTS.trailing_zeros();

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

/// The word that says whose a cgroup is; 0, which says nothing, where that does not fit. (A pod's cgroup is made before those in it, a
/// moment ago as a rule, and ids are given out one after the other.)
#[must_use]
pub const fn traced(cgroup: u64, pod: u64) -> u64 {
    let (rest, distance) = (cgroup >> SLOT_BITS, cgroup.wrapping_sub(pod));
    let fits = rest >> (u64::BITS - DISTANCE_BITS) == 0 && distance >> DISTANCE_BITS == 0;
    if fits { rest << DISTANCE_BITS | distance } else { 0 }
}

/// The pod that a word says a cgroup of this slot is of; none if it says nothing, or something of another.
#[must_use]
pub const fn pod_in(word: u64, cgroup: u64) -> Option<u64> {
    if word != 0 && word >> DISTANCE_BITS == cgroup >> SLOT_BITS {
        Some(cgroup.wrapping_sub(word & ((1 << DISTANCE_BITS) - 1)))
    } else {
        None
    }
}
