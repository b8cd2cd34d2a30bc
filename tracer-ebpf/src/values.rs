//! The values of maps that both sides read or write, where they are more than a number.

use crate::kind;

/// Value of the map `TARGETS` (cgroup id → this): which cgroups are traced, and as part of which pod.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Target {
    /// Id of the pod's own cgroup.
    pub pod: u64,
}

/// Value of the map `SHARES` (pod's cgroup id → this): what a pod has written while the ring was filling up.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Share {
    /// The window in the upper half, the bytes written in it in the lower.
    pub spent: u64,
    /// Records that were refused to it since the entry was made, by kind.
    pub refused: [u64; kind::COUNT],
}

/// Value of the map `KUBELET_CALLS` (pod's cgroup id → this): the connection that the kubelet made to a pod last,
/// while the pod was healthy. A probe's as a rule; just before the stop signal it is an httpGet hook's.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct KubeletCall {
    /// Address of the pod's `struct sock`.
    pub sock: u64,
    /// When it was established (boot clock).
    pub opened_ns: u64,
    /// When the pod closed it; 0 while it has not.
    pub closed_ns: u64,
    /// The pod's port.
    pub port: u64,
}
