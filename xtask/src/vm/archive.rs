//! Kernels of several Debian releases, from the mirror that this machine itself uses.
//!
//! apt does the work, with lists and a cache of its own and this machine's settings untouched: it finds
//! packages, fetches them and verifies them by the archive's keyring. Nothing is ever installed.

use crate::process;
use crate::setup::apt::KEYRING;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Releases that have kernels of different ages: in the archive, and in the one for security.
const RELEASES: [&str; 6] = ["bullseye", "bookworm", "bookworm-backports", "trixie", "trixie-backports", "sid"];
const SECURITY: [&str; 3] = ["bullseye-security", "bookworm-security", "trixie-security"];

/// So old lists are fetched again.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);

/// apt, as it sees all of these releases.
pub(super) struct Archive {
    folder: PathBuf,
}

impl Archive {
    /// Writes apt's settings into the folder, and fetches the lists if they are missing or a day old.
    pub(super) fn open(folder: PathBuf) -> Result<Self> {
        for part in ["lists/partial", "cache/archives/partial", "packages"] {
            fs::create_dir_all(folder.join(part)).with_context(|| format!("can't make {}", folder.display()))?;
        }
        let archive = Self { folder };
        let sources = sources()?;
        let changed = fs::read_to_string(archive.folder.join("sources.list")).ok().as_deref() != Some(&sources);
        archive.write("sources.list", &sources)?;
        // no package is installed, as far as this apt knows
        archive.write("status", "")?;
        archive.write("apt.conf", &archive.settings())?;
        let fetched = archive.folder.join("fetched");
        let age = fs::metadata(&fetched).and_then(|file| file.modified()).ok().and_then(|at| at.elapsed().ok());
        if changed || age.is_none_or(|age| age > STALE) {
            process::run(archive.apt("apt-get").args(["update", "--quiet"]))?;
            archive.write("fetched", "")?;
        }
        Ok(archive)
    }

    /// Names of the packages whose name matches the expression.
    pub(super) fn search(&self, expression: &str) -> Result<Vec<String>> {
        let found = output(self.apt("apt-cache").args(["search", "--names-only", expression]))?;
        Ok(found.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
    }

    /// A field of what the archive says about the newest version of a package.
    pub(super) fn field(&self, package: &str, field: &str) -> Result<String> {
        let record = output(self.apt("apt-cache").args(["show", "--no-all-versions", package]))?;
        let value = record.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(": "));
        Ok(value.unwrap_or_default().to_owned())
    }

    /// Fetches the packages, verified, and unpacks them into a folder.
    pub(super) fn unpack(&self, packages: &[String], into: &Path) -> Result<()> {
        let place = self.folder.join("packages");
        process::run(self.apt("apt-get").current_dir(&place).args(["download", "--quiet"]).args(packages))?;
        for entry in fs::read_dir(&place).with_context(|| format!("can't list {}", place.display()))? {
            let package = entry?.path();
            process::run(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(into))?;
            fs::remove_file(&package).with_context(|| format!("can't remove {}", package.display()))?;
        }
        Ok(())
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", self.folder.join("apt.conf")).env("LC_ALL", "C");
        command
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| format!("can't write {}", path.display()))
    }

    /// Everything that apt keeps is in the folder; what this machine says of proxies still holds.
    fn settings(&self) -> String {
        let at = |name: &str| self.folder.join(name).display().to_string();
        [
            ("Dir::State::Lists", at("lists")),
            ("Dir::State::status", at("status")),
            ("Dir::Cache", at("cache")),
            ("Dir::Etc::sourcelist", at("sources.list")),
            ("Dir::Etc::sourceparts", "/dev/null".to_owned()),
            ("APT::Architecture", "amd64".to_owned()),
            // the folder may be where apt's own user may not look
            ("APT::Sandbox::User", "root".to_owned()),
            ("Acquire::Languages", "none".to_owned()),
            ("Acquire::IndexTargets::deb::DEP-11::DefaultEnabled", "false".to_owned()),
            ("Acquire::IndexTargets::deb::CNF::DefaultEnabled", "false".to_owned()),
        ]
        .map(|(name, value)| format!("{name} \"{value}\";\n"))
        .concat()
    }
}

/// What this machine's apt is told about fetching: proxies, mirrors that lag behind. For other programs that call apt.
pub(super) fn fetching() -> Result<String> {
    let all = output(Command::new("apt-config").arg("dump"))?;
    let kept = ["Acquire::Check-", "Acquire::http::", "Acquire::https::", "Acquire::Retries"];
    Ok(all
        .lines()
        .filter(|line| kept.iter().any(|kept| line.starts_with(kept)))
        .flat_map(|line| [line, "\n"])
        .collect())
}

/// Lines of a `sources.list` for one release and its security updates.
pub(super) fn lines_of(release: &str) -> Result<Vec<String>> {
    let security: Vec<&str> =
        SECURITY.into_iter().filter(|name| name.strip_suffix("-security") == Some(release)).collect();
    Ok(lines(&[release], &security)?.lines().map(str::to_owned).collect())
}

/// `sources.list` for all releases, on the mirrors of this machine's own.
fn sources() -> Result<String> {
    lines(&RELEASES, &SECURITY)
}

/// Lines of it for some releases.
fn lines(releases: &[&str], security: &[&str]) -> Result<String> {
    let own = output(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(LABEL) $(REPO_URI)",
        "Created-By: Packages",
        "Origin: Debian",
    ]))?;
    let mirror = |label: &str| {
        let found = own.lines().filter_map(|line| line.split_once(' ')).find(|(found, _)| *found == label);
        found.map(|(_, mirror)| mirror.to_owned())
    };
    let Some(archive) = mirror("Debian") else {
        bail!("apt's sources on this machine name no Debian archive; run `apt-get update`, or add one");
    };
    let lines = |mirror: &str, releases: &[&str]| {
        let line = |release: &&str| format!("deb [signed-by={KEYRING}] {mirror} {release} main\n");
        releases.iter().map(line).collect::<Vec<_>>().concat()
    };
    // some machines have security updates from the archive's own mirror, some do without
    let more = mirror("Debian-Security").map(|mirror| lines(&mirror, security)).unwrap_or_default();
    Ok(lines(&archive, releases) + &more)
}

/// What a program prints, if it ends well.
pub(super) fn output(command: &mut Command) -> Result<String> {
    let line = process::shown(command);
    let output = command.output().with_context(|| format!("can't start `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
