//! What the loader knows of the kernel, and writes into the programs' instructions before the verifier looks: where fields are, and what
//! differs between kernels. See [`placeholder`].

use core::arch::asm;
use tracer_ebpf::{ABSENT, placeholder};

/// A word that the loader knows: where a field is, how large something is, what holds on this kernel.
pub(crate) trait Field: Copy {
    /// Which word of `Offsets`, or behind them of `Settings`.
    const INDEX: u32;

    /// The word itself.
    #[inline(always)]
    fn word(self) -> u64 {
        let word: u64;
        // SAFETY: sets a register
        unsafe {
            asm!(
                "{word} = {number}",
                word = out(reg) word,
                number = const placeholder::NUMBER + Self::INDEX,
                options(nomem, nostack, preserves_flags),
            );
        }
        word
    }

    /// Whether this kernel has it.
    #[inline(always)]
    fn is_there(self) -> bool {
        self.word() != u64::from(ABSENT)
    }
}

/// The word with this number.
#[derive(Clone, Copy)]
pub(crate) struct At<const INDEX: usize>;

impl<const INDEX: usize> Field for At<INDEX> {
    const INDEX: u32 = INDEX as u32;
}

/// A field of a kernel's struct, by its name in `Offsets`.
macro_rules! field {
    ($field:ident) => {
        $crate::known::At::<{ core::mem::offset_of!(tracer_ebpf::Offsets, $field) / 4 }>
    };
}
pub(crate) use field;

/// Which word it is that tells what holds on this kernel, by its name in `Settings`.
macro_rules! setting_index {
    ($field:ident) => {
        (size_of::<tracer_ebpf::Offsets>() + core::mem::offset_of!(tracer_ebpf::Settings, $field)) / 4
    };
}
pub(crate) use setting_index;

/// What holds on this kernel, by its name in `Settings`.
macro_rules! setting {
    ($field:ident) => {
        $crate::known::Field::word($crate::known::At::<{ $crate::known::setting_index!($field) }>)
    };
}
pub(crate) use setting;
