//! The CRI calls a kubelet makes, blocking, over containerd's socket.

use crate::clock::scaled;
use hyper_util::rt::TokioIo;
use k8s_cri::v1::runtime_service_client::RuntimeServiceClient;
use k8s_cri::v1::{
    ContainerConfig, ContainerStatus, ContainerStatusRequest, CreateContainerRequest, ExecSyncRequest,
    PodSandboxConfig, PodSandboxStatusRequest, RemovePodSandboxRequest, RunPodSandboxRequest, StartContainerRequest,
    StopContainerRequest, StopPodSandboxRequest,
};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};

/// How long the runtime may take for what is no waiting.
const PATIENCE: Duration = Duration::from_secs(30);

/// A container runtime; clones share the connection.
#[derive(Debug, Clone)]
pub struct Runtime {
    executor: Arc<tokio::runtime::Runtime>,
    client: RuntimeServiceClient<Channel>,
}

impl Runtime {
    /// Connects to the socket.
    pub fn connect(socket: &Path) -> anyhow::Result<Self> {
        let executor = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let socket = socket.to_owned();
        let channel = executor.block_on(Endpoint::from_static("http://cri").connect_with_connector(
            tower::service_fn(move |_| {
                let socket = socket.clone();
                async move { tokio::net::UnixStream::connect(socket).await.map(TokioIo::new) }
            }),
        ))?;
        Ok(Self { executor: Arc::new(executor), client: RuntimeServiceClient::new(channel) })
    }

    pub(super) fn run_pod_sandbox(&self, config: PodSandboxConfig) -> anyhow::Result<String> {
        let request = RunPodSandboxRequest { config: Some(config), runtime_handler: String::new() };
        Ok(self.executor.block_on(self.client.clone().run_pod_sandbox(request))?.into_inner().pod_sandbox_id)
    }

    /// The pod's own addresses, the first one first; none on the node's network.
    pub(super) fn pod_ips(&self, sandbox: &str) -> anyhow::Result<Vec<std::net::IpAddr>> {
        let request = PodSandboxStatusRequest { pod_sandbox_id: sandbox.to_owned(), verbose: false };
        let status = self.executor.block_on(self.client.clone().pod_sandbox_status(request))?.into_inner().status;
        let network =
            status.and_then(|status| status.network).ok_or_else(|| anyhow::anyhow!("the sandbox has no network"))?;
        let all = std::iter::once(network.ip).chain(network.additional_ips.into_iter().map(|more| more.ip));
        Ok(all.filter(|ip| !ip.is_empty()).map(|ip| ip.parse()).collect::<Result<_, _>>()?)
    }

    pub(super) fn create_container(
        &self,
        sandbox: &str,
        config: ContainerConfig,
        pod: PodSandboxConfig,
    ) -> anyhow::Result<String> {
        let request = CreateContainerRequest {
            pod_sandbox_id: sandbox.to_owned(),
            config: Some(config),
            sandbox_config: Some(pod),
        };
        Ok(self.executor.block_on(self.client.clone().create_container(request))?.into_inner().container_id)
    }

    pub(super) fn start_container(&self, id: &str) -> anyhow::Result<()> {
        let request = StartContainerRequest { container_id: id.to_owned() };
        self.executor.block_on(self.client.clone().start_container(request))?;
        Ok(())
    }

    /// Runs a command in the container; its exit value. Like the kubelet's preStop: no timeout.
    pub fn exec_sync(&self, id: &str, command: &[String]) -> anyhow::Result<i32> {
        let request = ExecSyncRequest { container_id: id.to_owned(), cmd: command.to_vec(), timeout: 0 };
        Ok(self.executor.block_on(self.client.clone().exec_sync(request))?.into_inner().exit_code)
    }

    pub(super) fn stop_container(&self, id: &str, timeout_s: i64) -> anyhow::Result<()> {
        let request = StopContainerRequest { container_id: id.to_owned(), timeout: timeout_s };
        // the runtime waits for ever for a process that it cannot signal
        let limit = Duration::from_secs(u64::try_from(timeout_s)?) + scaled(PATIENCE);
        let mut client = self.client.clone();
        self.executor.block_on(async { tokio::time::timeout(limit, client.stop_container(request)).await })??;
        Ok(())
    }

    pub(super) fn stop_pod_sandbox(&self, id: &str) -> anyhow::Result<()> {
        let request = StopPodSandboxRequest { pod_sandbox_id: id.to_owned() };
        let mut client = self.client.clone();
        self.executor
            .block_on(async { tokio::time::timeout(scaled(PATIENCE), client.stop_pod_sandbox(request)).await })??;
        Ok(())
    }

    pub(super) fn remove_pod_sandbox(&self, id: &str) -> anyhow::Result<()> {
        let request = RemovePodSandboxRequest { pod_sandbox_id: id.to_owned() };
        self.executor.block_on(self.client.clone().remove_pod_sandbox(request))?;
        Ok(())
    }

    /// The container's status.
    pub fn status(&self, id: &str) -> anyhow::Result<ContainerStatus> {
        Ok(self.verbose_status(id)?.0)
    }

    /// The container's init as the node numbers it.
    pub fn pid(&self, id: &str) -> anyhow::Result<u32> {
        let info: serde_json::Value = serde_json::from_str(&self.verbose_status(id)?.1)?;
        let pid = info["pid"].as_u64().ok_or_else(|| anyhow::anyhow!("the runtime tells no pid: {info}"))?;
        Ok(u32::try_from(pid)?)
    }

    fn verbose_status(&self, id: &str) -> anyhow::Result<(ContainerStatus, String)> {
        let request = ContainerStatusRequest { container_id: id.to_owned(), verbose: true };
        let mut answer = self.executor.block_on(self.client.clone().container_status(request))?.into_inner();
        let status = answer.status.ok_or_else(|| anyhow::anyhow!("no status of container {id}"))?;
        Ok((status, answer.info.remove("info").unwrap_or_default()))
    }
}
