//! `docs/compatibility.md`: what came of each kernel, written by the run itself.

use super::archive::output;
use super::boot::Emulator;
use super::play::Played;
use crate::process;
use anyhow::{Context, Result};
use std::fmt::Write;
use std::fs;
use std::process::Command;

/// Writes the page.
pub(super) fn write(played: &[Played], emulator: &Emulator) -> Result<()> {
    let date = output(Command::new("date").args(["-u", "+%F"]))?;
    let path = process::workspace()?.join("docs/compatibility.md");
    fs::write(&path, page(played, date.trim(), emulator.version()))
        .with_context(|| format!("can't write {}", path.display()))?;
    println!("\n    written: docs/compatibility.md");
    Ok(())
}

fn page(played: &[Played], date: &str, emulator: &str) -> String {
    let mut text = format!(
        "# Which kernels gracetrace was tested on\n\n\
         Written by `cargo xtask vm --document` on {date}: Debian's kernels, booted in {emulator} without hardware\n\
         virtualisation, with cgroup v2 alone. The tests are those of the kernel tiers (`tests/README.md`): real processes, real\n\
         connections, exact counts. A time may be as late as the emulated machine is slow; a count may not be off by one.\n\n\
         | kernel | Debian's package | tests passed | failed | not possible there | random schedules that agree | logs replayed elsewhere |\n\
         |---|---|---|---|---|---|---|\n"
    );
    for one in played {
        let results = &one.results;
        // writing to a `String` cannot fail
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |",
            one.kernel,
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
        let _ = write!(text, "\nOn {}:\n\n```text\n{}```\n", one.kernel, one.results.doctor);
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
        return format!("* {}: nothing is missing.\n", one.kernel);
    }
    format!("* {}:\n  * {}\n", one.kernel, lines.join("\n  * "))
}
