//! The kernel's own description of its types (BTF), read for five things only: where a member is,
//! how big a struct is, what arguments a tracepoint has, which number an enumeration gives a name, and
//! whether there is a type or a function of some name.
//!
//! Parsed with a cursor over the bytes, every index checked; it concludes nothing.

use std::collections::HashMap;

/// Where the kernel shows its types.
pub(super) const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

const MAGIC: u16 = 0xeb9f;
const PTR: u32 = 2;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const TYPEDEF: u32 = 8;
const VOLATILE: u32 = 9;
const CONST: u32 = 10;
const RESTRICT: u32 = 11;
const FUNC: u32 = 12;
const FUNC_PROTO: u32 = 13;
const TYPE_TAG: u32 = 18;
/// Typedefs chained longer than this are a malformed file's.
const CHAIN: usize = 32;
/// Anonymous members nested deeper than this are a malformed file's.
const NESTING: usize = 16;
const TRACEPOINT: &str = "btf_trace_";

/// Why a description of types cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BtfError {
    /// Not BTF of this byte order.
    #[error("it does not begin as BTF does")]
    NotBtf,
    /// Something points outside of it.
    #[error("it is cut short at byte {0}")]
    Truncated(usize),
    /// A kind of type this version does not know, so what follows cannot be found.
    #[error("it has a type of unknown kind {0}")]
    UnknownKind(u32),
}

/// A parsed description of types.
#[derive(Debug)]
pub(super) struct Btf<'a> {
    bytes: &'a [u8],
    strings: &'a [u8],
    /// Where each type begins; the first id is 1.
    types: Vec<usize>,
    structs: HashMap<&'a [u8], u32>,
    tracepoints: HashMap<&'a [u8], u32>,
    enums: HashMap<&'a [u8], u32>,
}

/// A member of a struct, or of an anonymous struct or union inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// In bytes from the beginning of the struct that was asked.
    pub(super) offset: u32,
    /// It is a pointer.
    pub(super) is_pointer: bool,
    type_id: u32,
}

/// The arguments of a tracepoint, without the leading `void *`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arguments {
    /// How many.
    pub(super) count: u32,
    /// The first one is a pointer.
    pub(super) first_is_pointer: bool,
}

impl<'a> Btf<'a> {
    /// Finds every type, and the named ones that can be asked for.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, BtfError> {
        if u16_at(bytes, 0)? != MAGIC {
            return Err(BtfError::NotBtf);
        }
        let header = size(u32_at(bytes, 4)?);
        let section = |offset_at: usize| -> Result<&'a [u8], BtfError> {
            let begin = header.saturating_add(size(u32_at(bytes, offset_at)?));
            let end = begin.saturating_add(size(u32_at(bytes, offset_at + 4)?));
            bytes.get(begin..end).ok_or(BtfError::Truncated(end))
        };
        let (types, strings) = (section(8)?, section(16)?);
        let mut btf = Self {
            bytes: types,
            strings,
            types: Vec::new(),
            structs: HashMap::new(),
            tracepoints: HashMap::new(),
            enums: HashMap::new(),
        };
        btf.index()?;
        Ok(btf)
    }

    /// Offset of a member given as a path (`__sk_common.skc_net.net`); `None` if there is no such
    /// struct or member, or it is a bit field.
    pub(super) fn member(&self, structure: &str, path: &str) -> Option<Member> {
        let mut type_id = *self.structs.get(structure.as_bytes())?;
        let mut found: Option<Member> = None;
        for name in path.split('.') {
            let member = self.member_of(self.resolve(type_id)?, name.as_bytes(), NESTING)?;
            let offset = found.map_or(0, |outer| outer.offset).checked_add(member.offset)?;
            found = Some(Member { offset, ..member });
            type_id = member.type_id;
        }
        found
    }

    /// Size of a struct in bytes.
    pub(super) fn size_of(&self, structure: &str) -> Option<u32> {
        self.word(*self.structs.get(structure.as_bytes())?, 2)
    }

    /// The number that an enumeration gives a name; `None` if it does not.
    pub(super) fn enum_value(&self, enumeration: &str, name: &str) -> Option<u32> {
        let id = *self.enums.get(enumeration.as_bytes())?;
        let mut constants = (0..self.length(id)?).map(|index| 3 + 2 * size(index));
        let at = constants.find(|at| self.word(id, *at).is_some_and(|text| self.text(text) == name.as_bytes()))?;
        self.word(id, at + 1)
    }

    /// The arguments of a raw tracepoint; `None` if the kernel has no such tracepoint.
    pub(super) fn tracepoint(&self, name: &str) -> Option<Arguments> {
        let pointer = self.resolve(*self.tracepoints.get(name.as_bytes())?)?;
        let prototype = self.resolve(self.word(pointer, 2)?)?;
        if self.kind(pointer)? != PTR || self.kind(prototype)? != FUNC_PROTO {
            return None;
        }
        let count = self.length(prototype)?.checked_sub(1)?;
        // each parameter is a name and a type; the first is the tracepoint's own `void *`
        let first = if count == 0 { None } else { self.resolve(self.word(prototype, 6)?) };
        Some(Arguments { count, first_is_pointer: first.is_some_and(|id| self.kind(id) == Some(PTR)) })
    }

    /// Whether a type has this name, which the kernel's own code gives it.
    pub(super) fn has_typedef(&self, name: &str) -> bool {
        self.named(TYPEDEF, name).is_some()
    }

    /// The number of the kernel's function of this name.
    pub(super) fn function(&self, name: &str) -> Option<u32> {
        self.named(FUNC, name)
    }

    /// The number of a struct.
    pub(super) fn structure(&self, name: &str) -> Option<u32> {
        self.structs.get(name.as_bytes()).copied()
    }

    fn named(&self, kind: u32, name: &str) -> Option<u32> {
        let mut ids = (1..).take(self.types.len());
        ids.find(|id| {
            self.kind(*id) == Some(kind) && self.word(*id, 0).is_some_and(|text| self.text(text) == name.as_bytes())
        })
    }

    /// A description in which the types of these tracepoints have their numbers and names, and all others are empty: what aya
    /// needs of the kernel's to load programs that are told the types of their arguments. (All of it takes aya as long as
    /// the rest of the start, and memory that is not given back.) Tracepoints that there are not are left out.
    pub(super) fn of_tracepoints(&self, names: &[&str]) -> Vec<u8> {
        let found = names.iter().filter_map(|name| Some((*self.tracepoints.get(name.as_bytes())?, *name)));
        let wanted: HashMap<u32, &str> = found.collect();
        let (mut types, mut strings) = (Vec::new(), vec![0]);
        for id in 1..=wanted.keys().copied().max().unwrap_or(0) {
            let (name, kind) = match wanted.get(&id) {
                Some(name) => {
                    let at = u32::try_from(strings.len()).unwrap_or(0);
                    strings.extend(format!("{TRACEPOINT}{name}\0").into_bytes());
                    (at, TYPEDEF)
                }
                None => (0, PTR),
            };
            types.extend([name, kind << 24, 0].into_iter().flat_map(u32::to_ne_bytes));
        }
        let [types_length, strings_length] =
            [types.len(), strings.len()].map(|length| u32::try_from(length).unwrap_or(0));
        let sections = [24, 0, types_length, types_length, strings_length];
        let header =
            MAGIC.to_ne_bytes().into_iter().chain([1, 0]).chain(sections.into_iter().flat_map(u32::to_ne_bytes));
        header.chain(types).chain(strings).collect()
    }

    fn index(&mut self) -> Result<(), BtfError> {
        let mut at = 0;
        while at < self.bytes.len() {
            let (name, info) = (u32_at(self.bytes, at)?, u32_at(self.bytes, at + 4)?);
            let length = size(info & 0xffff);
            self.types.push(at);
            let id = u32::try_from(self.types.len()).map_err(|_| BtfError::Truncated(at))?;
            let kind = info >> 24 & 0x1f;
            match kind {
                STRUCT => {
                    // a file that was merged badly has a struct twice; the first is the one others refer to
                    self.structs.entry(self.text(name)).or_insert(id);
                }
                ENUM => {
                    self.enums.entry(self.text(name)).or_insert(id);
                }
                TYPEDEF => {
                    if let Some(name) = self.text(name).strip_prefix(TRACEPOINT.as_bytes()) {
                        self.tracepoints.entry(name).or_insert(id);
                    }
                }
                _ => {}
            }
            at += 12 + extra(kind, length)?;
        }
        Ok(())
    }

    /// Looks through anonymous structs and unions as C does.
    fn member_of(&self, structure: u32, wanted: &[u8], depth: usize) -> Option<Member> {
        let depth = depth.checked_sub(1)?;
        let kind = self.kind(structure)?;
        if kind != STRUCT && kind != UNION {
            return None;
        }
        let has_bit_fields = self.word(structure, 1)? >> 31 == 1;
        for index in 0..self.length(structure)? {
            let first = 3 + 3 * size(index);
            let (name, type_id, place) =
                (self.word(structure, first)?, self.word(structure, first + 1)?, self.word(structure, first + 2)?);
            let (width, bits) = if has_bit_fields { (place >> 24, place & 0x00ff_ffff) } else { (0, place) };
            let name = self.text(name);
            if name == wanted {
                if width != 0 || bits % 8 != 0 {
                    return None;
                }
                let is_pointer = self.resolve(type_id).and_then(|id| self.kind(id)) == Some(PTR);
                return Some(Member { offset: bits / 8, is_pointer, type_id });
            }
            if name.is_empty()
                && let Some(inner) = self.resolve(type_id).and_then(|id| self.member_of(id, wanted, depth))
            {
                return Some(Member { offset: inner.offset.checked_add(bits / 8)?, ..inner });
            }
        }
        None
    }

    /// Without typedefs and qualifiers.
    fn resolve(&self, mut id: u32) -> Option<u32> {
        for _ in 0..CHAIN {
            match self.kind(id)? {
                TYPEDEF | VOLATILE | CONST | RESTRICT | TYPE_TAG => id = self.word(id, 2)?,
                _ => return Some(id),
            }
        }
        None
    }

    fn kind(&self, id: u32) -> Option<u32> {
        self.word(id, 1).map(|info| info >> 24 & 0x1f)
    }

    /// How many members or parameters follow.
    fn length(&self, id: u32) -> Option<u32> {
        self.word(id, 1).map(|info| info & 0xffff)
    }

    /// A word of a type's description: name, info, size or type, and what its kind adds.
    fn word(&self, id: u32, index: usize) -> Option<u32> {
        let begin = *self.types.get(size(id).checked_sub(1)?)?;
        u32_at(self.bytes, begin + 4 * index).ok()
    }

    fn text(&self, offset: u32) -> &'a [u8] {
        let rest = self.strings.get(size(offset)..).unwrap_or_default();
        rest.split(|byte| *byte == 0).next().unwrap_or_default()
    }
}

/// How many bytes follow a type's three words (`Documentation/bpf/btf.rst`).
fn extra(kind: u32, length: usize) -> Result<usize, BtfError> {
    Ok(match kind {
        PTR | 7 | TYPEDEF | VOLATILE | CONST | RESTRICT | FUNC | 16 | TYPE_TAG => 0,
        1 | 14 | 17 => 4,
        3 => 12,
        STRUCT | UNION | 15 | 19 => length * 12,
        ENUM | FUNC_PROTO => length * 8,
        unknown => return Err(BtfError::UnknownKind(unknown)),
    })
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, BtfError> {
    let part = bytes.get(at..).and_then(|rest| rest.first_chunk()).ok_or(BtfError::Truncated(at))?;
    Ok(u16::from_ne_bytes(*part))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, BtfError> {
    let part = bytes.get(at..).and_then(|rest| rest.first_chunk()).ok_or(BtfError::Truncated(at))?;
    Ok(u32::from_ne_bytes(*part))
}

fn size(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
