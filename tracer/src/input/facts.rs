//! Who pods and containers are: what is learnt of them from outside the kernel.

use super::{Argv, BootNs};
use serde::{Deserialize, Serialize};

/// Where a name comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FactSource {
    /// The Kubernetes API.
    Kubernetes,
    /// The container runtime (CRI).
    Cri,
    /// `/var/log/pods` or the cgroup's path.
    Cgroup,
}

/// Who a pod is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodFacts {
    /// When it was learnt.
    pub at: BootNs,
    /// The uid as the cgroup's path has it, with dashes.
    pub uid: String,
    /// Where it was learnt.
    pub source: FactSource,
    /// Namespace.
    pub namespace: Option<String>,
    /// Name.
    pub name: Option<String>,
    /// Labels, without the ones the kubelet adds (`io.kubernetes.*`).
    pub labels: Option<std::collections::BTreeMap<String, String>>,
    /// Id of the sandbox container.
    pub sandbox_id: Option<String>,
    /// The pod uses the node's network namespace.
    pub host_network: Option<bool>,
    /// `terminationGracePeriodSeconds`, in milliseconds.
    pub grace_ms: Option<u64>,
}

/// Who a container is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerFacts {
    /// When it was learnt.
    pub at: BootNs,
    /// The id as the cgroup's path has it: 64 hexadecimal digits.
    pub id: String,
    /// The runtime, for `containerd://…`.
    pub runtime: Option<String>,
    /// The pod's uid.
    pub pod_uid: String,
    /// Where it was learnt.
    pub source: FactSource,
    /// Name.
    pub name: Option<String>,
    /// Image, as the pod names it.
    pub image: Option<String>,
    /// What it is to the pod; `None` if that cannot be told.
    pub role: Option<ContainerRole>,
    /// The pod's grace period as the container's annotations tell it, in milliseconds.
    pub grace_ms: Option<u64>,
    /// The stop signal, where the runtime tells it.
    pub stop_signal: Option<i32>,
    /// The preStop hook; `None` if there is none or it is not known ([`ContainerFacts::source`] tells: the CRI knows).
    pub pre_stop: Option<PreStop>,
    /// How often it was started again.
    pub restarts: Option<u32>,
}

/// What a container is to its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum ContainerRole {
    /// An ordinary container.
    App,
    /// An init container that is restarted and lives beside the others.
    Sidecar,
    /// An init container.
    Init,
    /// Added to a running pod (`kubectl debug`).
    Ephemeral,
    /// The runtime's own (pause).
    Sandbox,
}

/// A preStop hook as the pod declares it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "PascalCase", rename_all_fields = "camelCase")]
pub enum PreStop {
    /// A command in the container.
    Exec {
        /// Digests of its arguments.
        argv: Argv,
    },
    /// A request from the kubelet.
    HttpGet {
        /// The port, if it is a number.
        port: Option<u16>,
    },
    /// A wait of the kubelet's, invisible on the node.
    Sleep {
        /// How long.
        ms: u64,
    },
}
