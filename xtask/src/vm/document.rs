//! `docs/compatibility.md`: what came of each kernel, written by the run itself.

use super::archive::output;
use super::boot::Emulator;
use super::node::LEFT_OUT;
use super::play::Played;
use crate::process;
use anyhow::{Context, Result};
use std::fmt::Write;
use std::fs;
use std::process::Command;

/// The page.
const PAGE: &str = "docs/compatibility.md";
/// Begins the part of nodes, which is its last.
const NODES: &str = "\n## Whole nodes\n";

/// Writes the page's part about kernels; that about nodes stays.
pub(super) fn write_kernels(played: &[Played], emulator: &Emulator) -> Result<()> {
    let kept = read()?.split_once(NODES).map(|(_, nodes)| format!("{NODES}{nodes}")).unwrap_or_default();
    write(&(kernels(played, &today()?, emulator.version()) + &kept))
}

/// Writes the page's part about nodes; that about kernels stays.
pub(super) fn write_nodes(played: &[Played], emulator: &Emulator) -> Result<()> {
    let page = read()?;
    let kept = page.split_once(NODES).map_or(page.as_str(), |(kernels, _)| kernels);
    write(&format!("{kept}{NODES}{}", nodes(played, &today()?, emulator.version())))
}

fn today() -> Result<String> {
    Ok(output(Command::new("date").args(["-u", "+%F"]))?.trim().to_owned())
}

fn read() -> Result<String> {
    let path = process::workspace()?.join(PAGE);
    fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))
}

fn write(text: &str) -> Result<()> {
    let path = process::workspace()?.join(PAGE);
    fs::write(&path, text).with_context(|| format!("can't write {}", path.display()))?;
    println!("\n    written: {PAGE}");
    Ok(())
}

fn kernels(played: &[Played], date: &str, emulator: &str) -> String {
    let mut text = format!(
        "# Which kernels gracetrace was tested on\n\n\
         Written by `cargo xtask vm --document` on {date}: Debian's kernels, booted in {emulator} without hardware\n\
         virtualisation, with cgroup v2 alone unless the table says otherwise. The tests are those of the kernel tiers (`tests/README.md`): real processes, real\n\
         connections, exact counts; and three of what gracetrace says where a kernel hides its types or is locked down. A time may be as late as the emulated machine is slow; a count may not be off by one.\n\n\
         | kernel | Debian's package | tests passed | failed | not possible there | random schedules that agree | logs replayed elsewhere |\n\
         |---|---|---|---|---|---|---|\n"
    );
    for one in played {
        let results = &one.results;
        // writing to a `String` cannot fail
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |",
            one.name,
            one.version,
            results.passed,
            results.failed.len() + results.trouble.len(),
            results.impossible.len(),
            results.schedules,
            one.replayed
        );
    }
    text +=
        "\nAn event log that was recorded on one of these gives the same report, byte by byte, where it is replayed.\n";
    text += "\n## What a kernel cannot tell\n\nReports say so under `completeness.reasons`; what cannot be counted is `null` and not 0\n(`reset` counts what is seen: RSTs that a line here names are not among it).\n\n";
    for one in played {
        text += &said_of(one);
    }
    text += "\n## gracetrace doctor\n";
    let ends = played.first().into_iter().chain(played.last().filter(|_| played.len() > 1));
    for one in ends {
        let _ = write!(text, "\nOn {}:\n\n```text\n{}```\n", one.name, one.results.doctor);
    }
    text
}

fn nodes(played: &[Played], date: &str, emulator: &str) -> String {
    let mut text = format!(
        "\nWritten by `cargo xtask vm --node --document` on {date}: Debian's packages, installed by mmdebstrap and booted with systemd\n\
         in {emulator} without hardware virtualisation. The tests are those of the containerd tier\n\
         but `{LEFT_OUT}`.\n\n\
         | node | made of | tests passed | failed | not possible there | logs replayed elsewhere |\n\
         |---|---|---|---|---|---|\n"
    );
    for one in played {
        let results = &one.results;
        let failed = results.failed.len() + results.trouble.len();
        // writing to a `String` cannot fail
        let _ = writeln!(
            text,
            "| {} | {} | {} | {failed} | {} | {} |",
            one.name,
            one.version,
            results.passed,
            results.impossible.len(),
            one.replayed
        );
    }
    text.push('\n');
    for one in played {
        text += &said_of(one);
    }
    text
}

fn said_of(one: &Played) -> String {
    let mut lines = Vec::new();
    lines.extend(one.results.limits.iter().cloned());
    lines
        .extend(one.results.impossible.iter().map(|(name, why)| format!("test `{name}` is not possible there: {why}")));
    lines.extend(one.results.failed.iter().map(|name| format!("**test `{name}` failed**")));
    lines.extend(one.results.trouble.iter().map(|trouble| format!("**{trouble}**")));
    if lines.is_empty() {
        return format!("* {}: nothing is missing.\n", one.name);
    }
    format!("* {}:\n  * {}\n", one.name, lines.join("\n  * "))
}
