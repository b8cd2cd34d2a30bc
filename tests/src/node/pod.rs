//! Pods as the tests describe them, and the CRI configuration a kubelet makes of that.

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
    /// Arguments after the image's entry point.
    pub args: Vec<String>,
    /// The preStop hook's command.
    pub pre_stop: Option<Vec<String>>,
    /// Memory limit in MiB.
    pub memory_mib: Option<u32>,
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
            containers: vec![app],
        }
    }

    /// With another container.
    #[must_use]
    pub fn and(mut self, container: ContainerSpec) -> Self {
        self.containers.push(container);
        self
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
            annotations: strings(&[("kubernetes.io/config.source", "api")]),
            linux: Some(LinuxPodSandboxConfig {
                cgroup_parent: cgroup(uid),
                security_context: Some(LinuxSandboxSecurityContext {
                    namespace_options: Some(self.namespaces()),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    pub(super) fn container_config(&self, container: &ContainerSpec, uid: &str, stamps: &Path) -> ContainerConfig {
        let mut annotations = strings(&[
            ("io.kubernetes.container.hash", "1"),
            ("io.kubernetes.container.restartCount", "0"),
            ("io.kubernetes.container.terminationMessagePath", "/dev/termination-log"),
            ("io.kubernetes.container.terminationMessagePolicy", "File"),
            ("io.kubernetes.pod.terminationGracePeriod", &self.grace_s.to_string()),
        ]);
        if let Some(command) = &container.pre_stop {
            let handler = serde_json::json!({"exec": {"command": command}});
            annotations.insert("io.kubernetes.container.preStopHandler".to_owned(), handler.to_string());
        }
        let limit = container.memory_mib.map_or(0, |mib| i64::from(mib) << 20);
        ContainerConfig {
            metadata: Some(ContainerMetadata { name: container.name.clone(), attempt: 0 }),
            image: Some(ImageSpec { image: container.image.to_owned(), ..Default::default() }),
            args: container.args.clone(),
            mounts: vec![Mount {
                container_path: "/stamps".to_owned(),
                host_path: stamps.display().to_string(),
                ..Default::default()
            }],
            labels: self.labels(uid, &[("io.kubernetes.container.name", &container.name)]),
            annotations,
            log_path: format!("{}_0.log", container.name),
            linux: Some(LinuxContainerConfig {
                resources: Some(LinuxContainerResources {
                    memory_limit_in_bytes: limit,
                    memory_swap_limit_in_bytes: limit,
                    oom_score_adj: 999,
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
        Self { name: name.to_owned(), image: super::VICTIM_IMAGE, args, pre_stop: None, memory_mib: None }
    }

    /// A container that runs what its image says; nobody writes stamps there.
    pub fn of_image(name: &str, image: &'static str) -> Self {
        Self { name: name.to_owned(), image, args: Vec::new(), pre_stop: None, memory_mib: None }
    }
}

/// The pod's cgroup with the cgroupfs driver.
pub(super) fn cgroup(uid: &str) -> String {
    format!("/kubepods/burstable/pod{uid}")
}

fn strings(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}
