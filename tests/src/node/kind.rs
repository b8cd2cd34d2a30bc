//! What the node is made of: which program starts containers, and who makes their cgroups.

use std::sync::OnceLock;

/// Names the OCI runtime: `runc` (without it) or `crun`.
const RUNTIME: &str = "GRACETRACE_NODE_RUNTIME";
/// Names the cgroup driver: `cgroupfs` (without it) or `systemd`.
const DRIVER: &str = "GRACETRACE_NODE_CGROUPS";

/// Who makes the cgroups of pods and containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// The runtime, with `mkdir`.
    Cgroupfs,
    /// systemd, asked by the runtime: slices and scopes.
    Systemd,
}

/// A kind of node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// The OCI runtime, as its processes are called.
    pub runtime: &'static str,
    /// The cgroup driver.
    pub driver: Driver,
}

/// A container of docker's in which another cluster could run.
const OUTER: &str = "4e07408562bedb8b60ce05c1decfe3ad16b72230967de01f640b7e4729b49fce";

const USUAL: Kind = Kind { runtime: "runc", driver: Driver::Cgroupfs };

static CHOSEN: OnceLock<Kind> = OnceLock::new();

/// The node's; the usual one until a node has started.
pub fn kind() -> Kind {
    CHOSEN.get().copied().unwrap_or(USUAL)
}

/// Settles it for this process, as the environment says.
pub(super) fn choose() -> anyhow::Result<Kind> {
    let kind = of(std::env::var(RUNTIME).ok().as_deref(), std::env::var(DRIVER).ok().as_deref())?;
    Ok(*CHOSEN.get_or_init(|| kind))
}

fn of(runtime: Option<&str>, driver: Option<&str>) -> anyhow::Result<Kind> {
    let runtime = match runtime {
        None => USUAL.runtime,
        Some("runc") => "runc",
        Some("crun") => "crun",
        Some(other) => anyhow::bail!("{RUNTIME} is {other:?}: runc or crun is meant"),
    };
    let driver = match driver {
        None => USUAL.driver,
        Some("cgroupfs") => Driver::Cgroupfs,
        Some("systemd") => Driver::Systemd,
        Some(other) => anyhow::bail!("{DRIVER} is {other:?}: cgroupfs or systemd is meant"),
    };
    Ok(Kind { runtime, driver })
}

impl Kind {
    /// The cgroup of a burstable pod, below the root of a hierarchy. `nested`: as a cluster has it that runs in a container of
    /// this node, with the cgroup root that kind gives its kubelet.
    pub(super) fn pod_cgroup(self, uid: &str, nested: bool) -> String {
        // systemd takes a dash for the border between a slice and the one above it
        let unit = uid.replace('-', "_");
        match (self.driver, nested) {
            (Driver::Cgroupfs, false) => format!("/kubepods/burstable/pod{uid}"),
            (Driver::Cgroupfs, true) => format!("/docker/{OUTER}/kubelet/kubepods/burstable/pod{uid}"),
            (Driver::Systemd, false) => {
                format!("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{unit}.slice")
            }
            (Driver::Systemd, true) => format!(
                "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod{unit}.slice"
            ),
        }
    }

    /// The cgroup of a container in the pod that has this one.
    pub(super) fn container_cgroup(self, pod: &str, id: &str) -> String {
        match self.driver {
            Driver::Cgroupfs => format!("{pod}/{id}"),
            Driver::Systemd => format!("{pod}/cri-containerd-{id}.scope"),
        }
    }

    /// The unit that is this cgroup of a pod, if it is one.
    pub(super) fn unit(self, pod: &str) -> Option<&str> {
        pod.rsplit('/').next().filter(|_| self.driver == Driver::Systemd)
    }
}

#[cfg(test)]
mod tests {
    use super::{Driver, Kind, of};

    #[test]
    fn the_environment_chooses() {
        let check = |runtime, driver, expected: Option<Kind>| assert_eq!(of(runtime, driver).ok(), expected);
        check(None, None, Some(Kind { runtime: "runc", driver: Driver::Cgroupfs }));
        check(Some("crun"), Some("systemd"), Some(Kind { runtime: "crun", driver: Driver::Systemd }));
        check(Some("youki"), None, None);
        check(None, Some("none"), None);
    }

    #[test]
    fn cgroups_as_each_driver_makes_them() {
        let check = |driver, nested, expected: &str| {
            let node = Kind { runtime: "runc", driver };
            assert_eq!(node.container_cgroup(&node.pod_cgroup("a-b", nested), "c"), expected);
        };
        check(Driver::Cgroupfs, false, "/kubepods/burstable/poda-b/c");
        check(
            Driver::Systemd,
            false,
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-poda_b.slice/cri-containerd-c.scope",
        );
        check(
            Driver::Systemd,
            true,
            "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-poda_b.slice/cri-containerd-c.scope",
        );
    }
}
