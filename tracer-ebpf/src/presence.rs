//! Who may be in a map, so that nobody is looked for in vain: nearly every event of a node is about a cgroup that is not traced, nearly
//! every one of a traced pod about one that is not being stopped, and a look-up in a hash map takes some 40 ns.
//!
//! Counts by the last digits of an id, of which two may share a slot: where a count is 0, nobody with these digits is there. One is counted
//! before it is put in and after it is taken out, so that a count may be too large for a moment and is never too small. Who has been found
//! by a look-up is known from then on. The words are described in [`filter`].

use crate::count::add;
use aya_ebpf::bindings::{BPF_ANY, BPF_EXIST, BPF_NOEXIST};
use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;
use tracer_ebpf::filter::{self, BY_PROBES, BY_USER_SPACE, CALLED, CGROUP_SLOTS, POD_SLOTS, TAKEN_OUT, TRACED, WORDS};

/// What is known of cgroups by the last digits of their ids. User space writes here as well.
#[map]
static CGROUP_FILTER: Array<u64> = Array::with_max_entries(CGROUP_SLOTS * WORDS, 0);

/// The same of pods.
#[map]
static POD_FILTER: Array<u64> = Array::with_max_entries(POD_SLOTS * WORDS, 0);

/// How many there are in a slot: the sum of the probes' word and, if there is one, user space's. Without words it is not known, which is never.
#[derive(Clone, Copy)]
pub(crate) struct Count {
    probes: Option<*mut u64>,
    user_space: Option<*const u64>,
}

impl Count {
    /// Whether somebody may be there.
    #[inline(always)]
    pub(crate) fn is_any(self) -> bool {
        let Some(probes) = self.probes else { return true };
        let before = read(probes);
        match self.user_space {
            // one that the probes put in and user space took out, both between the two looks, would be missing from a sum that says 0
            Some(word) => before.wrapping_add(read(word)) != 0 || read(probes) != before,
            None => before != 0,
        }
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
        if let Some(word) = self.probes {
            add(word, count);
        }
    }
}

/// Those in `TARGETS`.
#[inline(always)]
pub(crate) fn targets(cgroup: u64) -> Count {
    Count {
        probes: CGROUP_FILTER.get_ptr_mut(filter::cgroup(cgroup, BY_PROBES)),
        user_space: CGROUP_FILTER.get_ptr(filter::cgroup(cgroup, BY_USER_SPACE)),
    }
}

/// How often user space has taken one with these digits out of `TARGETS`. Asked before a look-up there, it tells how long what was found holds.
#[inline(always)]
pub(crate) fn taken_out(cgroup: u64) -> u64 {
    CGROUP_FILTER.get_ptr(filter::cgroup(cgroup, TAKEN_OUT)).map_or(0, read)
}

/// The pod that a cgroup is known to be of, without a look-up: nearly every one that is traced and has been looked up once.
#[inline(always)]
pub(crate) fn known_pod(cgroup: u64, taken_out: u64) -> Option<u64> {
    let word = CGROUP_FILTER.get_ptr(filter::cgroup(cgroup, TRACED))?;
    filter::pod_in(read(word), cgroup, taken_out)
}

/// It was found to be of this one.
#[inline(always)]
pub(crate) fn know(cgroup: u64, pod: u64, taken_out: u64) {
    if let Some(word) = CGROUP_FILTER.get_ptr_mut(filter::cgroup(cgroup, TRACED)) {
        // SAFETY: as in `read`; at once, whoever else may write here meanwhile
        unsafe { word.write_volatile(filter::traced(cgroup, pod, taken_out)) }
    }
}

/// Those in `STOPPING`.
#[inline(always)]
pub(crate) fn stopping(pod: u64) -> Count {
    Count {
        probes: POD_FILTER.get_ptr_mut(filter::pod(pod, BY_PROBES)),
        user_space: POD_FILTER.get_ptr(filter::pod(pod, BY_USER_SPACE)),
    }
}

/// Those in `KUBELET_CALLS`.
#[inline(always)]
pub(crate) fn called(pod: u64) -> Count {
    Count { probes: POD_FILTER.get_ptr_mut(filter::pod(pod, CALLED)), user_space: None }
}

#[inline(always)]
fn read(word: *const u64) -> u64 {
    // SAFETY: an aligned word of a map's value, which the verifier makes sure of, and which lives as long as the program
    unsafe { word.read_volatile() }
}
