//! What a hook's two programs tell each other: which events the first one has begun with and seen to; see
//! [`Call`](crate::call::Call).

use crate::count::add_one;
use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::helpers::generated::bpf_get_smp_processor_id;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{LruHashMap, PerCpuArray};
use tracer_ebpf::{CPUS, TRACEPOINTS, nests};

/// Events that a first program has seen to, where a second one follows it and what was begun with last does not tell; see [`Call`](crate::call::Call).
#[map]
static MARKS: LruHashMap<[u64; 3], u32> = LruHashMap::with_max_entries(4096, 0);

/// What first programs on this CPU have begun with, there; see [`Call`](crate::call::Call).
#[map]
static BEGUN: PerCpuArray<[u64; 2]> = PerCpuArray::with_max_entries(BEGUN_SLOTS, 0);

/// Several, so that what breaks in on an event does not take its place.
const BEGUN_SLOTS: u32 = 64;

/// What first programs have begun with last, by CPU and by [`place_of`] the hook, where a process and what breaks in on it are told apart. A
/// variable and no map: where it is stands in the instructions, and nobody need look it up.
static mut BEGUN_LAST: [BegunOnCpu; CPUS as usize] = [BegunOnCpu([[0; 2]; HOOKS]); CPUS as usize];

/// As long as a cache line. (Where the first one begins the kernel decides.)
#[repr(C)]
#[derive(Clone, Copy)]
struct BegunOnCpu([[u64; 2]; HOOKS]);

/// At least as many as the hooks that [`nests`] names.
const HOOKS: usize = 4;

/// A hook's place among those that [`nests`] names.
const fn place_of(slot: u32) -> usize {
    slot as usize % HOOKS
}

// each of them has a place of its own
const _: () = {
    let (mut taken, mut slot) = ([false; HOOKS], 0);
    while slot < TRACEPOINTS.len() {
        if nests(TRACEPOINTS[slot]) {
            assert!(!taken[place_of(slot as u32)]);
            taken[place_of(slot as u32)] = true;
        }
        slot += 1;
    }
};

/// Events for which a second program ran and the first one did not, by [`slot`](tracer_ebpf::slot).
#[map]
static MADE_UP: PerCpuArray<u64> = PerCpuArray::with_max_entries(TRACEPOINTS.len() as u32, 0);

/// A first program has begun with this event on this CPU.
#[inline(always)]
pub(crate) fn begin(spread: u64, event: [u64; 2]) {
    if let Some(begun) = BEGUN.get_ptr_mut(spread as u32 & (BEGUN_SLOTS - 1)) {
        // SAFETY: the slot of this CPU, alive as long as the program. Whoever breaks in between the two words leaves something
        // that is no event, and the marks decide.
        unsafe { set(begun, event) }
    }
}

/// Whether one has.
#[inline(always)]
pub(crate) fn take_begun(spread: u64, event: [u64; 2]) -> bool {
    match BEGUN.get_ptr_mut(spread as u32 & (BEGUN_SLOTS - 1)) {
        Some(begun) => take_if_same(begun, event),
        None => false,
    }
}

/// The hook's of this CPU.
#[inline(always)]
fn begun_last(slot: u32) -> *mut [u64; 2] {
    // SAFETY: takes nothing
    let cpu = unsafe { bpf_get_smp_processor_id() } & (CPUS - 1);
    // SAFETY: within the variable
    unsafe { (&raw mut BEGUN_LAST).cast::<[u64; 2]>().add(cpu as usize * HOOKS + place_of(slot)) }
}

/// A first program has begun with this event.
#[inline(always)]
pub(crate) fn begin_at(slot: u32, event: [u64; 2]) {
    // SAFETY: this CPU's own, alive as long as the program
    unsafe { set(begun_last(slot), event) }
}

/// Whether that is the last one it has begun with.
#[inline(always)]
pub(crate) fn take_begun_at(slot: u32, event: [u64; 2]) -> bool {
    take_if_same(begun_last(slot), event)
}

/// Whether it is this event that was begun with; that is forgotten then, for the same may come again.
#[inline(always)]
fn take_if_same(begun: *mut [u64; 2], event: [u64; 2]) -> bool {
    // SAFETY: two words of a map's value or of a variable, which the verifier makes sure of, alive as long as the program
    let [who, what] = unsafe { begun.read_volatile() };
    let has = who == event[0] && what == event[1];
    if has {
        // SAFETY: as above
        unsafe { set(begun, [0; 2]) }
    }
    has
}

/// Writes both words, each by itself: of an array of zeroes the compiler makes a call that fills it byte by byte.
///
/// # Safety
///
/// `begun` must be two words of a map's value or of a variable.
#[inline(always)]
unsafe fn set(begun: *mut [u64; 2], [who, what]: [u64; 2]) {
    let words = begun.cast::<u64>();
    // SAFETY: the caller's
    unsafe {
        words.write_volatile(who);
        words.add(1).write_volatile(what);
    }
}

/// A second program runs for an event that the first one was not shown.
#[inline(always)]
pub(crate) fn made_up(slot: u32) {
    add_one(&MADE_UP, slot);
}

/// A first program has seen to this event.
///
/// Not in a few slots of each CPU, though that would take a tenth of the time: an interrupt between a hook's two programs may bring
/// hundreds of events, which take every slot (on 6.18, emulated, ten thousand closes came to ten thousand and two).
#[inline(always)]
pub(crate) fn mark(event: &[u64; 3]) {
    let _ = MARKS.insert(event, &1, u64::from(BPF_ANY));
}

/// Whether it has; the mark is gone then.
#[inline(always)]
pub(crate) fn take_mark(event: &[u64; 3]) -> bool {
    MARKS.remove(event).is_ok()
}
