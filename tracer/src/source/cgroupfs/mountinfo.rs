//! Finds the cgroup hierarchies among the mounts (proc(5), `/proc/[pid]/mountinfo`).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// Where cgroup file systems are mounted. Of several mounts of one the one that shows most of the tree: inside a
/// container with a cgroup namespace of its own, that is the node's tree mounted from outside
/// (its root is then written `/../..`), not the container's.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Mounts {
    /// The v2 hierarchy.
    pub(super) v2: Option<PathBuf>,
    /// v1 hierarchies by each of their controllers.
    pub(super) v1: Vec<(String, PathBuf)>,
}

/// Reads them.
pub(super) fn mounts(mountinfo: &[u8]) -> Mounts {
    let mut best: Vec<(Option<String>, i32, PathBuf)> = Vec::new();
    for Mount { names, height, point } in mountinfo.split(|byte| *byte == b'\n').filter_map(mount) {
        for name in names {
            match best.iter_mut().find(|(known, ..)| *known == name) {
                // a later mount on the same place hides the earlier one
                Some((_, known, place)) if height > *known || *place == point => {
                    (*known, *place) = (height, point.clone());
                }
                Some(_) => {}
                None => best.push((name, height, point.clone())),
            }
        }
    }
    let mut mounts = Mounts::default();
    for (name, _, point) in best {
        match name {
            Some(name) => mounts.v1.push((name, point)),
            None => mounts.v2 = Some(point),
        }
    }
    mounts
}

struct Mount {
    /// `None` for v2, else a v1 controller; of those mounted together each.
    names: Vec<Option<String>>,
    /// How far above (or, negative, below) the root of our cgroup namespace the mount begins.
    height: i32,
    point: PathBuf,
}

/// `None` if it is no cgroup file system.
fn mount(line: &[u8]) -> Option<Mount> {
    // 36 35 98:0 /root /point rw,relatime shared:1 … - cgroup2 source options
    let mut fields = line.split(|byte| *byte == b' ');
    let root = fields.nth(3)?;
    let point = fields.next()?;
    let mut after = fields.skip_while(|field| *field != b"-").skip(1);
    let names = match after.next()? {
        b"cgroup2" => vec![None],
        b"cgroup" => {
            let options = after.nth(1)?.split(|byte| *byte == b',');
            options
                .filter_map(|option| std::str::from_utf8(option).ok())
                .map(|option| Some(option.to_owned()))
                .collect()
        }
        _ => return None,
    };
    let steps = root.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
    let height = steps.map(|part| if part == b".." { 1 } else { -1 }).sum();
    Some(Mount { names, height, point: PathBuf::from(OsString::from_vec(unescape(point))) })
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
        assert_eq!(mounts(mountinfo.as_bytes()).v2, expected.map(PathBuf::from), "{mountinfo}");
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
    fn controllers_of_v1() {
        let mountinfo = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                         33 31 0:30 /../.. /host/pids ro - cgroup cgroup rw,pids\n\
                         34 31 0:30 / /sys/fs/cgroup/pids ro - cgroup cgroup rw,pids\n";
        let found = mounts(mountinfo.as_bytes());
        let place = |name: &str| found.v1.iter().find(|(known, _)| known == name).map(|(_, point)| point.clone());
        assert_eq!(place("cpuacct"), Some(PathBuf::from("/sys/fs/cgroup/cpu,cpuacct")));
        assert_eq!(place("pids"), Some(PathBuf::from("/host/pids")));
        assert_eq!((place("memory"), found.v2.clone()), (None, None));
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
            let _ = mounts(&text);
            let _ = mounts(line.as_bytes());
        }
    }
}
