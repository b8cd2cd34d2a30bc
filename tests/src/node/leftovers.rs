//! What a run leaves on the machine, and how it goes away: also after a run that was killed.

use super::containerd::BRIDGE;
use super::image::run;
use super::kind::kind;
use rustix::fs::{FlockOperation, flock};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// In a pod's folder: where its cgroup is.
pub(super) const CGROUP: &str = "cgroup";

const PREFIX: &str = "gracetrace-node-";

/// Held by the one run that uses the bridge and its addresses.
pub(super) fn lock() -> anyhow::Result<fs::File> {
    let file = fs::File::create(std::env::temp_dir().join("gracetrace-node.lock"))?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        crate::suite::say("waiting for another run of this tier on this machine");
        flock(&file, FlockOperation::LockExclusive)?;
    }
    Ok(file)
}

/// A new folder for everything of this run.
pub(super) fn folder() -> anyhow::Result<PathBuf> {
    Ok(tempfile::Builder::new().prefix(PREFIX).tempdir()?.keep())
}

/// Removes what runs that were killed left behind; the lock says that none is alive.
pub(super) fn sweep_earlier_runs() -> anyhow::Result<()> {
    for entry in fs::read_dir(std::env::temp_dir())? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            crate::suite::say(&format!("removing what an earlier run left in {}", entry.path().display()));
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Ends what still runs from `root`, unmounts what is mounted below it and removes it and the bridge.
pub(super) fn remove(root: &Path) -> anyhow::Result<()> {
    for pid in processes_of(root) {
        let pid = rustix::process::Pid::from_raw(pid).ok_or_else(|| anyhow::anyhow!("0 is no process"))?;
        let _gone = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    let gone = || processes_of(root).is_empty().then_some(());
    crate::clock::wait_until("the end of containerd's processes", Duration::from_secs(5), gone)?;
    unmount_below(root)?;
    for uid in fs::read_dir(root.join("pods")).into_iter().flatten().flatten() {
        if let Ok(path) = fs::read_to_string(uid.path().join(CGROUP)) {
            remove_cgroup(&path)?;
        }
    }
    remove_namespaces(root);
    if Path::new("/sys/class/net").join(BRIDGE).exists() {
        run(Command::new("ip").args(["link", "delete", BRIDGE]))?;
    }
    Ok(fs::remove_dir_all(root)?)
}

/// containerd, its shims and whatever they run: `root` is in their command line (of a container's
/// processes: in their parent's).
fn processes_of(root: &Path) -> Vec<i32> {
    let root = root.to_string_lossy();
    let mut ours = Vec::new();
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let after_comm = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let mut fields = after_comm.split(' ');
        let (state, parent) = (fields.next().unwrap_or("Z"), fields.next().and_then(|ppid| ppid.parse::<i32>().ok()));
        if state == "Z" {
            continue;
        }
        let command = String::from_utf8_lossy(&command);
        let program = command.split('\0').next().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
        if program.starts_with("containerd") && command.contains(&*root) {
            ours.push(pid);
        } else {
            parents.push((pid, parent));
        }
    }
    let shims = ours.clone();
    ours.extend(
        parents
            .into_iter()
            .filter(|(_, parent)| parent.is_some_and(|parent| shims.contains(&parent)))
            .map(|(pid, _)| pid),
    );
    ours
}

fn unmount_below(root: &Path) -> anyhow::Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let below = mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(|at| Path::new(at).starts_with(root));
    for at in below.collect::<Vec<_>>().into_iter().rev() {
        run(Command::new("umount").arg("--lazy").arg(at))?;
    }
    Ok(())
}

/// Network namespaces of sandboxes that nobody stopped: those whose result the CNI cache names as ours.
fn remove_namespaces(root: &Path) {
    let results = Path::new("/var/lib/cni/results");
    for entry in fs::read_dir(results).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with("gracetrace-tests-") {
            continue;
        }
        let cached = fs::read(entry.path()).unwrap_or_default();
        let cached: serde_json::Value = serde_json::from_slice(&cached).unwrap_or_default();
        if let Some(namespace) = cached["netns"].as_str().and_then(|path| Path::new(path).file_name()) {
            let _gone = run(Command::new("ip").args(["netns", "delete"]).arg(namespace));
        }
        let _gone = fs::remove_file(entry.path());
    }
    debug_assert!(root.is_absolute(), "the node's folder is named in full");
}

/// Removes a pod's cgroup and what is in it, in every hierarchy; and the parents, once they are empty.
pub(super) fn remove_cgroup(path: &str) -> anyhow::Result<()> {
    if let Some(unit) = kind().unit(path) {
        // as the kubelet does; a slice that no container ever started in is not known
        let _unknown = run(Command::new("systemctl").args(["stop", unit]));
    }
    for hierarchy in hierarchies()? {
        let cgroup = hierarchy.join(path.trim_start_matches('/'));
        remove_tree(&cgroup);
        anyhow::ensure!(!cgroup.exists(), "{} cannot be removed: something lives in it", cgroup.display());
        for parent in cgroup.ancestors().skip(1).take_while(|parent| *parent != hierarchy) {
            if fs::remove_dir(parent).is_err() {
                break; // other pods are in it, or another hierarchy never had it
            }
        }
    }
    Ok(())
}

/// Children first; a cgroup whose last process has just left may take a moment.
fn remove_tree(cgroup: &Path) {
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    let _busy = crate::clock::wait_until("an empty cgroup", Duration::from_secs(3), || {
        (fs::remove_dir(cgroup).is_ok() || !cgroup.exists()).then_some(())
    });
}

/// The roots of all cgroup hierarchies.
fn hierarchies() -> anyhow::Result<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    Ok(fields
        .filter(|fields| fields.len() > 2 && fields[2].starts_with("cgroup"))
        .map(|fields| PathBuf::from(fields[1]))
        .collect())
}
