//! A cgroup of the command's own, gone again when this is dropped, with whatever is left in it.

use crate::source::cgroupfs::CgroupTree;
use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How many names are tried, should somebody else's cgroup be in the way.
const NAMES: u32 = 16;
/// How long the end waits for the last process to be gone.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(5);

/// The cgroup `gracetrace-run-<pid>`.
#[derive(Debug)]
pub(super) struct RunCgroup {
    /// Below the hierarchy's root, starting with `/`.
    pub(super) path: String,
    folder: PathBuf,
}

impl RunCgroup {
    /// Makes it below the hierarchy's root.
    pub(super) fn create(tree: &CgroupTree) -> anyhow::Result<Self> {
        let base = format!("gracetrace-run-{}", std::process::id());
        let mut name = base.clone();
        let mut attempt = 1;
        loop {
            let folder = tree.root().join(&name);
            match fs::create_dir(&folder) {
                Ok(()) => return Ok(Self { path: format!("/{name}"), folder }),
                // left by one that was killed, or made by one in another PID namespace
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < NAMES => {
                    name = format!("{base}-{attempt}");
                    attempt += 1;
                }
                Err(error) => {
                    let place = format!("cannot make a cgroup at {} ({})", folder.display(), advice(&error));
                    return Err(error).context(place);
                }
            }
        }
    }

    /// `cgroup.procs`, open for writing: who writes `0` to it is in the cgroup.
    pub(super) fn door(&self) -> anyhow::Result<File> {
        let path = self.folder.join("cgroup.procs");
        OpenOptions::new().write(true).open(&path).with_context(|| format!("cannot write to {}", path.display()))
    }

    /// No process is in it or below it; zombies do not count.
    pub(super) fn is_empty(&self) -> bool {
        match fs::read_to_string(self.folder.join("cgroup.events")) {
            Ok(events) => !events.lines().any(|line| line == "populated 1"),
            // v1 has no such file
            Err(_) => !holds_any(&self.folder),
        }
    }

    /// SIGKILL for every process in it, as a container runtime does after the main one has gone.
    pub(super) fn kill(&self) {
        // in one go since Linux 5.14, and without a race against forks
        if fs::write(self.folder.join("cgroup.kill"), "1").is_err() {
            kill_each(&self.folder);
        }
    }
}

impl Drop for RunCgroup {
    fn drop(&mut self) {
        let end = Instant::now() + PATIENCE;
        loop {
            match remove(&self.folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound && Instant::now() < end => {
                    self.kill();
                    std::thread::sleep(LOOK);
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!("cannot remove the cgroup {}: {error}; remove it with rmdir", self.folder.display());
                    return;
                }
                Ok(()) | Err(_) => return,
            }
        }
    }
}

/// Whether a process is in a cgroup or below it.
fn holds_any(folder: &Path) -> bool {
    let list = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    !list.trim().is_empty() || children(folder).iter().any(|below| holds_any(below))
}

fn kill_each(folder: &Path) {
    for pid in fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default().lines() {
        if let Some(pid) = pid.parse().ok().and_then(Pid::from_raw) {
            // it may have gone by itself
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    for below in children(folder) {
        kill_each(&below);
    }
}

fn advice(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::PermissionDenied {
        "run gracetrace as root"
    } else if error.kind() == io::ErrorKind::ReadOnlyFilesystem {
        "the cgroup file system has to be mounted writable"
    } else {
        "`gracetrace doctor` says how cgroups are mounted here"
    }
}

/// Removes a cgroup and those the command made below it.
fn remove(folder: &Path) -> io::Result<()> {
    for below in children(folder) {
        remove(&below)?;
    }
    fs::remove_dir(folder)
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_whole_tree_with_it() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = root.path().join("run");
        fs::create_dir_all(folder.join("a/b")).expect("folders");
        drop(RunCgroup { path: "/run".to_owned(), folder: folder.clone() });
        assert!(!folder.exists());
    }
}
