//! `cargo xtask vm --node`: whole nodes in the emulator, systemd with cgroup v2 alone and a container runtime of a
//! newer Debian; the containerd tier runs on them.

mod disk;
mod root;

use super::boot::{Emulator, Guest};
use super::jobs::Job;
use super::play::{Played, Stage};
use super::programs::Programs;
use crate::cli::VmSelection;
use crate::process;
use anyhow::{Result, bail};
use root::Root;
use std::path::Path;
use std::time::Duration;

/// What is asked of a node's kernel beside what every machine gets: its root, and a quiet console.
const PARAMETERS: &str = "root=/dev/vda rw systemd.show_status=0";

/// How much slower than this machine an emulated node is. (Most of what its tests do is waiting.)
const SLOW: u32 = 13;

/// A node: where its packages come from, and how it starts containers.
struct Kind {
    name: &'static str,
    /// Debian's release.
    release: &'static str,
    runtime: &'static str,
    driver: &'static str,
}

/// containerd 1.7 and 2.x, runc and crun, both cgroup drivers.
const KINDS: [Kind; 4] = [
    Kind { name: "trixie-runc-systemd", release: "trixie", runtime: "runc", driver: "systemd" },
    Kind { name: "trixie-crun-cgroupfs", release: "trixie", runtime: "crun", driver: "cgroupfs" },
    Kind { name: "forky-runc-systemd", release: "forky", runtime: "runc", driver: "systemd" },
    Kind { name: "forky-crun-systemd", release: "forky", runtime: "crun", driver: "systemd" },
];

/// Shows which nodes there are.
pub(super) fn list() {
    for Kind { name, release, runtime, driver } in &KINDS {
        println!("    {name:<22} Debian {release}, {runtime}, cgroup driver {driver}");
    }
}

/// Plays the nodes that were asked for.
pub(super) fn play(selection: &VmSelection, folder: &Path) -> Result<(Vec<Played>, Emulator)> {
    let kinds = choose(&selection.node)?;
    let mut roots: Vec<Root> = Vec::new();
    for kind in &kinds {
        if !roots.iter().any(|root| root.release == kind.release) {
            roots.push(Root::make(kind.release, &folder.join("nodes"))?);
        }
    }
    for root in &roots {
        println!("    {:<8} {}", root.release, root.about);
    }
    let stage = Stage {
        programs: Programs::build(&["containerd"], &folder.join("programs"))?,
        emulator: Emulator::find()?,
        folder: folder.join("runs"),
        interrupted: super::interruption()?,
    };
    let kinds: Vec<(&Kind, &Root)> = kinds
        .into_iter()
        .filter_map(|kind| Some((kind, roots.iter().find(|root| root.release == kind.release)?)))
        .collect();
    let played = super::play_all(&kinds, &stage, "nodes", &|(kind, root)| one(kind, root, &stage, selection))?;
    Ok((played, stage.emulator))
}

fn choose(wanted: &[String]) -> Result<Vec<&'static Kind>> {
    let chosen: Vec<_> = KINDS
        .iter()
        .filter(|kind| wanted.iter().any(|name| name == "all" || kind.name.contains(name.as_str())))
        .collect();
    if chosen.is_empty() {
        bail!("no such node; `cargo xtask vm --node --list` shows which there are");
    }
    Ok(chosen)
}

fn one(kind: &Kind, root: &Root, stage: &Stage, selection: &VmSelection) -> Result<Played> {
    let place = stage.place(kind.name)?;
    let programs = place.join("programs.img");
    disk::write(&programs, &stage.programs, &jobs(kind, selection), &process::workspace()?.join("tests"), SLOW)?;
    let guest = Guest {
        kernel: &root.kernel,
        initramfs: &root.initramfs,
        disks: &[&root.image, &programs],
        parameters: PARAMETERS,
        limit: Duration::from_secs(selection.minutes.unwrap_or(40) * 60),
    };
    let version = format!("{}, cgroup driver {}", root.about, kind.driver);
    let played = stage.play(&guest, &place, kind.name, kind.name.to_owned(), version)?;
    disk::remove(&programs)?;
    Ok(played)
}

fn jobs(kind: &Kind, selection: &VmSelection) -> Vec<Job> {
    let runtime = format!("GRACETRACE_NODE_RUNTIME={}", kind.runtime);
    let driver = format!("GRACETRACE_NODE_CGROUPS={}", kind.driver);
    vec![
        Job::new("doctor", &["/vm/gracetrace", "doctor"], &[]),
        Job::new("containerd", &["env", &runtime, &driver, "/vm/containerd-tier"], &selection.arguments),
    ]
}

#[cfg(test)]
mod tests {
    use super::choose;

    #[test]
    fn nodes_are_chosen_by_parts_of_their_names() {
        let check = |wanted: &str, expected: Option<usize>| {
            assert_eq!(choose(&[wanted.to_owned()]).ok().map(|kinds| kinds.len()), expected, "{wanted}");
        };
        check("all", Some(4));
        check("forky", Some(2));
        check("trixie-crun", Some(1));
        check("youki", None);
    }
}
