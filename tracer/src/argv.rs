//! Digests of command lines: gracetrace recognises a preStop hook among other processes by its
//! arguments, yet no argument of anybody's is stored, logged or printed.
//!
//! A digest is 64-bit FNV-1a of one argument's bytes: stable between versions (it stands in event
//! logs), and not meant to withstand somebody who guesses.

use crate::input::Argv;

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// The digest of one argument.
pub fn digest(argument: &[u8]) -> u64 {
    argument.iter().fold(FNV_OFFSET, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME))
}

impl Argv {
    /// From separate arguments, as a pod declares them.
    pub fn from_arguments<A: AsRef<[u8]>>(arguments: impl IntoIterator<Item = A>) -> Self {
        Self { digests: arguments.into_iter().map(|argument| digest(argument.as_ref())).collect(), truncated: false }
    }

    /// From the kernel's NUL-separated bytes; `truncated` if there were more than were taken.
    pub fn from_kernel(bytes: &[u8], truncated: bool) -> Self {
        let mut parts: Vec<&[u8]> = bytes.split(|byte| *byte == 0).collect();
        // the last argument ends with a NUL as well, so what follows it is empty or cut
        parts.pop();
        Self { truncated, ..Self::from_arguments(parts) }
    }

    /// Whether a process with these arguments is the declared command, started as such or through
    /// the interpreter of its `#!` line (which puts itself, and perhaps one argument, in front and
    /// replaces the first argument by the script's path). Where the script is all that is declared, its path or name is what tells: `comm`
    /// is a script's own name.
    pub fn runs(&self, declared: &Self, comm: &str) -> bool {
        if declared.digests.is_empty() {
            return false;
        }
        (0..=2).any(|skip| {
            let replaced = usize::from(skip > 0);
            let Some(own) = self.digests.get(skip + replaced..) else {
                return false;
            };
            let wanted = &declared.digests[replaced..];
            let enough = self.digests.len() > skip;
            if skip > 0 && wanted.is_empty() {
                let names = [self.digests.get(skip).copied(), Some(digest(comm.as_bytes()))];
                return own.is_empty() && enough && names.contains(&declared.digests.first().copied());
            }
            if self.truncated { enough && !own.is_empty() && wanted.starts_with(own) } else { enough && own == wanted }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(bytes: &[u8]) -> Argv {
        Argv::from_kernel(bytes, false)
    }

    #[test]
    fn recognises_the_declared_command() {
        let declared = Argv::from_arguments(["sh", "-c", "sleep 5"]);
        assert!(kernel(b"sh\0-c\0sleep 5\0").runs(&declared, "sh"));
        assert!(!kernel(b"sh\0-c\0sleep 6\0").runs(&declared, "sh"));
        assert!(!kernel(b"sh\0").runs(&declared, "sh"));
        assert!(!kernel(b"").runs(&declared, "sh"));
        assert!(!kernel(b"sh\0-c\0sleep 5\0").runs(&Argv::from_arguments::<&str>([]), "sh"));
    }

    #[test]
    fn recognises_a_script_behind_its_interpreter() {
        let declared = Argv::from_arguments(["drain.sh", "now"]);
        assert!(kernel(b"/bin/sh\0/usr/bin/drain.sh\0now\0").runs(&declared, "sh"));
        assert!(kernel(b"/bin/sh\0-e\0/usr/bin/drain.sh\0now\0").runs(&declared, "sh"));
        assert!(!kernel(b"/bin/sh\0-e\0/usr/bin/drain.sh\0later\0").runs(&declared, "sh"));
    }

    #[test]
    fn recognises_a_script_that_is_all_there_is() {
        let declared = Argv::from_arguments(["/wait-shutdown"]);
        assert!(kernel(b"/wait-shutdown\0").runs(&declared, "wait-shutdown"));
        assert!(kernel(b"/bin/sh\0/wait-shutdown\0").runs(&declared, "wait-shutdown"));
        assert!(kernel(b"/bin/sh\0-e\0/wait-shutdown\0").runs(&declared, "wait-shutdown"));
        // probes
        assert!(!kernel(b"cat\0/tmp/ok\0").runs(&declared, "cat"));
        assert!(!kernel(b"sh\0-c\0test -f /tmp/ok\0").runs(&declared, "sh"));
        let by_name = Argv::from_arguments(["drain.sh"]);
        assert!(kernel(b"/bin/sh\0/usr/bin/drain.sh\0").runs(&by_name, "drain.sh"));
        assert!(!kernel(b"cat\0/tmp/ok\0").runs(&by_name, "cat"));
    }

    #[test]
    fn a_cut_command_line_matches_by_its_beginning() {
        let declared = Argv::from_arguments(["sh", "-c", &"x".repeat(400)]);
        let mut bytes = b"sh\0-c\0".to_vec();
        bytes.extend(std::iter::repeat_n(b'x', 250));
        assert!(Argv::from_kernel(&bytes, true).runs(&declared, "sh"));
    }
}
