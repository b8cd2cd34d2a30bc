//! A layer of Debian packages: their files, unmodified, with everything they depend on. No maintainer
//! script is run, and nothing is installed on the machine: the host's own apt says what there is and fetches it.

use super::image::{pipe, run};
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Packages to be unpacked into a layer.
#[derive(Debug, Clone)]
pub struct Packages<'a> {
    /// What is wanted; what these depend on comes by itself.
    pub wanted: &'a [&'a str],
    /// Dependencies whose names begin like this stay away: only scripts and features that nobody uses need them.
    pub without: &'a [&'a str],
    /// The layer is kept here for the next run. Whatever is there may be deleted.
    pub cache: &'a Path,
}

/// What no program needs to run.
const LEFT_OUT: [&str; 5] =
    ["./usr/share/doc", "./usr/share/man", "./usr/share/locale", "./usr/share/info", "./usr/share/lintian"];

/// One file system for `/bin` and `/usr/bin`, as in every installed Debian; no package brings these links.
const MERGED: [&str; 4] = ["bin", "lib", "lib64", "sbin"];

impl Packages<'_> {
    /// Unpacks them as a file system of their own; no node is needed for it.
    pub fn unpack_into(&self, root: &Path) -> anyhow::Result<()> {
        let stage = tempfile::tempdir()?;
        let layer = self.layer(&stage.path().join("packages"))?;
        fs::create_dir_all(root)?;
        run(Command::new("tar").args(["-x", "--preserve-permissions", "-f"]).arg(layer).arg("-C").arg(root))?;
        Ok(())
    }

    /// The layer, out of the cache if apt still gives the same packages. `stage` is a folder to work in.
    pub(super) fn layer(&self, stage: &Path) -> anyhow::Result<PathBuf> {
        let has_apt = Command::new("apt-get").arg("--version").output().is_ok();
        anyhow::ensure!(has_apt, "this machine has no apt-get, from which the software comes");
        fs::create_dir_all(stage)?;
        let preferences = stage.join("preferences");
        fs::write(&preferences, preferences_of_the_distribution()?)?;
        let packages = self.closure(&preferences)?;
        let mut hasher = DefaultHasher::new();
        (&packages, LEFT_OUT).hash(&mut hasher);
        let layer = self.cache.join(format!("{:016x}.tar", hasher.finish()));
        if layer.is_file() {
            return Ok(layer);
        }
        // what an earlier run made of older packages is of no use any more
        let _none = fs::remove_dir_all(self.cache);
        fs::create_dir_all(self.cache)?;
        let fetched = stage.join("fetched");
        fs::create_dir_all(&fetched)?;
        run(apt(&preferences).arg("download").args(&packages).current_dir(&fetched))?;
        let root = stage.join("root");
        unpack_all(&fetched, &root)?;
        let unfinished = layer.with_extension("unfinished");
        run(Command::new("tar")
            .args(["--sort=name", "--numeric-owner", "-cf"])
            .arg(&unfinished)
            .arg("-C")
            .arg(root)
            .arg("."))?;
        fs::rename(&unfinished, &layer)?;
        fs::remove_dir_all(stage)?;
        Ok(layer)
    }

    /// Every package that is to be unpacked, as `name=version`.
    fn closure(&self, preferences: &Path) -> anyhow::Result<Vec<String>> {
        let simulate = || run(apt(preferences).args(["install", "--simulate", "--quiet=2"]).args(self.wanted));
        let plan = simulate().or_else(|_| {
            // a fresh machine has no package lists yet
            run(Command::new("apt-get").args(["update", "--quiet=2"]))?;
            simulate()
        })?;
        // Inst nginx (1.22.1-9 Debian:12.11/oldstable [amd64])
        let named = plan.lines().filter_map(|line| {
            let mut words = line.strip_prefix("Inst ")?.split(' ');
            Some((words.next()?, words.next()?.trim_start_matches('(')))
        });
        let wanted = named.filter(|(name, _)| !self.without.iter().any(|without| name.starts_with(without)));
        let packages: Vec<_> = wanted.map(|(name, version)| format!("{name}={version}")).collect();
        anyhow::ensure!(!packages.is_empty(), "apt-get would install nothing: {plan}");
        Ok(packages)
    }
}

/// apt-get as if nothing were installed here.
fn apt(preferences: &Path) -> Command {
    let mut command = Command::new("apt-get");
    let file = format!("Dir::Etc::Preferences={}", preferences.display());
    for option in ["Dir::State::status=/dev/null", "APT::Install-Recommends=false", "APT::Sandbox::User=root", &file] {
        command.args(["-o", option]);
    }
    command
}

/// The distribution's own packages win over any other source that the host has.
fn preferences_of_the_distribution() -> anyhow::Result<String> {
    let release = fs::read_to_string("/etc/os-release")?;
    let id = release.lines().find_map(|line| line.strip_prefix("ID=")).unwrap_or("debian").trim_matches('"');
    let origin: String = id.chars().take(1).flat_map(char::to_uppercase).chain(id.chars().skip(1)).collect();
    Ok(format!("Package: *\nPin: release o={origin}\nPin-Priority: 900\n"))
}

fn unpack_all(packages: &Path, root: &Path) -> anyhow::Result<()> {
    for name in MERGED {
        fs::create_dir_all(root.join("usr").join(name))?;
        std::os::unix::fs::symlink(format!("usr/{name}"), root.join(name))?;
    }
    for package in fs::read_dir(packages)? {
        unpack(&package?.path(), root)?;
    }
    Ok(())
}

fn unpack(package: &Path, root: &Path) -> anyhow::Result<()> {
    let mut tar = Command::new("tar");
    tar.args(["-x", "--preserve-permissions", "--keep-directory-symlink"]);
    tar.args(LEFT_OUT.map(|path| format!("--exclude={path}"))).arg("-C").arg(root);
    pipe(Command::new("dpkg-deb").arg("--fsys-tarfile").arg(package), &mut tar)
}
