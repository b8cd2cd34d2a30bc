//! `cargo xtask setup`: finds what the build or the tests need, and installs what is missing.
//!
//! Each need is looked for first, so a second run does nothing. What can't be had here (no root, no apt,
//! no network) is collected, and the commands for a person to run are printed at the end.

pub(crate) mod apt;
mod bpf;

use crate::cli::Purpose;
use crate::docs::browser;
use crate::process;
use crate::qemu::{self, Qemu};
use anyhow::{Result, bail};
use apt::{Apt, KEYRING};
use std::path::Path;
use std::process::Command;

/// Something a Debian package brings.
struct Need {
    name: &'static str,
    why: &'static str,
    package: &'static str,
    /// Where it is, if it is there.
    find: fn() -> Option<String>,
}

/// For the build.
const BUILD: [Need; 1] = [Need {
    name: "protoc",
    why: "the CRI client is generated from .proto files",
    package: "protobuf-compiler",
    find: || program("protoc"),
}];

/// For the tiers that need root on top. (`software` fetches packages by itself and installs none.)
const TEST: [Need; 6] = [
    Need { name: "containerd", why: "the tests run real pods", package: "containerd", find: || program("containerd") },
    Need { name: "runc", why: "containerd starts containers with it", package: "runc", find: || program("runc") },
    Need {
        name: "CNI plugins",
        why: "pods of the tests have a network",
        package: "containernetworking-plugins",
        find: cni_plugins,
    },
    Need { name: "ip", why: "the tests make network namespaces", package: "iproute2", find: || program("ip") },
    Need { name: "iptables", why: "the CNI plugins call it", package: "iptables", find: || program("iptables") },
    Need {
        name: "static busybox",
        why: "the images of the tests are made of it",
        package: "busybox-static",
        find: static_busybox,
    },
];

/// For `cargo xtask vm` on top, and the emulator (see [`emulator`]).
const VM: [Need; 3] = [
    Need {
        name: "Debian's keyring",
        why: "kernels of other releases are verified with it",
        package: "debian-archive-keyring",
        find: || Path::new(KEYRING).exists().then(|| KEYRING.to_owned()),
    },
    Need { name: "dpkg-deb", why: "it unpacks the kernels", package: "dpkg", find: || program("dpkg-deb") },
    Need {
        name: "static busybox",
        why: "it is the user space of those kernels",
        package: "busybox-static",
        find: static_busybox,
    },
];

/// For `cargo xtask vm --node` on top of that.
const NODE: [Need; 2] = [
    Need { name: "mmdebstrap", why: "it installs the nodes", package: "mmdebstrap", find: || program("mmdebstrap") },
    Need { name: "mkfs.ext4", why: "it makes their disks", package: "e2fsprogs", find: || program("mkfs.ext4") },
];

/// For `cargo xtask bench` on top: the peers.
const BENCH: [Need; 4] = [
    Need { name: "sigsnoop", why: PEER, package: "libbpf-tools", find: || program("sigsnoop") },
    Need { name: "exitsnoop", why: PEER, package: "libbpf-tools", find: || program("exitsnoop") },
    Need { name: "tcpstates", why: PEER, package: "libbpf-tools", find: || program("tcpstates") },
    Need { name: "bpftrace", why: PEER, package: "bpftrace", find: || program("bpftrace") },
];

const PEER: &str = "gracetrace is measured beside it";

/// For `cargo xtask docs` on top.
const DOCS: [Need; 3] = [
    Need {
        name: "Chromium",
        why: "it takes the documentation's pictures",
        package: "chromium",
        find: || browser::program().map(|path| path.display().to_string()),
    },
    Need { name: "pngquant", why: "it makes those pictures small", package: "pngquant", find: || program("pngquant") },
    Need {
        name: "DejaVu fonts",
        why: "the pictures are to look the same everywhere",
        package: "fonts-dejavu-core",
        find: || font("DejaVuSansMono.ttf"),
    },
];

/// What setup could not install: the reason, and what a person can do.
struct Unmet {
    name: &'static str,
    reason: String,
    packages: Vec<String>,
    /// After the packages.
    command: Option<String>,
    /// What does as well as the packages and the command.
    instead: Option<String>,
}

/// Makes this machine fit for the purpose, or says what is left to do.
pub(crate) fn run(purpose: Purpose) -> Result<()> {
    process::heading(match purpose {
        Purpose::Build => "set-up for the build",
        Purpose::Test => "set-up for the build and the tests",
        Purpose::Docs => "set-up for the build and the documentation",
        Purpose::Vm => "set-up for the build and the tests on other kernels",
        Purpose::Node => "set-up for the build and the tests on other nodes",
        Purpose::Bench => "set-up for the build and the bench",
    });
    let mut apt = Apt::default();
    let mut unmet = Vec::new();
    let needs: Vec<&Need> = match purpose {
        Purpose::Build => BUILD.iter().collect(),
        Purpose::Test => BUILD.iter().chain(&TEST).collect(),
        Purpose::Docs => BUILD.iter().chain(&DOCS).collect(),
        Purpose::Vm => BUILD.iter().chain(&VM).collect(),
        Purpose::Node => BUILD.iter().chain(&VM).chain(&NODE).collect(),
        Purpose::Bench => BUILD.iter().chain(&BENCH).collect(),
    };
    meet(&needs, &mut apt, &mut unmet);
    if matches!(purpose, Purpose::Vm | Purpose::Node) {
        unmet.extend(emulator(&mut apt).err());
    }
    match bpf::compiler(&mut apt) {
        Ok(compiler) => unmet.extend(bpf::linker(&mut apt, &compiler).err()),
        Err(problem) => unmet.push(problem),
    }
    report(&unmet)
}

/// One line for what is there.
fn found(name: &str, what: &str) {
    println!("    found    {name}: {what}");
}

/// One line for what is not, before the work begins.
fn missing(name: &str, why: &str) {
    println!("    missing  {name}: {why}");
}

/// Installs the packages of all that is missing at once.
fn meet(needs: &[&'static Need], apt: &mut Apt, unmet: &mut Vec<Unmet>) {
    let mut absent = Vec::new();
    for need in needs {
        if let Some(place) = (need.find)() {
            found(need.name, &place);
        } else {
            missing(need.name, need.why);
            absent.push(*need);
        }
    }
    if absent.is_empty() {
        return;
    }
    let packages: Vec<&str> = absent.iter().map(|need| need.package).collect();
    let installed = apt.install(&packages);
    for need in absent {
        let reason = match (&installed, (need.find)()) {
            (_, Some(place)) => {
                found(need.name, &place);
                continue;
            }
            (Err(error), None) => format!("{error:#}"),
            (Ok(()), None) => format!("{} is installed and did not bring it", need.package),
        };
        let packages = vec![need.package.to_owned()];
        unmet.push(Unmet { name: need.name, reason, packages, command: None, instead: None });
    }
}

/// Installs qemu, or where that would cost this machine another package, has it in a folder.
fn emulator(apt: &mut Apt) -> Result<(), Unmet> {
    let name = "qemu";
    let is_there = || Qemu::find().map(|qemu| found(name, &qemu.place().display().to_string()));
    if is_there().is_some() {
        return Ok(());
    }
    missing(name, "it boots the other kernels");
    let done = if apt.fits(qemu::PACKAGE) {
        apt.install(&[qemu::PACKAGE])
    } else {
        println!("    {} cannot be installed here as it is: it is unpacked instead", qemu::PACKAGE);
        qemu::unpack()
    };
    let reason = match (done, is_there()) {
        (_, Some(())) => return Ok(()),
        (Err(error), None) => format!("{error:#}"),
        (Ok(()), None) => format!("{} did not bring it", qemu::PACKAGE),
    };
    Err(Unmet { name, reason, packages: vec![qemu::PACKAGE.to_owned()], command: None, instead: None })
}

/// Prints what a person must do for the rest.
fn report(unmet: &[Unmet]) -> Result<()> {
    if unmet.is_empty() {
        println!("    set-up is complete");
        return Ok(());
    }
    println!("\n    set-up could not do everything here:");
    for Unmet { name, reason, .. } in unmet {
        println!("      {name}: {reason}");
    }
    println!("    please run this, then `cargo xtask setup` again:");
    let packages: Vec<&str> = unmet.iter().flat_map(|unmet| &unmet.packages).map(String::as_str).collect();
    println!("      sudo apt-get update && sudo apt-get install {}", packages.join(" "));
    for command in unmet.iter().filter_map(|unmet| unmet.command.as_ref()) {
        println!("      {command}");
    }
    for Unmet { name, instead, .. } in unmet {
        if let Some(instead) = instead {
            println!("    or, for {name}: {instead}");
        }
    }
    let names: Vec<&str> = unmet.iter().map(|unmet| unmet.name).collect();
    bail!("still missing: {}; the commands are above", names.join(", "))
}

fn program(name: &str) -> Option<String> {
    process::find(name).map(|path| path.display().to_string())
}

fn font(file: &str) -> Option<String> {
    let path = Path::new("/usr/share/fonts/truetype/dejavu").join(file);
    path.exists().then(|| path.display().to_string())
}

/// Debian's place, and the one that the CNI project's own archive uses.
fn cni_plugins() -> Option<String> {
    ["/usr/lib/cni", "/opt/cni/bin"]
        .into_iter()
        .find(|folder| ["bridge", "host-local", "loopback"].iter().all(|name| Path::new(folder).join(name).exists()))
        .map(str::to_owned)
}

/// An image has no C library, so a busybox with a dynamic loader is of no use there.
fn static_busybox() -> Option<String> {
    let path = process::find("busybox")?;
    let libraries = Command::new("ldd").arg(&path).output().ok()?;
    let is_static = !libraries.status.success() || libraries.stdout.trim_ascii().ends_with(b"statically linked");
    is_static.then(|| path.display().to_string())
}
