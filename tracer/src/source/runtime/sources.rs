//! Everything that can be asked who a pod or a container is, and in which order: the runtimes, then files.

use super::cri::{Cri, CriError};
use super::endpoint::Endpoint;
use super::facts;
use super::files::Places;
use super::resolve::Ask;
use crate::input::{BootNs, ContainerFacts, Input, PodFacts};
use k8s_cri::v1::{Container, PodSandbox};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::OnceCell;

/// What is known after an attempt.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) inputs: Vec<Input>,
    /// Asking again would tell no more.
    pub(super) complete: bool,
}

/// Everything that can be asked.
#[derive(Debug)]
pub(super) struct Sources {
    runtimes: Vec<Runtime>,
    places: Places,
}

impl Sources {
    /// Connects nowhere yet. Must be called inside a tokio runtime.
    pub(super) fn new(places: Places) -> Self {
        let mut runtimes = Vec::new();
        for text in &places.endpoints {
            match Endpoint::parse(text) {
                Ok(endpoint) => runtimes.push(Runtime::new(endpoint)),
                Err(why) => tracing::warn!("{why}"),
            }
        }
        Self { runtimes, places }
    }

    /// One attempt. `files`: what files can tell is wanted, too; `patient`: not as long as a runtime
    /// answers that it knows nothing yet.
    pub(super) async fn answer(&self, ask: &Ask, files: bool, patient: bool) -> Answer {
        let mut reached = false;
        for runtime in self.runtimes.iter().filter(|runtime| runtime.endpoint.exists()) {
            let now = self.places.now;
            let answer = match ask {
                Ask::Pod { uid } => runtime.pod(uid, now).await,
                Ask::Container { pod_uid, id } => runtime.container(pod_uid, id, now).await,
            };
            match runtime.noted(answer) {
                Some(inputs) if inputs.is_empty() => reached = true,
                Some(inputs) => return Answer { inputs, complete: true },
                None => {}
            }
        }
        if !files || (reached && patient) {
            return Answer::default();
        }
        Answer { inputs: self.look_up(ask.clone()).await, complete: false }
    }

    async fn look_up(&self, ask: Ask) -> Vec<Input> {
        let places = self.places.clone();
        let look = move || match ask {
            Ask::Pod { uid } => places.pod(&uid).map(Input::Pod).into_iter().collect(),
            Ask::Container { pod_uid, id } => places
                .container(&pod_uid, &id)
                .map(|(container, pod)| vec![Input::Pod(pod), Input::Container(container)])
                .unwrap_or_default(),
        };
        tokio::task::spawn_blocking(look).await.unwrap_or_default()
    }

    /// Pods of that name on this node: the runtimes' ready ones; if they know none, those with logs.
    pub(super) async fn pods_named(&self, namespace: Option<&str>, name: &str) -> Vec<PodFacts> {
        let mut found = BTreeMap::new();
        for runtime in self.runtimes.iter().filter(|runtime| runtime.endpoint.exists()) {
            let sandboxes = runtime.noted(runtime.cri.sandboxes(&[]).await).unwrap_or_default();
            let fits = |sandbox: &&PodSandbox| facts::is_ready(sandbox) && facts::is_named(sandbox, namespace, name);
            for sandbox in sandboxes.iter().filter(fits) {
                if let Some(uid) = facts::uid(sandbox) {
                    found.insert(uid.to_owned(), facts::pod(uid, sandbox, None, (self.places.now)()));
                }
            }
        }
        if !found.is_empty() {
            return found.into_values().collect();
        }
        let (places, namespace, name) = (self.places.clone(), namespace.map(str::to_owned), name.to_owned());
        let look = move || places.pods_named(namespace.as_deref(), &name);
        tokio::task::spawn_blocking(look).await.unwrap_or_default()
    }
}

/// A container runtime that may or may not be there.
#[derive(Debug)]
struct Runtime {
    endpoint: Endpoint,
    cri: Cri,
    /// Its name, once it was told.
    name: OnceCell<String>,
    /// A failure was logged, and it has not answered since.
    failing: AtomicBool,
}

impl Runtime {
    fn new(endpoint: Endpoint) -> Self {
        let cri = Cri::new(&endpoint);
        Self { endpoint, cri, name: OnceCell::new(), failing: AtomicBool::new(false) }
    }

    /// The answer, if there is one; of several failures in a row only the first is logged.
    fn noted<T>(&self, answer: Result<T, CriError>) -> Option<T> {
        match answer {
            Ok(answer) => {
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("container runtime {} answers again", self.endpoint);
                }
                Some(answer)
            }
            // docker's own containerd, for one, has no CRI
            Err(CriError::Unimplemented) => {
                tracing::debug!("{} is no CRI", self.endpoint);
                None
            }
            Err(error @ (CriError::Silent | CriError::Failed(_))) => {
                if !self.failing.swap(true, Ordering::Relaxed) {
                    let endpoint = &self.endpoint;
                    tracing::warn!("container runtime {endpoint}: {error}; pods may have no names until it answers");
                }
                None
            }
        }
    }

    /// Who a pod is; nothing if the runtime does not know it.
    async fn pod(&self, uid: &str, now: fn() -> BootNs) -> Result<Vec<Input>, CriError> {
        let mut sandboxes = self.cri.sandboxes(&[(facts::POD_UID, uid)]).await?;
        if sandboxes.is_empty() {
            // not made by a kubelet (crictl): then only the metadata has the uid
            sandboxes = self.cri.sandboxes(&[]).await?;
            sandboxes.retain(|sandbox| facts::uid(sandbox) == Some(uid));
        }
        let Some(sandbox) = facts::newest(sandboxes) else { return Ok(Vec::new()) };
        Ok(vec![Input::Pod(self.pod_facts(uid, &sandbox, now).await)])
    }

    async fn pod_facts(&self, uid: &str, sandbox: &PodSandbox, now: fn() -> BootNs) -> PodFacts {
        let status = self.cri.sandbox_status(&sandbox.id).await.ok().flatten();
        facts::pod(uid, sandbox, status.as_ref(), now())
    }

    /// Who a container is; nothing if the runtime does not know it. A sandbox is one, too, and then
    /// the pod's newest.
    async fn container(&self, pod_uid: &str, id: &str, now: fn() -> BootNs) -> Result<Vec<Input>, CriError> {
        if let Some(container) = self.cri.container(id).await? {
            return Ok(vec![Input::Container(self.container_facts(pod_uid, &container, now).await)]);
        }
        let Some(sandbox) = self.cri.sandbox(id).await? else { return Ok(Vec::new()) };
        let facts = facts::sandbox(pod_uid, &sandbox, self.name().await, now());
        Ok(vec![Input::Pod(self.pod_facts(pod_uid, &sandbox, now).await), Input::Container(facts)])
    }

    async fn container_facts(&self, pod_uid: &str, container: &Container, now: fn() -> BootNs) -> ContainerFacts {
        // whatever of this fails, the container has its name
        let answer = self.cri.container_status(&container.id).await.ok();
        let told = answer.as_ref().and_then(|answer| facts::container_stop_signal(answer.info.get("info")?));
        let stop_signal = match told {
            Some(signal) => Some(signal),
            None => self.image_stop_signal(container).await,
        };
        let status = answer.as_ref().and_then(|answer| answer.status.as_ref());
        facts::container(pod_uid, container, status, self.name().await, stop_signal, now())
    }

    async fn image_stop_signal(&self, container: &Container) -> Option<i32> {
        let image = container.image.as_ref()?;
        facts::image_stop_signal(&self.cri.image_info(&image.image).await.ok()??)
    }

    async fn name(&self) -> Option<String> {
        let ask = async || self.cri.version().await.map(|version| version.runtime);
        self.name.get_or_try_init(ask).await.ok().cloned()
    }
}
