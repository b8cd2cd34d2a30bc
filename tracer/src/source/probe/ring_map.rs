//! The ring's memory: a BPF ring buffer mapped a piece at a time, and the records in it.
//!
//! The whole ring, twice in a row as it is usually mapped, would count in this process's resident memory page by page
//! and twice, though it is the kernel's. Here only the piece that is being read is mapped, and nothing of it while nothing
//! is there. Copies and frees records; what they mean is not known here.
//!
//! The layout is the kernel's promise (`kernel/bpf/ringbuf.c`, since 5.8; libbpf relies on the same): a page that starts
//! with how far it was read, a page that starts with how far was written, then the data, followed by itself once more, so that
//! no record is ever cut in two. A record is preceded by its length (the upper two bits: being written, discarded)
//! and another four bytes, and padded to a multiple of eight.

use super::mapping::Mapping;
use rustix::mm::ProtFlags;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

/// The record is being written.
const BUSY: u32 = 1 << 31;
/// The record was given up.
const DISCARDED: u32 = 1 << 30;
const HEADER: usize = 8;
const ALIGNMENT: usize = 8;
/// How much is mapped at a time: as much as is handed over at a time, and a map of a few dozen pages costs some
/// microseconds.
const PIECE: usize = 256 << 10;

/// A ring buffer to be read by one reader.
pub(super) struct RingMap {
    fd: OwnedFd,
    /// Bytes of data, a power of two.
    size: usize,
    page: usize,
    /// What the kernel reads: up to where everything is free again.
    consumer: Mapping,
    /// What the kernel writes: up to where there is something.
    producer: Mapping,
    piece: Option<Piece>,
    /// The next record. Like the kernel's positions it only grows (and wraps around).
    position: usize,
}

/// What was found at the reader's position.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A record, which was taken and is free now.
    Taken,
    /// A record that is still being written. Nothing behind it can be read yet.
    Busy,
    /// Nothing.
    Nothing,
}

impl RingMap {
    /// Maps what is always needed of the ring of `size` bytes behind `fd`.
    pub(super) fn new(fd: OwnedFd, size: usize) -> io::Result<Self> {
        let page = rustix::param::page_size();
        let consumer = Mapping::new(fd.as_fd(), 0, page, ProtFlags::READ | ProtFlags::WRITE)?;
        let producer = Mapping::new(fd.as_fd(), page, page, ProtFlags::READ)?;
        let position = consumer.word().load(Ordering::Relaxed);
        Ok(Self { fd, size, page, consumer, producer, piece: None, position })
    }

    /// Takes one record, if there is one; what was given up is passed over.
    pub(super) fn next(&mut self, mut take: impl FnMut(&[u8])) -> io::Result<Next> {
        // what is written up to there is seen as well
        while self.position != self.producer.word().load(Ordering::Acquire) {
            let at = self.position & (self.size - 1);
            let header = self.piece(at, HEADER)?.header(at).load(Ordering::Acquire);
            if header & BUSY != 0 {
                return Ok(Next::Busy);
            }
            // the two bits are off, so it is less than 2^30
            let length = (header & !DISCARDED) as usize;
            let is_wanted = header & DISCARDED == 0;
            if is_wanted {
                take(self.piece(at, HEADER + length)?.bytes(at + HEADER, length));
            }
            self.position = self.position.wrapping_add((HEADER + length).next_multiple_of(ALIGNMENT));
            // it is read: the kernel may write there
            self.consumer.word().store(self.position, Ordering::Release);
            if is_wanted {
                return Ok(Next::Taken);
            }
        }
        Ok(Next::Nothing)
    }

    /// How much is there, in bytes of the ring: more than in the records themselves.
    pub(super) fn waiting(&self) -> usize {
        self.producer.word().load(Ordering::Relaxed).wrapping_sub(self.position)
    }

    /// Gives back what is mapped for reading; it is mapped again when there is something.
    pub(super) fn rest(&mut self) {
        self.piece = None;
    }

    /// A piece that has `length` bytes of the data from `at` on.
    fn piece(&mut self, at: usize, length: usize) -> io::Result<&Piece> {
        let piece = match self.piece.take() {
            Some(piece) if piece.has(at, length) => piece,
            stale => {
                drop(stale);
                let begin = at - at % self.page;
                let length = (at - begin + length).next_multiple_of(self.page).max(PIECE.min(self.size));
                // the data follow the two pages, and once more themselves: a piece of no more than the ring fits anywhere
                let map = Mapping::new(self.fd.as_fd(), 2 * self.page + begin, length, ProtFlags::READ)?;
                Piece { begin, map }
            }
        };
        Ok(self.piece.insert(piece))
    }
}

impl AsFd for RingMap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A part of the data.
struct Piece {
    /// Where in the data it begins.
    begin: usize,
    map: Mapping,
}

impl Piece {
    fn has(&self, at: usize, length: usize) -> bool {
        at >= self.begin && at + length <= self.begin + self.map.len()
    }

    /// The word a record is preceded by.
    fn header(&self, at: usize) -> &AtomicU32 {
        let word = self.place(at, HEADER);
        // SAFETY: within the mapping, which lives as long as `self`; aligned, since records lie at multiples of eight and
        // mappings at pages; the kernel's side changes it as one word
        unsafe { AtomicU32::from_ptr(word.as_ptr().cast()) }
    }

    fn bytes(&self, at: usize, length: usize) -> &[u8] {
        let first = self.place(at, length);
        // SAFETY: within the mapping, which lives as long as `self`; what was submitted is not written again before the
        // reader has freed it
        unsafe { std::slice::from_raw_parts(first.as_ptr(), length) }
    }

    fn place(&self, at: usize, length: usize) -> NonNull<u8> {
        assert!(self.has(at, length), "a record beyond the piece that is mapped");
        self.map.place(at - self.begin, length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    const SIZE: usize = 64 << 10;

    /// The kernel's side, in a file: what is mapped twice there is written twice here.
    struct Kernel {
        file: File,
        page: usize,
        written: usize,
    }

    impl Kernel {
        /// Both sides of a ring whose positions are at `start`.
        fn new(start: usize) -> (Self, RingMap) {
            let page = rustix::param::page_size();
            let fd = memfd_create("ring", MemfdFlags::CLOEXEC).expect("a file");
            ftruncate(&fd, (2 * page + 2 * SIZE) as u64).expect("its size");
            let kernel = Self { file: File::from(fd.try_clone().expect("its copy")), page, written: start };
            kernel.put(0, &start.to_ne_bytes());
            kernel.put(page, &start.to_ne_bytes());
            let ring = RingMap::new(fd, SIZE).expect("mapped");
            (kernel, ring)
        }

        fn put(&self, at: usize, bytes: &[u8]) {
            self.file.write_all_at(bytes, at as u64).expect("written");
        }

        fn put_data(&self, at: usize, bytes: &[u8]) {
            for (index, byte) in bytes.iter().enumerate() {
                let at = at.wrapping_add(index) % SIZE;
                self.put(2 * self.page + at, &[*byte]);
                self.put(2 * self.page + SIZE + at, &[*byte]);
            }
        }

        fn free(&self) -> usize {
            let mut read = [0; 8];
            self.file.read_exact_at(&mut read, 0).expect("read");
            SIZE - self.written.wrapping_sub(usize::from_ne_bytes(read))
        }

        fn write(&mut self, record: &[u8], flags: u32) {
            let begin = self.written;
            self.put_data(begin, &(u32::try_from(record.len()).expect("short") | flags).to_ne_bytes());
            self.put_data(begin.wrapping_add(HEADER), record);
            self.written = begin.wrapping_add((HEADER + record.len()).next_multiple_of(ALIGNMENT));
            assert!(self.free() <= SIZE, "more than there is room for");
            self.put(self.page, &self.written.to_ne_bytes());
        }
    }

    fn next(ring: &mut RingMap) -> (Next, Vec<u8>) {
        let mut record = Vec::new();
        let next = ring.next(|bytes| record.extend_from_slice(bytes)).expect("mapped");
        (next, record)
    }

    #[test]
    fn waits_for_what_is_being_written_and_passes_over_what_was_given_up() {
        let (mut kernel, mut ring) = Kernel::new(0);
        assert_eq!(next(&mut ring), (Next::Nothing, vec![]));
        assert_eq!(ring.waiting(), 0);
        kernel.write(b"given up", DISCARDED);
        assert_eq!(ring.waiting(), 16);
        assert_eq!(next(&mut ring), (Next::Nothing, vec![]));
        assert_eq!(kernel.free(), SIZE, "its room is free");
        kernel.write(b"first", BUSY);
        kernel.write(b"second", 0);
        assert_eq!(next(&mut ring), (Next::Busy, vec![]));
        kernel.put_data(16, &5_u32.to_ne_bytes());
        assert_eq!(next(&mut ring), (Next::Taken, b"first".to_vec()));
        assert_eq!(next(&mut ring), (Next::Taken, b"second".to_vec()));
        assert_eq!(next(&mut ring), (Next::Nothing, vec![]));
        assert_eq!(kernel.free(), SIZE);
    }

    #[test]
    fn maps_nothing_while_it_rests() {
        let (mut kernel, mut ring) = Kernel::new(8);
        assert!(ring.piece.is_none());
        kernel.write(b"record", 0);
        assert_eq!(next(&mut ring).0, Next::Taken);
        assert!(ring.piece.is_some());
        ring.rest();
        assert!(ring.piece.is_none());
        kernel.write(b"another", 0);
        assert_eq!(next(&mut ring), (Next::Taken, b"another".to_vec()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Of whatever length, wherever in the ring and in its pieces, however far the positions are.
        #[test]
        fn reads_what_was_written(
            start in prop_oneof![Just(0), Just(SIZE - 8), Just(usize::MAX - 4095)],
            lengths in prop::collection::vec((0..6000_usize, 0..8_u8), 1..60),
        ) {
            let (mut kernel, mut ring) = Kernel::new(start);
            for (index, (length, fate)) in lengths.into_iter().enumerate() {
                let record: Vec<u8> = (0..length).map(|at| (at + index).to_le_bytes()[0]).collect();
                kernel.write(&record, if fate == 0 { DISCARDED } else { 0 });
                if fate == 1 {
                    ring.rest();
                }
                let expected = if fate == 0 { (Next::Nothing, vec![]) } else { (Next::Taken, record) };
                prop_assert_eq!(next(&mut ring), expected);
                prop_assert_eq!(kernel.free(), SIZE);
            }
        }
    }
}
