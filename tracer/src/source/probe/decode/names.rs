//! The names of programs, of which the last few of a batch are not read again.

use crate::text::clean_bytes;
use compact_str::CompactString;
use tracer_ebpf::COMM_LEN;

/// How many are kept. Few, for a name is compared with each of them: enough for a record and its neighbours.
const KEPT: usize = 4;

/// Names that were read a moment ago, by the bytes they were read from.
///
/// Nearly all that a batch tells is of the same few programs, and of a storm three names come with each record; to read
/// one anew is to look for its end and to see that it can be shown.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// A name of no bytes is an empty one, also before any came.
    kept: [([u8; COMM_LEN], CompactString); KEPT],
    /// The one that gives way to the next.
    oldest: usize,
}

impl Names {
    /// What the kernel's `comm` says.
    pub(super) fn read(&mut self, comm: [u8; COMM_LEN]) -> CompactString {
        if let Some((_, name)) = self.kept.iter().find(|(bytes, _)| *bytes == comm) {
            return name.clone();
        }
        let name: CompactString = clean_bytes(&comm);
        self.kept[self.oldest] = (comm, name.clone());
        self.oldest = (self.oldest + 1) % KEPT;
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comm(name: &str) -> [u8; COMM_LEN] {
        let mut bytes = [0; COMM_LEN];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        bytes
    }

    #[test]
    fn a_name_is_what_its_own_bytes_say_whatever_came_before_it() {
        let mut names = Names::default();
        let all: Vec<String> = (0..100).map(|number| format!("worker-{number}")).collect();
        for name in all.iter().chain(all.iter().rev()).chain([&String::new(), &"a\u{1b}b".to_owned()]) {
            for _ in 0..2 {
                assert_eq!(names.read(comm(name)), clean_bytes::<CompactString>(name.as_bytes()));
            }
        }
    }

    #[test]
    fn what_follows_the_end_of_a_name_is_no_part_of_it() {
        let mut names = Names::default();
        let mut stale = comm("sh");
        stale[5] = b'x';
        assert_eq!(names.read(comm("sh")), names.read(stale));
    }
}
