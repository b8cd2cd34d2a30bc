//! Places in the kernel's memory, and how each is read: by a helper ([`Far`]) or by plain loads ([`Typed`]). What they mean `kernel.rs` knows.
//!
//! A helper reads any address and survives a wrong one, and costs a call each time: some 20 ns. Where a program is told the
//! types of its tracepoint's arguments (`tp_btf`), and that of `current`, the verifier knows what stands behind a pointer and lets it
//! be loaded from, and from what it leads to: one instruction each. A load from a wrong address gives zero there too.
//!
//! For each pointer that is loaded through one the kernel vouches for, the verifier asks whether that is vouched for as well, which takes it a
//! millisecond. Through one that nobody vouches for ([`Untrusted`]) it asks nothing; such a load costs some 2 ns more when it runs, as it is
//! looked at what address it goes to. So what is asked often goes by [`Near`], and what is asked seldom, or only leads to something else, by [`Untrusted`].

use crate::known::{Field, field, setting};
use crate::plain_load::{Word, load_one_of, load_pair, untrusted};
use aya_ebpf::helpers::{self, generated};
use core::ffi::c_void;
use tracer_ebpf::ABSENT;

/// A place in the kernel's memory: an address that may be anything.
pub(crate) trait Place: Copy {
    /// The same, where the verifier vouches for nothing.
    type Untrusted: Place;

    /// Whether a read of it is a load, and no call.
    const IS_LOADED: bool;

    /// Of a pointer that the kernel gave.
    fn of(pointer: u64) -> Self;

    /// Who is running.
    fn current() -> Self;

    /// The pointer. Of a [`Near`] one the verifier allows to store and to compare it, and nothing else.
    fn pointer(self) -> u64;

    /// The integer in a field; zero if the field does not exist or cannot be read.
    fn read<T: Word>(self, field: impl Field) -> T;

    /// The integer at an offset that is worked out.
    fn read_at<T: Word>(self, offset: u64) -> T;

    /// Where the pointer in a field leads.
    #[inline(always)]
    fn follow(self, field: impl Field) -> Self {
        Self::of(self.read(field))
    }

    /// Where the pointer at such an offset leads.
    #[inline(always)]
    fn follow_at(self, offset: u64) -> Self {
        Self::of(self.read_at(offset))
    }

    /// The word at the first (`which` is 0) or second (1) of two offsets by a plain load; none where that cannot be, and for any other `which`.
    fn read_one_of(self, offsets: [u64; 2], which: u32) -> Option<u32>;

    /// The two words in a field of sixteen bytes.
    fn read_pair(self, field: impl Field) -> [u64; 2];

    /// The sixteen bytes in a field into one of a record.
    ///
    /// # Safety
    ///
    /// `into` is aligned to 8 bytes.
    unsafe fn read_field(self, into: &mut [u8; 16], field: impl Field);

    /// The same place, which is a task's: nothing is vouched for of what is loaded from it, nor asked by the verifier.
    fn untrusted_task(self) -> Self::Untrusted;

    /// What a number leads to if it is the address of a `struct kernel_siginfo`; none where the kernel does not take a program's word for that.
    fn untrusted_siginfo(address: u64) -> Option<Self::Untrusted>;

    /// Whether it is nowhere.
    #[inline(always)]
    fn is_null(self) -> bool {
        self.pointer() == 0
    }
}

/// A place that may be a socket's.
pub(crate) trait SocketPlace: Place {
    /// A socket as a TCP socket; nowhere if it is another protocol's.
    fn as_tcp(self) -> Self;
}

/// Read by a helper.
#[derive(Clone, Copy)]
pub(crate) struct Far(pub(crate) u64);

/// Loaded from: a pointer that the verifier knows the type of. If it is `VOUCHED` for, the verifier may want it looked at first whether it is
/// one; if not, a load from nowhere gives zero.
#[derive(Clone, Copy)]
pub(crate) struct Typed<const VOUCHED: bool>(u64);

/// What the kernel gives, and what that leads to.
pub(crate) type Near = Typed<true>;

/// What the verifier knows the type of because the program says so, and nobody vouches for.
pub(crate) type Untrusted = Typed<false>;

const IPPROTO_TCP: u16 = 6;

impl Place for Far {
    type Untrusted = Self;

    const IS_LOADED: bool = false;

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
    fn read<T: Word>(self, field: impl Field) -> T {
        self.read_at(field.word())
    }

    #[inline(always)]
    fn read_at<T: Word>(self, offset: u64) -> T {
        let mut value = T::ZERO;
        if offset != u64::from(ABSENT) {
            let source = self.0.wrapping_add(offset) as *const c_void;
            // SAFETY: the destination is a local of that size; the source may be anything. A failed read
            // leaves zeroes.
            unsafe { generated::bpf_probe_read_kernel((&raw mut value).cast(), size_of::<T>() as u32, source) };
        }
        value
    }

    #[inline(always)]
    fn read_one_of(self, _offsets: [u64; 2], _which: u32) -> Option<u32> {
        None
    }

    #[inline(always)]
    fn read_pair(self, field: impl Field) -> [u64; 2] {
        let at = field.word();
        [self.read_at(at), self.read_at(if field.is_there() { at + 8 } else { at })]
    }

    #[inline(always)]
    unsafe fn read_field(self, into: &mut [u8; 16], field: impl Field) {
        read_bytes(into, self.0, field.word());
    }

    #[inline(always)]
    fn untrusted_task(self) -> Self {
        self
    }

    #[inline(always)]
    fn untrusted_siginfo(_address: u64) -> Option<Self> {
        None
    }
}

impl SocketPlace for Far {
    #[inline(always)]
    fn as_tcp(self) -> Self {
        if self.read::<u16>(field!(sock_protocol)) == IPPROTO_TCP { self } else { Self(0) }
    }
}

impl<const VOUCHED: bool> Typed<VOUCHED> {
    /// What may be nowhere may not be loaded from without a look.
    #[inline(always)]
    fn may_not_be_loaded(self) -> bool {
        VOUCHED && self.0 == 0
    }
}

impl<const VOUCHED: bool> Place for Typed<VOUCHED> {
    type Untrusted = Untrusted;

    const IS_LOADED: bool = true;

    #[inline(always)]
    fn of(pointer: u64) -> Self {
        Self(pointer)
    }

    #[inline(always)]
    fn current() -> Self {
        // SAFETY: takes nothing
        let task = unsafe { generated::bpf_get_current_task_btf() } as u64;
        Self(if VOUCHED { task } else { untrusted(task, setting!(task_type)) })
    }

    #[inline(always)]
    fn pointer(self) -> u64 {
        self.0
    }

    #[inline(always)]
    fn read<T: Word>(self, field: impl Field) -> T {
        if self.may_not_be_loaded() {
            return T::ZERO;
        }
        // SAFETY: the verifier lets only what it knows be loaded from
        unsafe { T::load(self.0, field) }
    }

    #[inline(always)]
    fn read_at<T: Word>(self, offset: u64) -> T {
        if offset == u64::from(ABSENT) || self.may_not_be_loaded() {
            return T::ZERO;
        }
        // SAFETY: as above
        unsafe { T::load_at(self.0, offset) }
    }

    #[inline(always)]
    fn read_one_of(self, offsets: [u64; 2], which: u32) -> Option<u32> {
        load_one_of(self.0, offsets, which)
    }

    #[inline(always)]
    fn read_pair(self, field: impl Field) -> [u64; 2] {
        if self.may_not_be_loaded() {
            return [0; 2];
        }
        // SAFETY: the verifier lets only what it knows be loaded from
        unsafe { load_pair(self.0, field) }
    }

    #[inline(always)]
    unsafe fn read_field(self, into: &mut [u8; 16], field: impl Field) {
        let words = self.read_pair(field);
        // SAFETY: the caller says that it is aligned
        unsafe { set_field(into, words) };
    }

    #[inline(always)]
    fn untrusted_task(self) -> Untrusted {
        Typed(if VOUCHED { untrusted(self.0, setting!(task_type)) } else { self.0 })
    }

    #[inline(always)]
    fn untrusted_siginfo(address: u64) -> Option<Untrusted> {
        (setting!(rdonly_cast) != 0).then(|| Typed(untrusted(address, setting!(siginfo_type))))
    }
}

impl SocketPlace for Near {
    #[inline(always)]
    fn as_tcp(self) -> Self {
        // SAFETY: takes a socket of any kind
        Self(unsafe { generated::bpf_skc_to_tcp_sock(self.0 as *mut c_void) } as u64)
    }
}

/// The bytes at `base` + `offset`; zeroes if they cannot be read.
#[inline(always)]
pub(crate) fn read_bytes<const N: usize>(into: &mut [u8; N], base: u64, offset: u64) {
    let source = if offset == u64::from(ABSENT) { 0 } else { base.wrapping_add(offset) };
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
