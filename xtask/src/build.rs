//! `cargo xtask build`: sets up what is missing, then builds the binary with the eBPF object inside.

use crate::cli::Purpose;
use crate::{bpf_toolchain, process, setup};
use anyhow::{Result, anyhow};
use std::path::PathBuf;
use std::process::Command;

/// Builds and says where the binary is.
pub(crate) fn run(debug: bool) -> Result<PathBuf> {
    setup::run(Purpose::Build)?;
    let binary = binary(debug)?;
    println!("\n    built: {}", binary.strip_prefix(process::workspace()?).unwrap_or(&binary).display());
    Ok(binary)
}

/// Builds only. The probes come first and by themselves: inside the crate's build script cargo would show
/// nothing of that minute, and there they are then found ready.
pub(crate) fn binary(debug: bool) -> Result<PathBuf> {
    process::heading("eBPF programs");
    process::run(&mut probes()?)?;

    let profile = if debug { "debug" } else { "release" };
    process::heading(&format!("gracetrace ({profile})"));
    let mut cargo = process::cargo(["build", "--package", "gracetrace"])?;
    if !debug {
        cargo.arg("--release");
    }
    process::run(&mut cargo)?;
    Ok(process::target_folder()?.join(profile).join("gracetrace"))
}

/// The call that builds the probes where the crate's build script expects them.
pub(crate) fn probes() -> Result<Command> {
    let advice = "run: cargo xtask setup";
    let compiler = bpf_toolchain::compiler().map_err(|what| anyhow!("{what}; {advice}"))?;
    let linker = bpf_toolchain::linker().map_err(|what| anyhow!("{what}; {advice}"))?;
    let target = bpf_toolchain::target_folder(&process::target_folder()?);
    let target =
        target.ok_or_else(|| anyhow!("no target folder of cargo's around this program; run: cargo xtask build"))?;
    Ok(bpf_toolchain::build_command(&compiler, &linker, &process::workspace()?, &target).0)
}
