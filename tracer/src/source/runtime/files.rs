//! Names without a container runtime's answer: the folders of the pods' logs, and the specifications
//! that the runtimes leave for each container.
//!
//! Blocking reads of small files. Only an id or a uid in its strict form becomes part of a path.

use super::endpoint::USUAL;
use super::facts;
use crate::engine::cgroup_path::{is_container_id, is_pod_uid};
use crate::input::{BootNs, ContainerFacts, ContainerRole, FactSource, PodFacts};
use crate::source::clock;
use serde::Deserialize;
use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A larger specification is not read.
const MAX_SPEC: u64 = 4 << 20;

/// Where things are on this node.
#[derive(Clone, Debug)]
pub(super) struct Places {
    /// Sockets of container runtimes, the likeliest first.
    pub(super) endpoints: Vec<String>,
    /// `<namespace>_<name>_<uid>/<container>/`.
    pub(super) pod_logs: PathBuf,
    /// `<id>/config.json`.
    pub(super) containerd: Vec<PathBuf>,
    /// `<id>/userdata/config.json`.
    pub(super) crio: Vec<PathBuf>,
    /// The clock.
    pub(super) now: fn() -> BootNs,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            endpoints: USUAL.map(str::to_owned).to_vec(),
            pod_logs: PathBuf::from("/var/log/pods"),
            containerd: ["/run/containerd", "/run/k3s/containerd", "/run/k0s/containerd"]
                .map(|state| Path::new(state).join("io.containerd.runtime.v2.task/k8s.io"))
                .to_vec(),
            crio: ["/run/containers", "/var/lib/containers"]
                .map(|state| Path::new(state).join("storage/overlay-containers"))
                .to_vec(),
            now: clock::boot_now,
        }
    }
}

impl Places {
    /// Who a pod is, from the name of its logs' folder.
    pub(super) fn pod(&self, uid: &str) -> Option<PodFacts> {
        is_pod_uid(uid).then(|| self.logged_pods().into_iter().find(|pod| pod.uid == uid))?
    }

    /// Pods of that name that have logs here, also ended ones.
    pub(super) fn pods_named(&self, namespace: Option<&str>, name: &str) -> Vec<PodFacts> {
        let fits = |pod: &PodFacts| {
            pod.name.as_deref() == Some(name) && (namespace.is_none() || pod.namespace.as_deref() == namespace)
        };
        self.logged_pods().into_iter().filter(fits).collect()
    }

    fn logged_pods(&self) -> Vec<PodFacts> {
        let at = (self.now)();
        let entries = std::fs::read_dir(&self.pod_logs).into_iter().flatten().filter_map(Result::ok);
        entries.filter_map(|entry| logged_pod(entry.file_name().to_str()?, at)).collect()
    }

    /// Who a container is, and its pod, from the specification that its runtime left.
    pub(super) fn container(&self, pod_uid: &str, id: &str) -> Option<(ContainerFacts, PodFacts)> {
        if !is_container_id(id) {
            return None;
        }
        let containerd = self.containerd.iter().map(|folder| folder.join(id).join("config.json"));
        let crio = self.crio.iter().map(|folder| folder.join(id).join("userdata/config.json"));
        let spec = containerd.chain(crio).find_map(|path| read_spec(&path))?;
        spec_facts(pod_uid, id, &spec, (self.now)())
    }
}

/// Neither namespaces nor names nor uids hold a `_`.
fn logged_pod(folder: &str, at: BootNs) -> Option<PodFacts> {
    let mut parts = folder.split('_');
    let (namespace, name, uid) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || !is_pod_uid(uid) {
        return None;
    }
    Some(PodFacts {
        at,
        uid: uid.to_owned(),
        source: FactSource::Cgroup,
        namespace: Some(facts::known(Some(namespace))?),
        name: Some(facts::known(Some(name))?),
        labels: None,
        sandbox_id: None,
        host_network: None,
        grace_ms: None,
    })
}

/// The OCI runtime specification, as far as it is needed.
#[derive(Debug, Default, Deserialize)]
struct Spec {
    annotations: HashMap<String, String>,
}

fn read_spec(path: &Path) -> Option<Spec> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(MAX_SPEC).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Reads what containerd (`io.kubernetes.cri.`) and CRI-O (`io.kubernetes.cri-o.`, and the kubelet's own) write.
fn spec_facts(pod_uid: &str, id: &str, spec: &Spec, at: BootNs) -> Option<(ContainerFacts, PodFacts)> {
    let first =
        |keys: &[&str]| facts::known(keys.iter().find_map(|key| spec.annotations.get(*key)).map(String::as_str));
    let kind = first(&["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"])?;
    let runtime =
        if spec.annotations.contains_key("io.kubernetes.cri.container-type") { "containerd" } else { "cri-o" };
    let is_sandbox = kind == "sandbox";
    let annotated = if is_sandbox { facts::Annotated::default() } else { facts::annotations(&spec.annotations) };
    let container = ContainerFacts {
        at,
        id: id.to_owned(),
        runtime: Some(runtime.to_owned()),
        pod_uid: pod_uid.to_owned(),
        source: FactSource::Cgroup,
        name: first(&["io.kubernetes.cri.container-name", facts::CONTAINER_NAME]).filter(|_| !is_sandbox),
        image: first(&["io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName"]).filter(|_| !is_sandbox),
        role: is_sandbox.then_some(ContainerRole::Sandbox),
        grace_ms: annotated.grace_ms,
        stop_signal: annotated.stop_signal,
        pre_stop: annotated.pre_stop,
        restarts: annotated.restarts,
    };
    let pod = PodFacts {
        at,
        uid: pod_uid.to_owned(),
        source: FactSource::Cgroup,
        namespace: first(&["io.kubernetes.cri.sandbox-namespace", facts::POD_NAMESPACE]),
        name: first(&["io.kubernetes.cri.sandbox-name", facts::POD_NAME]),
        labels: None,
        sandbox_id: first(&["io.kubernetes.cri.sandbox-id", "io.kubernetes.cri-o.SandboxID"])
            .filter(|id| is_container_id(id)),
        host_network: None,
        grace_ms: None,
    };
    Some((container, pod))
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
