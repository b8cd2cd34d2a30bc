//! A process that the bench started: watched through `/proc`, told to end by its own pid, waited for.

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(2);
/// How long one may take to end.
const END: Duration = Duration::from_secs(10);

/// A process of ours; it is gone when this is dropped.
pub(super) struct Agent {
    child: Child,
    name: String,
}

impl Agent {
    pub(super) fn start(command: &mut Command) -> Result<Self> {
        let program = Path::new(command.get_program());
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let child = command.spawn().with_context(|| format!("can't start {name}"))?;
        Ok(Self { child, name })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended yet.
    pub(super) fn lives(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Waits while `goes_on`; fails if the process ends first or it takes too long.
    pub(super) fn wait_while(&mut self, what: &str, limit: Duration, goes_on: impl Fn(&Self) -> bool) -> Result<()> {
        let end = Instant::now() + limit;
        while goes_on(self) {
            if let Some(status) = self.child.try_wait()? {
                // it may have done it as its last act
                if !goes_on(self) {
                    return Ok(());
                }
                bail!("{} ended ({status}) before {what}", self.name);
            }
            if Instant::now() > end {
                bail!("{} took more than {limit:?} until {what}", self.name);
            }
            sleep(LOOK);
        }
        Ok(())
    }

    /// Waits for its own end.
    pub(super) fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > end {
                bail!("{} has not ended within {limit:?}", self.name);
            }
            sleep(LOOK);
        }
    }

    /// Tells it to end as a person does, and waits.
    pub(super) fn stop(&mut self, signal: Signal) -> Result<ExitStatus> {
        if let (Ok(None), Some(pid)) = (self.child.try_wait(), Pid::from_raw(self.child.id().cast_signed())) {
            kill_process(pid, signal).with_context(|| format!("can't stop {}", self.name))?;
        }
        self.wait(END)
    }

    /// Nanoseconds its threads have run.
    pub(super) fn cpu_ns(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).into_iter().flatten().flatten();
        let ran = tasks.filter_map(|task| {
            let line = fs::read_to_string(task.path().join("schedstat")).ok()?;
            line.split(' ').next()?.parse::<u64>().ok()
        });
        ran.sum()
    }

    /// Resident memory in KiB.
    pub(super) fn rss_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }

    /// Ids of the eBPF programs that it holds.
    pub(super) fn programs(&self) -> BTreeSet<u32> {
        infos(self.pid()).filter_map(|info| program_id(&info)).collect()
    }

    /// The raw tracepoint that each of them is attached to, by id: a program's own name is cut in the kernel.
    pub(super) fn tracepoints(&self) -> BTreeMap<u32, String> {
        infos(self.pid()).filter_map(|info| Some((program_id(&info)?, value(&info, "tp_name:")?.to_owned()))).collect()
    }
}

/// What the kernel prints of each of its descriptors.
fn infos(pid: u32) -> impl Iterator<Item = String> {
    let folder = fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten();
    folder.filter_map(|entry| fs::read_to_string(entry.path()).ok())
}

impl Drop for Agent {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) && self.stop(Signal::TERM).is_err() {
            let _gone = self.child.kill();
        }
        let _reaped = self.child.wait();
    }
}

/// Of what `bpf_prog_show_fdinfo` or `bpf_link_show_fdinfo` prints.
fn program_id(info: &str) -> Option<u32> {
    value(info, "prog_id:")?.parse().ok()
}

fn value<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::{program_id, value};

    #[test]
    fn reads_what_the_kernel_prints() {
        assert_eq!(program_id("pos:\t0\nflags:\t02000002\nprog_type:\t17\nprog_id:\t215\n"), Some(215));
        let link = "link_type:\traw_tracepoint\nlink_id:\t9\nprog_id:\t7\ntp_name:\tsched_process_exit\n";
        assert_eq!((program_id(link), value(link, "tp_name:")), (Some(7), Some("sched_process_exit")));
        assert_eq!(program_id("pos:\t0\neventfd-count: 0\n"), None);
    }
}
