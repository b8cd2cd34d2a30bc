//! `cargo xtask lint`: everything that must be clean before a change goes in.

use crate::{build, process, tidy};
use anyhow::{Result, bail};
use std::process::Command;

/// Runs every check, also after one has failed.
pub(crate) fn run() -> Result<()> {
    let mut failed = Vec::new();
    for (name, command) in [
        ("fmt", process::cargo(["fmt", "--all", "--check"])?),
        ("probes", probes()?),
        ("clippy", process::cargo(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?),
        ("doc", doc()?),
    ] {
        let mut command = command;
        process::heading(name);
        if let Err(error) = process::run(&mut command) {
            eprintln!("    {error:#}");
            failed.push(name);
        }
    }
    process::heading("tidy");
    if let Err(error) = tidy::run() {
        eprintln!("    {error:#}");
        failed.push("tidy");
    }
    if !failed.is_empty() {
        bail!("lint failed: {}", failed.join(", "));
    }
    println!("\n    lint: all clean");
    Ok(())
}

/// clippy sees only the stub that the probes are on the host, so their own compiler's warnings count here.
fn probes() -> Result<Command> {
    let mut cargo = build::probes()?;
    cargo.args(["-Z", "warnings", "--config", "build.warnings='deny'"]);
    Ok(cargo)
}

fn doc() -> Result<Command> {
    let mut cargo = process::cargo(["doc", "--workspace", "--no-deps", "--document-private-items"])?;
    cargo.env("RUSTDOCFLAGS", "-D warnings");
    Ok(cargo)
}
