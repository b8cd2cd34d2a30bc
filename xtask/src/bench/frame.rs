//! How much of its 512 bytes of stack each program of the object uses, read from its instructions: the kernel tells
//! it in the verifier's log only.
//!
//! Parses the ELF file with a cursor; every program has a section of its own, and everything is inlined into it.

use anyhow::{Context, Result};
use std::collections::BTreeMap;

/// What the sections of programs begin with: those that read by helpers, and those that are told types.
const SECTIONS: [&str; 2] = ["raw_tp/", "tp_btf/"];
/// The frame pointer.
const R10: u8 = 10;
/// Instruction classes and codes (`Documentation/bpf/standardization/instruction-set.rst`).
const CLASS: u8 = 0x07;
const LDX: u8 = 0x01;
const ST: u8 = 0x02;
const STX: u8 = 0x03;
const MOV_REGISTER: u8 = 0xbf;
const ADD_CONSTANT: u8 = 0x07;

/// Bytes of stack by tracepoint; of its programs, the one's that uses most.
pub(super) fn of_object(object: &[u8]) -> Result<BTreeMap<String, u64>> {
    sections(object).context("the object is no 64-bit ELF file, or cut short").map(|sections| {
        let mut deepest: BTreeMap<String, u64> = BTreeMap::new();
        for (name, code) in sections {
            if let Some(name) = SECTIONS.iter().find_map(|section| name.strip_prefix(section)) {
                let most = deepest.entry(name.to_owned()).or_default();
                *most = depth(code).max(*most);
            }
        }
        deepest
    })
}

fn sections(object: &[u8]) -> Option<Vec<(String, &[u8])>> {
    let word = |at: usize| object.get(at..)?.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes));
    let half = |at: usize| object.get(at..)?.first_chunk::<2>().map(|bytes| usize::from(u16::from_le_bytes(*bytes)));
    let place = |at: usize| word(at).and_then(|value| usize::try_from(value).ok());
    let (table, entry, count, names) = (place(0x28)?, half(0x3a)?, half(0x3c)?, half(0x3e)?);
    let bytes = |index: usize| {
        let header = table + index * entry;
        let (begin, size) = (place(header + 0x18)?, place(header + 0x20)?);
        object.get(begin..begin.checked_add(size)?)
    };
    let names = bytes(names)?;
    let mut found = Vec::new();
    for index in 0..count {
        let name = usize::try_from(word(table + index * entry)? & 0xffff_ffff).ok()?;
        let name = names.get(name..)?.split(|byte| *byte == 0).next()?;
        // sections without bytes in the file are no programs
        if let Some(code) = bytes(index) {
            found.push((String::from_utf8_lossy(name).into_owned(), code));
        }
    }
    Some(found)
}

/// The lowest place below the frame pointer that is read, written or pointed to.
fn depth(code: &[u8]) -> u64 {
    let mut lowest = 0_i64;
    let mut of_frame = None;
    for instruction in code.as_chunks::<8>().0 {
        let [code, registers, low, high, constant @ ..] = *instruction;
        let (to, from) = (registers & 0xf, registers >> 4);
        let offset = i64::from(i16::from_le_bytes([low, high]));
        match code & CLASS {
            LDX if from == R10 => lowest = lowest.min(offset),
            ST | STX if to == R10 => lowest = lowest.min(offset),
            _ => {}
        }
        if code == ADD_CONSTANT && of_frame == Some(to) {
            lowest = lowest.min(i64::from(i32::from_le_bytes(constant)));
        }
        of_frame = (code == MOV_REGISTER && from == R10).then_some(to);
    }
    lowest.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::depth;

    #[test]
    fn finds_the_lowest_place() {
        let stx = [0x7b, 0x1a, 0xf8, 0xff, 0, 0, 0, 0]; // *(u64 *)(r10 - 8) = r1
        let mov = [0xbf, 0xa1, 0, 0, 0, 0, 0, 0]; // r1 = r10
        let add = [0x07, 0x01, 0, 0, 0xd8, 0xff, 0xff, 0xff]; // r1 += -40
        let add_other = [0x07, 0x02, 0, 0, 0x00, 0xff, 0xff, 0xff]; // r2 += -256
        assert_eq!(depth(&[]), 0);
        assert_eq!(depth(&stx), 8);
        assert_eq!(depth(&[stx, mov, add].concat()), 40);
        assert_eq!(depth(&[stx, mov, add_other].concat()), 8);
    }
}
