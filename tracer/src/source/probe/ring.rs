//! The thread that empties the ring: it copies and pushes, nothing else.

use super::batches::{Batch, BatchSender};
use super::pace::{Found, Pace};
use super::ring_map::{Next, RingMap};
use super::ticks::Calibration;
use crate::input::BootNs;
use crate::source::clock;
use aya::Ebpf;
use aya_log::EbpfLogger;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fmt;
use std::io;
use std::time::{Duration, Instant};
use tracer_ebpf::kind;

/// Bytes after which a batch is handed over though there is more.
const BATCH_BYTES: usize = 256 << 10;
/// Less than so many in a round are a trickle.
const TRICKLE_BYTES: usize = 4 << 10;
/// Room for one more record, which may end beyond that.
const RECORD_BYTES: usize = 8 << 10;
/// Pause after a round that found something: under load it gathers many records into one round.
const PAUSE: Duration = Duration::from_millis(1);
/// How often to look again at a record that is being written.
const LOOKS: u32 = 1000;
/// The kernel's clock for probes may lag the system call's by its correction step.
const CLOCK_MARGIN_NS: u64 = 50_000;
/// Where the ring is never found empty: records this much older than the last one read are all there.
const DISORDER_NS: u64 = 2_000_000;
/// Where a record's kind is (`Header::kind`).
const KIND: std::ops::Range<usize> = 0..2;
/// Where it says whether somebody waits for it (`Header::urgent`).
const URGENT: std::ops::Range<usize> = 4..8;
/// Where a record's time is (`Header::at_ns`).
const AT_NS: std::ops::Range<usize> = 8..16;

/// Passes on what the probes have logged.
pub(super) type Flush = Box<dyn FnMut() + Send>;

/// Everything the thread needs.
pub(super) struct Reader {
    ring: RingMap,
    flush_log: Option<Flush>,
    calibration: Calibration,
    complete_until: BootNs,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("complete_until", &self.complete_until).finish_non_exhaustive()
    }
}

/// Hands the probes' own log over to the logger of this process; `None` if the object has none.
pub(super) fn kernel_log(ebpf: &mut Ebpf) -> Option<Flush> {
    match EbpfLogger::init(ebpf) {
        Ok(mut logger) => Some(Box::new(move || logger.flush())),
        Err(error) => {
            tracing::warn!(%error, "the probes' own log cannot be read");
            None
        }
    }
}

impl Reader {
    pub(super) fn new(ring: RingMap, flush_log: Option<Flush>, calibration: Calibration) -> Self {
        Self { ring, flush_log, calibration, complete_until: BootNs(0) }
    }

    /// Until the receiver is gone. A full queue makes this thread wait, and the ring fill up; what
    /// finds no room there is counted where it is lost.
    pub(super) fn run(mut self, batches: &BatchSender) {
        let mut pace = Pace::new(Instant::now());
        loop {
            self.wait(batches, pace.wait(batches.is_time_wanted(), Instant::now()));
            let is_hurried = batches.is_hurried();
            let (batch, is_urgent) = match self.drain(batches) {
                Ok(drained) => drained,
                Err(error) => {
                    tracing::error!(
                        "the ring buffer cannot be mapped any more: {error}; give gracetrace more memory, or raise vm.max_map_count"
                    );
                    return;
                }
            };
            let bytes = batch.bytes.len();
            let (is_empty, is_full) = (bytes == 0, bytes >= BATCH_BYTES);
            let found = match is_empty {
                _ if is_hurried || is_urgent || is_full => Found::Urgent,
                true => Found::Nothing,
                false => Found::Records,
            };
            let is_due = batches.is_time_wanted();
            let now = Instant::now();
            if pace.after(found, is_due, now) && !batches.send(batch) {
                return;
            }
            // (not where so many come that it would be mapped anew at once)
            if is_empty || bytes < TRICKLE_BYTES && pace.is_idle(is_due, now) {
                self.ring.rest();
                batches.rest();
            }
            if let Some(flush) = &mut self.flush_log {
                flush();
            }
            self.calibration.go_on();
            if !is_empty && !is_full {
                std::thread::sleep(PAUSE);
            }
        }
    }

    /// Copies what is there, and tells whether somebody waits for any of it.
    fn drain(&mut self, batches: &BatchSender) -> io::Result<(Batch, bool)> {
        // before the ring is looked at: a record reserved later carries a later time
        let begun = BootNs(clock::boot_now().0.saturating_sub(CLOCK_MARGIN_NS));
        let mut bytes = batches.room(self.ring.waiting().min(BATCH_BYTES + RECORD_BYTES));
        let mut counts = [0; kind::COUNT];
        let mut newest = 0;
        let mut is_urgent = false;
        let mut looks = 0;
        let mut is_empty = false;
        while bytes.len() < BATCH_BYTES && looks < LOOKS {
            let next = self.ring.next(|record| {
                newest = at_ns(record).unwrap_or(newest);
                // as it came: what cannot be decoded has arrived as well
                if let Some(count) = kind_of(record).and_then(|kind| counts.get_mut(kind)) {
                    *count += 1;
                }
                is_urgent |= urgency_of(record).is_some_and(|urgent| urgent != 0);
                bytes.extend_from_slice(record);
            });
            match next {
                Ok(Next::Taken) => {}
                Err(error) if bytes.is_empty() => return Err(error),
                // what was taken is handed over first; the next turn meets the same
                Err(_) => break,
                Ok(Next::Busy) => {
                    // reserved and not yet submitted; that takes a microsecond, or a preempted virtual CPU
                    looks += 1;
                    std::thread::yield_now();
                }
                Ok(Next::Nothing) => {
                    is_empty = true;
                    break;
                }
            }
        }
        let complete = if is_empty { begun } else { begun.min(BootNs(newest.saturating_sub(DISORDER_NS))) };
        self.complete_until = self.complete_until.max(complete);
        Ok((Batch { bytes, counts, complete_until: self.complete_until }, is_urgent))
    }

    fn wait(&self, batches: &BatchSender, timeout: Duration) {
        let timeout = Timespec { tv_sec: 0, tv_nsec: timeout.subsec_nanos().into() };
        let hurry = batches.hurry();
        let mut wakes = [PollFd::new(&self.ring, PollFlags::IN), PollFd::new(&hurry, PollFlags::IN)];
        // an interrupted or failed wait is a short one
        let _ = poll(&mut wakes, Some(&timeout));
    }
}

fn kind_of(record: &[u8]) -> Option<usize> {
    record.get(KIND)?.first_chunk().copied().map(u16::from_ne_bytes).map(usize::from)
}

fn urgency_of(record: &[u8]) -> Option<u32> {
    record.get(URGENT)?.first_chunk().copied().map(u32::from_ne_bytes)
}

fn at_ns(record: &[u8]) -> Option<u64> {
    record.get(AT_NS)?.first_chunk().copied().map(u64::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracer_ebpf::Header;

    #[test]
    fn what_is_looked_at_is_where_the_header_has_it() {
        assert_eq!(KIND.start, std::mem::offset_of!(Header, kind));
        assert_eq!(URGENT.start, std::mem::offset_of!(Header, urgent));
        assert_eq!(AT_NS.start, std::mem::offset_of!(Header, at_ns));
        let record: Vec<u8> = (0..24).collect();
        assert_eq!(at_ns(&record), Some(u64::from_ne_bytes([8, 9, 10, 11, 12, 13, 14, 15])));
        assert_eq!(at_ns(&record[..15]), None);
        assert_eq!((urgency_of(&[0, 0, 0, 0, 7, 7, 7, 7]), urgency_of(&record[..7])), (Some(0x0707_0707), None));
        assert_eq!((kind_of(&[7, 0, 24]), kind_of(&record[..1])), (Some(7), None));
    }
}
