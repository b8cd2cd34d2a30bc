//! The cgroup v2 tree as the file system shows it: where it is mounted, which pods are in it.

use crate::input::{CgroupFound, CgroupId};
use std::path::{Path, PathBuf};

/// Why the tree cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// No cgroup2 file system is mounted.
    #[error(
        "no cgroup2 file system is mounted: mount one (`mount -t cgroup2 none /sys/fs/cgroup`), or boot with cgroup v2 or hybrid"
    )]
    NotMounted,
    /// A file or folder could not be read or written.
    #[error("{doing} {path}: {source}")]
    Io {
        /// What was being done: `read`, `create`.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}

/// A mounted v2 hierarchy.
#[derive(Clone, Debug)]
pub struct CgroupTree {
    _root: PathBuf,
}

impl CgroupTree {
    /// Finds the mount in `/proc/self/mountinfo` (also a hybrid's `unified`).
    pub fn find() -> Result<Self, CgroupError> {
        todo!()
    }

    /// Where it is mounted.
    pub fn root(&self) -> &Path {
        todo!()
    }

    /// The id of a cgroup: its directory's inode number.
    pub fn id(&self, _path: &str) -> Result<CgroupId, CgroupError> {
        todo!()
    }

    /// Every cgroup that belongs to a pod (the pod's own, its containers', and those nested inside), parents before children.
    pub fn pods(&self) -> Result<Vec<CgroupFound>, CgroupError> {
        todo!()
    }

    /// One cgroup and those below it, as part of the pod whose own cgroup is `pod`.
    pub fn subtree(&self, _path: &str, _pod: CgroupId) -> Result<Vec<CgroupFound>, CgroupError> {
        todo!()
    }
}
