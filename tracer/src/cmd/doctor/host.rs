//! What the machine says about itself in `/proc` and `/sys`, as far as `doctor` wants to know it.

use std::fs::{self, File};
use std::io;

/// The kernel's types.
pub(super) const BTF: &str = "/sys/kernel/btf/vmlinux";
/// `CAP_SYS_ADMIN`.
pub(super) const SYS_ADMIN: u32 = 21;
/// `CAP_SYS_PTRACE`.
pub(super) const SYS_PTRACE: u32 = 19;
/// `CAP_PERFMON`.
pub(super) const PERFMON: u32 = 38;
/// `CAP_BPF`.
pub(super) const BPF: u32 = 39;

/// The size of the kernel's BTF in bytes, if it can be read.
pub(super) fn btf() -> io::Result<u64> {
    Ok(File::open(BTF)?.metadata()?.len())
}

/// `none`, `integrity` or `confidentiality`.
pub(super) fn lockdown() -> Option<String> {
    chosen(&fs::read_to_string("/sys/kernel/security/lockdown").ok()?)
}

/// The word in brackets: `[none] integrity confidentiality`.
fn chosen(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    rest.split_once(']').map(|(word, _)| word.to_owned())
}

/// What this process may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Capabilities(u64);

impl Capabilities {
    /// Whether it has this one.
    pub(super) fn has(self, number: u32) -> bool {
        self.0 & (1 << number) != 0
    }
}

/// The effective capabilities of this process.
pub(super) fn capabilities() -> Option<Capabilities> {
    effective(&fs::read_to_string("/proc/self/status").ok()?)
}

fn effective(status: &str) -> Option<Capabilities> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok().map(Capabilities)
}

/// Which cgroup hierarchies are mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    Unified,
    Hybrid,
    Legacy,
    None,
}

impl Layout {
    /// In words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Unified => "v2",
            Self::Hybrid => "hybrid: v1 controllers beside a v2 tree",
            Self::Legacy => "v1 only",
            Self::None => "no cgroup file system is mounted",
        }
    }
}

/// How cgroups are mounted here.
pub(super) fn layout() -> Layout {
    mounted(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
}

/// From `/proc/self/mountinfo`: the type follows the first lone hyphen.
fn mounted(mountinfo: &str) -> Layout {
    let kinds: Vec<&str> = mountinfo
        .lines()
        .filter_map(|line| line.split_once(" - ").and_then(|(_, rest)| rest.split(' ').next()))
        .collect();
    match (kinds.contains(&"cgroup2"), kinds.contains(&"cgroup")) {
        (true, false) => Layout::Unified,
        (true, true) => Layout::Hybrid,
        (false, true) => Layout::Legacy,
        (false, false) => Layout::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lockdown() {
        assert_eq!(chosen("[none] integrity confidentiality\n").as_deref(), Some("none"));
        assert_eq!(chosen("none [integrity] confidentiality\n").as_deref(), Some("integrity"));
        assert_eq!(chosen(""), None);
    }

    #[test]
    fn reads_capabilities() {
        let capabilities = effective("Name:\tx\nCapEff:\t000000c000000000\n").expect("a line of capabilities");
        assert!(capabilities.has(BPF) && capabilities.has(PERFMON) && !capabilities.has(SYS_ADMIN));
        assert_eq!(effective("CapEff:\tno\n"), None);
    }

    #[test]
    fn reads_mounts() {
        let v2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        let v1 = "31 30 0:27 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n";
        assert_eq!(mounted(v2), Layout::Unified);
        assert_eq!(mounted(v1), Layout::Legacy);
        assert_eq!(mounted(&format!("{v1}{v2}")), Layout::Hybrid);
        assert_eq!(mounted("1 2 0:3 / / rw - ext4 /dev/x rw\n"), Layout::None);
    }
}
