//! Who a pod and a container are, from the container runtime (CRI), `/var/log/pods`, or not at all.

use crate::input::Input;
use tokio::sync::mpsc;

/// A running resolver: asks in the background, answers with [`Input::Pod`] and [`Input::Container`].
#[derive(Debug)]
pub struct Resolver {}

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
    pub fn spawn(_endpoint: Option<String>, _inputs: mpsc::Sender<Input>) -> Self {
        todo!()
    }

    /// A pod's cgroup was seen: find out who it is, trying for a while.
    pub fn pod_seen(&self, _uid: &str) {
        todo!()
    }

    /// A container's cgroup was seen: find out who it is, trying for a while.
    pub fn container_seen(&self, _pod_uid: &str, _container_id: &str) {
        todo!()
    }
}

/// Checks an endpoint that was asked for by name: one line if it is no such thing or refuses.
pub async fn check_endpoint(_endpoint: &str) -> Result<String, String> {
    todo!()
}

/// Tries every usual endpoint, or only the given one.
pub async fn probe_endpoints(_endpoint: Option<&str>) -> Vec<RuntimeStatus> {
    todo!()
}
