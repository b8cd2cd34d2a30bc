//! Who a pod and a container are, from the container runtime (CRI), from files that the kubelet and the
//! runtimes leave on the node, or not at all.
//!
//! Nothing here is needed for a report: it is asked in the background, and an answer that does not
//! come is a name that stays unknown.

mod cri;
mod endpoint;
mod facts;
mod files;
mod resolve;
mod sources;

use crate::input::{Input, PodFacts};
use endpoint::Endpoint;
use files::Places;
use resolve::Ask;
use sources::Sources;
use tokio::sync::mpsc;

/// How many questions may wait for the resolver to take them.
const QUEUE: usize = 4_096;

/// A running resolver: asks in the background, answers with [`Input::Pod`] and [`Input::Container`].
/// It ends when this is dropped, or when nobody takes its answers any more.
#[derive(Debug)]
pub struct Resolver {
    asks: mpsc::Sender<Ask>,
}

/// Where names may come from; for `doctor`.
#[derive(Clone, Debug)]
pub struct RuntimeStatus {
    /// The endpoint that was tried.
    pub endpoint: String,
    /// `containerd 1.6.20`, or why it does not answer.
    pub answer: Result<String, String>,
}

impl Resolver {
    /// Starts it. `endpoint` (from `--runtime-endpoint`) wins over the usual places. Never fails: without a runtime it uses what is left.
    /// Must be called inside a tokio runtime.
    pub fn spawn(endpoint: Option<String>, inputs: mpsc::Sender<Input>) -> Self {
        let (asks, queue) = mpsc::channel(QUEUE);
        tokio::spawn(resolve::run(places(endpoint), queue, inputs));
        Self { asks }
    }

    /// A pod's cgroup was seen: find out who it is, trying for a while.
    pub fn pod_seen(&self, uid: &str) {
        self.ask(Ask::Pod { uid: uid.to_owned() });
    }

    /// A container's cgroup was seen: find out who it and its pod are, trying for a while.
    pub fn container_seen(&self, pod_uid: &str, container_id: &str) {
        self.ask(Ask::Container { pod_uid: pod_uid.to_owned(), id: container_id.to_owned() });
    }

    fn ask(&self, ask: Ask) {
        // a name is not worth waiting for
        if let Err(error) = self.asks.try_send(ask) {
            tracing::debug!("a pod or container will have no name: {error}");
        }
    }
}

/// Checks an endpoint that was asked for by name: one line if it is no such thing or refuses.
pub async fn check_endpoint(endpoint: &str) -> Result<String, String> {
    Endpoint::parse(endpoint)?.check().await
}

/// Tries every usual endpoint, or only the given one.
pub async fn probe_endpoints(endpoint: Option<&str>) -> Vec<RuntimeStatus> {
    let mut found = Vec::new();
    for endpoint in places(endpoint.map(str::to_owned)).endpoints {
        let answer = check_endpoint(&endpoint).await;
        found.push(RuntimeStatus { endpoint, answer });
    }
    found
}

/// Pods of that name on this node, in every namespace unless one is given: the ready ones that a
/// container runtime knows; if none knows one, those with a folder of logs (also ended ones: their
/// uid has no cgroup).
pub async fn pods_named(endpoint: Option<&str>, namespace: Option<&str>, name: &str) -> Vec<PodFacts> {
    Sources::new(places(endpoint.map(str::to_owned))).pods_named(namespace, name).await
}

/// The usual places, but only the given endpoint if there is one.
fn places(endpoint: Option<String>) -> Places {
    let usual = Places::default();
    Places { endpoints: endpoint.map_or(usual.endpoints, |endpoint| vec![endpoint]), ..usual }
}
