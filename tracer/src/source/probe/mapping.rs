//! Memory of the kernel's that this process has as well: of a BPF map, changed by both at once. What is in it is not known here.

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicUsize};

/// Pages of a map in this process's memory.
pub(super) struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the pages belong to no thread
unsafe impl Send for Mapping {}

impl Mapping {
    /// `length` bytes of a map, from `offset` on, a multiple of the page. The kernel maps whole pages; what is behind is not looked at.
    pub(super) fn new(fd: BorrowedFd<'_>, offset: usize, length: usize, protection: ProtFlags) -> io::Result<Self> {
        // SAFETY: at an address of the kernel's choice, so it is in nobody's way
        let start = unsafe { mmap(std::ptr::null_mut(), length, protection, MapFlags::SHARED, fd, offset as u64) }?;
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))?;
        Ok(Self { start, length })
    }

    /// How many bytes it has.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// Where `length` bytes are.
    pub(super) fn place(&self, at: usize, length: usize) -> NonNull<u8> {
        assert!(at.checked_add(length).is_some_and(|end| end <= self.length), "beyond what is mapped");
        // SAFETY: within the mapping
        unsafe { self.start.add(at) }
    }

    /// The word it starts with.
    pub(super) fn word(&self) -> &AtomicUsize {
        // SAFETY: a page is larger than a word and aligned for it; the kernel's side uses it as one word
        unsafe { AtomicUsize::from_ptr(self.start.as_ptr().cast()) }
    }

    /// A word of 32 bits, by its number.
    pub(super) fn short(&self, index: usize) -> &AtomicU32 {
        let place = self.place(index * size_of::<u32>(), size_of::<u32>());
        // SAFETY: within the mapping, which lives as long as `self`; aligned, since pages are; the kernel's side uses it as one word
        unsafe { AtomicU32::from_ptr(place.as_ptr().cast()) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: what `mmap` gave, of which nobody has a reference any more
        let unmapped = unsafe { munmap(self.start.as_ptr().cast(), self.length) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}
