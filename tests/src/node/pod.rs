//! Pods as the tests describe them, and the CRI configuration a kubelet makes of that.

use super::kind::kind;
use k8s_cri::v1::{
    ContainerConfig, ContainerMetadata, ImageSpec, LinuxContainerConfig, LinuxContainerResources,
    LinuxContainerSecurityContext, LinuxPodSandboxConfig, LinuxSandboxSecurityContext, Mount, NamespaceMode,
    NamespaceOption, PodSandboxConfig, PodSandboxMetadata,
};
use std::collections::HashMap;
use std::path::Path;

/// A pod.
#[derive(Debug, Clone)]
pub struct PodSpec {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// `terminationGracePeriodSeconds`.
    pub grace_s: u32,
    /// `shareProcessNamespace`.
    pub share_pids: bool,
    /// `hostNetwork`.
    pub host_network: bool,
    /// From a manifest on the node, as the control plane's own pods are, and not from the API.
    pub is_static: bool,
    /// Of a cluster that runs in a container of this node, as kind's do.
    pub is_nested: bool,
    /// Its containers.
    pub containers: Vec<ContainerSpec>,
}

/// A container.
#[derive(Debug, Clone)]
pub struct ContainerSpec {
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: &'static str,
    /// What runs instead of the image's entrypoint; that itself if empty.
    pub command: Vec<String>,
    /// The arguments after it.
    pub args: Vec<String>,
    /// What its main process is called once it is up; empty if its image says.
    pub comm: &'static str,
    /// The preStop hook's command.
    pub pre_stop: Option<Vec<String>>,
    /// A preStop hook that the kubelet carries out itself.
    pub own_hook: Option<OwnHook>,
    /// Memory limit in MiB.
    pub memory_mib: Option<u32>,
    /// Whether the OOM killer takes all of the container at once, as the kubelet asks for since 1.28 on cgroup v2.
    pub oom_group: bool,
}

/// A preStop hook without a program.
#[derive(Debug, Clone, Copy)]
pub enum OwnHook {
    /// The kubelet waits that many seconds.
    Sleep(u32),
    /// The kubelet calls that port; here somebody else does, for the scenario that declares it.
    HttpGet(u16),
}

impl PodSpec {
    /// A pod with one container `app` that runs the victim on port 8080 with these arguments.
    pub fn new(name: &str, grace_s: u32, victim_args: &[&str]) -> Self {
        let app = ContainerSpec::new("app", victim_args);
        Self {
            name: name.to_owned(),
            namespace: "gracetrace-tests".to_owned(),
            grace_s,
            share_pids: false,
            host_network: false,
            is_static: false,
            is_nested: false,
            containers: vec![app],
        }
    }

    /// With another container.
    #[must_use]
    pub fn and(mut self, container: ContainerSpec) -> Self {
        self.containers.push(container);
        self
    }

    /// Its cgroup below the root of a hierarchy.
    pub(super) fn cgroup(&self, uid: &str) -> String {
        kind().pod_cgroup(uid, self.is_nested)
    }

    /// The first part of that, a name.
    pub fn top_cgroup(&self) -> String {
        self.cgroup("").split('/').find(|part| !part.is_empty()).unwrap_or_default().to_owned()
    }

    pub(super) fn sandbox_config(&self, uid: &str, logs: &Path) -> PodSandboxConfig {
        PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: self.name.clone(),
                uid: uid.to_owned(),
                namespace: self.namespace.clone(),
                attempt: 0,
            }),
            // the node's network comes with the node's name
            hostname: if self.host_network { String::new() } else { self.name.clone() },
            log_directory: logs.display().to_string(),
            labels: self.labels(uid, &[("app", &self.name)]),
            annotations: if self.is_static {
                strings(&[("kubernetes.io/config.source", "file"), ("kubernetes.io/config.hash", uid)])
            } else {
                strings(&[("kubernetes.io/config.source", "api")])
            },
            linux: Some(LinuxPodSandboxConfig {
                cgroup_parent: self.cgroup(uid),
                security_context: Some(LinuxSandboxSecurityContext {
                    namespace_options: Some(self.namespaces()),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    /// `attempt`: how often it was started before.
    pub(super) fn container_config(
        &self,
        container: &ContainerSpec,
        uid: &str,
        stamps: &Path,
        attempt: u32,
    ) -> ContainerConfig {
        let mut annotations = strings(&[
            ("io.kubernetes.container.hash", "1"),
            ("io.kubernetes.container.restartCount", &attempt.to_string()),
            ("io.kubernetes.container.terminationMessagePath", "/dev/termination-log"),
            ("io.kubernetes.container.terminationMessagePolicy", "File"),
            ("io.kubernetes.pod.terminationGracePeriod", &self.grace_s.to_string()),
        ]);
        if let Some(handler) = container.hook() {
            annotations.insert("io.kubernetes.container.preStopHandler".to_owned(), handler.to_string());
        }
        let limit = container.memory_mib.map_or(0, |mib| i64::from(mib) << 20);
        ContainerConfig {
            metadata: Some(ContainerMetadata { name: container.name.clone(), attempt }),
            image: Some(ImageSpec { image: container.image.to_owned(), ..Default::default() }),
            command: container.command.clone(),
            args: container.args.clone(),
            mounts: vec![Mount {
                container_path: "/stamps".to_owned(),
                host_path: stamps.display().to_string(),
                ..Default::default()
            }],
            labels: self.labels(uid, &[("io.kubernetes.container.name", &container.name)]),
            annotations,
            log_path: format!("{}_{attempt}.log", container.name),
            linux: Some(LinuxContainerConfig {
                resources: Some(LinuxContainerResources {
                    memory_limit_in_bytes: limit,
                    memory_swap_limit_in_bytes: limit,
                    oom_score_adj: 999,
                    unified: if container.oom_group { strings(&[("memory.oom.group", "1")]) } else { HashMap::new() },
                    ..Default::default()
                }),
                security_context: Some(LinuxContainerSecurityContext {
                    namespace_options: Some(self.namespaces()),
                    ..Default::default()
                }),
            }),
            ..Default::default()
        }
    }

    fn namespaces(&self) -> NamespaceOption {
        // the default of the field is POD, where PID 1 would be the sandbox
        let pid = if self.share_pids { NamespaceMode::Pod } else { NamespaceMode::Container };
        let network = if self.host_network { NamespaceMode::Node } else { NamespaceMode::Pod };
        NamespaceOption { pid: pid.into(), network: network.into(), ..Default::default() }
    }

    fn labels(&self, uid: &str, more: &[(&str, &str)]) -> HashMap<String, String> {
        let mut labels = strings(more);
        labels.extend(strings(&[
            ("io.kubernetes.pod.name", &self.name),
            ("io.kubernetes.pod.namespace", &self.namespace),
            ("io.kubernetes.pod.uid", uid),
        ]));
        labels
    }
}

impl ContainerSpec {
    /// A container that runs the victim with these arguments; its stamps go to `<name>` in `/stamps`.
    pub fn new(name: &str, victim_args: &[&str]) -> Self {
        let mut args = vec!["--stamps".to_owned(), format!("/stamps/{name}")];
        args.extend(victim_args.iter().map(|&arg| arg.to_owned()));
        Self {
            name: name.to_owned(),
            image: super::VICTIM_IMAGE,
            command: Vec::new(),
            args,
            comm: "victim",
            pre_stop: None,
            own_hook: None,
            memory_mib: None,
            oom_group: false,
        }
    }

    /// A container whose main process is a shell with this script; `$victim` in it is the victim with this
    /// container's stamps.
    pub fn script(name: &str, script: &str) -> Self {
        let script = script.replace("$victim", &format!("/victim --stamps /stamps/{name}"));
        let command = ["/bin/sh", "-c", &script].map(str::to_owned).to_vec();
        Self { command, args: Vec::new(), comm: "sh", ..Self::new(name, &[]) }
    }

    /// The hook as the pod declares it.
    fn hook(&self) -> Option<serde_json::Value> {
        if let Some(command) = &self.pre_stop {
            return Some(serde_json::json!({"exec": {"command": command}}));
        }
        self.own_hook.map(|hook| match hook {
            OwnHook::Sleep(seconds) => serde_json::json!({"sleep": {"seconds": seconds}}),
            OwnHook::HttpGet(port) => serde_json::json!({"httpGet": {"path": "/", "port": port, "scheme": "HTTP"}}),
        })
    }

    /// A container that runs what its image says; nobody writes stamps there.
    pub fn of_image(name: &str, image: &'static str) -> Self {
        Self { image, args: Vec::new(), comm: "", ..Self::new(name, &[]) }
    }
}

fn strings(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}
