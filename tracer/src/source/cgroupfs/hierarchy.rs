//! Which cgroup hierarchy is watched. A node can have many: v2's one, and under v1 one for each controller. Ids of cgroups
//! are unique within one alone, so one is chosen and no other is ever looked at.

use super::mountinfo::mounts;
use std::fmt;
use std::path::PathBuf;

/// A controller whose v1 hierarchy can be watched: every container runtime makes a cgroup for each container in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller {
    /// How many tasks there may be.
    Pids,
    /// How much memory.
    Memory,
}

/// In the order in which they are preferred.
const CONTROLLERS: [Controller; 2] = [Controller::Pids, Controller::Memory];

impl Controller {
    /// As mount options and `/proc/self/cgroup` have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pids => "pids",
            Self::Memory => "memory",
        }
    }

    /// Its constant in the kernel's `enum cgroup_subsys_id`.
    pub fn subsys_id(self) -> &'static str {
        match self {
            Self::Pids => "pids_cgrp_id",
            Self::Memory => "memory_cgrp_id",
        }
    }
}

/// A hierarchy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hierarchy {
    /// The unified one.
    V2,
    /// That of a v1 controller.
    V1 {
        /// The controller.
        controller: Controller,
        /// The kernel's number of it, above 0 (`/proc/self/cgroup`).
        id: u32,
    },
}

impl fmt::Display for Hierarchy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V2 => f.write_str("cgroup v2"),
            Self::V1 { controller, .. } => write!(f, "cgroup v1, controller {}", controller.name()),
        }
    }
}

/// What the caller wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wish {
    /// Where the pods are; v2 if nothing tells.
    #[default]
    Auto,
    /// v2 and no other.
    V2,
    /// The v1 hierarchy of this controller and no other.
    V1(Controller),
}

/// Chooses among what is mounted (`/proc/self/mountinfo`) and numbered (`/proc/self/cgroup`). `has_pods` tells whether a mounted
/// tree holds cgroups of pods; it is asked only where that decides.
pub(super) fn choose(
    wish: Wish,
    mountinfo: &[u8],
    numbers: &str,
    has_pods: impl Fn(&PathBuf) -> bool,
) -> Option<(Hierarchy, PathBuf)> {
    let found = mounts(mountinfo);
    let v2 = || found.v2.clone().map(|root| (Hierarchy::V2, root));
    let v1 = |controller: Controller| {
        let (_, root) = found.v1.iter().find(|(name, _)| name == controller.name())?;
        Some((Hierarchy::V1 { controller, id: number(numbers, controller)? }, root.clone()))
    };
    match wish {
        Wish::V2 => v2(),
        Wish::V1(controller) => v1(controller),
        Wish::Auto => {
            let first_v1 = || CONTROLLERS.into_iter().find_map(v1);
            let Some(unified) = v2() else { return first_v1() };
            // a hybrid node, whose runtime may not care for the v2 tree
            let elsewhere = || CONTROLLERS.into_iter().filter_map(v1).find(|(_, root)| has_pods(root));
            if has_pods(&unified.1) { Some(unified) } else { Some(elsewhere().unwrap_or(unified)) }
        }
    }
}

/// The number of a controller's hierarchy: 7 in `7:cpu,pids:/user.slice`.
fn number(numbers: &str, controller: Controller) -> Option<u32> {
    let of_line = |line: &str| {
        let mut fields = line.splitn(3, ':');
        let (id, names) = (fields.next()?, fields.next()?);
        names.split(',').any(|name| name == controller.name()).then(|| id.parse().ok())?
    };
    numbers.lines().find_map(of_line).filter(|id| *id > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &str = "33 24 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
    const UNIFIED: &str = "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
    const PIDS: &str = "35 31 0:32 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n";
    const MEMORY: &str = "36 31 0:33 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
    const CPU: &str = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n";
    const NUMBERS: &str =
        "12:pids:/user.slice\n9:memory:/\n3:cpu,cpuacct:/\n1:name=systemd:/init.scope\n0::/init.scope\n";

    fn check(wish: Wish, mountinfo: &[&str], with_pods: &[&str], expected: Option<(Hierarchy, &str)>) {
        let has_pods = |root: &PathBuf| with_pods.iter().any(|place| root == &PathBuf::from(place));
        let chosen = choose(wish, mountinfo.concat().as_bytes(), NUMBERS, has_pods);
        assert_eq!(chosen, expected.map(|(hierarchy, root)| (hierarchy, PathBuf::from(root))), "{mountinfo:?}");
    }

    const OF_PIDS: Hierarchy = Hierarchy::V1 { controller: Controller::Pids, id: 12 };
    const OF_MEMORY: Hierarchy = Hierarchy::V1 { controller: Controller::Memory, id: 9 };

    #[test]
    fn by_what_is_mounted_and_where_the_pods_are() {
        let (unified, pids) = ("/sys/fs/cgroup/unified", "/sys/fs/cgroup/pids");
        check(Wish::Auto, &[V2], &[], Some((Hierarchy::V2, "/sys/fs/cgroup")));
        check(Wish::Auto, &[CPU, MEMORY, PIDS], &[], Some((OF_PIDS, pids)));
        check(Wish::Auto, &[CPU, MEMORY], &[], Some((OF_MEMORY, "/sys/fs/cgroup/memory")));
        check(Wish::Auto, &[CPU, PIDS, UNIFIED], &[], Some((Hierarchy::V2, unified)));
        check(Wish::Auto, &[CPU, PIDS, UNIFIED], &[unified, pids], Some((Hierarchy::V2, unified)));
        check(Wish::Auto, &[CPU, PIDS, UNIFIED], &[pids], Some((OF_PIDS, pids)));
        check(
            Wish::Auto,
            &[PIDS, MEMORY, UNIFIED],
            &["/sys/fs/cgroup/memory"],
            Some((OF_MEMORY, "/sys/fs/cgroup/memory")),
        );
        check(Wish::Auto, &[CPU], &[], None);
        check(Wish::Auto, &[], &[], None);
    }

    #[test]
    fn or_as_it_is_wished() {
        check(Wish::V2, &[CPU, PIDS], &[], None);
        check(Wish::V1(Controller::Memory), &[PIDS, MEMORY, UNIFIED], &[], Some((OF_MEMORY, "/sys/fs/cgroup/memory")));
        check(Wish::V1(Controller::Pids), &[V2], &[], None);
    }

    #[test]
    fn a_hierarchy_without_a_number_is_none() {
        assert_eq!(number("0::/\n", Controller::Pids), None);
        assert_eq!(number("7:cpu,pids:/x\n", Controller::Pids), Some(7));
        assert_eq!(number("0:pids:/\nx:pids:/\n:\n", Controller::Pids), None);
    }
}
