//! The names under which container runtimes and the kubelet act. A name can be borrowed by anybody on
//! the node: it confirms what the place in the cgroup tree has already shown, no more.

use crate::input::Actor;

const RUNTIMES: [&str; 10] =
    ["runc", "crun", "youki", "runsc", "crio", "conmon", "containerd", "dockerd", "cri-dockerd", "podman"];
/// `containerd-shim-runc-v2`, cut to what `comm` holds.
const SHIM: &str = "containerd-shim";

/// Whether it acts for the container runtime (or is the kubelet).
pub(super) fn is_runtime(actor: &Actor) -> bool {
    acts_for_runtime(&actor.comm, &actor.parent_comm)
}

/// The same, by its name and its parent's.
pub(super) fn acts_for_runtime(comm: &str, parent_comm: &str) -> bool {
    runtime(comm) || runtime(parent_comm) || is_kubelet(comm)
}

/// Whether it is the kubelet itself.
pub(super) fn is_kubelet(comm: &str) -> bool {
    comm == "kubelet"
}

/// Whether it is the node's service manager.
pub(super) fn is_systemd(actor: &Actor) -> bool {
    actor.tgid == 1 && actor.comm == "systemd"
}

fn runtime(comm: &str) -> bool {
    RUNTIMES.contains(&comm) || comm.starts_with(SHIM)
}
