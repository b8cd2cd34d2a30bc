//! The few questions that are put to a container runtime, over its unix socket (CRI v1).
//!
//! Connects when first asked and again after every break, to whatever socket the path then names. No
//! question takes longer than [`PATIENCE`].

use super::endpoint::Endpoint;
use crate::text;
use hyper_util::rt::TokioIo;
use k8s_cri::v1::image_service_client::ImageServiceClient;
use k8s_cri::v1::runtime_service_client::RuntimeServiceClient;
use k8s_cri::v1::{
    Container, ContainerFilter, ContainerStatusRequest, ContainerStatusResponse, ImageSpec, ImageStatusRequest,
    ListContainersRequest, ListPodSandboxRequest, PodSandbox, PodSandboxFilter, PodSandboxStatus,
    PodSandboxStatusRequest, VersionRequest,
};
use std::collections::HashMap;
use std::fmt;
use std::time::Duration;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Uri};
use tonic::{Code, Response, Status};

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How large an answer may be; the kubelet's own bound.
const MAX_ANSWER: usize = 16 << 20;

/// Why a question has no answer.
#[derive(Debug)]
pub(super) enum CriError {
    /// Not within [`PATIENCE`].
    Silent,
    /// There is a gRPC server, but it has no CRI v1.
    Unimplemented,
    /// Anything else, in one line.
    Failed(String),
}

impl fmt::Display for CriError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => write!(f, "no answer within {} s", PATIENCE.as_secs()),
            Self::Unimplemented => f.write_str("no CRI v1 there"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

/// Who answers.
#[derive(Clone, Debug)]
pub(super) struct Version {
    /// `containerd`, `cri-o`, `docker`: what stands before `://` in Kubernetes' container ids.
    pub(super) runtime: String,
    version: String,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.runtime, self.version)
    }
}

/// A container runtime.
#[derive(Clone, Debug)]
pub(super) struct Cri {
    runtime: RuntimeServiceClient<Channel>,
    images: ImageServiceClient<Channel>,
}

impl Cri {
    /// Connects nowhere yet. Must be called inside a tokio runtime.
    pub(super) fn new(endpoint: &Endpoint) -> Self {
        let path = endpoint.path().to_owned();
        // the address is never used: the connector knows the socket
        let channel = Channel::builder(Uri::from_static("http://localhost")).connect_with_connector_lazy(
            tower::service_fn(move |_| {
                let path = path.clone();
                async move { UnixStream::connect(path).await.map(TokioIo::new) }
            }),
        );
        Self {
            runtime: RuntimeServiceClient::new(channel.clone()).max_decoding_message_size(MAX_ANSWER),
            images: ImageServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER),
        }
    }

    pub(super) async fn version(&self) -> Result<Version, CriError> {
        let request = VersionRequest { version: "v1".to_owned() };
        let answer = ask(self.runtime.clone().version(request)).await?;
        Ok(Version { runtime: text::clean(&answer.runtime_name), version: text::clean(&answer.runtime_version) })
    }

    /// Sandboxes with these labels; all for none.
    pub(super) async fn sandboxes(&self, labels: &[(&str, &str)]) -> Result<Vec<PodSandbox>, CriError> {
        let label_selector: HashMap<_, _> =
            labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.list_sandboxes(PodSandboxFilter { label_selector, ..Default::default() }).await
    }

    /// The sandbox with this id.
    pub(super) async fn sandbox(&self, id: &str) -> Result<Option<PodSandbox>, CriError> {
        let found = self.list_sandboxes(PodSandboxFilter { id: id.to_owned(), ..Default::default() }).await?;
        Ok(found.into_iter().find(|sandbox| sandbox.id == id))
    }

    async fn list_sandboxes(&self, filter: PodSandboxFilter) -> Result<Vec<PodSandbox>, CriError> {
        let request = ListPodSandboxRequest { filter: Some(filter) };
        Ok(ask(self.runtime.clone().list_pod_sandbox(request)).await?.items)
    }

    pub(super) async fn sandbox_status(&self, id: &str) -> Result<Option<PodSandboxStatus>, CriError> {
        let request = PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose: false };
        Ok(ask(self.runtime.clone().pod_sandbox_status(request)).await?.status)
    }

    /// The container with this id (sandboxes are none).
    pub(super) async fn container(&self, id: &str) -> Result<Option<Container>, CriError> {
        let filter = ContainerFilter { id: id.to_owned(), ..Default::default() };
        let request = ListContainersRequest { filter: Some(filter) };
        let found = ask(self.runtime.clone().list_containers(request)).await?.containers;
        Ok(found.into_iter().find(|container| container.id == id))
    }

    /// With the runtime's own view of the container.
    pub(super) async fn container_status(&self, id: &str) -> Result<ContainerStatusResponse, CriError> {
        let request = ContainerStatusRequest { container_id: id.to_owned(), verbose: true };
        ask(self.runtime.clone().container_status(request)).await
    }

    /// The runtime's own view of an image, as JSON.
    pub(super) async fn image_info(&self, image: &str) -> Result<Option<String>, CriError> {
        let image = Some(ImageSpec { image: image.to_owned(), ..Default::default() });
        let request = ImageStatusRequest { image, verbose: true };
        Ok(ask(self.images.clone().image_status(request)).await?.info.remove("info"))
    }
}

async fn ask<T>(question: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, CriError> {
    match tokio::time::timeout(PATIENCE, question).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(explain(&status)),
        Err(_) => Err(CriError::Silent),
    }
}

fn explain(status: &Status) -> CriError {
    if status.code() == Code::Unimplemented {
        return CriError::Unimplemented;
    }
    // the cause at the bottom says more than "transport error"
    let mut cause: &dyn std::error::Error = status;
    while let Some(below) = cause.source() {
        cause = below;
    }
    let why = if std::ptr::addr_eq(cause, status) { status.message().to_owned() } else { cause.to_string() };
    CriError::Failed(text::clean(&why).chars().take(200).collect())
}
