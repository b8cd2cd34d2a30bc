//! What is in the memory of a kernel that is tried: busybox, gracetrace, the test programs with the libraries
//! they were linked with, and the list of jobs.

use super::cpio::Cpio;
use super::jobs::{self, Job};
use super::kernels::Kernel;
use super::programs::Programs;
use crate::cli::Cgroups;
use crate::process;
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The first process.
const INIT: &str = include_str!("init.sh");

/// What is tried where nothing can be traced, and where it is to be.
const REFUSALS_SCRIPT: &str = include_str!("refusals.sh");
pub(super) const REFUSALS: &str = "/vm/refusals";

/// What a guest is given.
pub(super) struct Contents<'a> {
    pub(super) kernel: &'a Kernel,
    pub(super) programs: &'a Programs,
    pub(super) jobs: &'a [Job],
    /// How it mounts cgroups.
    pub(super) cgroups: Cgroups,
}

/// Writes the archive.
pub(super) fn write(path: &Path, guest: &Contents<'_>, slow: u32) -> Result<()> {
    let Contents { kernel, programs, jobs, cgroups } = guest;
    let mut archive = Cpio::create(path)?;
    for folder in ["bin", "dev", "proc", "sys", "tmp", "vm/modules"] {
        archive.folder(folder)?;
    }
    let busybox = process::find("busybox").context("no busybox; run: cargo xtask setup --for vm")?;
    archive.copy("bin/busybox", &busybox)?;
    archive.link("bin/sh", "busybox")?;
    archive.file("init", INIT.as_bytes())?;
    for (number, module) in kernel.modules.iter().enumerate() {
        let name = module.file_name().unwrap_or_default().to_string_lossy();
        archive.copy(&format!("vm/modules/{number}-{name}"), module)?;
    }
    let mut libraries = BTreeSet::new();
    for (place, program) in programs.places() {
        archive.copy(&place, program)?;
        libraries.extend(libraries_of(program)?);
    }
    for library in &libraries {
        archive.copy(&library.display().to_string(), library)?;
    }
    let tests = process::workspace()?.join("tests");
    for entry in fs::read_dir(tests.join("fixtures/differential")).into_iter().flatten().flatten() {
        archive.copy(&entry.path().display().to_string(), &entry.path())?;
    }
    // where the differential tier puts the logs of schedules that failed
    let failed = tests.join("fixtures/logs/failed").display().to_string();
    archive.folder(&failed)?;
    archive.link(&process::target_folder()?.join("tmp").display().to_string(), &failed)?;
    archive.file(REFUSALS.trim_start_matches('/'), REFUSALS_SCRIPT.as_bytes())?;
    archive.file("vm/cgroups", cgroups.name().as_bytes())?;
    archive.file("vm/jobs", jobs::script(jobs, &tests, slow).as_bytes())?;
    archive.finish()
}

fn libraries_of(program: &Path) -> Result<Vec<PathBuf>> {
    let printed = super::archive::output(Command::new("ldd").arg(program))?;
    Ok(printed.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect())
}
