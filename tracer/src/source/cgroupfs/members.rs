//! What belongs to one cgroup and those below it, by number only: quick to gather, nothing is read
//! about the processes themselves.

use super::{CgroupError, CgroupTree, MAX_CGROUPS, MAX_DEPTH, Place, children, failed, inode};
use crate::input::CgroupId;
use std::collections::BTreeSet;
use std::path::Path;

/// A cgroup's members and those of the cgroups below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// The cgroup itself and those below it.
    pub cgroups: BTreeSet<CgroupId>,
    /// The processes in them, as this process's PID namespace numbers them.
    pub tgids: Vec<u32>,
}

impl CgroupTree {
    /// What is in a cgroup and below it now; what goes away meanwhile is left out.
    pub fn members(&self, path: &str) -> Result<Members, CgroupError> {
        let folder = self.folder(path)?;
        let id = inode(&folder)?;
        let start = Place { folder, path: path.to_owned(), depth: 0, pod: Some(id) };
        // only the start must be readable: whatever is below it may be gone at any moment
        let mut pending = children(&start).map_err(|source| failed("read", &start.folder, source))?;
        let mut members = Members { cgroups: BTreeSet::from([id]), tgids: tgids(&start.folder) };
        while let Some(place) = pending.pop() {
            let Ok(id) = inode(&place.folder) else { continue };
            members.cgroups.insert(id);
            members.tgids.extend(tgids(&place.folder));
            if members.cgroups.len() >= MAX_CGROUPS {
                tracing::warn!("over {MAX_CGROUPS} cgroups belong to one pod: the rest is left out");
                break;
            }
            if place.depth < MAX_DEPTH {
                pending.extend(children(&place).unwrap_or_default());
            }
        }
        Ok(members)
    }
}

/// The processes in one cgroup.
pub(super) fn tgids(folder: &Path) -> Vec<u32> {
    // a threaded cgroup has no list of processes (EOPNOTSUPP): they are those of its domain above
    let Ok(list) = std::fs::read_to_string(folder.join("cgroup.procs")) else { return Vec::new() };
    // 0 stands for a process that is not visible in this PID namespace
    list.lines().filter_map(|line| line.parse().ok()).filter(|tgid| *tgid != 0).collect()
}
