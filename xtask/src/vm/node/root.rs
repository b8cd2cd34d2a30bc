//! A node's root: a Debian installed into a folder by mmdebstrap, and of that a disk, a kernel and its initramfs.

use crate::process;
use crate::setup::apt::KEYRING;
use crate::vm::archive;
use anyhow::{Context, Result};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// What a node has beside Debian's minimum.
const PACKAGES: [&str; 14] = [
    "systemd",
    "systemd-sysv",
    "udev",
    // systemd's cgroup driver is asked over it
    "dbus",
    "containerd",
    "runc",
    "crun",
    "containernetworking-plugins",
    "iproute2",
    "iptables",
    "busybox-static",
    "linux-image-cloud-amd64",
    "kmod",
    "tar",
];

/// Those by whose versions a node is known.
const TOLD: [&str; 4] = ["containerd", "runc", "crun", "systemd"];

/// What would only cost time, or compete for the serial line; and the tests start a containerd of their own.
const MASKED: [&str; 9] = [
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
    "serial-getty@ttyS0.service",
    "getty@tty1.service",
    "containerd.service",
    "systemd-timesyncd.service",
];

/// Starts the jobs.
const SERVICE: &str = include_str!("gracetrace-tests.service");

/// So old, it is made anew.
const STALE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A root that is here.
pub(super) struct Root {
    pub(super) release: &'static str,
    /// Versions of what matters.
    pub(super) about: String,
    pub(super) image: PathBuf,
    pub(super) kernel: PathBuf,
    pub(super) initramfs: PathBuf,
}

impl Root {
    /// The one of the last run if that is of this week, else a new one.
    pub(super) fn make(release: &'static str, folder: &Path) -> Result<Self> {
        let folder = folder.join(release);
        let at = |name: &str| folder.join(name);
        let mut root = Self {
            release,
            about: String::new(),
            image: at("root.img"),
            kernel: at("vmlinuz"),
            initramfs: at("initrd.img"),
        };
        // written last: what an interrupted run left is no root
        let (about, made_of) = (at("about"), at("made-of"));
        let wanted = format!("{}\n{}\n{SERVICE}", PACKAGES.join(" "), MASKED.join(" "));
        let age = fs::metadata(&made_of).and_then(|file| file.modified()).ok().and_then(|at| at.elapsed().ok());
        let is_here = fs::read_to_string(&made_of).ok().as_deref() == Some(&wanted);
        if !is_here || age.is_none_or(|age| age > STALE) {
            remove(&folder)?;
            fs::create_dir_all(&folder).with_context(|| format!("can't make {}", folder.display()))?;
            let told = root.install(&folder)?;
            write(&about, &told)?;
            write(&made_of, &wanted)?;
        }
        root.about = fs::read_to_string(&about).with_context(|| format!("can't read {}", about.display()))?;
        Ok(root)
    }

    /// Installs it; the versions of what it has.
    fn install(&self, folder: &Path) -> Result<String> {
        let (tree, settings) = (folder.join("tree"), folder.join("apt.conf"));
        write(&settings, &archive::fetching()?)?;
        let mut install = Command::new("mmdebstrap");
        install.args(["--variant=minbase", "--quiet"]).arg(format!("--keyring={KEYRING}"));
        install.arg(format!("--aptopt={}", settings.display())).arg(format!("--include={}", PACKAGES.join(",")));
        process::run(install.arg(self.release).arg(&tree).args(archive::lines_of(self.release)?))?;
        let units = tree.join("etc/systemd/system");
        write(&units.join("gracetrace-tests.service"), SERVICE)?;
        link("../gracetrace-tests.service", &units.join("multi-user.target.wants/gracetrace-tests.service"))?;
        for unit in MASKED {
            link("/dev/null", &units.join(unit))?;
        }
        let version = self.take_kernel(&tree)?;
        let admin = format!("--admindir={}", tree.join("var/lib/dpkg").display());
        let mut query = Command::new("dpkg-query");
        let told = archive::output(query.args([&admin, "--show", "--showformat=${Package} ${Version}, "]).args(TOLD))?;
        let mut make = Command::new("mkfs.ext4");
        make.args(["-q", "-O", "^has_journal", "-E", "lazy_itable_init=1", "-d"]).arg(&tree);
        process::run(make.arg(&self.image).arg("3G"))?;
        remove(&tree)?;
        Ok(format!("{told}kernel {version}"))
    }

    /// Puts kernel and initramfs beside the image; the kernel's name.
    fn take_kernel(&self, tree: &Path) -> Result<String> {
        let boot = tree.join("boot");
        let entries = fs::read_dir(&boot).with_context(|| format!("can't list {}", boot.display()))?;
        let names: Vec<String> =
            entries.flatten().filter_map(|entry| entry.file_name().to_str().map(str::to_owned)).collect();
        let version = names.iter().find_map(|name| name.strip_prefix("vmlinuz-"));
        let version = version.context("the node's packages brought no kernel")?;
        for (name, place) in [("vmlinuz", &self.kernel), ("initrd.img", &self.initramfs)] {
            let from = boot.join(format!("{name}-{version}"));
            fs::rename(&from, place).with_context(|| format!("can't move {}", from.display()))?;
        }
        Ok(version.to_owned())
    }
}

/// A link; one that a package brought under this name gives way.
fn link(to: &str, at: &Path) -> Result<()> {
    if let Some(folder) = at.parent() {
        fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
    }
    if at.symlink_metadata().is_ok() {
        fs::remove_file(at).with_context(|| format!("can't remove {}", at.display()))?;
    }
    symlink(to, at).with_context(|| format!("can't link {}", at.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("can't write {}", path.display()))
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("can't remove {}", folder.display()))?;
    }
    Ok(())
}
