//! `cargo xtask docs`: what the documentation takes from the program itself: `docs/rules.md`, the README's report, and
//! pictures of real reports in `docs/img/`.
//!
//! The reports are replays of recorded logs, so only the machine's fonts make a picture differ.

pub(crate) mod browser;
mod terminal;

use crate::{build, process};
use anyhow::{Context, Result, bail};
use browser::{Browser, Scheme};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Recorded logs whose text report is shown in a terminal.
const TERMINALS: [&str; 3] = ["pod-overruns", "pod-ignores-term", "pod-prestop-sleep"];
/// The one whose page is shown.
const PAGE: &str = "pod-overruns";
/// The one that the README shows as text, between these.
const README: &str = "run-export-server";
const README_MARKS: (&str, &str) = ("<!-- report:text -->\n```text\n", "```\n<!-- report:end -->");
/// As much of the page as a reader of the README needs: down to the chart.
const PAGE_SIZE: (usize, usize) = (1000, 1118);

/// Takes a picture's colours down to a palette, to a third of its size.
const SHRINK: &str = "pngquant";

/// Writes all of it anew.
pub(crate) fn run() -> Result<()> {
    let browser = Browser::find()?;
    if process::find(SHRINK).is_none() {
        bail!("pictures are made small with {SHRINK}, which is not there; run: cargo xtask setup --for docs");
    }
    let binary = build::binary(false)?;
    let root = process::workspace()?;
    process::heading("docs");
    write(&root.join("docs/rules.md"), &output(&binary, &["rules", "-o", "markdown"], Colours::Off)?)?;

    let readme = root.join("README.md");
    let report = replay(&binary, &root, README, "text", Colours::Off)?;
    write(&readme, &put_between(&fs::read_to_string(&readme).context("can't read the README")?, &report)?)?;

    let images = root.join("docs/img");
    fs::create_dir_all(&images).with_context(|| format!("can't make {}", images.display()))?;
    for log in TERMINALS {
        let report = replay(&binary, &root, log, "text", Colours::On)?;
        let (page, size) = terminal::page(&format!("gracetrace replay {log}.jsonl"), &report);
        shot(&browser, &page, &images.join(format!("{log}.png")), size, Scheme::Dark)?;
    }
    let page = replay(&binary, &root, PAGE, "html", Colours::Off)?;
    for (scheme, name) in [(Scheme::Light, "report-light.png"), (Scheme::Dark, "report-dark.png")] {
        shot(&browser, &page, &images.join(name), PAGE_SIZE, scheme)?;
    }
    Ok(())
}

/// Whether text is coloured.
#[derive(Clone, Copy, PartialEq)]
enum Colours {
    On,
    Off,
}

/// The README with this report in it.
fn put_between(readme: &str, report: &str) -> Result<String> {
    let (begin, end) = README_MARKS;
    let before = readme.find(begin).map(|at| at + begin.len());
    let after = readme.find(end);
    match (before, after) {
        (Some(before), Some(after)) if before <= after => {
            Ok(format!("{}{report}{}", &readme[..before], &readme[after..]))
        }
        _ => bail!("the README has no place for a report: {begin:?} … {end:?}"),
    }
}

fn replay(binary: &Path, root: &Path, log: &str, format: &str, colours: Colours) -> Result<String> {
    let log = root.join("tests/fixtures/logs").join(log).with_extension("jsonl");
    output(binary, &["replay", &log.display().to_string(), "-o", format], colours)
}

/// What the program prints.
fn output(binary: &Path, arguments: &[&str], colours: Colours) -> Result<String> {
    let mut command = Command::new(binary);
    command.args(arguments).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    if colours == Colours::On {
        command.env("CLICOLOR_FORCE", "1");
    }
    let line = process::shown(&command);
    let output = command.output().with_context(|| format!("can't start `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}` failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` prints no UTF-8"))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("can't write {}", path.display()))?;
    println!("    wrote {}", shown(path));
    Ok(())
}

fn shot(browser: &Browser, page: &str, image: &Path, size: (usize, usize), scheme: Scheme) -> Result<()> {
    browser.shoot(page, image, size, scheme)?;
    let status =
        Command::new(SHRINK).args(["--force", "--strip", "--speed", "1", "--ext", ".png", "64"]).arg(image).status();
    if !status.with_context(|| format!("can't start {SHRINK}"))?.success() {
        bail!("{SHRINK} could not make {} small", image.display());
    }
    let bytes = fs::metadata(image).with_context(|| format!("no picture came of {}", image.display()))?.len();
    println!("    wrote {}, {} KiB", shown(image), bytes.div_ceil(1024));
    Ok(())
}

/// Relative to the workspace, if it is in it.
fn shown(path: &Path) -> String {
    let root = process::workspace().unwrap_or_default();
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}
