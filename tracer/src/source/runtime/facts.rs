//! From what a container runtime says to [`PodFacts`] and [`ContainerFacts`]. Pure.
//!
//! The kubelet leaves its knowledge in labels and annotations (`pkg/kubelet/kuberuntime/labels.go`). All
//! of it is text from the outside and is cleaned here; commands are kept as digests only.

use crate::input::{Argv, BootNs, ContainerFacts, ContainerRole, FactSource, PodFacts, PreStop};
use crate::signal;
use crate::text;
use k8s_cri::v1::{Container, ContainerStatus, NamespaceMode, PodSandbox, PodSandboxState, PodSandboxStatus};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};

pub(super) const POD_UID: &str = "io.kubernetes.pod.uid";
pub(super) const POD_NAME: &str = "io.kubernetes.pod.name";
pub(super) const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
pub(super) const CONTAINER_NAME: &str = "io.kubernetes.container.name";
const GRACE: &str = "io.kubernetes.pod.terminationGracePeriod";
const PRE_STOP: &str = "io.kubernetes.container.preStopHandler";
const PORTS: &str = "io.kubernetes.container.ports";
const RESTARTS: &str = "io.kubernetes.container.restartCount";
/// CRI-O copies an image's `STOPSIGNAL` into the runtime specification.
const IMAGE_STOP_SIGNAL: &str = "org.opencontainers.image.stopSignal";
/// What the kubelet adds to a pod's own labels begins so.
const KUBERNETES: &str = "io.kubernetes.";

/// Of several sandboxes of a pod the one that counts: ready, then newest.
pub(super) fn newest(sandboxes: impl IntoIterator<Item = PodSandbox>) -> Option<PodSandbox> {
    sandboxes.into_iter().max_by_key(|sandbox| {
        let attempt = sandbox.metadata.as_ref().map_or(0, |metadata| metadata.attempt);
        (is_ready(sandbox), attempt, sandbox.created_at)
    })
}

pub(super) fn is_ready(sandbox: &PodSandbox) -> bool {
    sandbox.state == PodSandboxState::SandboxReady as i32
}

/// The uid of a sandbox's pod.
pub(super) fn uid(sandbox: &PodSandbox) -> Option<&str> {
    let label = sandbox.labels.get(POD_UID).map(String::as_str);
    label.or_else(|| sandbox.metadata.as_ref().map(|metadata| metadata.uid.as_str())).filter(|uid| !uid.is_empty())
}

/// Whether a sandbox belongs to a pod of that name.
pub(super) fn is_named(sandbox: &PodSandbox, namespace: Option<&str>, name: &str) -> bool {
    let metadata = sandbox.metadata.as_ref();
    metadata
        .is_some_and(|metadata| metadata.name == name && namespace.is_none_or(|wanted| metadata.namespace == wanted))
}

/// Who a pod is, from its sandbox.
pub(super) fn pod(uid: &str, sandbox: &PodSandbox, status: Option<&PodSandboxStatus>, at: BootNs) -> PodFacts {
    let metadata = sandbox.metadata.as_ref();
    let label = |key: &str| sandbox.labels.get(key).map(String::as_str);
    let own = sandbox.labels.iter().filter(|(key, _)| !key.starts_with(KUBERNETES));
    let labels: BTreeMap<_, _> = own.map(|(key, value)| (text::clean(key), text::clean(value))).collect();
    PodFacts {
        at,
        uid: uid.to_owned(),
        source: FactSource::Cri,
        namespace: known(label(POD_NAMESPACE).or(metadata.map(|metadata| metadata.namespace.as_str()))),
        name: known(label(POD_NAME).or(metadata.map(|metadata| metadata.name.as_str()))),
        labels: Some(labels),
        sandbox_id: known(Some(&sandbox.id)),
        host_network: status.and_then(host_network),
        grace_ms: None,
    }
}

/// The sandbox as the container that it also is.
pub(super) fn sandbox(pod_uid: &str, sandbox: &PodSandbox, runtime: Option<String>, at: BootNs) -> ContainerFacts {
    ContainerFacts {
        at,
        id: sandbox.id.clone(),
        runtime,
        pod_uid: pod_uid.to_owned(),
        source: FactSource::Cri,
        name: None,
        image: None,
        role: Some(ContainerRole::Sandbox),
        grace_ms: None,
        stop_signal: None,
        pre_stop: None,
        restarts: sandbox.metadata.as_ref().map(|metadata| metadata.attempt),
    }
}

/// Who a container is. Whether it is an ordinary, an init, a sidecar or an ephemeral one the kubelet
/// does not tell the runtime, so the role stays open.
pub(super) fn container(
    pod_uid: &str,
    container: &Container,
    status: Option<&ContainerStatus>,
    runtime: Option<String>,
    stop_signal: Option<i32>,
    at: BootNs,
) -> ContainerFacts {
    let metadata = container.metadata.as_ref();
    let name = container.labels.get(CONTAINER_NAME).or(metadata.map(|metadata| &metadata.name));
    let annotated = annotations(&container.annotations);
    ContainerFacts {
        at,
        id: container.id.clone(),
        runtime,
        pod_uid: pod_uid.to_owned(),
        source: FactSource::Cri,
        name: known(name.map(String::as_str)),
        image: image(container, status),
        role: None,
        stop_signal,
        restarts: annotated.restarts.or(metadata.map(|metadata| metadata.attempt)),
        grace_ms: annotated.grace_ms,
        pre_stop: annotated.pre_stop,
    }
}

/// What the kubelet's annotations of a container tell.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Annotated {
    pub(super) grace_ms: Option<u64>,
    pub(super) pre_stop: Option<PreStop>,
    pub(super) restarts: Option<u32>,
    pub(super) stop_signal: Option<i32>,
}

pub(super) fn annotations(annotations: &HashMap<String, String>) -> Annotated {
    let value = |key: &str| annotations.get(key).map(String::as_str);
    Annotated {
        // written in seconds
        grace_ms: value(GRACE).and_then(|seconds| seconds.parse::<u64>().ok()?.checked_mul(1000)),
        pre_stop: value(PRE_STOP).and_then(|handler| pre_stop(handler, value(PORTS))),
        restarts: value(RESTARTS).and_then(|count| count.parse().ok()),
        stop_signal: value(IMAGE_STOP_SIGNAL).and_then(signal::parse),
    }
}

/// `v1.LifecycleHandler` as far as it is needed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Handler {
    exec: Option<ExecAction>,
    http_get: Option<HttpGetAction>,
    sleep: Option<SleepAction>,
}

#[derive(Debug, Deserialize)]
struct ExecAction {
    command: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct HttpGetAction {
    port: Option<IntOrString>,
}

#[derive(Debug, Deserialize)]
struct SleepAction {
    seconds: u64,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum IntOrString {
    Int(u16),
    String(String),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerPort {
    name: Option<String>,
    container_port: u16,
}

/// Reads a preStop handler; `ports` are the container's, for a handler that names one.
fn pre_stop(handler: &str, ports: Option<&str>) -> Option<PreStop> {
    let handler: Handler = serde_json::from_str(handler).ok()?;
    // in the kubelet's order (pkg/kubelet/lifecycle/handlers.go)
    if let Some(exec) = handler.exec {
        return Some(PreStop::Exec { argv: Argv::from_arguments(exec.command.unwrap_or_default()) });
    }
    if let Some(http) = handler.http_get {
        let port = http.port.and_then(|port| match port {
            IntOrString::Int(port) => Some(port),
            IntOrString::String(name) => named_port(&name, ports?),
        });
        return Some(PreStop::HttpGet { port });
    }
    let sleep = handler.sleep?;
    Some(PreStop::Sleep { ms: sleep.seconds.checked_mul(1000)? })
}

fn named_port(name: &str, ports: &str) -> Option<u16> {
    let ports: Vec<ContainerPort> = serde_json::from_str(ports).ok()?;
    ports.into_iter().find(|port| port.name.as_deref() == Some(name)).map(|port| port.container_port)
}

/// The runtime's own view of a container (`info` of a verbose `ContainerStatus`), as far as it is needed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerInfo {
    config: Option<ContainerConfig>,
    runtime_spec: Option<RuntimeSpec>,
}

#[derive(Debug, Deserialize)]
struct ContainerConfig {
    #[serde(default)]
    stop_signal: usize,
}

#[derive(Debug, Deserialize)]
struct RuntimeSpec {
    annotations: Option<HashMap<String, String>>,
}

/// The pod's `lifecycle.stopSignal` (containerd), or what CRI-O found in the image.
pub(super) fn container_stop_signal(info: &str) -> Option<i32> {
    let info: ContainerInfo = serde_json::from_str(info).ok()?;
    let configured = info.config.and_then(|config| cri_signal(config.stop_signal));
    configured.or_else(|| annotations(&info.runtime_spec?.annotations?).stop_signal)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ImageInfo {
    image_spec: ImageSpec,
}

#[derive(Debug, Deserialize)]
struct ImageSpec {
    config: ImageConfig,
}

#[derive(Debug, Deserialize)]
struct ImageConfig {
    #[serde(rename = "StopSignal", default)]
    stop_signal: String,
}

/// An image's `STOPSIGNAL`; SIGTERM, as the runtimes have it, if the image is known and has none.
pub(super) fn image_stop_signal(info: &str) -> Option<i32> {
    let info: ImageInfo = serde_json::from_str(info).ok()?;
    match info.image_spec.config.stop_signal.as_str() {
        "" => Some(signal::SIGTERM),
        name => signal::parse(name),
    }
}

/// The CRI numbers signals by their place in the alphabet (`enum Signal` of cri-api, KEP-4960).
fn cri_signal(number: usize) -> Option<i32> {
    const NAMES: [&str; 34] = [
        "ABRT", "ALRM", "BUS", "CHLD", "CHLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "ABRT", "KILL", "PIPE", "IO",
        "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1",
        "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ",
    ];
    // then RTMIN … RTMIN+15, RTMAX-14 … RTMAX, without a gap
    let beyond = NAMES.len() + 1;
    if let Some(real_time) = number.checked_sub(beyond) {
        let signal = signal::SIGRTMIN.checked_add(i32::try_from(real_time).ok()?)?;
        return (signal <= signal::SIGRTMAX).then_some(signal);
    }
    signal::parse(NAMES.get(number.checked_sub(1)?)?)
}

fn host_network(status: &PodSandboxStatus) -> Option<bool> {
    let options = status.linux.as_ref()?.namespaces.as_ref()?.options.as_ref()?;
    Some(options.network == NamespaceMode::Node as i32)
}

/// As the pod names it; otherwise the runtime's name for it rather than a bare digest.
fn image(container: &Container, status: Option<&ContainerStatus>) -> Option<String> {
    let asked = container.image.as_ref();
    let found = status.and_then(|status| status.image.as_ref());
    let mut names = [
        asked.map(|image| &image.user_specified_image),
        found.map(|image| &image.user_specified_image),
        found.map(|image| &image.image),
        asked.map(|image| &image.image),
    ]
    .into_iter()
    .flatten()
    .filter(|name| !name.is_empty());
    let first = names.clone().next();
    known(names.find(|name| !is_digest(name)).or(first).map(String::as_str))
}

fn is_digest(image: &str) -> bool {
    image.strip_prefix("sha256:").unwrap_or(image).bytes().all(|byte| byte.is_ascii_hexdigit()) && image.len() >= 64
}

/// Cleaned; nothing for an empty text.
pub(super) fn known(text: Option<&str>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(text::clean)
}

#[cfg(test)]
#[path = "facts_tests.rs"]
mod tests;
