//! The queue between the thread that empties the ring and the pipeline, and the way back for the memory of its batches: in a storm
//! a quarter of a MiB a millisecond, which an allocator would fetch from the kernel and return to it each time. `ring` fills batches,
//! `pipeline` has `decode` read them; nothing here looks into one. What the pipeline has to say to that thread goes by here as well.

use crate::input::BootNs;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver as Used, SyncSender as Return, sync_channel};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tracer_ebpf::kind;

/// The memory of a smaller batch is freed: when records only trickle, nothing is to be kept for the next storm.
const WORTH_KEEPING_BYTES: usize = 64 << 10;

/// What the reader thread took from the ring in one go.
#[derive(Debug)]
pub struct Batch {
    /// Whole records, one after the other, each as long as its header says. May be empty: then only time has passed.
    pub bytes: Vec<u8>,
    /// How many they are, by kind.
    pub counts: [u64; kind::COUNT],
    /// Every record older than this (boot clock) is in this batch or an earlier one.
    pub complete_until: BootNs,
}

/// The reader's end.
#[derive(Debug)]
pub struct BatchSender {
    batches: Sender<Batch>,
    used: Used<Vec<u8>>,
    wanted: Arc<Wanted>,
}

/// The pipeline's end.
#[derive(Debug)]
pub struct BatchReceiver {
    batches: Receiver<Batch>,
    used: Return<Vec<u8>>,
    wanted: Arc<Wanted>,
}

/// What the pipeline wants of the reader.
#[derive(Debug)]
struct Wanted {
    /// Readable: to look at once.
    now: OwnedFd,
    /// To be told of time alone, as soon as it has passed: something is due. Records keep up the reader's pace then.
    time: AtomicBool,
}

/// A queue in which so many may wait. Fails where no descriptor is left.
pub fn queue(depth: usize) -> io::Result<(BatchSender, BatchReceiver)> {
    let now = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let wanted = Arc::new(Wanted { now, time: AtomicBool::new(true) });
    let (sender, receiver) = mpsc::channel(depth);
    let (give_back, used) = sync_channel(depth);
    let filled = BatchSender { batches: sender, used, wanted: Arc::clone(&wanted) };
    Ok((filled, BatchReceiver { batches: receiver, used: give_back, wanted }))
}

impl BatchSender {
    /// Room for so many bytes, in memory that was in use before if there is some.
    pub(super) fn room(&self, bytes: usize) -> Vec<u8> {
        let mut room = self.used.try_recv().unwrap_or_default();
        room.reserve_exact(bytes);
        room
    }

    /// Waits while the queue is full; false once nobody takes batches any more.
    pub(super) fn send(&self, batch: Batch) -> bool {
        self.batches.blocking_send(batch).is_ok()
    }

    /// Readable once the pipeline waits for what lies in the ring.
    pub(super) fn hurry(&self) -> BorrowedFd<'_> {
        self.wanted.now.as_fd()
    }

    /// Whether it does; from then on, until it does again, it does not.
    pub(super) fn is_hurried(&self) -> bool {
        rustix::io::read(&self.wanted.now, &mut [0; 8]).is_ok()
    }

    /// Whether something is due when time has passed.
    pub(super) fn is_time_wanted(&self) -> bool {
        self.wanted.time.load(Ordering::Relaxed)
    }

    /// Keeps no memory for later.
    pub(super) fn rest(&self) {
        while self.used.try_recv().is_ok() {}
    }
}

impl BatchReceiver {
    /// The next one; `None` once there will be none. May be dropped while it waits.
    pub async fn recv(&mut self) -> Option<Batch> {
        self.batches.recv().await
    }

    /// Has the reader look at once, and often for a while, though nothing has woken it.
    pub fn hurry(&self) {
        // one that is full has been readable for long
        let _full = rustix::io::write(&self.wanted.now, &1_u64.to_ne_bytes());
    }

    /// Says whether something is due when time has passed. If not, records that nobody waits for do not keep up the reader's
    /// pace, and an idle one tells of time alone now and then only.
    pub fn want_time(&self, wanted: bool) {
        self.wanted.time.store(wanted, Ordering::Relaxed);
    }

    /// A batch has been read.
    pub fn give_back(&self, batch: Batch) {
        let mut bytes = batch.bytes;
        if bytes.len() >= WORTH_KEEPING_BYTES {
            bytes.clear();
            // where there is no room, or nobody to take it, it is freed
            let _freed = self.used.try_send(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(bytes: Vec<u8>) -> Batch {
        Batch { bytes, counts: [0; kind::COUNT], complete_until: BootNs(0) }
    }

    #[tokio::test]
    async fn memory_is_used_again_as_long_as_batches_are_large() {
        let (filled, mut batches) = queue(2).unwrap();
        assert_eq!(filled.room(0).capacity(), 0);
        let mut room = filled.room(WORTH_KEEPING_BYTES);
        room.resize(WORTH_KEEPING_BYTES, 7);
        let place = room.as_ptr();
        filled.batches.send(batch(room)).await.unwrap();
        let read = batches.recv().await.unwrap();
        assert_eq!(read.bytes, vec![7; WORTH_KEEPING_BYTES]);
        batches.give_back(read);
        let mut again = filled.room(10);
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
        // a trickle, in the storm's memory: that is not kept any more
        again.push(7);
        batches.give_back(batch(again));
        assert_eq!(filled.room(0).capacity(), 0);
    }

    #[tokio::test]
    async fn nothing_is_kept_once_there_is_nothing() {
        let (filled, mut batches) = queue(2).unwrap();
        for _ in 0..3 {
            batches.give_back(batch(vec![7; WORTH_KEEPING_BYTES]));
        }
        filled.rest();
        assert_eq!(filled.room(0).capacity(), 0);
        drop(filled);
        assert!(batches.recv().await.is_none());
        batches.give_back(batch(vec![7; WORTH_KEEPING_BYTES]));
    }

    #[test]
    fn what_is_wanted_is_heard_once() {
        let (filled, batches) = queue(2).unwrap();
        assert!(!filled.is_hurried());
        batches.hurry();
        batches.hurry();
        assert!(filled.is_hurried());
        assert!(!filled.is_hurried());
        // until something is known, every second is told
        assert!(filled.is_time_wanted());
        batches.want_time(false);
        assert!(!filled.is_time_wanted());
    }
}
