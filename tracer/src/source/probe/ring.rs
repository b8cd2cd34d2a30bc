//! The thread that empties the ring: it copies and pushes, nothing else.

use super::batches::{Batch, BatchSender};
use super::ring_map::{Next, RingMap};
use super::ticks::Calibration;
use crate::input::BootNs;
use crate::source::clock;
use aya::Ebpf;
use aya_log::EbpfLogger;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fmt;
use std::io;
use std::time::Duration;
use tracer_ebpf::kind;

/// Bytes after which a batch is handed over though there is more.
const BATCH_BYTES: usize = 256 << 10;
/// Room for one more record, which may end beyond that.
const RECORD_BYTES: usize = 8 << 10;
/// How long records nobody is in a hurry for may lie, while there are any.
const BUSY: Duration = Duration::from_millis(25);
/// The same when nothing came for a while, and how often time alone is told then if something is due: a wake-up of two threads
/// takes up to 0.1 ms where each goes through a hypervisor, and several times that where it must first be woken itself. What
/// somebody waits for wakes the thread at once.
const IDLE: Duration = Duration::from_millis(980);
/// Of so many idle rounds one is told of if nothing is due.
const IDLE_TOLD: u32 = 4;
/// Rounds without a record after which nothing is going on: longer than a report waits for late closes.
const IDLE_AFTER: u32 = 60;
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
        let mut quiet_rounds = 0;
        let mut untold = 0;
        loop {
            self.wait(batches, if quiet_rounds < IDLE_AFTER { BUSY } else { IDLE });
            if batches.is_hurried() {
                quiet_rounds = 0;
            }
            let batch = match self.drain(batches) {
                Ok(batch) => batch,
                Err(error) => {
                    tracing::error!(
                        "the ring buffer cannot be mapped any more: {error}; give gracetrace more memory, or raise vm.max_map_count"
                    );
                    return;
                }
            };
            if batch.bytes.is_empty() {
                quiet_rounds = IDLE_AFTER.min(quiet_rounds + 1);
                self.ring.rest();
                batches.rest();
            } else {
                quiet_rounds = 0;
            }
            let is_full = batch.bytes.len() >= BATCH_BYTES;
            untold = if is_told(quiet_rounds, untold, batches.is_time_wanted()) { 0 } else { untold + 1 };
            if untold == 0 && !batches.send(batch) {
                return;
            }
            if let Some(flush) = &mut self.flush_log {
                flush();
            }
            self.calibration.go_on();
            if quiet_rounds == 0 && !is_full {
                std::thread::sleep(PAUSE);
            }
        }
    }

    /// Copies what is there.
    fn drain(&mut self, batches: &BatchSender) -> io::Result<Batch> {
        // before the ring is looked at: a record reserved later carries a later time
        let begun = BootNs(clock::boot_now().0.saturating_sub(CLOCK_MARGIN_NS));
        let mut bytes = batches.room(self.ring.waiting().min(BATCH_BYTES + RECORD_BYTES));
        let mut counts = [0; kind::COUNT];
        let mut newest = 0;
        let mut looks = 0;
        let mut is_empty = false;
        while bytes.len() < BATCH_BYTES && looks < LOOKS {
            let next = self.ring.next(|record| {
                newest = at_ns(record).unwrap_or(newest);
                // as it came: what cannot be decoded has arrived as well
                if let Some(count) = kind_of(record).and_then(|kind| counts.get_mut(kind)) {
                    *count += 1;
                }
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
        Ok(Batch { bytes, counts, complete_until: self.complete_until })
    }

    fn wait(&self, batches: &BatchSender, timeout: Duration) {
        let timeout = Timespec { tv_sec: 0, tv_nsec: timeout.subsec_nanos().into() };
        let hurry = batches.hurry();
        let mut wakes = [PollFd::new(&self.ring, PollFlags::IN), PollFd::new(&hurry, PollFlags::IN)];
        // an interrupted or failed wait is a short one
        let _ = poll(&mut wakes, Some(&timeout));
    }
}

/// Whether a round is handed over: each but idle ones while nothing is due, and of those one in [`IDLE_TOLD`].
fn is_told(quiet_rounds: u32, untold: u32, time_is_wanted: bool) -> bool {
    quiet_rounds < IDLE_AFTER || time_is_wanted || untold + 1 >= IDLE_TOLD
}

fn kind_of(record: &[u8]) -> Option<usize> {
    record.get(KIND)?.first_chunk().copied().map(u16::from_ne_bytes).map(usize::from)
}

fn at_ns(record: &[u8]) -> Option<u64> {
    record.get(AT_NS)?.first_chunk().copied().map(u64::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracer_ebpf::Header;

    #[test]
    fn of_idle_rounds_every_fourth_is_told_unless_something_is_due() {
        assert!(is_told(0, 0, false) && is_told(IDLE_AFTER - 1, 0, false));
        assert!([0, 1, 2].into_iter().all(|untold| !is_told(IDLE_AFTER, untold, false)));
        assert!(is_told(IDLE_AFTER, 3, false) && is_told(IDLE_AFTER, 0, true));
    }

    #[test]
    fn kind_and_time_are_where_the_header_has_them() {
        assert_eq!(KIND.start, std::mem::offset_of!(Header, kind));
        assert_eq!(AT_NS.start, std::mem::offset_of!(Header, at_ns));
        let record: Vec<u8> = (0..24).collect();
        assert_eq!(at_ns(&record), Some(u64::from_ne_bytes([8, 9, 10, 11, 12, 13, 14, 15])));
        assert_eq!(at_ns(&record[..15]), None);
        assert_eq!((kind_of(&[7, 0, 24]), kind_of(&record[..1])), (Some(7), None));
    }
}
