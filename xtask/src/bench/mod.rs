//! `cargo xtask bench`: what gracetrace costs, beside what others cost, and which bars hold.
//!
//! It measures what is built here, on this kernel, in one run; it keeps no result and knows none.

mod agent;
mod frame;
mod programs;
mod verifier;

use crate::cli::{BenchPart, BenchSelection, Purpose};
use crate::{build, process, setup};
use anyhow::{Result, bail};
use std::path::PathBuf;

/// The programs that are measured and that measure.
pub(crate) struct Binaries {
    pub(crate) gracetrace: PathBuf,
    pub(crate) gauge: PathBuf,
}

/// Measures what was chosen.
pub(crate) fn run(selection: &BenchSelection) -> Result<()> {
    if !process::is_root() {
        bail!("loading probes and making cgroups needs root; run `cargo xtask bench` as root");
    }
    match selection.part {
        Some(BenchPart::Verifier) => {
            setup::run(Purpose::Build)?;
            verifier::run(&binaries()?)
        }
        None => bail!("only `verifier` so far"),
    }
}

fn binaries() -> Result<Binaries> {
    let gracetrace = build::binary(false)?;
    process::heading("the bench's own programs (release)");
    process::run(&mut process::cargo(["build", "--release", "--package", "gracetrace-tests", "--bins"])?)?;
    let folder = process::target_folder()?.join("release");
    Ok(Binaries { gracetrace, gauge: folder.join("gauge") })
}
