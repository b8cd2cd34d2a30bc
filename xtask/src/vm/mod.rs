//! `cargo xtask vm`: the tests of the kernel tiers on other kernels, each booted in an emulator.
//!
//! Debian's own kernels, an initramfs that holds what is tested, and the serial console as the only way out.
//! Nothing is installed but the emulator; everything else stays in `target/vm`.

mod archive;
mod boot;
mod cpio;
mod document;
mod initramfs;
mod kernels;
mod play;
mod results;

use crate::cli::{Purpose, VmSelection};
use crate::{build, process, setup};
use anyhow::{Context, Result, bail};
use archive::Archive;
use boot::Emulator;
use initramfs::Programs;
use kernels::Kernel;
use play::{Played, Stage};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Does what was asked for.
pub(crate) fn run(selection: &VmSelection) -> Result<()> {
    setup::run(Purpose::Vm)?;
    let folder = process::target_folder()?.join("vm");
    process::heading("kernels");
    let archive = Archive::open(folder.join("apt"))?;
    let all = kernels::of_archive(&archive)?;
    if selection.list {
        for (series, release) in &all {
            println!("    {series:<6} {}", release.name);
        }
        return Ok(());
    }
    let mut kernels = Vec::new();
    for release in kernels::choose(&selection.kernel, &all)? {
        let kernel = kernels::fetch(&archive, &release, &folder.join("kernels"))?;
        println!("    {:<6} {} ({})", kernel.series, kernel.name, kernel.version);
        kernels.push(kernel);
    }
    let stage = Stage {
        programs: programs()?.stripped(&folder.join("programs"))?,
        emulator: Emulator::find()?,
        folder: folder.join("runs"),
        interrupted: interruption()?,
    };
    let played = play_all(&kernels, &stage, selection)?;
    conclude(&played)?;
    if selection.document {
        document::write(&played, &stage.emulator)?;
    }
    Ok(())
}

/// Set by Ctrl-C and SIGTERM: then the emulators end, and so do we.
fn interruption() -> Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted)).context("can't watch for signals")?;
    }
    Ok(interrupted)
}

/// As many at a time as this machine has processors for. In the kernels' order.
fn play_all(kernels: &[Kernel], stage: &Stage, selection: &VmSelection) -> Result<Vec<Played>> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let at_once = (processors / stage.emulator.processors()).clamp(1, kernels.len().max(1));
    process::heading(&format!("{} kernels in {}, {at_once} at a time", kernels.len(), stage.emulator.version()));
    let next = Mutex::new(kernels.iter().enumerate());
    let played = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let Some((number, kernel)) = next.lock().unwrap_or_else(PoisonError::into_inner).next() else {
                        return;
                    };
                    let result = play::one(kernel, stage, selection);
                    played.lock().unwrap_or_else(PoisonError::into_inner).push((number, result));
                }
            });
        }
    });
    let mut played = played.into_inner().unwrap_or_else(PoisonError::into_inner);
    played.sort_by_key(|(number, _)| *number);
    played.into_iter().map(|(_, result)| result).collect()
}

/// Prints the table; fails if anything has.
fn conclude(played: &[Played]) -> Result<()> {
    process::heading("kernels");
    println!(
        "    {:<34} {:>7} {:>7} {:>12} {:>10} {:>8}",
        "kernel", "passed", "failed", "not possible", "schedules", "seconds"
    );
    for one in played {
        let results = &one.results;
        let failed = results.failed.len() + results.trouble.len();
        println!(
            "    {:<34} {:>7} {failed:>7} {:>12} {:>10} {:>8}",
            one.kernel,
            results.passed,
            results.impossible.len(),
            results.schedules,
            one.took.as_secs()
        );
        for (name, why) in &results.impossible {
            println!("        not possible  {name}: {why}");
        }
        for name in &results.failed {
            println!("        failed        {name}: see {}", one.console.display());
        }
        for trouble in &results.trouble {
            println!("        trouble       {trouble}: see {}", one.console.display());
        }
    }
    let bad: Vec<&str> = played.iter().filter(|one| !one.results.is_good()).map(|one| one.kernel.as_str()).collect();
    if !bad.is_empty() {
        bail!("not all is well on {}", bad.join(", "));
    }
    Ok(())
}

/// Builds what is tried, and what it is tried with.
fn programs() -> Result<Programs> {
    let gracetrace = build::binary(false)?;
    process::heading("test programs");
    let tests = ["test", "--no-run", "--package", "gracetrace-tests", "--test", "kernel", "--test", "differential"];
    let mut cargo = process::cargo(tests)?;
    cargo.args(["--message-format", "json-render-diagnostics"]);
    let built = archive::output(&mut cargo)?;
    let find = |name: &str| -> Result<PathBuf> {
        let marked = format!("\"name\":\"{name}\",\"src_path\"");
        let line = built.lines().find(|line| line.contains(&marked) && line.contains("\"executable\":\""));
        let path = line.and_then(|line| line.split_once("\"executable\":\"")?.1.split('"').next());
        path.map(|path| Path::new(path).to_owned()).with_context(|| format!("cargo built no {name}"))
    };
    Ok(Programs { victim: find("victim")?, kernel: find("kernel")?, differential: find("differential")?, gracetrace })
}
