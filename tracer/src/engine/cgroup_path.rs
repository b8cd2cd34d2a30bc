//! The grammar of pod cgroup paths: which pod and which container a cgroup belongs to.

/// What a path says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodCgroup {
    /// The pod's uid with dashes; for a static pod the 32 hexadecimal digits of its configuration.
    pub uid: String,
    /// `Guaranteed`, `Burstable`, `BestEffort`; `None` if the path does not say.
    pub qos_class: Option<&'static str>,
    /// How many components (from the left) make up the pod's own cgroup.
    pub pod_depth: usize,
    /// The container, if the path goes that deep.
    pub container: Option<ContainerCgroup>,
}

/// The container part of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerCgroup {
    /// 64 hexadecimal digits.
    pub id: String,
    /// `containerd`, `cri-o`, `docker`, `podman`, where the path says so.
    pub runtime: Option<&'static str>,
    /// How many components (from the left) make up the container's own cgroup.
    pub depth: usize,
}

/// Reads a path below the v2 root (`/kubepods.slice/…`); `None` if no pod is in it.
pub fn parse(_path: &str) -> Option<PodCgroup> {
    todo!()
}
