//! What is tried on other machines, and what it is tried with: built here.
//!
//! The test programs know files of theirs by the paths that they had when they were built, so these are
//! there where they are here; everything else is in `/vm`.

use super::archive::output;
use crate::{build, process};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Programs, and where they are.
pub(super) struct Programs {
    pub(super) gracetrace: PathBuf,
    pub(super) victim: PathBuf,
    /// Test tiers by name.
    tiers: Vec<(&'static str, PathBuf)>,
}

impl Programs {
    /// Builds gracetrace and these tiers; copies of them go to the folder.
    pub(super) fn build(tiers: &[&'static str], folder: &Path) -> Result<Self> {
        let gracetrace = build::binary(false)?;
        process::heading("test programs");
        let mut cargo = process::cargo(["test", "--no-run", "--package", "gracetrace-tests"])?;
        for tier in tiers {
            cargo.args(["--test", tier]);
        }
        cargo.args(["--message-format", "json-render-diagnostics"]);
        let built = output(&mut cargo)?;
        let find = |name: &str| -> Result<PathBuf> {
            let marked = format!("\"name\":\"{name}\",\"src_path\"");
            let line = built.lines().find(|line| line.contains(&marked) && line.contains("\"executable\":\""));
            let path = line.and_then(|line| line.split_once("\"executable\":\"")?.1.split('"').next());
            path.map(|path| Path::new(path).to_owned()).with_context(|| format!("cargo built no {name}"))
        };
        fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
        let tiers = tiers.iter().map(|&tier| Ok((tier, stripped(find(tier)?, folder)))).collect::<Result<_>>()?;
        Ok(Self { gracetrace: stripped(gracetrace, folder), victim: find("victim")?, tiers })
    }

    /// Where each is to be, without the first `/`.
    pub(super) fn places(&self) -> impl Iterator<Item = (String, &Path)> {
        let own = [
            ("vm/gracetrace".to_owned(), self.gracetrace.as_path()),
            // known by its path
            (self.victim.display().to_string(), self.victim.as_path()),
        ];
        own.into_iter().chain(self.tiers.iter().map(|(name, program)| (tier(name), program.as_path())))
    }
}

/// Where a tier's program is to be. Not simply by its name: `containerd` is one that gracetrace knows for a runtime's.
pub(super) fn tier(name: &str) -> String {
    format!("vm/{name}-tier")
}

/// A copy without what only a debugger reads, where there is a tool to take that out: less to load.
fn stripped(program: PathBuf, folder: &Path) -> PathBuf {
    let small = folder.join(program.file_name().unwrap_or_default());
    let mut strip = Command::new("strip");
    let done = strip.arg("-o").arg(&small).arg(&program).status().is_ok_and(|status| status.success());
    if done { small } else { program }
}
