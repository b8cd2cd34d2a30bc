//! Which kernels there are, and the files of one: image, and the modules that the tests need.

use super::archive::Archive;
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The kernels that are tried unless others are asked for, and on top of them the newest.
const USUAL: [&str; 4] = ["5.10", "6.1", "6.12", "6.18"];

/// Modules that gracetrace needs, in the order in which they are loaded: the list of sockets.
const MODULES: [&str; 2] = ["inet_diag", "tcp_diag"];

const FLAVOUR: &str = "-cloud-amd64";

/// A kernel that the archive has.
#[derive(Clone)]
pub(super) struct Release {
    /// As `uname -r` tells it: `6.1.0-56-cloud-amd64`.
    pub(super) name: String,
    pub(super) series: Series,
    /// `linux-image-…`, and where that is a stub, what it depends on.
    package: String,
}

/// A kernel that is here.
pub(super) struct Kernel {
    pub(super) name: String,
    pub(super) series: Series,
    /// Version of its package, which tells the stable release: `6.1.192-2`.
    pub(super) version: String,
    pub(super) image: PathBuf,
    /// In the order in which they are loaded.
    pub(super) modules: Vec<PathBuf>,
}

/// The newest kernel of each series (`6.1`, `6.12`, …).
pub(super) fn of_archive(archive: &Archive) -> Result<BTreeMap<Series, Release>> {
    let mut newest: BTreeMap<Series, Release> = BTreeMap::new();
    let packages = archive.search("^linux-(image|binary|modules)-[0-9].*-cloud-amd64$")?;
    let packages: BTreeSet<String> = packages.into_iter().collect();
    let has = |part: &str, name: &str| packages.contains(&format!("linux-{part}-{name}"));
    for package in &packages {
        let Some(name) = package.strip_prefix("linux-image-").map(str::to_owned) else { continue };
        // of kernels that are being replaced, parts may be gone already
        if has("binary", &name) && !has("modules", &name) {
            continue;
        }
        // the one without a version of its own is a name for the newest
        let Some(series) = Series::of(&name).filter(|_| numbers(&name).len() > 2) else { continue };
        let is_newer = newest.get(&series).is_none_or(|known| numbers(&known.name) < numbers(&name));
        if is_newer {
            newest.insert(series, Release { name, series, package: package.clone() });
        }
    }
    Ok(newest)
}

/// The kernels to try: those that are asked for, or the usual ones.
pub(super) fn choose(wanted: &[String], all: &BTreeMap<Series, Release>) -> Result<Vec<Release>> {
    let mut chosen: Vec<Release> = Vec::new();
    let names: Vec<&str> = if wanted.is_empty() {
        USUAL.into_iter().chain(["newest"]).collect()
    } else {
        wanted.iter().map(String::as_str).collect()
    };
    for name in names {
        let found = if name == "newest" {
            all.last_key_value().map(|(_, release)| release)
        } else {
            Series::of(name).and_then(|series| all.get(&series))
        };
        match found {
            Some(release) if chosen.iter().any(|other| other.name == release.name) => {}
            Some(release) => chosen.push(release.clone()),
            None if wanted.is_empty() => println!("    Debian has no {name} any more"),
            None => bail!("Debian has no {name}; `cargo xtask vm --list` shows what there is"),
        }
    }
    Ok(chosen)
}

/// Makes the files of a kernel be here.
pub(super) fn fetch(archive: &Archive, release: &Release, folder: &Path) -> Result<Kernel> {
    let folder = folder.join(&release.name);
    let kernel = Kernel {
        name: release.name.clone(),
        series: release.series,
        version: archive.field(&release.package, "Version")?,
        image: folder.join("vmlinuz"),
        modules: Vec::new(),
    };
    // written last: what an interrupted run left is no kernel
    let complete = folder.join("version");
    if fs::read_to_string(&complete).ok().as_deref() != Some(&kernel.version) {
        unpack(archive, release, &folder, &kernel.image)?;
        fs::write(&complete, &kernel.version).with_context(|| format!("can't write {}", complete.display()))?;
    }
    let modules = MODULES.iter().filter_map(|module| find(&folder, &|name| name.starts_with(&format!("{module}.ko"))));
    Ok(Kernel { modules: modules.collect(), ..kernel })
}

fn unpack(archive: &Archive, release: &Release, folder: &Path, image: &Path) -> Result<()> {
    let whole = folder.join("unpacked");
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("can't remove {}", folder.display()))?;
    }
    fs::create_dir_all(&whole).with_context(|| format!("can't make {}", whole.display()))?;
    // since 6.19 the image and the modules have packages of their own
    let depends = archive.field(&release.package, "Depends")?;
    let parts = depends.split(", ").filter_map(|part| part.split(' ').next());
    let parts = parts.filter(|part| part.starts_with("linux-binary-") || part.starts_with("linux-modules-"));
    let packages: Vec<String> = std::iter::once(release.package.as_str()).chain(parts).map(str::to_owned).collect();
    archive.unpack(&packages, &whole)?;
    let found = find(&whole, &|name| name == "vmlinuz" || name.starts_with("vmlinuz-"));
    let found = found.with_context(|| format!("{} holds no vmlinuz", packages.join(", ")))?;
    fs::rename(&found, image).with_context(|| format!("can't move {}", found.display()))?;
    for module in MODULES {
        if let Some(found) = find(&whole, &|name| name.starts_with(&format!("{module}.ko"))) {
            let name = found.file_name().unwrap_or_default();
            fs::rename(&found, folder.join(name)).with_context(|| format!("can't move {}", found.display()))?;
        }
    }
    fs::remove_dir_all(&whole).with_context(|| format!("can't remove {}", whole.display()))
}

/// The first file below the folder whose name will do.
fn find(folder: &Path, fits: &dyn Fn(&str) -> bool) -> Option<PathBuf> {
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        let kind = entry.file_type().ok()?;
        if kind.is_dir() {
            if let Some(found) = find(&path, fits) {
                return Some(found);
            }
        } else if kind.is_file() && entry.file_name().to_str().is_some_and(fits) {
            return Some(path);
        }
    }
    None
}

/// `6.1`: what kernels are named by here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Series(u64, u64);

impl Series {
    fn of(name: &str) -> Option<Self> {
        match numbers(name)[..] {
            [major, minor, ..] => Some(Self(major, minor)),
            _ => None,
        }
    }
}

impl std::fmt::Display for Series {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// The numbers in a kernel's name, by which the newer one is told.
fn numbers(name: &str) -> Vec<u64> {
    let version = name.strip_suffix(FLAVOUR).unwrap_or(name);
    version.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::{Series, numbers};

    #[test]
    fn newer_kernels_have_greater_numbers() {
        let newer = |older: &str, newer: &str| assert!(numbers(older) < numbers(newer), "{older} {newer}");
        newer("6.1.0-0.deb11.52-cloud-amd64", "6.1.0-56-cloud-amd64");
        newer("6.12.117+deb12-cloud-amd64", "6.12.118+deb13-cloud-amd64");
        newer("6.12.9+deb13-cloud-amd64", "6.12.90+deb13.1-cloud-amd64");
    }

    #[test]
    fn a_series_is_two_numbers() {
        assert_eq!(Series::of("6.12.118+deb13-cloud-amd64"), Some(Series(6, 12)));
        assert_eq!(Series::of("5.10"), Some(Series(5, 10)));
        assert_eq!(Series::of("new"), None);
    }
}
