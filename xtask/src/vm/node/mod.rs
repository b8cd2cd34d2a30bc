//! `cargo xtask vm --node`: whole nodes in the emulator, with systemd and another Debian's container runtime; the
//! containerd tier runs on them.

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

/// What a node may not be able to play: the first where it is too slow, the others without cgroup v2.
const IMPOSSIBLE: [&str; 2] = ["killed-by-cgroup", "private-cgroupns"];

/// Fifty pods that start on one emulated processor take longer than all other tests, and tell of the emulator.
pub(super) const LEFT_OUT: &str = "fifty-at-once";

/// How much slower than this machine an emulated node is. (Most of what its tests do is waiting.)
const SLOW: u32 = 13;

/// A node: where its packages come from, and how it starts containers.
struct Kind {
    name: &'static str,
    /// Debian's release.
    release: &'static str,
    runtime: &'static str,
    driver: &'static str,
    /// On its kernel's command line.
    parameters: &'static str,
}

/// What systemd, before 258, takes for cgroup v1 alone.
const V1: &str = "systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1";

/// containerd 1.7 and 2.x with cgroup v2 alone, runc and crun, both cgroup drivers; and one with cgroup v1 alone.
const KINDS: [Kind; 5] = [
    Kind { name: "trixie-runc-systemd", release: "trixie", runtime: "runc", driver: "systemd", parameters: "" },
    Kind { name: "trixie-crun-cgroupfs", release: "trixie", runtime: "crun", driver: "cgroupfs", parameters: "" },
    Kind { name: "forky-runc-systemd", release: "forky", runtime: "runc", driver: "systemd", parameters: "" },
    Kind { name: "forky-crun-systemd", release: "forky", runtime: "crun", driver: "systemd", parameters: "" },
    Kind { name: "bookworm-runc-v1", release: "bookworm", runtime: "runc", driver: "systemd", parameters: V1 },
];

/// Shows which nodes there are.
pub(super) fn list() {
    for kind in &KINDS {
        println!("    {:<22} Debian {}, {}", kind.name, kind.release, kind.words());
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

impl Kind {
    /// What cannot be told by its packages.
    fn words(&self) -> String {
        let version = if self.parameters == V1 { "v1" } else { "v2" };
        format!("{}, cgroup {version}, driver {}", self.runtime, self.driver)
    }
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
        parameters: &format!("{PARAMETERS} {}", kind.parameters),
        limit: Duration::from_secs(selection.minutes.unwrap_or(40) * 60),
    };
    let version = format!("{}; {}", root.about, kind.words());
    let mut played = stage.play(&guest, &place, kind.name, kind.name.to_owned(), version)?;
    let v1 = kind.parameters == V1;
    played.results.know_impossible(if v1 { &IMPOSSIBLE } else { &IMPOSSIBLE[..1] }, v1);
    disk::remove(&programs)?;
    Ok(played)
}

fn jobs(kind: &Kind, selection: &VmSelection) -> Vec<Job> {
    let runtime = format!("GRACETRACE_NODE_RUNTIME={}", kind.runtime);
    let driver = format!("GRACETRACE_NODE_CGROUPS={}", kind.driver);
    vec![
        Job::new("doctor", &["/vm/gracetrace", "doctor"], &[]),
        Job::new(
            "containerd",
            &["env", &runtime, &driver, "/vm/containerd-tier", "--skip", LEFT_OUT],
            &selection.arguments,
        ),
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
        check("all", Some(5));
        check("forky", Some(2));
        check("trixie-crun", Some(1));
        check("youki", None);
    }
}
