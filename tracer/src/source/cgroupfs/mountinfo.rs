//! Finds the v2 hierarchy among the mounts (proc(5), `/proc/[pid]/mountinfo`).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// Where cgroup2 is mounted. Of several mounts the one that shows most of the tree: inside a
/// container with a cgroup namespace of its own, that is the node's tree mounted from outside
/// (its root is then written `/../..`), not the container's.
pub(super) fn cgroup2_mount(mountinfo: &[u8]) -> Option<PathBuf> {
    let mut best: Option<(i32, PathBuf)> = None;
    for (height, point) in mountinfo.split(|byte| *byte == b'\n').filter_map(mount) {
        // a later mount on the same place hides the earlier one
        let hides = best.as_ref().is_some_and(|(_, known)| *known == point);
        if hides || best.as_ref().is_none_or(|(known, _)| height > *known) {
            best = Some((height, point));
        }
    }
    best.map(|(_, point)| point)
}

/// How far above (or, negative, below) the root of our cgroup namespace the mount begins, and where
/// it is; `None` if it is no cgroup2.
fn mount(line: &[u8]) -> Option<(i32, PathBuf)> {
    // 36 35 98:0 /root /point rw,relatime shared:1 … - cgroup2 source options
    let mut fields = line.split(|byte| *byte == b' ');
    let root = fields.nth(3)?;
    let point = fields.next()?;
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    if kind != b"cgroup2" {
        return None;
    }
    let steps = root.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
    let height = steps.map(|part| if part == b".." { 1 } else { -1 }).sum();
    Some((height, PathBuf::from(OsString::from_vec(unescape(point)))))
}

/// Undoes `\040`: blanks, tabs, newlines and backslashes are written in octal.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let (byte, next) = match after {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', next @ ..] if first == b'\\' => {
                (((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'), next)
            }
            _ => (first, after),
        };
        bytes.push(byte);
        rest = next;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(mountinfo: &str, expected: Option<&str>) {
        assert_eq!(cgroup2_mount(mountinfo.as_bytes()), expected.map(PathBuf::from), "{mountinfo}");
    }

    #[test]
    fn pure_v2() {
        check(
            "22 28 0:21 / /proc rw,nosuid - proc proc rw\n\
             33 24 0:28 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n",
            Some("/sys/fs/cgroup"),
        );
    }

    #[test]
    fn hybrid() {
        check(
            "31 23 0:28 / /sys/fs/cgroup ro,relatime - tmpfs tmpfs rw,mode=755\n\
             32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
             41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n",
            Some("/sys/fs/cgroup/unified"),
        );
    }

    #[test]
    fn only_v1() {
        check("32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n", None);
        check("", None);
    }

    #[test]
    fn the_nodes_tree_in_a_container() {
        check(
            "700 699 0:28 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n\
             701 699 0:28 /../../.. /host/sys/fs/cgroup ro - cgroup2 cgroup rw\n",
            Some("/host/sys/fs/cgroup"),
        );
        check(
            "700 699 0:28 /../../.. /sys/fs/cgroup ro master:3 propagate_from:2 - cgroup2 cgroup rw\n\
             701 699 0:28 / /sys/fs/own ro - cgroup2 cgroup rw\n",
            Some("/sys/fs/cgroup"),
        );
    }

    #[test]
    fn a_part_of_the_tree_is_second_best() {
        check(
            "40 1 0:28 /system.slice /mnt/part rw - cgroup2 c rw\n41 1 0:28 / /mnt/all rw - cgroup2 c rw\n",
            Some("/mnt/all"),
        );
    }

    #[test]
    fn escapes() {
        check("40 1 0:28 / /mnt/a\\040b\\011\\134c rw - cgroup2 c rw\n", Some("/mnt/a b\t\\c"));
        check("40 1 0:28 / /mnt/\\9\\04 rw - cgroup2 c rw\n", Some("/mnt/\\9\\04"));
    }

    proptest! {
        #[test]
        fn never_panics(text in proptest::collection::vec(any::<u8>(), 0..200), line in "[0-9 /.a-z\\\\-]{0,80}( - cgroup2 c)?") {
            let _ = cgroup2_mount(&text);
            let _ = cgroup2_mount(line.as_bytes());
        }
    }
}
