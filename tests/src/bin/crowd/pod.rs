//! One pod: its two cgroups and its process.

use super::sys;
use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Each has an address, and so all have this port.
const PORT: u16 = 8080;
/// How long what has been told to end, or to go, may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A pod with one container. Both are gone when it is dropped.
pub(crate) struct Pod {
    cgroup: PathBuf,
    container: PathBuf,
    child: Child,
}

/// Where the one of this number listens: the whole of 127/8 is this machine, and 127.1 the other loads'.
pub(crate) fn address(number: u32) -> SocketAddrV4 {
    let [_, _, high, low] = number.to_be_bytes();
    SocketAddrV4::new(Ipv4Addr::new(127, 64 | high, low, 1), PORT)
}

/// The uid of the one of this number, as it stands in its cgroup's name.
pub(crate) fn uid(number: u32) -> String {
    format!("{number:08x}-0000-4000-8000-000000000000")
}

impl Pod {
    /// Makes its cgroups below `root` and starts the program in them.
    pub(crate) fn start(root: &Path, number: u32, command: &mut Command) -> anyhow::Result<Self> {
        let cgroup = root.join(format!("kubepods/burstable/pod{}", uid(number)));
        let container = cgroup.join(format!("{:064x}", u64::from(number) + 1));
        fs::create_dir_all(&container).with_context(|| format!("can't make {}", container.display()))?;
        let started = (|| {
            let door = File::options().write(true).open(container.join("cgroup.procs"))?;
            sys::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()), door)
        })();
        match started {
            Ok(child) => Ok(Self { cgroup, container, child }),
            Err(error) => {
                let _empty = fs::remove_dir(&container).and_then(|()| fs::remove_dir(&cgroup));
                Err(error).context("can't start a pod's process")
            }
        }
    }

    /// How many sockets its process has.
    pub(crate) fn sockets(&self) -> usize {
        let open = fs::read_dir(format!("/proc/{}/fd", self.child.id())).into_iter().flatten().flatten();
        open.filter(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"))).count()
    }

    /// SIGKILL to its process.
    pub(crate) fn kill(&self) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::KILL).context("can't kill a pod's process")
    }

    /// Waits for its process.
    pub(crate) fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        self.child.wait().context("can't wait for a pod's process")
    }

    /// Removes both cgroups, as a kubelet does when a pod has ended.
    pub(crate) fn remove(&self) -> anyhow::Result<()> {
        let until = Instant::now() + PATIENCE;
        for folder in [&self.container, &self.cgroup] {
            while let Err(error) = fs::remove_dir(folder) {
                if error.kind() == std::io::ErrorKind::NotFound {
                    break;
                }
                // the last process of it may be reaped and not yet have left it
                if Instant::now() > until {
                    return Err(error).with_context(|| format!("can't remove {}", folder.display()));
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(())
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _gone = self.child.kill();
            let _reaped = self.child.wait();
        }
        if let Err(error) = self.remove() {
            eprintln!("crowd: {error:#}");
        }
    }
}
