//! Counting in words of maps, whoever else counts there meanwhile.

use aya_ebpf::maps::PerCpuArray;
use core::arch::asm;

/// Adds one to this CPU's counter in a slot.
#[inline(always)]
pub(crate) fn add_one(counters: &PerCpuArray<u64>, slot: u32) {
    // an interrupt on this CPU may count as well
    if let Some(counter) = counters.get_ptr_mut(slot) {
        add(counter, 1);
    }
}

/// Adds to a word of a map's value. Atomic, and without a result, so that 5.10 can do it. (`core` has no `fetch_add` for this
/// target.)
#[inline(always)]
pub(crate) fn add(counter: *mut u64, count: u64) {
    // SAFETY: an aligned word of a map's value, which the verifier makes sure of, and alive as long as the program runs
    unsafe { asm!("lock *(u64 *)({counter} + 0) += {count}", counter = in(reg) counter, count = in(reg) count) };
}

/// The same of a shorter word.
#[inline(always)]
pub(crate) fn add_to_short(counter: *mut u32, count: u32) {
    // SAFETY: as above
    unsafe {
        asm!("lock *(u32 *)({counter} + 0) += {count}", counter = in(reg) counter, count = in(reg) u64::from(count));
    };
}
