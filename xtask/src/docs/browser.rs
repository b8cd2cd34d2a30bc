//! Headless Chromium as a camera: a page in, a picture of its top out.

use crate::process;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

/// What the browser is called, in Debian and elsewhere.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Nothing but the page: no first run, no updates, no network of its own.
const QUIET: [&str; 9] = [
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    // the same on every screen, and pictures that compress well
    "--disable-lcd-text",
];

/// What the page is told that its reader prefers.
#[derive(Clone, Copy)]
pub(super) enum Scheme {
    Light,
    Dark,
}

pub(crate) struct Browser(PathBuf);

impl Browser {
    /// The browser of this machine.
    pub(super) fn find() -> Result<Self> {
        match program() {
            Some(path) => Ok(Self(path)),
            None => bail!("pictures need Chromium, which is not there; run: cargo xtask setup --for docs"),
        }
    }

    /// Shows the page in a window of that size and keeps what is seen.
    pub(super) fn shoot(
        &self,
        page: &str,
        image: &Path,
        (width, height): (usize, usize),
        scheme: Scheme,
    ) -> Result<()> {
        let folder = Folder::make()?;
        let source = folder.0.join("page.html");
        fs::write(&source, page).context("can't write a page into the temporary folder")?;
        let mut command = Command::new(&self.0);
        command.args(QUIET).arg("--force-device-scale-factor=1");
        if process::is_root() {
            // its sandbox refuses root
            command.arg("--no-sandbox");
        }
        command.arg(match scheme {
            Scheme::Dark => "--blink-settings=preferredColorScheme=0",
            Scheme::Light => "--blink-settings=preferredColorScheme=1",
        });
        command.arg(format!("--user-data-dir={}", folder.0.join("profile").display()));
        command.arg(format!("--window-size={width},{height}")).arg(format!("--screenshot={}", image.display()));
        command.arg(format!("file://{}", source.display()));
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().context("can't start Chromium")?;
        if !status.success() {
            bail!("Chromium took no picture ({status})");
        }
        Ok(())
    }
}

/// Where it is, if it is there.
pub(crate) fn program() -> Option<PathBuf> {
    NAMES.into_iter().find_map(process::find)
}

/// A folder for one picture; gone when dropped.
struct Folder(PathBuf);

impl Folder {
    fn make() -> Result<Self> {
        let folder = env::temp_dir().join(format!("gracetrace-docs-{}", std::process::id()));
        fs::create_dir(&folder).with_context(|| format!("can't make {}", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // what cannot be removed is in the temporary folder, and not worth an error
        let _ = fs::remove_dir_all(&self.0);
    }
}
