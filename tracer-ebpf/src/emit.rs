//! Writing a record: reserve, fill in place, submit, and account for what became of it.

use crate::call::{Call, Spread};
use crate::count::add_one;
use crate::kernel::boot_ns;
use crate::known::setting;
use crate::maps::{DROPPED, EVENTS, GENERATED};
use crate::place::Place;
use crate::record::Record;
use crate::share::{Room, bytes_of, grants};
use aya_ebpf::bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};

/// Bytes around a multiple of the wake-up threshold in which a record wakes the reader.
const WAKEUP_BAND: u64 = 2048;

/// Why a hook wrote nothing.
#[derive(Clone, Copy)]
pub(crate) enum Reason {
    /// The task, socket or cgroup is of no traced pod.
    NotTraced,
    /// Not what anybody wants to read: timers, child notices, thread creation.
    Noise,
    /// The pod is not being stopped.
    NotStopping,
    /// Other threads of the process live on.
    NotLast,
    /// A cgroup of a hierarchy that is not watched.
    OtherHierarchy,
    /// A socket of another protocol, or not a full one.
    NotTcp,
    /// Only book-keeping was to do.
    Noted,
    /// This kernel does not tell enough.
    Unsupported,
}

/// What became of an event.
#[derive(Clone, Copy)]
pub(crate) enum Outcome {
    /// A record of this kind is on its way.
    Emitted(u16),
    /// There was no room for a record of this kind, or none that its pod may take.
    Dropped(u16),
    /// There was no reason to write one.
    Skipped(Reason),
}

/// Who waits for a record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Somebody: the reader is woken.
    Now,
    /// Nobody: the reader finds it when it looks next, or when much is waiting.
    Soon,
}

/// The one place that counts.
#[inline(always)]
pub(crate) fn finish(outcome: Outcome) -> u32 {
    match outcome {
        Outcome::Emitted(kind) => add_one(&GENERATED, kind.into()),
        Outcome::Dropped(kind) => {
            add_one(&GENERATED, kind.into());
            add_one(&DROPPED, kind.into());
        }
        Outcome::Skipped(
            Reason::NotTraced
            | Reason::Noise
            | Reason::NotStopping
            | Reason::NotLast
            | Reason::OtherHierarchy
            | Reason::NotTcp
            | Reason::Noted
            | Reason::Unsupported,
        ) => {}
    }
    0
}

/// Writes a record about `cgroup`. `fill` must set every field but the header, in place: the stack
/// has no room for a record.
#[inline(always)]
pub(crate) fn emit<R: Record>(
    ctx: &Call<impl Place, impl Spread>,
    cgroup: u64,
    room: Room,
    urgency: Urgency,
    fill: impl FnOnce(&mut R),
) -> Outcome {
    if !ctx.is_due(R::KIND) {
        return Outcome::Skipped(Reason::Noted);
    }
    let waiting = EVENTS.query(u64::from(BPF_RB_AVAIL_DATA));
    if !grants::<R>(room, waiting) {
        return Outcome::Dropped(R::KIND);
    }
    let Some(mut entry) = EVENTS.reserve::<R>(0) else {
        return Outcome::Dropped(R::KIND);
    };
    // SAFETY: the ring's pages were zeroed by the kernel and have held records since, so the memory is
    // initialised, and every bit pattern is a value of `R`
    let record = unsafe { entry.assume_init_mut() };
    let header = record.header();
    header.kind = R::KIND;
    header.size = size_of::<R>() as u16;
    header.urgent = u32::from(urgency == Urgency::Now);
    // after the reservation: whoever has read the ring up to here has every older record
    header.at_ns = boot_ns();
    header.cgroup = cgroup;
    fill(record);
    entry.submit(wakeup(urgency, waiting + bytes_of::<R>()));
    Outcome::Emitted(R::KIND)
}

#[inline(always)]
fn wakeup(urgency: Urgency, waiting: u64) -> u64 {
    let threshold = setting!(wakeup_bytes);
    let much = waiting >= threshold && waiting & threshold.wrapping_sub(1) < WAKEUP_BAND;
    u64::from(if urgency == Urgency::Now || much { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP })
}
