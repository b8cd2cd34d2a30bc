//! Pods that look like a kubelet's and are none, for `cargo xtask bench`: cgroups with their names, in each a process that
//! is PID 1 of a PID namespace, and clients outside. It knows nothing of tracers; only `check` reads what one has reported.
//!
//! ```text
//! crowd kill   pods that come up, get their connections, and are killed at once
//! crowd storm  one pod that sends itself signals from every CPU, and ends
//! crowd check  what the reports of killed pods say
//! ```
//!
//! What it measured it writes to a file, a line `name number` each. Whatever it made is gone when it has ended, unless it was
//! killed itself: then whoever owns the cgroup above kills and removes what is in it.

mod check;
mod clients;
mod pod;
mod scenes;
mod sys;

use anyhow::{Context, bail};
use std::path::PathBuf;

/// How the words of the command line were meant.
#[derive(Default)]
struct Options {
    results: Option<PathBuf>,
    /// The cgroup that pods are made in.
    root: Option<PathBuf>,
    /// What runs in them.
    program: Option<PathBuf>,
    /// One report a line.
    reports: Option<PathBuf>,
    pods: u32,
    /// The first one's number: no two of a run have the same.
    first: u32,
    connections: u32,
    signals: u64,
}

fn main() -> anyhow::Result<()> {
    let mut words = std::env::args().skip(1);
    let what = words.next().context("say what: kill, storm or check")?;
    let options = options(words)?;
    let figures = match what.as_str() {
        // of `kill`, by itself
        "clients" => return clients::run(&options),
        "kill" => scenes::kill(&options)?,
        "storm" => scenes::storm(&options)?,
        "check" => check::reports(&options)?,
        other => bail!("no such scene: {other}"),
    };
    let path = options.results.as_ref().context("--results is missing")?;
    // whole or not at all: somebody waits for it
    let draft = path.with_extension("draft");
    std::fs::write(&draft, figures.concat())?;
    Ok(std::fs::rename(draft, path)?)
}

fn options(mut words: impl Iterator<Item = String>) -> anyhow::Result<Options> {
    let mut options = Options::default();
    while let Some(word) = words.next() {
        let value = words.next().with_context(|| format!("{word} needs a value"))?;
        match word.as_str() {
            "--results" => options.results = Some(value.into()),
            "--root" => options.root = Some(value.into()),
            "--program" => options.program = Some(value.into()),
            "--reports" => options.reports = Some(value.into()),
            "--pods" => options.pods = value.parse()?,
            "--first" => options.first = value.parse()?,
            "--connections" => options.connections = value.parse()?,
            "--signals" => options.signals = value.parse()?,
            other => bail!("no such option: {other}"),
        }
    }
    Ok(options)
}
