//! One machine from its start to its results: booted, heard, and its event logs replayed on this machine.

use super::archive::output;
use super::boot::{Emulator, Guest};
use super::initramfs::{self, Contents};
use super::jobs::Job;
use super::kernels::Kernel;
use super::programs::Programs;
use super::results::{Results, verdict};
use crate::cli::{Cgroups, VmSelection};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How much slower than this machine an emulated one is.
pub(super) const SLOW: u32 = 13;

/// What some kernels cannot play: 5.10 has no MPTCP, and its numbers of cgroups need not meet; from 7.0 on programs are preempted.
const IMPOSSIBLE: [&str; 3] = ["mptcp-listener", "same-id-elsewhere", "passed-over"];

/// What all machines share.
pub(super) struct Stage {
    pub(super) programs: Programs,
    pub(super) emulator: Emulator,
    /// A folder for each machine is in it.
    pub(super) folder: PathBuf,
    pub(super) interrupted: Arc<AtomicBool>,
}

/// A machine that was tried.
pub(super) struct Played {
    pub(super) name: String,
    /// Of what it is made of.
    pub(super) version: String,
    pub(super) results: Results,
    pub(super) took: Duration,
    /// Where everything that it printed is.
    pub(super) console: PathBuf,
    /// Event logs that were recorded there and give the same report here.
    pub(super) replayed: usize,
}

/// Plays a kernel.
pub(super) fn kernel(kernel: &Kernel, cgroups: Cgroups, stage: &Stage, selection: &VmSelection) -> Result<Played> {
    let with_cgroups = |text: &str, between: &str| match cgroups {
        Cgroups::V2 => text.to_owned(),
        Cgroups::V1 | Cgroups::Hybrid => format!("{text}{between}{}", cgroups.name()),
    };
    let (name, label) = (with_cgroups(&kernel.name, ", cgroup "), with_cgroups(&kernel.series.to_string(), " "));
    let place = stage.place(&with_cgroups(&kernel.name, "-cgroup-"))?;
    let initramfs = place.join("initramfs");
    let contents = Contents { kernel, programs: &stage.programs, jobs: &jobs(selection, cgroups), cgroups };
    initramfs::write(&initramfs, &contents, SLOW)?;
    let limit = Duration::from_secs(selection.minutes.unwrap_or(25) * 60);
    let guest = Guest { kernel: &kernel.image, initramfs: &initramfs, disks: &[], parameters: "", limit };
    let mut played = stage.play(&guest, &place, &label, name, kernel.version.clone())?;
    played.results.know_impossible(&IMPOSSIBLE, cgroups == Cgroups::V1);
    fs::remove_file(&initramfs).with_context(|| format!("can't remove {}", initramfs.display()))?;
    Ok(played)
}

fn jobs(selection: &VmSelection, cgroups: Cgroups) -> Vec<Job> {
    let mut jobs = vec![
        Job::new("doctor", &["/vm/gracetrace", "doctor"], &[]),
        Job::new("kernel", &["/vm/kernel-tier"], &selection.arguments),
    ];
    let schedules = selection.schedules;
    // with v1 alone there is nothing to compare: of connections in a shared network namespace nothing is told
    if schedules > 0 && cgroups != Cgroups::V1 {
        let schedules = format!("GRACETRACE_SCHEDULES={schedules}");
        jobs.push(Job::new("differential", &["env", &schedules, "/vm/differential-tier"], &[]));
    }
    jobs.push(Job::new("refusals", &["sh", initramfs::REFUSALS], &[]));
    jobs
}

impl Stage {
    /// An empty folder for a machine.
    pub(super) fn place(&self, name: &str) -> Result<PathBuf> {
        let place = self.folder.join(name);
        if place.exists() {
            fs::remove_dir_all(&place).with_context(|| format!("can't remove {}", place.display()))?;
        }
        fs::create_dir_all(&place).with_context(|| format!("can't make {}", place.display()))?;
        Ok(place)
    }

    /// Boots a machine that has its folder at `place`; a person who waits hears of it as `label`.
    pub(super) fn play(
        &self,
        guest: &Guest<'_>,
        place: &Path,
        label: &str,
        name: String,
        version: String,
    ) -> Result<Played> {
        let (logs, console) = (place.join("logs.tar.gz"), place.join("console.txt"));
        let run = self.emulator.boot(guest, &logs, &self.interrupted, &mut |line| hear(label, line))?;
        fs::write(&console, run.lines.join("\n")).with_context(|| format!("can't write {}", console.display()))?;
        let mut results = Results::of(&run);
        let replayed = match replay(&logs, &place.join("logs"), &self.programs.gracetrace) {
            Ok((same, different)) => {
                let told = |log| format!("{log} replays to another report here");
                results.trouble.extend(different.into_iter().map(told));
                same
            }
            Err(error) => {
                results.trouble.push(format!("its event logs cannot be read: {error:#}"));
                0
            }
        };
        println!("    [{label}] done after {} s, {replayed} event logs replayed here", run.took.as_secs());
        Ok(Played { name, version, results, took: run.took, console, replayed })
    }
}

/// The lines that a person who waits wants to see.
fn hear(label: &str, line: &str) {
    let is_progress = verdict(line).is_some() || line.starts_with("@vm") || line.contains("schedules: every report");
    if is_progress {
        println!("    [{label}] {}", line.trim());
    }
}

/// Unpacks the logs; how many replay to the report of that kernel, and the names of those that do not.
fn replay(packed: &Path, folder: &Path, gracetrace: &Path) -> Result<(usize, Vec<String>)> {
    fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
    output(Command::new("tar").arg("-xzf").arg(packed).arg("-C").arg(folder))?;
    let (mut same, mut different) = (0, Vec::new());
    for entry in fs::read_dir(folder).with_context(|| format!("can't list {}", folder.display()))? {
        let log = entry?.path();
        if log.extension().is_none_or(|extension| extension != "jsonl") {
            continue;
        }
        let report = log.with_extension("report.json");
        let report = fs::read_to_string(&report).with_context(|| format!("can't read {}", report.display()))?;
        let replayed = output(Command::new(gracetrace).arg("replay").arg(&log).args(["-o", "json"]));
        if replayed.is_ok_and(|replayed| replayed == report) {
            same += 1;
        } else {
            different.push(log.file_name().unwrap_or_default().to_string_lossy().into_owned());
        }
    }
    Ok((same, different))
}
