//! The kubelet's part: pods up, and down again in the kubelet's order and with its arithmetic
//! (`killContainer` of `kuberuntime_container.go`, Kubernetes 1.29 and later).

use super::cri::Runtime;
use super::kind::kind;
use super::leftovers;
use super::pod::{OwnHook, PodSpec};
use crate::clock::{ExitWatch, boot_ns};
use crate::stamps::StampFile;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Below this the kubelet does not go (`minimumGracePeriodInSeconds`).
const LEAST_GRACE_S: i64 = 2;

/// Where pods serve, unless they say another port when they are ready.
const PORT: u16 = 8080;

/// The kubelet.
#[derive(Debug, Clone)]
pub struct Kubelet {
    /// For calls that a scenario makes itself.
    pub runtime: Runtime,
    root: PathBuf,
    pods: Arc<Mutex<Vec<(String, String)>>>,
}

/// A pod that is up.
#[derive(Debug, Clone)]
pub struct RunningPod {
    /// As it was asked for.
    pub spec: PodSpec,
    /// Its uid.
    pub uid: String,
    /// Its sandbox.
    pub sandbox: String,
    /// The containers' ids, in the order of the specification.
    pub containers: Vec<String>,
    /// The containers' inits as the node numbers them.
    pub pids: Vec<u32>,
    /// Its addresses; on the node's network the loopback device's.
    pub ips: Vec<IpAddr>,
    /// Where its server listens.
    pub server: SocketAddr,
    /// A folder that every container has as `/stamps`.
    pub stamps: PathBuf,
}

/// What the kubelet saw of one container's end; all in nanoseconds since boot.
#[derive(Debug, Clone)]
pub struct Ending {
    /// The preStop hook's begin, end and exit value.
    pub pre_stop: Option<(u64, u64, i32)>,
    /// When `StopContainer` was called and when it returned.
    pub stop: (u64, u64),
    /// Its timeout in seconds.
    pub timeout_s: i64,
    /// When the init was gone, by its pidfd.
    pub ended_at: u64,
    /// The exit value the runtime tells: 128+signal for a signal.
    pub exit_code: i32,
    /// And the reason it tells.
    pub reason: String,
}

impl Kubelet {
    pub(super) fn new(runtime: Runtime, root: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(root.join("pods"))?;
        Ok(Self { runtime, root: root.to_owned(), pods: Arc::default() })
    }

    /// Brings a pod up and waits until each victim is ready.
    pub fn run(&self, spec: &PodSpec) -> anyhow::Result<RunningPod> {
        let mut pod = self.start(spec)?;
        for container in spec.containers.iter().rev() {
            let ready = pod.stamps(&container.name).wait_for("ready")?;
            // the first container's; one without a listener says 0 or nothing
            pod.server.set_port(ready.detail.parse().ok().filter(|port| *port > 0).unwrap_or(PORT));
        }
        Ok(pod)
    }

    /// Brings a pod up that may not be ready yet.
    pub fn start(&self, spec: &PodSpec) -> anyhow::Result<RunningPod> {
        let mut uid = new_uid();
        if spec.is_static {
            // the hash of its manifest
            uid.retain(|c| c != '-');
        }
        let folder = self.root.join("pods").join(&uid);
        let (stamps, logs) = (folder.join("stamps"), folder.join("logs"));
        std::fs::create_dir_all(&stamps)?;
        std::fs::create_dir_all(&logs)?;
        std::fs::write(folder.join(leftovers::CGROUP), spec.cgroup(&uid))?;
        let sandbox_config = spec.sandbox_config(&uid, &logs);
        let sandbox = self.runtime.run_pod_sandbox(sandbox_config.clone())?;
        self.pods.lock().unwrap_or_else(PoisonError::into_inner).push((sandbox.clone(), spec.cgroup(&uid)));
        let (mut containers, mut pids) = (Vec::new(), Vec::new());
        for container in &spec.containers {
            let config = spec.container_config(container, &uid, &stamps, 0);
            let id = self.runtime.create_container(&sandbox, config, sandbox_config.clone())?;
            self.runtime.start_container(&id)?;
            pids.push(self.runtime.pid(&id)?);
            containers.push(id);
        }
        let mut ips = self.runtime.pod_ips(&sandbox)?;
        if spec.host_network {
            ips = vec![Ipv4Addr::LOCALHOST.into()];
        }
        let first = *ips.first().ok_or_else(|| anyhow::anyhow!("the sandbox has no address"))?;
        let server = SocketAddr::new(first, PORT);
        Ok(RunningPod { spec: spec.clone(), uid, sandbox, containers, pids, ips, server, stamps })
    }

    /// Ends a pod as the kubelet does: every container at once, then the sandbox.
    pub fn stop(&self, pod: &RunningPod) -> anyhow::Result<Vec<Ending>> {
        let endings = self.stop_containers(pod, i64::from(pod.spec.grace_s), LEAST_GRACE_S)?;
        self.stop_sandbox(pod)?;
        Ok(endings)
    }

    /// Ends a pod with no time at all, as `--grace-period=0 --force` once did and other agents do.
    pub fn stop_by_force(&self, pod: &RunningPod) -> anyhow::Result<Vec<Ending>> {
        let endings = self.stop_containers(pod, 0, 0)?;
        self.stop_sandbox(pod)?;
        Ok(endings)
    }

    /// The sandbox and what is left in it, and the pod's cgroup.
    pub fn stop_sandbox(&self, pod: &RunningPod) -> anyhow::Result<()> {
        self.runtime.stop_pod_sandbox(&pod.sandbox)?;
        leftovers::remove_cgroup(&pod.cgroup())
    }

    /// Ends one container and leaves the others alone, as after a failed liveness probe.
    pub fn stop_one(&self, pod: &RunningPod, index: usize) -> anyhow::Result<Ending> {
        self.stop_container(pod, index, i64::from(pod.spec.grace_s), LEAST_GRACE_S)
    }

    /// Starts a container again that has ended, in the pod's sandbox, and waits until it is ready once more.
    pub fn restart(&self, pod: &mut RunningPod, index: usize, attempt: u32) -> anyhow::Result<()> {
        let container = &pod.spec.containers[index];
        let stamps = pod.stamps(&container.name);
        let readiness = || stamps.all().iter().filter(|stamp| stamp.name == "ready").count();
        let before = readiness();
        let sandbox = pod.spec.sandbox_config(&pod.uid, &pod.stamps.with_file_name("logs"));
        let config = pod.spec.container_config(container, &pod.uid, &pod.stamps, attempt);
        let id = self.runtime.create_container(&pod.sandbox, config, sandbox)?;
        self.runtime.start_container(&id)?;
        pod.pids[index] = self.runtime.pid(&id)?;
        pod.containers[index] = id;
        let again = || (readiness() > before).then_some(());
        crate::clock::wait_until("a container that is ready again", Duration::from_secs(20), again)
    }

    /// The garbage collector's part.
    pub fn remove(&self, pod: &RunningPod) -> anyhow::Result<()> {
        self.runtime.remove_pod_sandbox(&pod.sandbox)?;
        self.pods.lock().unwrap_or_else(PoisonError::into_inner).retain(|(sandbox, _)| *sandbox != pod.sandbox);
        Ok(())
    }

    fn stop_containers(&self, pod: &RunningPod, grace_s: i64, least_s: i64) -> anyhow::Result<Vec<Ending>> {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..pod.containers.len())
                .map(|index| scope.spawn(move || self.stop_container(pod, index, grace_s, least_s)))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().map_err(|_| anyhow::anyhow!("the kubelet panicked"))?)
                .collect()
        })
    }

    fn stop_container(&self, pod: &RunningPod, index: usize, grace_s: i64, least_s: i64) -> anyhow::Result<Ending> {
        let id = &pod.containers[index];
        let watch = ExitWatch::on(pod.pids[index]);
        let begun = Instant::now();
        let spec = &pod.spec.containers[index];
        let pre_stop = match (&spec.pre_stop, spec.own_hook) {
            (Some(command), _) if grace_s > 0 => Some(self.pre_stop(id, command, grace_s)?),
            (None, Some(OwnHook::Sleep(seconds))) if grace_s > 0 => {
                let since = boot_ns();
                std::thread::sleep(Duration::from_secs(seconds.into()));
                Some((since, boot_ns(), 0))
            }
            _ => None,
        };
        // whole seconds only: a hook of 4.9 s costs 4
        let used_s = i64::try_from(begun.elapsed().as_secs())?;
        let timeout_s = (grace_s - used_s).max(least_s);
        let called = boot_ns();
        self.runtime.stop_container(id, timeout_s)?;
        let returned = boot_ns();
        let ended_at = watch?.ended_at()?;
        let status = self.runtime.status(id)?;
        Ok(Ending {
            pre_stop,
            stop: (called, returned),
            timeout_s,
            ended_at,
            exit_code: status.exit_code,
            reason: status.reason,
        })
    }

    /// Waits for the hook, but at most for the grace period; then it is left to itself.
    fn pre_stop(&self, id: &str, command: &[String], grace_s: i64) -> anyhow::Result<(u64, u64, i32)> {
        let (runtime, id, command) = (self.runtime.clone(), id.to_owned(), command.to_vec());
        let begun = boot_ns();
        let (sender, answer) = std::sync::mpsc::channel();
        std::thread::spawn(move || sender.send(runtime.exec_sync(&id, &command)));
        let limit = Duration::from_secs(u64::try_from(grace_s)?);
        let code = answer.recv_timeout(limit).unwrap_or(Ok(-1))?;
        Ok((begun, boot_ns(), code))
    }

    /// What removes every pod that is still there; for the end of the run.
    pub(super) fn removal(&self) -> impl FnOnce() -> anyhow::Result<()> + Send + 'static {
        let kubelet = self.clone();
        move || {
            let pods = std::mem::take(&mut *kubelet.pods.lock().unwrap_or_else(PoisonError::into_inner));
            let mut first_problem = Ok(());
            for (sandbox, cgroup) in pods {
                let runtime = &kubelet.runtime;
                let removed = runtime.stop_pod_sandbox(&sandbox).and_then(|()| runtime.remove_pod_sandbox(&sandbox));
                first_problem = first_problem.and(removed).and(leftovers::remove_cgroup(&cgroup));
            }
            first_problem
        }
    }
}

impl RunningPod {
    /// The stamps of the container of that name.
    pub fn stamps(&self, container: &str) -> StampFile {
        StampFile::at(&self.stamps.join(container))
    }

    /// Its cgroup below the root of a hierarchy.
    pub fn cgroup(&self) -> String {
        self.spec.cgroup(&self.uid)
    }

    /// Where its server is reached under its address of that family.
    pub fn server_over(&self, ipv6: bool) -> anyhow::Result<SocketAddr> {
        let ip = self.ips.iter().find(|ip| ip.is_ipv6() == ipv6);
        let ip = ip.ok_or_else(|| anyhow::anyhow!("the pod has only {:?}", self.ips))?;
        Ok(SocketAddr::new(*ip, self.server.port()))
    }

    /// What the container has printed so far, as the runtime logs it.
    pub fn printed(&self, container: &str) -> String {
        let log = self.stamps.with_file_name("logs").join(format!("{container}_0.log"));
        std::fs::read_to_string(log).unwrap_or_default()
    }

    /// The container's cgroup below the root of a hierarchy.
    pub fn container_cgroup(&self, index: usize) -> String {
        kind().container_cgroup(&self.cgroup(), &self.containers[index])
    }
}

/// A uid like those of the API server, unlike any other of this boot.
fn new_uid() -> String {
    let (now, pid) = (boot_ns(), std::process::id());
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        pid,
        now >> 48 & 0xffff,
        now >> 36 & 0xfff,
        now >> 24 & 0xfff,
        now & 0xffff_ffff_ffff
    )
}
