//! Takes a record apart, from its front to its end.

use super::names::Names;
use compact_str::CompactString;

/// What opens every record, as far as it is of use here.
pub(super) struct Header {
    pub kind: u16,
    pub size: u16,
    pub at_ns: u64,
    pub cgroup: u64,
}

impl Header {
    /// `None` if there are too few bytes.
    pub(super) fn read(mut bytes: &[u8]) -> Option<Self> {
        let (kind, size) = (u16::from_ne_bytes(take(&mut bytes)?), u16::from_ne_bytes(take(&mut bytes)?));
        let _urgent: [u8; 4] = take(&mut bytes)?;
        let (at_ns, cgroup) = (u64::from_ne_bytes(take(&mut bytes)?), u64::from_ne_bytes(take(&mut bytes)?));
        Some(Self { kind, size, at_ns, cgroup })
    }
}

/// Takes bytes from the front; `None` if there are too few.
#[inline(always)]
fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*taken)
}

/// Takes what a record holds from its front. Where there is too little it is zeros, and that is kept in mind: whoever is done
/// with a record asks for it, instead of for each of its some twenty parts.
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    names: &'a mut Names,
    short: bool,
}

impl<'a> Cursor<'a> {
    #[inline(always)]
    pub(super) fn new(record: &'a [u8], names: &'a mut Names) -> Self {
        Self { rest: record, names, short: false }
    }

    /// Whether more was taken than there is.
    #[inline(always)]
    pub(super) fn is_short(&self) -> bool {
        self.short
    }

    #[inline(always)]
    pub(super) fn take<const N: usize>(&mut self) -> [u8; N] {
        take(&mut self.rest).unwrap_or_else(|| {
            self.short = true;
            [0; N]
        })
    }

    #[inline(always)]
    pub(super) fn name(&mut self) -> CompactString {
        let comm = self.take();
        self.names.read(comm)
    }

    #[inline(always)]
    pub(super) fn u16(&mut self) -> u16 {
        u16::from_ne_bytes(self.take())
    }

    #[inline(always)]
    pub(super) fn u32(&mut self) -> u32 {
        u32::from_ne_bytes(self.take())
    }

    #[inline(always)]
    pub(super) fn u64(&mut self) -> u64 {
        u64::from_ne_bytes(self.take())
    }
}
