//! What the loader knows of this kernel, written into the programs' instructions before the verifier sees them.
//!
//! A program that asks a map for where a field is takes two instructions for that, and three to find out whether it is there at all, each
//! time. So the words of `Offsets` and `Settings` are parts of the instructions themselves: placeholders (`tracer-ebpf/src/known.rs`), which
//! are taken out here. `offsets` finds the words; what comes out of here aya loads (`load`). Nothing else of an object is changed.

use super::ProbeError;
use object::{Object, ObjectSection, SectionKind};
use tracer_ebpf::{ABSENT, placeholder};

/// Bytes of an instruction.
const INSTRUCTION: usize = 8;
/// `dst = imm`, of all 64 bits (`BPF_ALU64 | BPF_MOV | BPF_K`).
const MOVE: u8 = 0xb7;
/// `dst = src` (`BPF_ALU64 | BPF_MOV | BPF_X`).
const MOVE_REGISTER: u8 = 0xbf;
/// A call (`BPF_JMP | BPF_CALL`).
const CALL: u8 = 0x85;
/// In place of a call's source register: of a function of the kernel's, by its number among the types (`BPF_PSEUDO_KFUNC_CALL`).
const OF_KERNEL: u8 = 2 << 4;
/// Result and first argument of a call, as `dst` and `src`.
const RESULT_OF_ARGUMENT: u8 = 1 << 4;
/// Class and mode of a plain load (`BPF_LDX | BPF_MEM`), without its size.
const LOAD: u8 = 0x61;
const CLASS_AND_MODE: u8 = 0xe7;
/// Of an instruction's two registers the one that is set.
const TARGET: u8 = 0x0f;

/// An object whose programs know this kernel.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) object: Vec<u8>,
    /// Plain loads reach every field: an instruction has 15 bits for how far behind its pointer it loads.
    pub(super) is_in_reach: bool,
}

/// Puts `words` in place of their placeholders.
pub(super) fn set(object: &[u8], words: &[u32]) -> Result<Known, ProbeError> {
    let mut known = Known { object: object.to_vec(), is_in_reach: true };
    let file = object::File::parse(object).map_err(|error| ProbeError::Refused {
        doing: "read the embedded object".to_owned(),
        reason: format!("{error}; build gracetrace again"),
    })?;
    for section in file.sections().filter(|section| section.kind() == SectionKind::Text) {
        let Some((start, length)) = section.file_range() else { continue };
        let place = usize::try_from(start).ok().zip(usize::try_from(length).ok());
        let bytes = place.and_then(|(start, length)| known.object.get_mut(start..)?.get_mut(..length));
        for instruction in bytes.unwrap_or_default().as_chunks_mut::<INSTRUCTION>().0 {
            known.is_in_reach &= set_one(instruction, words);
        }
    }
    Ok(known)
}

/// Sets one instruction, if there is anything to set; false if the word does not fit.
fn set_one(instruction: &mut [u8; INSTRUCTION], words: &[u32]) -> bool {
    let [code, registers, low, high, a, b, c, d] = *instruction;
    let number = u32::from_le_bytes([a, b, c, d]).checked_sub(placeholder::NUMBER);
    let numbered = number.and_then(|index| words.get(usize::try_from(index).ok()?));
    if code == MOVE
        && let Some(word) = numbered
    {
        instruction[4..].copy_from_slice(&word.to_le_bytes());
    } else if code == CALL
        && let Some(function) = numbered
    {
        // a function that is not there gives back what it is given; and it has the number 0, which a move has in that place
        let call = if *function == 0 { [MOVE_REGISTER, RESULT_OF_ARGUMENT, 0, 0] } else { [CALL, OF_KERNEL, 0, 0] };
        instruction[..4].copy_from_slice(&call);
        instruction[4..].copy_from_slice(&function.to_le_bytes());
    } else if code & CLASS_AND_MODE == LOAD
        && let Some(place) = u32::from(u16::from_le_bytes([low, high])).checked_sub(placeholder::DISTANCE)
        // beyond it are the distances of the stack, which are negative
        && place < 2 * placeholder::WORDS
    {
        let (index, further) = (place % placeholder::WORDS, place / placeholder::WORDS * 8);
        let word = words.get(usize::try_from(index).unwrap_or(usize::MAX)).copied().unwrap_or(ABSENT);
        if let Ok(distance) = i16::try_from(word.saturating_add(further)) {
            instruction[2..4].copy_from_slice(&distance.to_le_bytes());
        } else {
            // a field that is not there is zero
            instruction[..4].copy_from_slice(&[MOVE, registers & TARGET, 0, 0]);
            return word == ABSENT;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::probe::load::OBJECT;

    /// Whatever instruction the compiler may choose for one.
    #[test]
    fn no_placeholder_is_left_in_the_probes() {
        let words: Vec<u32> = (0..placeholder::WORDS).collect();
        let known = set(OBJECT, &words).expect("an object");
        assert!(known.is_in_reach);
        let file = object::File::parse(&*known.object).expect("an object still");
        let (mut seen, mut left) = (0, Vec::new());
        for section in file.sections().filter(|section| section.kind() == SectionKind::Text) {
            for instruction in section.data().expect("its bytes").as_chunks::<INSTRUCTION>().0 {
                let [code, _, low, high, a, b, c, d] = *instruction;
                let number = u32::from_le_bytes([a, b, c, d]).wrapping_sub(placeholder::NUMBER);
                let distance = u32::from(u16::from_le_bytes([low, high])).wrapping_sub(placeholder::DISTANCE);
                if number < placeholder::WORDS || code & CLASS_AND_MODE == LOAD && distance < 2 * placeholder::WORDS {
                    left.push((section.name().unwrap_or_default().to_owned(), *instruction));
                }
                seen += 1;
            }
        }
        assert!(seen > 1000 && left.is_empty(), "{seen} instructions, {left:?}");
        assert_ne!(known.object, OBJECT, "there are placeholders");
    }

    #[test]
    fn numbers_and_distances_are_set() {
        let words = [7, ABSENT, 40_000, 300, 0];
        let check = |bytes: [u8; 8], expected: [u8; 8], fits: bool| {
            let mut instruction = bytes;
            assert_eq!(set_one(&mut instruction, &words), fits, "{bytes:?}");
            assert_eq!(instruction, expected, "{bytes:?}");
        };
        // r1 = word 0, r2 = word 1, and a number that is no placeholder
        check([0xb7, 1, 0, 0, 0, 0, 0x3e, 0x7a], [0xb7, 1, 0, 0, 7, 0, 0, 0], true);
        check([0xb7, 2, 0, 0, 1, 0, 0x3e, 0x7a], [0xb7, 2, 0, 0, 0xff, 0xff, 0xff, 0x7f], true);
        check([0xb7, 2, 0, 0, 5, 0, 0x3e, 0x7a], [0xb7, 2, 0, 0, 5, 0, 0x3e, 0x7a], true);
        // r1 = *(u32 *)(r2 + word 3), the same 8 bytes further on, and an everyday load
        check([0x61, 0x21, 3, 0x7e, 0, 0, 0, 0], [0x61, 0x21, 44, 1, 0, 0, 0, 0], true);
        check([0x79, 0x21, 131, 0x7e, 0, 0, 0, 0], [0x79, 0x21, 52, 1, 0, 0, 0, 0], true);
        check([0x79, 0xa1, 0xf8, 0xff, 0, 0, 0, 0], [0x79, 0xa1, 0xf8, 0xff, 0, 0, 0, 0], true);
        // call word 3, word 4, which this kernel has not, and a helper
        check([0x85, 0, 0, 0, 3, 0, 0x3e, 0x7a], [0x85, 0x20, 0, 0, 44, 1, 0, 0], true);
        check([0x85, 0, 0, 0, 4, 0, 0x3e, 0x7a], [0xbf, 0x10, 0, 0, 0, 0, 0, 0], true);
        check([0x85, 0, 0, 0, 35, 0, 0, 0], [0x85, 0, 0, 0, 35, 0, 0, 0], true);
        // one that is not there is zero; one that is too far away is told
        check([0x69, 0x21, 1, 0x7e, 0, 0, 0, 0], [0xb7, 0x01, 0, 0, 0, 0, 0, 0], true);
        check([0x79, 0x21, 2, 0x7e, 0, 0, 0, 0], [0xb7, 0x01, 0, 0, 0, 0, 0, 0], false);
    }
}
