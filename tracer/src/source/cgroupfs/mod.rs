//! The cgroup tree as the file system shows it: where it is mounted, which pods are in it.
//!
//! Reads only. A cgroup that goes away while it is looked at is no error, it is just not there.

mod hierarchy;
mod members;
mod mountinfo;
mod process;

pub use hierarchy::{Controller, Hierarchy, Wish};
pub use members::Members;

use crate::engine::cgroup_path;
use crate::input::{BootNs, CgroupFound, CgroupId, Process};
use crate::source::clock;
use crate::text;
use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// How deep the tree is followed; a container may nest cgroups below its own without end.
const MAX_DEPTH: usize = 32;
/// How many cgroups of pods are listed; the rest become known when something happens in them.
const MAX_CGROUPS: usize = 65_536;

/// Why the tree cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// No cgroup file system that would do is mounted.
    #[error(
        "the cgroup hierarchy is not mounted (v2, or v1's of pids or memory; --cgroup-hierarchy names one): mount it, v2 with `mount -t cgroup2 none /sys/fs/cgroup`, or leave --cgroup-hierarchy out"
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
        source: io::Error,
    },
}

/// A mounted hierarchy.
#[derive(Clone, Debug)]
pub struct CgroupTree {
    hierarchy: Hierarchy,
    root: PathBuf,
    proc: PathBuf,
}

impl CgroupTree {
    /// Finds the one that is wished for among the mounts in `/proc/self/mountinfo`.
    pub fn find(wish: Wish) -> Result<Self, CgroupError> {
        let read = |path: &str| std::fs::read(path).map_err(|source| failed("read", Path::new(path), source));
        let (mountinfo, numbers) = (read("/proc/self/mountinfo")?, read("/proc/self/cgroup")?);
        // a walk is the same in every hierarchy
        let has_pods = |root: &PathBuf| Self::of(Hierarchy::V2, root.clone()).pods().is_ok_and(|pods| !pods.is_empty());
        let (hierarchy, root) = hierarchy::choose(wish, &mountinfo, &String::from_utf8_lossy(&numbers), has_pods)
            .ok_or(CgroupError::NotMounted)?;
        Ok(Self::of(hierarchy, root))
    }

    fn of(hierarchy: Hierarchy, root: PathBuf) -> Self {
        Self { hierarchy, root, proc: PathBuf::from("/proc") }
    }

    /// Which hierarchy it is.
    pub fn hierarchy(&self) -> Hierarchy {
        self.hierarchy
    }

    /// A folder that looks like one.
    #[cfg(test)]
    pub(crate) fn at(root: PathBuf) -> Self {
        Self::of(Hierarchy::V2, root)
    }

    /// Where it is mounted.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The id of a cgroup: its directory's inode number.
    pub fn id(&self, path: &str) -> Result<CgroupId, CgroupError> {
        inode(&self.folder(path)?)
    }

    /// Whether what is mounted is the hierarchy's own root, and not a part of it: a container may have its own cgroup alone.
    pub fn is_whole(&self) -> bool {
        match self.hierarchy {
            // the root alone has none, or is asked whom to call when a cgroup is released
            Hierarchy::V2 => !self.root.join("cgroup.events").exists(),
            Hierarchy::V1 { .. } => self.root.join("release_agent").exists(),
        }
    }

    /// The path, below what is mounted, of a cgroup that the kernel names from the hierarchy's own root: where a part alone is mounted, as on
    /// a node that is a container itself (kind, k3d), the path begins further down. None if the cgroup is not there.
    pub fn place_of(&self, path: &str, id: CgroupId) -> Option<String> {
        let mut rest = path.trim_start_matches('/');
        loop {
            if self.id(rest).is_ok_and(|found| found == id) {
                return Some(format!("/{rest}"));
            }
            rest = rest.split_once('/')?.1;
        }
    }

    /// Every cgroup that belongs to a pod (the pod's own, its containers', and those nested inside), parents before children.
    pub fn pods(&self) -> Result<Vec<CgroupFound>, CgroupError> {
        let root = Place { folder: self.root.clone(), path: String::new(), depth: 0, pod: None };
        self.walk(&root, clock::boot_now())
    }

    /// One cgroup and those below it, as part of the pod whose own cgroup is `pod`.
    pub fn subtree(&self, path: &str, pod: CgroupId) -> Result<Vec<CgroupFound>, CgroupError> {
        let place =
            Place { folder: self.folder(path)?, path: path.trim_end_matches('/').to_owned(), depth: 0, pod: Some(pod) };
        self.walk(&place, clock::boot_now())
    }

    /// The directory of a cgroup; never one outside the tree.
    fn folder(&self, path: &str) -> Result<PathBuf, CgroupError> {
        let relative = Path::new(path.trim_start_matches('/'));
        if relative.components().all(|part| matches!(part, Component::Normal(_))) {
            return Ok(self.root.join(relative));
        }
        Err(failed("read", Path::new(path), io::Error::new(io::ErrorKind::InvalidInput, "not a path of a cgroup")))
    }

    /// Depth first, so that parents come before their children; siblings by name.
    fn walk(&self, start: &Place, at: BootNs) -> Result<Vec<CgroupFound>, CgroupError> {
        // only the start must be readable: whatever is below it may be gone at any moment
        let mut pending = children(start).map_err(|source| failed("read", &start.folder, source))?;
        let mut found = Vec::new();
        self.look(start, at, &mut found);
        while let Some(mut place) = pending.pop() {
            if found.len() >= MAX_CGROUPS {
                tracing::warn!("over {MAX_CGROUPS} cgroups belong to pods: the rest is left out");
                break;
            }
            if place.pod.is_none() && cgroup_path::parse(&place.path).is_some() {
                let Ok(id) = inode(&place.folder) else { continue };
                place.pod = Some(id);
            }
            self.look(&place, at, &mut found);
            if place.depth < MAX_DEPTH {
                match children(&place) {
                    Ok(below) => pending.extend(below),
                    Err(error) => tracing::debug!("cgroup {}: {error}", place.path),
                }
            }
        }
        Ok(found)
    }

    /// Adds a cgroup that belongs to a pod, if it is still there.
    fn look(&self, place: &Place, at: BootNs, found: &mut Vec<CgroupFound>) {
        let Some(pod) = place.pod else { return };
        let Ok(id) = inode(&place.folder) else { return };
        let processes = self.processes(&place.folder);
        found.push(CgroupFound { at, id, pod, path: text::clean(&place.path), processes });
    }

    /// The processes in one cgroup, oldest first.
    fn processes(&self, folder: &Path) -> Vec<Process> {
        let mut processes: Vec<Process> =
            members::tgids(folder).into_iter().filter_map(|tgid| process::read(&self.proc, tgid)).collect();
        processes.sort_by_key(|process| (process.start, process.tgid));
        processes
    }
}

/// A cgroup on the way through the tree.
#[derive(Debug)]
struct Place {
    folder: PathBuf,
    /// Below the hierarchy's root, starting with `/`; empty for the root.
    path: String,
    /// Below the start of the walk.
    depth: usize,
    /// The pod that it belongs to.
    pod: Option<CgroupId>,
}

/// The directories in a cgroup's, last name first; links are not followed.
fn children(place: &Place) -> io::Result<Vec<Place>> {
    let mut names: Vec<_> = std::fs::read_dir(&place.folder)?
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.file_name())
        .collect();
    names.sort_by(|a, b| b.cmp(a));
    let below = |name: &OsStr| Place {
        folder: place.folder.join(name),
        path: format!("{}/{}", place.path, name.to_string_lossy()),
        depth: place.depth + 1,
        pod: place.pod,
    };
    Ok(names.iter().map(|name| below(name)).collect())
}

fn inode(folder: &Path) -> Result<CgroupId, CgroupError> {
    let metadata = std::fs::symlink_metadata(folder).map_err(|source| failed("read", folder, source))?;
    Ok(CgroupId(metadata.ino()))
}

fn failed(doing: &'static str, path: &Path, source: io::Error) -> CgroupError {
    CgroupError::Io { doing, path: PathBuf::from(text::clean(&path.to_string_lossy())), source }
}

#[cfg(test)]
mod tests;
