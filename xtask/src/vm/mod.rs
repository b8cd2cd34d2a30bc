//! `cargo xtask vm`: the tests of the kernel tiers on other kernels, each booted in an emulator; with `--node` those of
//! the containerd tier on whole nodes.
//!
//! Debian's own kernels, an initramfs that holds what is tested, and the serial console as the only way out.
//! Nothing is installed but the emulator; everything else stays in `target/vm`.

mod archive;
mod boot;
mod cpio;
mod document;
mod initramfs;
mod jobs;
mod kernels;
mod node;
mod play;
mod programs;
mod results;

use crate::cli::{Cgroups, Purpose, VmSelection};
use crate::{process, setup};
use anyhow::{Context, Result, bail};
use archive::Archive;
use boot::Emulator;
use kernels::Kernel;
use play::{Played, Stage};
use programs::Programs;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Does what was asked for.
pub(crate) fn run(selection: &VmSelection) -> Result<()> {
    let folder = process::target_folder()?.join("vm");
    if selection.node.is_empty() {
        setup::run(Purpose::Vm)?;
        return run_kernels(selection, &folder);
    }
    if selection.list {
        node::list();
        return Ok(());
    }
    setup::run(Purpose::Node)?;
    process::heading("nodes");
    let (played, emulator) = node::play(selection, &folder)?;
    conclude("node", &played)?;
    if selection.document {
        document::write_nodes(&played, &emulator)?;
    }
    Ok(())
}

fn run_kernels(selection: &VmSelection, folder: &Path) -> Result<()> {
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
        programs: Programs::build(&["kernel", "differential"], &folder.join("programs"))?,
        emulator: Emulator::find()?,
        folder: folder.join("runs"),
        interrupted: interruption()?,
    };
    let guests: Vec<_> =
        kernels.iter().flat_map(|kernel| selection.cgroups.iter().map(move |it| (kernel, *it))).collect();
    let play = |guest: &(&Kernel, Cgroups)| play::kernel(guest.0, guest.1, &stage, selection);
    let played = play_all(&guests, &stage, "kernels", &play)?;
    conclude("kernel", &played)?;
    if selection.document {
        document::write_kernels(&played, &stage.emulator)?;
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

/// As many at a time as this machine has processors for. In the machines' order.
fn play_all<T: Sync>(
    machines: &[T],
    stage: &Stage,
    what: &str,
    play: &(dyn Fn(&T) -> Result<Played> + Sync),
) -> Result<Vec<Played>> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let at_once = (processors / stage.emulator.processors()).clamp(1, machines.len().max(1));
    process::heading(&format!("{} {what} in {}, {at_once} at a time", machines.len(), stage.emulator.version()));
    let next = Mutex::new(machines.iter().enumerate());
    let played = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let Some((number, machine)) = next.lock().unwrap_or_else(PoisonError::into_inner).next() else {
                        return;
                    };
                    let result = play(machine);
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
fn conclude(what: &str, played: &[Played]) -> Result<()> {
    process::heading(&format!("{what}s"));
    println!(
        "    {:<34} {:>7} {:>7} {:>12} {:>10} {:>8}",
        what, "passed", "failed", "not possible", "schedules", "seconds"
    );
    for one in played {
        let results = &one.results;
        let failed = results.failed.len() + results.trouble.len();
        println!(
            "    {:<34} {:>7} {failed:>7} {:>12} {:>10} {:>8}",
            one.name,
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
        // whoever reads a log elsewhere has no console to look at
        for line in results.failures.iter().flatten() {
            println!("            {line}");
        }
    }
    let bad: Vec<&str> = played.iter().filter(|one| !one.results.is_good()).map(|one| one.name.as_str()).collect();
    if !bad.is_empty() {
        bail!("not all is well on {}", bad.join(", "));
    }
    Ok(())
}
