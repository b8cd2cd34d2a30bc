//! One kernel from its initramfs to its results: booted, heard, and its event logs replayed on this machine.

use super::archive::output;
use super::boot::{Emulator, Guest};
use super::initramfs::{self, Job, Programs};
use super::kernels::Kernel;
use super::results::{Results, verdict};
use crate::cli::VmSelection;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How much slower than this machine an emulated one is.
const SLOW: u32 = 13;

/// What all kernels share.
pub(super) struct Stage {
    pub(super) programs: Programs,
    pub(super) emulator: Emulator,
    /// A folder for each kernel is in it.
    pub(super) folder: PathBuf,
    pub(super) interrupted: Arc<AtomicBool>,
}

/// A kernel that was tried.
pub(super) struct Played {
    pub(super) kernel: String,
    /// Of its package.
    pub(super) version: String,
    pub(super) results: Results,
    pub(super) took: Duration,
    /// Where everything that it printed is.
    pub(super) console: PathBuf,
    /// Event logs that were recorded there and give the same report here.
    pub(super) replayed: usize,
}

/// Plays it.
pub(super) fn one(kernel: &Kernel, stage: &Stage, selection: &VmSelection) -> Result<Played> {
    let place = stage.folder.join(&kernel.name);
    if place.exists() {
        fs::remove_dir_all(&place).with_context(|| format!("can't remove {}", place.display()))?;
    }
    fs::create_dir_all(&place).with_context(|| format!("can't make {}", place.display()))?;
    let (initramfs, logs, console) = (place.join("initramfs"), place.join("logs.tar.gz"), place.join("console.txt"));
    initramfs::write(&initramfs, kernel, &stage.programs, &jobs(selection), SLOW)?;
    let guest =
        Guest { kernel, initramfs: &initramfs, logs: &logs, limit: Duration::from_secs(selection.minutes * 60) };
    let run = stage.emulator.boot(&guest, &stage.interrupted, &mut |line| hear(kernel, line))?;
    fs::remove_file(&initramfs).with_context(|| format!("can't remove {}", initramfs.display()))?;
    fs::write(&console, run.lines.join("\n")).with_context(|| format!("can't write {}", console.display()))?;
    let mut results = Results::of(&run);
    let replayed = match replay(&logs, &place.join("logs"), &stage.programs.gracetrace) {
        Ok((same, different)) => {
            results.trouble.extend(different.into_iter().map(|log| format!("{log} replays to another report here")));
            same
        }
        Err(error) => {
            results.trouble.push(format!("its event logs cannot be read: {error:#}"));
            0
        }
    };
    println!("    [{}] done after {} s, {replayed} event logs replayed here", kernel.series, run.took.as_secs());
    let (kernel, version) = (kernel.name.clone(), kernel.version.clone());
    Ok(Played { kernel, version, results, took: run.took, console, replayed })
}

/// The lines that a person who waits wants to see.
fn hear(kernel: &Kernel, line: &str) {
    let is_progress = verdict(line).is_some() || line.starts_with("@vm") || line.contains("schedules: every report");
    if is_progress {
        println!("    [{}] {}", kernel.series, line.trim());
    }
}

fn jobs(selection: &VmSelection) -> Vec<Job> {
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let mut kernel = words(&["/vm/kernel"]);
    kernel.extend(selection.arguments.iter().cloned());
    let mut jobs = vec![
        Job { name: "doctor", words: words(&["/vm/gracetrace", "doctor"]) },
        Job { name: "kernel", words: kernel },
    ];
    if selection.schedules > 0 {
        let schedules = format!("GRACETRACE_SCHEDULES={}", selection.schedules);
        jobs.push(Job { name: "differential", words: words(&["env", &schedules, "/vm/differential"]) });
    }
    jobs
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
