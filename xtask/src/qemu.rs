//! The emulator: this machine's own, or Debian's in a folder of ours where it cannot be installed.
//!
//! A package is never installed at another's cost, and qemu's cannot always be had without: a newer `qemu-utils` from
//! backports, say, breaks with the release's own emulator. Then apt fetches it with all that it needs, verified, as for
//! a machine that has nothing, and it is unpacked and runs from there with its own C library.

use crate::process;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAM: &str = "qemu-system-x86_64";
pub(crate) const PACKAGE: &str = "qemu-system-x86";
/// Where Debian has libraries, and the parts of qemu, below a root.
const LIBRARIES: [&str; 2] = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"];
const LOADER: &str = "lib64/ld-linux-x86-64.so.2";
const MODULES: &str = "usr/lib/x86_64-linux-gnu/qemu";
const FIRMWARE: [&str; 3] = ["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"];

/// A way to run it.
pub(crate) enum Qemu {
    /// Installed.
    Installed(PathBuf),
    /// Unpacked below this root.
    Unpacked(PathBuf),
}

impl Qemu {
    /// The one that is here, if one is.
    pub(crate) fn find() -> Option<Self> {
        let unpacked = || folder().ok().filter(|folder| folder.join("complete").exists());
        process::find(PROGRAM)
            .map(Self::Installed)
            .or_else(|| unpacked().map(|folder| Self::Unpacked(folder.join("root"))))
    }

    /// Where it is.
    pub(crate) fn place(&self) -> &Path {
        match self {
            Self::Installed(place) | Self::Unpacked(place) => place,
        }
    }

    pub(crate) fn command(&self) -> Command {
        match self {
            Self::Installed(program) => Command::new(program),
            Self::Unpacked(root) => {
                let mut command = Command::new(root.join(LOADER));
                let libraries = LIBRARIES.map(|part| root.join(part).display().to_string()).join(":");
                command.arg("--library-path").arg(libraries).arg(root.join("usr/bin").join(PROGRAM));
                command.env("QEMU_MODULE_DIR", root.join(MODULES));
                for part in FIRMWARE {
                    command.arg("-L").arg(root.join(part));
                }
                command
            }
        }
    }
}

/// Fetches and unpacks it.
pub(crate) fn unpack() -> Result<()> {
    let folder = folder()?;
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("can't remove {}", folder.display()))?;
    }
    let (packages, root, status) = (folder.join("packages"), folder.join("root"), folder.join("status"));
    for part in [packages.join("partial"), root.clone()] {
        fs::create_dir_all(&part).with_context(|| format!("can't make {}", part.display()))?;
    }
    // nothing is installed, as far as apt knows
    fs::write(&status, "").with_context(|| format!("can't write {}", status.display()))?;
    let set = |name: &str, path: &Path| format!("{name}={}", path.display());
    process::run(Command::new("apt-get").args([
        "--option",
        &set("Dir::State::status", &status),
        "--option",
        &set("Dir::Cache::archives", &packages),
        "--option",
        "Debug::NoLocking=1",
        // the folder may be where apt's own user may not look
        "--option",
        "APT::Sandbox::User=root",
        "--yes",
        "--quiet",
        "--no-install-recommends",
        "--download-only",
        "install",
        PACKAGE,
    ]))?;
    for entry in fs::read_dir(&packages).with_context(|| format!("can't list {}", packages.display()))? {
        let package = entry?.path();
        if package.extension().is_some_and(|extension| extension == "deb") {
            ends_well(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&root))?;
        }
    }
    fs::remove_dir_all(&packages).with_context(|| format!("can't remove {}", packages.display()))?;
    ends_well(Qemu::Unpacked(root).command().arg("--version"))?;
    // last: what an interrupted run left is none
    fs::write(folder.join("complete"), "").with_context(|| format!("can't write in {}", folder.display()))
}

/// Runs a command of which only its complaints are of interest.
fn ends_well(command: &mut Command) -> Result<()> {
    let line = process::shown(command);
    let output = command.output().with_context(|| format!("can't start `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

fn folder() -> Result<PathBuf> {
    Ok(process::target_folder()?.join("vm/qemu"))
}
