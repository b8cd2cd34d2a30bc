//! Which of some sockets a pod's processes hold, by the links in `/proc/<pid>/fd` (proc(5)).
//!
//! Reads links only: opens nothing behind them.

use rustix::fs::readlinkat;
use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;

/// How many descriptors are looked at in one pod: about half a second.
const MAX_DESCRIPTORS: usize = 200_000;

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Inode numbers.
    pub(super) inodes: HashSet<u32>,
    /// Some process's descriptors may not be looked at (`CAP_SYS_PTRACE`).
    pub(super) is_denied: bool,
    /// There were more than are looked at.
    pub(super) is_cut: bool,
}

/// Looks for `wanted` in the descriptors of these processes.
pub(super) fn held(tgids: &[u32], wanted: &HashSet<u32>) -> Held {
    let mut held = Held::default();
    if wanted.is_empty() {
        return held;
    }
    let mut left = MAX_DESCRIPTORS;
    for tgid in tgids {
        // any other error: it has ended
        let looked = look(*tgid, wanted, &mut left, &mut held.inodes);
        held.is_denied |= looked.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
        if left == 0 {
            held.is_cut = true;
            break;
        }
    }
    held
}

fn look(tgid: u32, wanted: &HashSet<u32>, left: &mut usize, inodes: &mut HashSet<u32>) -> io::Result<()> {
    let path = format!("/proc/{tgid}/fd");
    let folder = File::open(&path)?;
    let mut link = Vec::new();
    for entry in std::fs::read_dir(&path)? {
        if *left == 0 {
            break;
        }
        *left -= 1;
        // closed meanwhile
        let Ok(target) = readlinkat(folder.as_fd(), entry?.file_name(), link) else {
            link = Vec::new();
            continue;
        };
        inodes.extend(socket_inode(target.as_bytes()).filter(|inode| wanted.contains(inode)));
        link = target.into_bytes();
    }
    Ok(())
}

/// Of `socket:[12345]`.
fn socket_inode(link: &[u8]) -> Option<u32> {
    let digits = link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn links_to_sockets() {
        for (link, inode) in [
            ("socket:[12345]", Some(12345)),
            ("socket:[4294967295]", Some(u32::MAX)),
            ("socket:[4294967296]", None),
            ("socket:[]", None),
            ("socket:[1] (deleted)", None),
            ("pipe:[12345]", None),
            ("/tmp/socket:[1]", None),
            ("", None),
        ] {
            assert_eq!(socket_inode(link.as_bytes()), inode, "{link}");
        }
    }

    #[test]
    fn finds_its_own() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let file = File::from(std::os::fd::OwnedFd::from(listener));
        let inode = u32::try_from(file.metadata().expect("its inode").ino()).expect("32 bits");
        let own = std::process::id();
        // no process has such a number
        let gone = u32::MAX;
        let found = held(&[gone, own], &HashSet::from([inode, 0]));
        assert_eq!(found, Held { inodes: [inode].into(), ..Held::default() });
        assert_eq!(held(&[own], &HashSet::new()), Held::default());
    }

    #[test]
    fn stops_when_it_has_looked_at_enough() {
        let mut left = 1;
        look(std::process::id(), &HashSet::from([0]), &mut left, &mut HashSet::new()).expect("its own descriptors");
        assert_eq!(left, 0);
    }
}
