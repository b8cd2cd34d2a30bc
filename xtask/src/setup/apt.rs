//! Debian packages: installed as root or through a sudo that asks nothing, never at another package's cost.

use crate::process;
use anyhow::{Context, Result, bail};
use std::process::Command;

/// Who signs the releases.
pub(crate) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// apt on this machine, and whether its lists were fetched in this run.
#[derive(Default)]
pub(super) struct Apt {
    updated: bool,
}

impl Apt {
    /// Installs the packages, after fetching the lists if they don't name them all or prove stale.
    pub(super) fn install(&mut self, packages: &[&str]) -> Result<()> {
        let unknown: Vec<&str> = packages.iter().copied().filter(|package| !self.knows(package)).collect();
        if !unknown.is_empty() {
            // also says why apt can't be used at all
            self.update()?;
            bail!("no apt source of this machine has {}", unknown.join(", "));
        }
        let install = |packages: &[&str]| {
            let mut command = apt_get(&["install", "--yes", "--quiet", "--no-install-recommends", "--no-remove"])?;
            process::run(command.args(packages))
        };
        match install(packages) {
            Err(error) if !self.updated => {
                println!("    {error:#}; once more with fresh package lists");
                self.update()?;
                install(packages)
            }
            done => done,
        }
    }

    /// Can apt install it? Fetches the lists once if they don't say so.
    pub(super) fn knows(&mut self, package: &str) -> bool {
        let listed = || process::succeeds("apt-cache", &["show", "--quiet=1", "--no-all-versions", package]);
        listed() || (!self.updated && self.update().is_ok() && listed())
    }

    /// Can apt install it at no other package's cost, with the rights that there are?
    pub(super) fn fits(&mut self, package: &str) -> bool {
        let installs = ["--simulate", "--no-install-recommends", "--no-remove", "install", package];
        self.knows(package) && apt_get(&[]).is_ok() && process::succeeds("apt-get", &installs)
    }

    fn update(&mut self) -> Result<()> {
        if !self.updated {
            process::run(&mut apt_get(&["update", "--quiet"])?)?;
            self.updated = true;
        }
        Ok(())
    }
}

/// apt-get with the rights to install, or why there are none.
fn apt_get(arguments: &[&str]) -> Result<Command> {
    let program = process::find("apt-get").context("this machine has no apt-get")?;
    let mut command = if process::is_root() {
        Command::new("env")
    } else if process::succeeds("sudo", &["-n", "true"]) {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "env"]);
        sudo
    } else {
        bail!("installing packages needs root, and sudo is not there or asks for a password");
    };
    // dpkg's questions would wait for an answer that nobody gives
    command.arg("DEBIAN_FRONTEND=noninteractive").arg(program).args(arguments);
    Ok(command)
}
