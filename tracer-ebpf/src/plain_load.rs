//! Plain loads from pointers that the verifier knows the type of. In assembly, each in one piece: the compiler would reckon with what only
//! the loader knows, or with pointers that must not be reckoned with.

use crate::known::{Field, setting_index};
use core::arch::asm;
use tracer_ebpf::placeholder;

/// The pointer as one that leads to a struct of this type and that nobody vouches for: `bpf_rdonly_cast`, of which the kernel makes a move
/// from one register to another. Where there is none (before 6.2) it is what it was; the verifiers of then vouch for nothing either.
#[inline(always)]
pub(crate) fn untrusted(pointer: u64, type_id: u64) -> u64 {
    let result: u64;
    // SAFETY: reads nothing; a call sets the registers that it says
    unsafe {
        asm!(
            "call {function}",
            function = const placeholder::NUMBER + setting_index!(rdonly_cast) as u32,
            in("r1") pointer,
            in("r2") type_id,
            lateout("r0") result,
            lateout("r1") _,
            lateout("r2") _,
            lateout("r3") _,
            lateout("r4") _,
            lateout("r5") _,
            options(nomem, nostack),
        );
    }
    result
}

/// The word at the first (`which` is 0) or second (1) of two offsets from a typed pointer; none for any other `which`.
#[inline(always)]
pub(crate) fn load_one_of(pointer: u64, offsets: [u64; 2], which: u32) -> Option<u32> {
    let (value, found): (u64, u64);
    // SAFETY: the verifier lets only what it knows be loaded from. In one piece, as in `Word::load_at`: the compiler would make one
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
            pointer = in(reg) pointer,
            which = in(reg) u64::from(which),
            first = in(reg) offsets[0],
            second = in(reg) offsets[1],
            options(readonly, nostack),
        );
    }
    (found == 1).then_some(value as u32)
}

/// An integer as the kernel keeps it.
pub(crate) trait Word: Copy {
    const ZERO: Self;

    /// One load from a typed pointer; zero if the field does not exist.
    ///
    /// # Safety
    ///
    /// The verifier must know the pointer's type and find this there.
    unsafe fn load<F: Field>(pointer: u64, field: F) -> Self;

    /// The same at an offset that is worked out.
    ///
    /// # Safety
    ///
    /// As for [`load`](Self::load), and the verifier must be able to work it out as well.
    unsafe fn load_at(pointer: u64, offset: u64) -> Self;
}

macro_rules! word {
    ($($integer:ty = $access:literal),* $(,)?) => { $(
        impl Word for $integer {
            const ZERO: Self = 0;

            #[inline(always)]
            unsafe fn load<F: Field>(pointer: u64, _field: F) -> Self {
                let value: u64;
                // SAFETY: the caller's
                unsafe {
                    asm!(
                        concat!("{value} = *(", $access, " *)({pointer} + {distance})"),
                        value = out(reg) value,
                        pointer = in(reg) pointer,
                        distance = const placeholder::DISTANCE + F::INDEX,
                        options(readonly, nostack, preserves_flags),
                    );
                }
                value as Self
            }

            #[inline(always)]
            unsafe fn load_at(pointer: u64, offset: u64) -> Self {
                let value: u64;
                // SAFETY: the caller's. In one piece: the verifier is to see the offset, which it knows, added to the pointer and
                // nothing in between.
                unsafe {
                    asm!(
                        "{value} = {pointer}",
                        "{value} += {offset}",
                        concat!("{value} = *(", $access, " *)({value} + 0)"),
                        value = out(reg) value,
                        pointer = in(reg) pointer,
                        offset = in(reg) offset,
                        options(readonly, nostack, preserves_flags),
                    );
                }
                value as Self
            }
        }
    )* };
}

word!(u8 = "u8", u16 = "u16", u32 = "u32", u64 = "u64", i32 = "u32");

/// Two loads from a typed pointer, of a field and what is 8 bytes further on.
///
/// # Safety
///
/// As for [`Word::load`].
#[inline(always)]
pub(crate) unsafe fn load_pair<F: Field>(pointer: u64, _field: F) -> [u64; 2] {
    let [first, second]: [u64; 2];
    // SAFETY: the caller's
    unsafe {
        asm!(
            "{first} = *(u64 *)({pointer} + {at})",
            "{second} = *(u64 *)({pointer} + {behind})",
            first = out(reg) first,
            second = out(reg) second,
            pointer = in(reg) pointer,
            at = const placeholder::DISTANCE + F::INDEX,
            behind = const placeholder::DISTANCE + placeholder::WORDS + F::INDEX,
            options(readonly, nostack, preserves_flags),
        );
    }
    [first, second]
}
