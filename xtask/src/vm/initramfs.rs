//! What is in the memory of a kernel that is tried: busybox, gracetrace, the test programs with the libraries
//! they were linked with, and the list of jobs.
//!
//! The test programs know files of theirs by the paths that they had when they were built, so these are
//! where they were; everything else is in `/vm`.

use super::cpio::Cpio;
use super::kernels::Kernel;
use crate::process;
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The first process.
const INIT: &str = include_str!("init.sh");

/// Programs that are built for this, and where they are.
pub(super) struct Programs {
    pub(super) gracetrace: PathBuf,
    pub(super) victim: PathBuf,
    pub(super) kernel: PathBuf,
    pub(super) differential: PathBuf,
}

impl Programs {
    /// Copies without what only a debugger reads, where there is a tool to take that out: less to load. The victim
    /// is known by its path, which stays as it is.
    pub(super) fn stripped(self, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
        let strip = |program: PathBuf| -> PathBuf {
            let small = folder.join(program.file_name().unwrap_or_default());
            let mut strip = Command::new("strip");
            let done = strip.arg("-o").arg(&small).arg(&program).status().is_ok_and(|status| status.success());
            if done { small } else { program }
        };
        Ok(Self {
            gracetrace: strip(self.gracetrace),
            kernel: strip(self.kernel),
            differential: strip(self.differential),
            victim: self.victim,
        })
    }
}

/// Something to do there.
pub(super) struct Job {
    pub(super) name: &'static str,
    /// The program and its arguments.
    pub(super) words: Vec<String>,
}

/// Writes the archive.
pub(super) fn write(path: &Path, kernel: &Kernel, programs: &Programs, jobs: &[Job], slow: u32) -> Result<()> {
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
    let Programs { gracetrace, victim, kernel, differential } = programs;
    let victims_place = victim.display().to_string();
    let places = [
        ("vm/gracetrace", gracetrace),
        (victims_place.as_str(), victim),
        ("vm/kernel", kernel),
        ("vm/differential", differential),
    ];
    let mut libraries = BTreeSet::new();
    for (place, program) in places {
        archive.copy(place, program)?;
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
    archive.file("vm/slow", slow.to_string().as_bytes())?;
    archive.file("vm/jobs", script(jobs, &tests, slow).as_bytes())?;
    archive.finish()
}

fn script(jobs: &[Job], tests: &Path, slow: u32) -> String {
    let quoted = |word: &String| format!("'{}'", word.replace('\'', r"'\''"));
    let logs = tests.join("fixtures/logs");
    let mut lines = vec![
        format!("LOGS={}", logs.display()),
        format!("export GRACETRACE_KEEP_FAILED={}", logs.join("failed").display()),
        "export GRACETRACE_BIN=/vm/gracetrace GRACETRACE_SAVE_LOGS=1".to_owned(),
        format!("export GRACETRACE_SLOW={slow}"),
    ];
    lines.extend(
        jobs.iter().map(|Job { name, words }| {
            format!("job {name} {}", words.iter().map(quoted).collect::<Vec<_>>().join(" "))
        }),
    );
    lines.push(String::new());
    lines.join("\n")
}

fn libraries_of(program: &Path) -> Result<Vec<PathBuf>> {
    let printed = super::archive::output(Command::new("ldd").arg(program))?;
    Ok(printed.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect())
}
