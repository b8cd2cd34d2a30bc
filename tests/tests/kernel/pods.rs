//! Pods without a runtime: cgroups that are named like a kubelet's, and processes in them.

use crate::hierarchies::Hierarchy;
use gracetrace_tests::clock::wait_until;
use gracetrace_tests::suite;
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A new place for pods, without any yet, and the word for the hierarchy that it is in. What is left of it goes with the test.
pub(crate) fn place(name: &str) -> anyhow::Result<(String, PathBuf)> {
    let (hierarchy, root) = hierarchy()?;
    let root = root.join(name);
    sweep(&root)?;
    let swept = root.clone();
    suite::at_end("pods without a runtime", move || sweep(&swept));
    std::fs::create_dir(&root)?;
    Ok((hierarchy, root))
}

/// A container without a runtime: a cgroup that is named like one, and a process in it that is PID 1 of its namespace.
pub(crate) struct Container {
    /// Outside the cgroup: it waits for its only child.
    parent: Child,
    pub(crate) init: u32,
}

impl Container {
    pub(crate) fn start(pod: &Path, command: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        Self::start_as(pod, 'c', command)
    }

    /// One of several in a pod, by a hexadecimal digit of its own.
    pub(crate) fn start_as(pod: &Path, digit: char, command: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let cgroup = pod.join(digit.to_string().repeat(64));
        std::fs::create_dir(&cgroup)?;
        let procs = cgroup.join("cgroup.procs");
        let mut parent = Command::new("unshare");
        parent.args(["-p", "-f", "sh", "-c", "echo 0 >\"$0\" && exec \"$@\""]).arg(&procs).args(command);
        let parent = parent.stdin(Stdio::null()).spawn()?;
        let init = wait_until("a process in the cgroup", Duration::from_secs(5), || {
            std::fs::read_to_string(&procs).ok()?.lines().next()?.parse().ok()
        })?;
        Ok(Self { parent, init })
    }

    pub(crate) fn end(mut self) -> anyhow::Result<()> {
        wait_until("the end of a container", Duration::from_secs(5), || self.parent.try_wait().ok().flatten())?;
        Ok(())
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if matches!(self.parent.try_wait(), Ok(None)) {
            // of a run that failed; its parent follows
            let _gone = pid(self.init).map(|init| kill_process(init, Signal::KILL));
            let _reaped = self.parent.wait();
        }
    }
}

pub(crate) fn pid(number: u32) -> anyhow::Result<Pid> {
    Pid::from_raw(i32::try_from(number)?).ok_or_else(|| anyhow::anyhow!("0 is no process"))
}

/// The hierarchy that the run is for (v2, where there is a choice), by the word for it and where it is mounted.
fn hierarchy() -> anyhow::Result<(String, PathBuf)> {
    let wanted = std::env::var("GRACETRACE_TEST_HIERARCHY").ok();
    let words = wanted.map_or_else(|| ["v2", "pids", "memory"].map(str::to_owned).to_vec(), |wanted| vec![wanted]);
    let mounted = Hierarchy::mounted()?;
    let found = words.into_iter().find_map(|word| {
        let root = mounted.iter().find(|it| it.controller.as_deref().unwrap_or("v2") == word)?.root.clone();
        Some((word, root))
    });
    found.ok_or_else(|| anyhow::anyhow!("no cgroup hierarchy is mounted"))
}

/// What a run leaves, also one that failed.
pub(crate) fn sweep(root: &Path) -> anyhow::Result<()> {
    for pod in std::fs::read_dir(root).into_iter().flatten().flatten() {
        for container in std::fs::read_dir(pod.path()).into_iter().flatten().flatten() {
            if container.file_type().is_ok_and(|kind| kind.is_dir()) {
                std::fs::remove_dir(container.path())?;
            }
        }
        if pod.file_type().is_ok_and(|kind| kind.is_dir()) {
            std::fs::remove_dir(pod.path())?;
        }
    }
    match std::fs::remove_dir(root) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}
