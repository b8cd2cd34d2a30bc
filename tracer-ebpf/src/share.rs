//! Who may write while the ring is filling up: no pod is to crowd out another.
//!
//! As long as less than half of the ring is waiting everybody writes, and nothing is looked up. Above that, what a pod can make
//! at will is written only while the pod has written less of it than is still free. "Written" is within one window: while the
//! reader takes an eighth of the ring. So a pod that writes less than its fair part of what the reader manages loses nothing,
//! however many others storm, and what each of those loses is counted for it. The last eighth is for the records that
//! are never refused, one of which may be all that tells of a pod's end.

use crate::count::add;
use crate::known::setting;
use crate::maps::{self, EVENTS};
use crate::record::Record;
use aya_ebpf::bindings::BPF_RB_CONS_POS;
use core::ptr::{read_volatile, write_volatile};

/// What the ring adds to each record.
const RING_HEADER: u64 = 8;
/// The half of [`Share::spent`](tracer_ebpf::Share) that is the window.
const WINDOW_SHIFT: u32 = 32;

/// Which room a record may take.
#[derive(Clone, Copy)]
pub(crate) enum Room {
    /// All there is.
    All,
    /// What is left to this pod.
    LeftTo(u64),
}

/// Bytes that a record takes in the ring.
#[inline(always)]
pub(crate) const fn bytes_of<R>() -> u64 {
    size_of::<R>() as u64 + RING_HEADER
}

/// Whether a record may be written where `waiting` bytes wait already; one that may not is counted for its pod.
///
/// Two processors that begin a window at once forgive each other's record. (Old kernels have no atomic addition that tells the
/// sum, and none has a lock for programs like these.)
#[inline(always)]
pub(crate) fn grants<R: Record>(room: Room, waiting: u64) -> bool {
    let Room::LeftTo(pod) = room else {
        return true;
    };
    let eighth = setting!(wakeup_bytes);
    if waiting < 4 * eighth {
        return true;
    }
    let Some(share) = maps::share_of(pod) else {
        return true;
    };
    let window = EVENTS.query(u64::from(BPF_RB_CONS_POS)).checked_div(eighth).unwrap_or(0) << WINDOW_SHIFT;
    let spent = &raw mut share.spent;
    // SAFETY: an aligned word of an entry that stays readable; one that is reused meanwhile is another pod's, whose share is
    // then wrong by a record
    let word = unsafe { read_volatile(spent) };
    let is_new = word >> WINDOW_SHIFT << WINDOW_SHIFT != window;
    let written = if is_new { 0 } else { u64::from(word as u32) };
    let bytes = bytes_of::<R>();
    if written + bytes + waiting > 7 * eighth {
        add(&raw mut share.refused[R::KIND as usize], 1);
        return false;
    }
    if is_new {
        // SAFETY: as above
        unsafe { write_volatile(spent, window | bytes) }
    } else {
        add(spent, bytes);
    }
    true
}
