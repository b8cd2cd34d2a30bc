//! Places in the kernel's memory, and the two ways to read them.
//!
//! A helper reads any address and survives a wrong one, and costs a call each time: some 20 ns. Where a program is told the
//! types of its tracepoint's arguments (`tp_btf`), and that of `current`, the verifier knows what stands behind a pointer and lets it
//! be loaded from, and from what it leads to: one instruction each. A load from a wrong address gives zero there too.

use crate::kernel::offset;
use aya_ebpf::helpers::{self, generated};
use core::arch::asm;
use core::ffi::c_void;
use tracer_ebpf::ABSENT;

/// A place in the kernel's memory: an address that may be anything.
pub(crate) trait Place: Copy {
    /// Of a pointer that the kernel gave.
    fn of(pointer: u64) -> Self;

    /// Who is running.
    fn current() -> Self;

    /// The pointer. Of a [`Near`] one the verifier allows to store and to compare it, and nothing else.
    fn pointer(self) -> u64;

    /// The integer at `offset`; zero if the field does not exist or cannot be read.
    fn read<T: Word>(self, offset: u32) -> T;

    /// Where the pointer at `offset` leads.
    fn follow(self, offset: u32) -> Self;

    /// The word at one of two offsets; none if it is another's turn, or the reading is the same for any.
    fn read_one_of(self, offsets: [u32; 2], which: u32) -> Option<u32>;

    /// The sixteen bytes at `offset` into a field of a record.
    ///
    /// # Safety
    ///
    /// `into` is aligned to 8 bytes.
    unsafe fn read_field(self, into: &mut [u8; 16], offset: u32);

    /// A socket as a TCP socket; nowhere if it is another protocol's.
    fn as_tcp(self) -> Self;

    /// Whether it is nowhere.
    #[inline(always)]
    fn is_null(self) -> bool {
        self.pointer() == 0
    }
}

/// Read by a helper.
#[derive(Clone, Copy)]
pub(crate) struct Far(pub(crate) u64);

/// Loaded from: a pointer that the verifier knows the type of.
#[derive(Clone, Copy)]
pub(crate) struct Near(u64);

const IPPROTO_TCP: u16 = 6;

impl Place for Far {
    #[inline(always)]
    fn of(pointer: u64) -> Self {
        Self(pointer)
    }

    #[inline(always)]
    fn current() -> Self {
        // SAFETY: takes nothing
        Self(unsafe { helpers::bpf_get_current_task() })
    }

    #[inline(always)]
    fn pointer(self) -> u64 {
        self.0
    }

    #[inline(always)]
    fn read<T: Word>(self, offset: u32) -> T {
        let mut value = T::ZERO;
        if offset != ABSENT {
            let source = self.0.wrapping_add(u64::from(offset)) as *const c_void;
            // SAFETY: the destination is a local of that size; the source may be anything. A failed read
            // leaves zeroes.
            unsafe { generated::bpf_probe_read_kernel((&raw mut value).cast(), size_of::<T>() as u32, source) };
        }
        value
    }

    #[inline(always)]
    fn follow(self, offset: u32) -> Self {
        Self(self.read(offset))
    }

    #[inline(always)]
    fn read_one_of(self, _offsets: [u32; 2], _which: u32) -> Option<u32> {
        None
    }

    #[inline(always)]
    unsafe fn read_field(self, into: &mut [u8; 16], offset: u32) {
        read_bytes(into, self.0, offset);
    }

    #[inline(always)]
    fn as_tcp(self) -> Self {
        if self.read::<u16>(offset(|o| &o.sock_protocol)) == IPPROTO_TCP { self } else { Self(0) }
    }
}

impl Place for Near {
    #[inline(always)]
    fn of(pointer: u64) -> Self {
        Self(pointer)
    }

    #[inline(always)]
    fn current() -> Self {
        // SAFETY: takes nothing
        Self(unsafe { generated::bpf_get_current_task_btf() } as u64)
    }

    #[inline(always)]
    fn pointer(self) -> u64 {
        self.0
    }

    #[inline(always)]
    fn read<T: Word>(self, offset: u32) -> T {
        // what may be nowhere may not be loaded from without a look
        if offset == ABSENT || self.0 == 0 {
            return T::ZERO;
        }
        // SAFETY: the verifier lets only what it knows be loaded from
        unsafe { T::load(self.0, offset) }
    }

    #[inline(always)]
    fn follow(self, offset: u32) -> Self {
        Self(self.read(offset))
    }

    #[inline(always)]
    fn read_one_of(self, offsets: [u32; 2], which: u32) -> Option<u32> {
        let (value, found): (u64, u64);
        // SAFETY: the verifier lets only what it knows be loaded from. In one piece, as in `Word::load`: the compiler would make one
        // load of the two, at an offset that is known at run time only.
        unsafe {
            asm!(
                "{value} = {pointer}",
                "if {which} == 0 goto +4",
                "if {which} != 1 goto +7",
                "{value} += {second}",
                "{value} = *(u32 *)({value} + 0)",
                "goto +2",
                "{value} += {first}",
                "{value} = *(u32 *)({value} + 0)",
                "{found} = 1",
                "goto +2",
                "{value} = 0",
                "{found} = 0",
                value = out(reg) value,
                found = out(reg) found,
                pointer = in(reg) self.0,
                which = in(reg) u64::from(which),
                first = in(reg) u64::from(offsets[0]),
                second = in(reg) u64::from(offsets[1]),
                options(readonly, nostack),
            );
        }
        (found == 1).then_some(value as u32)
    }

    #[inline(always)]
    unsafe fn read_field(self, into: &mut [u8; 16], offset: u32) {
        let words = [self.read::<u64>(offset), self.read::<u64>(offset.saturating_add(8))];
        // SAFETY: the caller says that it is aligned
        unsafe { set_field(into, words) };
    }

    #[inline(always)]
    fn as_tcp(self) -> Self {
        // SAFETY: takes a socket of any kind
        Self(unsafe { generated::bpf_skc_to_tcp_sock(self.0 as *mut c_void) } as u64)
    }
}

/// An integer as the kernel keeps it.
pub(crate) trait Word: Copy {
    const ZERO: Self;

    /// One load from a typed pointer.
    ///
    /// # Safety
    ///
    /// The verifier must know the pointer's type and find this there.
    unsafe fn load(pointer: u64, offset: u32) -> Self;
}

macro_rules! word {
    ($($integer:ty = $access:literal),* $(,)?) => { $(
        impl Word for $integer {
            const ZERO: Self = 0;

            #[inline(always)]
            unsafe fn load(pointer: u64, offset: u32) -> Self {
                let value: u64;
                // SAFETY: the caller's. In one piece: the verifier is to see the offset, which it knows from the frozen map, added to the
                // pointer and nothing in between.
                unsafe {
                    asm!(
                        "{value} = {pointer}",
                        "{value} += {offset}",
                        concat!("{value} = *(", $access, " *)({value} + 0)"),
                        value = out(reg) value,
                        pointer = in(reg) pointer,
                        offset = in(reg) u64::from(offset),
                        options(readonly, nostack, preserves_flags),
                    );
                }
                value as Self
            }
        }
    )* };
}

word!(u8 = "u8", u16 = "u16", u32 = "u32", u64 = "u64", i32 = "u32");

/// The bytes at `base` + `offset`; zeroes if they cannot be read.
#[inline(always)]
pub(crate) fn read_bytes<const N: usize>(into: &mut [u8; N], base: u64, offset: u32) {
    let source = if offset == ABSENT { 0 } else { base.wrapping_add(u64::from(offset)) };
    // SAFETY: the destination is that long; the source may be anything
    unsafe { generated::bpf_probe_read_kernel(into.as_mut_ptr().cast(), N as u32, source as *const c_void) };
}

/// Sixteen bytes of a record as two words, for which the compiler would otherwise make sixteen stores.
///
/// # Safety
///
/// `into` is aligned to 8 bytes.
#[inline(always)]
pub(crate) unsafe fn set_field(into: &mut [u8; 16], words: [u64; 2]) {
    // SAFETY: as long as two words, and aligned as the caller says
    unsafe { into.as_mut_ptr().cast::<[u64; 2]>().write(words) };
}
