//! One pod's sockets, read once: its cgroups and processes, its network namespace, the kernel's list.
//!
//! Whatever cannot be had is said in one line, and what was read until then is kept.

use super::diag::{self, Family, Row};
use super::held::held;
use super::netns::{self, Netns, OpenError};
use super::owner::Sorted;
use super::{Spaces, UNKNOWN, Wanted};
use crate::input::{FoundSocket, Sockets};
use crate::source::cgroupfs::{CgroupTree, Hierarchy, Members};
use crate::source::clock;
use crate::text;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Sockets in one part: 100 KB in an event log, whose lines are 1 MiB at most.
const PART: usize = 500;

/// Reads the sockets of a pod, as parts of which the last says what is missing.
pub(super) fn take(tree: &CgroupTree, spaces: Spaces, wanted: &Wanted) -> Vec<Sockets> {
    let taken_at = clock::boot_now();
    let mut snapshot = Snapshot::default();
    if let Err(problem) = snapshot.read(tree, spaces, wanted) {
        snapshot.problems.push(problem);
    }
    let Snapshot { netns, found, problems } = snapshot;
    let problem = (!problems.is_empty()).then(|| text::clean(&problems.join("; ")));
    let whole =
        Sockets { at: clock::boot_now(), taken_at, pod: wanted.pod, netns, found: Vec::new(), more: false, problem };
    parts(&whole, found)
}

/// Cuts a list into parts; `whole` is what they have in common, its problem is the last one's.
fn parts(whole: &Sockets, found: Vec<FoundSocket>) -> Vec<Sockets> {
    let count = found.len().div_ceil(PART).max(1);
    let mut found = found.into_iter();
    let part = |number| {
        let more = number < count;
        // collected anew: cut off, each part would keep the room of all that followed it
        let found = found.by_ref().take(PART).collect();
        let problem = if more { None } else { whole.problem.clone() };
        Sockets { found, more, problem, ..whole.clone() }
    };
    (1..=count).map(part).collect()
}

#[derive(Debug, Default)]
struct Snapshot {
    netns: Option<u32>,
    found: Vec<FoundSocket>,
    problems: Vec<String>,
}

impl Snapshot {
    /// An error is what nothing can be read for.
    fn read(&mut self, tree: &CgroupTree, spaces: Spaces, wanted: &Wanted) -> Result<(), String> {
        let members = members(tree, wanted)?;
        let netns = netns_of(&members, wanted.tgid)?;
        self.netns = Some(netns.inode);
        let is_v2 = tree.hierarchy() == Hierarchy::V2;
        if !is_v2 && spaces.are_shared(netns.inode) {
            let why = "with cgroup v1 a socket in the node's own network namespace cannot be told from a stranger's";
            return Err(format!("{why}: {UNKNOWN}"));
        }
        let mut sorted = Sorted::new(&members.cgroups, spaces.are_shared(netns.inode));
        for (family, name) in [(Family::V4, "IPv4"), (Family::V6, "IPv6")] {
            // one socket each: what one question left unread does not disturb the next
            let diag = open(&netns, spaces).map_err(|error| format!("{error}: {UNKNOWN}"))?;
            // a socket's cgroup is one of v2, whose numbers mean something else in another hierarchy
            let add = |row: Row| sorted.add(Row { cgroup: row.cgroup.filter(|_| is_v2), ..row });
            if let Err(error) = diag::list(diag.as_fd(), family, add) {
                self.problems.push(format!("TCP over {name}: {error}: not all that was there before is known"));
            }
        }
        let held = held(&members.tgids, &sorted.unclaimed());
        if held.is_cut {
            self.problems.push("too many descriptors: sockets handed into the pod may be missing".to_owned());
        }
        if held.is_denied && sorted.lacks_cgroups() {
            let why = "this kernel tells no socket's cgroup, and reading descriptors needs CAP_SYS_PTRACE";
            self.problems.push(format!("{why}: {UNKNOWN}"));
        }
        if sorted.is_cut {
            self.problems.push("too many sockets in the network namespace: some are missing".to_owned());
        }
        self.found = sorted.finish(&held.inodes);
        Ok(())
    }
}

/// The pod's cgroups and processes.
fn members(tree: &CgroupTree, wanted: &Wanted) -> Result<Members, String> {
    let mut members = tree.members(&wanted.path).map_err(|error| format!("{error}: {UNKNOWN}"))?;
    if members.cgroups.contains(&wanted.pod) {
        members.cgroups.extend(&wanted.cgroups);
        Ok(members)
    } else {
        Err(format!("the pod's cgroup has been replaced by another: {UNKNOWN}"))
    }
}

/// The network namespace of a process of the pod, the signalled one's if it is still there. Numbers
/// that are not in the pod's cgroups now are not asked: they may be another process's by now.
fn netns_of(members: &Members, signalled: u32) -> Result<Netns, String> {
    let first = members.tgids.iter().filter(|tgid| **tgid == signalled);
    let others = members.tgids.iter().filter(|tgid| **tgid != signalled);
    let mut denied = None;
    for tgid in first.chain(others) {
        match Netns::of_process(*tgid) {
            Ok(netns) => return Ok(netns),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => denied = Some(error),
            // it has ended
            Err(error) => tracing::debug!("network namespace of process {tgid}: {error}"),
        }
    }
    Err(match denied {
        Some(_) => format!("finding the pod's network namespace needs CAP_SYS_PTRACE: {UNKNOWN}"),
        None => format!("no process is left whose network namespace could be found: {UNKNOWN}"),
    })
}

fn open(netns: &Netns, spaces: Spaces) -> Result<OwnedFd, OpenError> {
    if spaces.own == netns.inode { netns::diag() } else { netns.diag_inside() }
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
