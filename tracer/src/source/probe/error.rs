//! Why the probes cannot run: each is one line that says what failed, why, and what to do.

use super::btf::{BtfError, VMLINUX};
use rustix::thread::CapabilitySet;
use std::error::Error;
use std::io;

/// Why the probes cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The kernel does not describe its types.
    #[error(
        "cannot read the kernel's types from {VMLINUX}: {0}; boot a kernel built with CONFIG_DEBUG_INFO_BTF (in a container, mount the host's /sys/kernel/btf)"
    )]
    NoBtf(#[source] io::Error),
    /// It describes them in a way this version cannot read.
    #[error("cannot read the kernel's types from {VMLINUX}: {0}; a newer version of gracetrace may")]
    BadBtf(#[from] BtfError),
    /// A struct on which everything stands is not as it is known.
    #[error("this kernel's BTF has no {structure}.{member}; a newer version of gracetrace may know where it went")]
    MissingField {
        /// The struct.
        structure: &'static str,
        /// The member.
        member: &'static str,
    },
    /// A tracepoint on which everything stands is not there.
    #[error("this kernel has no tracepoint {name}, without which gracetrace cannot see {lost}; boot one that has it")]
    MissingTracepoint {
        /// Its name.
        name: &'static str,
        /// What is not seen without it.
        lost: &'static str,
    },
    /// A capability is missing.
    #[error("not permitted to {doing}: {missing} missing; run as root, or grant {missing}")]
    NotPermitted {
        /// What was tried.
        doing: String,
        /// The capabilities that are missing.
        missing: String,
    },
    /// The kernel is locked down.
    #[error(
        "cannot {0}: the kernel is locked down in mode `confidentiality`, which forbids probes to read its memory; boot with `lockdown=integrity` or `lockdown=none`"
    )]
    Lockdown(String),
    /// The kernel's verifier does not accept a program.
    #[error(
        "the kernel refused probe {name}: {reason}; this is a fault of gracetrace, please report it with `uname -r`"
    )]
    Verifier {
        /// The tracepoint.
        name: &'static str,
        /// The verifier's last word.
        reason: String,
    },
    /// Anything else.
    #[error("cannot {doing}: {reason}")]
    Refused {
        /// What was tried.
        doing: String,
        /// The system's answer.
        reason: String,
    },
}

impl ProbeError {
    /// The object lacks something that stands in its source.
    pub(super) fn broken(name: &str) -> Self {
        Self::Refused {
            doing: format!("use {name}"),
            reason: "the embedded object does not have it; build gracetrace again".to_owned(),
        }
    }

    /// Names what the system's refusal most likely means.
    pub(super) fn from_system(doing: impl Into<String>, error: &(dyn Error + 'static)) -> Self {
        let doing = doing.into();
        if matches!(errno(error), Some(EPERM | EACCES)) {
            if is_locked_down() {
                return Self::Lockdown(doing);
            }
            let missing = missing_capabilities();
            if !missing.is_empty() {
                return Self::NotPermitted { doing, missing: missing.join(" and ") };
            }
        }
        Self::Refused { doing, reason: chain(error) }
    }
}

const EPERM: i32 = 1;
const EACCES: i32 = 13;
/// No such tracepoint, no such entry.
pub(super) const ENOENT: i32 = 2;

/// The system's error number at the bottom of a chain of errors.
pub(super) fn errno(error: &(dyn Error + 'static)) -> Option<i32> {
    causes(error).filter_map(|error| error.downcast_ref::<io::Error>()).find_map(io::Error::raw_os_error)
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (**error).source())
}

/// All that a chain of errors says, in one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut said: Vec<String> = Vec::new();
    for error in causes(error) {
        let line = error.to_string().lines().next().unwrap_or_default().trim().to_owned();
        if !said.iter().any(|earlier| earlier.contains(&line)) {
            said.push(line);
        }
    }
    said.join(": ")
}

/// What this process may not do of what loading and attaching takes.
fn missing_capabilities() -> Vec<&'static str> {
    let Ok(sets) = rustix::thread::capabilities(None) else {
        return vec!["CAP_BPF", "CAP_PERFMON"];
    };
    if sets.effective.contains(CapabilitySet::SYS_ADMIN) {
        return Vec::new();
    }
    [("CAP_BPF", CapabilitySet::BPF), ("CAP_PERFMON", CapabilitySet::PERFMON)]
        .into_iter()
        .filter(|(_, capability)| !sets.effective.contains(*capability))
        .map(|(name, _)| name)
        .collect()
}

/// Whether the kernel forbids to read its memory. It then knows no helper that reads, and says so of each program as of a faulty one.
pub(super) fn is_locked_down() -> bool {
    std::fs::read_to_string("/sys/kernel/security/lockdown").is_ok_and(|modes| modes.contains("[confidentiality]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("map error")]
    struct Outer(#[source] io::Error);

    #[test]
    fn finds_the_errno_below() {
        assert_eq!(errno(&Outer(io::Error::from_raw_os_error(1))), Some(1));
        assert_eq!(errno(&Outer(io::Error::other("x"))), None);
    }

    #[test]
    fn is_one_line_without_repetition() {
        let error = ProbeError::from_system("create the maps", &Outer(io::Error::other("map error\nsecond line")));
        assert_eq!(error.to_string(), "cannot create the maps: map error");
    }
}
