//! One process as `/proc/<pid>/stat` and `/proc/<pid>/status` show it (proc(5)).

use crate::input::{BootNs, Process};
use crate::text;
use compact_str::CompactString;
use std::path::Path;

/// `USER_HZ`, in which the kernel writes times for users: 100 on every architecture that runs
/// Kubernetes, whatever the kernel's own tick is.
const NS_PER_TICK: u64 = 1_000_000_000 / 100;

/// What the probes keep of a file's name.
const EXE_LEN: usize = 15;

/// A process, unless it has left.
pub(super) fn read(proc: &Path, tgid: u32) -> Option<Process> {
    let folder = proc.join(tgid.to_string());
    let stat = parse_stat(&std::fs::read(folder.join("stat")).ok()?)?;
    // kernels without PID namespaces have no such line: then the pid is the same everywhere
    let ns_tgid = std::fs::read(folder.join("status")).ok().and_then(|status| parse_ns_tgid(&status)).unwrap_or(tgid);
    // readable for the owner and CAP_SYS_PTRACE; the name only, as the probes give it
    let exe = std::fs::read_link(folder.join("exe")).ok();
    let exe = exe.as_deref().and_then(Path::file_name).map(|name| text::clean(&name.to_string_lossy()));
    let exe = exe.map(|name| name.chars().take(EXE_LEN).collect());
    Some(Process { tgid, start: stat.start, ns_tgid, parent_tgid: stat.parent_tgid, comm: stat.comm, exe })
}

#[derive(Debug, PartialEq)]
struct Stat {
    comm: CompactString,
    parent_tgid: u32,
    start: BootNs,
}

/// Reads `pid (comm) state ppid … starttime …`.
fn parse_stat(stat: &[u8]) -> Option<Stat> {
    // comm may hold blanks and parentheses, nothing behind it does
    let open = stat.iter().position(|byte| *byte == b'(')?;
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    let comm = text::clean_bytes(stat.get(open + 1..close)?);
    let rest = std::str::from_utf8(&stat[close + 1..]).ok()?;
    // fields 3 (state), 4 (ppid), …, 22 (starttime)
    let mut fields = rest.split_ascii_whitespace().skip(1);
    let parent_tgid = fields.next()?.parse().ok()?;
    let ticks: u64 = fields.nth(17)?.parse().ok()?;
    Some(Stat { comm, parent_tgid, start: BootNs(ticks.checked_mul(NS_PER_TICK)?) })
}

/// The last number of `NSpid:`, the pid in the innermost namespace.
fn parse_ns_tgid(status: &[u8]) -> Option<u32> {
    let line = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"NSpid:"))?;
    std::str::from_utf8(line).ok()?.split_ascii_whitespace().next_back()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TAIL: &str = "S 41850 41877 41877 0 -1 4194560 1021 0 3 0 1 2 0 0 20 0 1 0 123456 4653056 260 18446744073709551615 1 1 0 0 0 0 0 4096 0 1 0 0 17 1 0 0";

    fn check(comm: &str, expected: &str) {
        let stat = format!("41877 ({comm}) {TAIL}\n");
        let expected = Stat { comm: expected.into(), parent_tgid: 41850, start: BootNs(1_234_560_000_000) };
        assert_eq!(parse_stat(stat.as_bytes()), Some(expected), "{stat}");
    }

    #[test]
    fn reads_any_comm() {
        check("nginx", "nginx");
        check("a b", "a b");
        check(") R 1 (", ") R 1 (");
        check("x\ny", "x\u{fffd}y");
        check("", "");
    }

    #[test]
    fn refuses_what_is_cut() {
        for stat in ["", "1", "1 (sh", "1 (sh)", "1 (sh) S", "1 (sh) S 1 2 3", ")(", "1 (sh) S x"] {
            assert_eq!(parse_stat(stat.as_bytes()), None, "{stat}");
        }
    }

    #[test]
    fn innermost_pid() {
        for (status, expected) in [
            ("Name:\tsh\nNSpid:\t41877\t12\t1\nVmRSS:\t1", Some(1)),
            ("NSpid:\t41877\n", Some(41877)),
            ("NSpid:\n", None),
            ("Name:\tNSpid: 3\nPid:\t7\n", None),
        ] {
            assert_eq!(parse_ns_tgid(status.as_bytes()), expected, "{status}");
        }
    }

    #[test]
    fn reads_itself() {
        let tgid = std::process::id();
        let process = read(Path::new("/proc"), tgid).expect("this process");
        assert_eq!(process.tgid, tgid);
        assert!(process.start.0 > 0 && process.start.0.is_multiple_of(NS_PER_TICK));
        assert!(process.parent_tgid > 0 && !process.comm.is_empty());
        assert!(read(Path::new("/proc"), u32::MAX).is_none());
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0..200_usize) {
            let _ = parse_stat(&bytes);
            let _ = parse_ns_tgid(&bytes);
            let stat = format!("1 (sh) {TAIL}");
            let _ = parse_stat(&stat.as_bytes()[..cut.min(stat.len())]);
        }
    }
}
