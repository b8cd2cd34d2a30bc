//! What the scenarios share: a tracer on a pod, the pod's end, and the facts that hold for each.

use gracetrace_tests::client::{self, Connection, Knocks, Release, Seen, Stage, Stages, Use};
use gracetrace_tests::clock::{ms_between, slow, wait_until};
use gracetrace_tests::command::QUIET;
use gracetrace_tests::counts::Counts;
use gracetrace_tests::facts::Facts;
use gracetrace_tests::node::{Ending, Node, PodSpec, RunningPod, kind};
use gracetrace_tests::recording;
use gracetrace_tests::suite::{NO_CGROUP, NotPossible};
use gracetrace_tests::tracer::{Finished, Tracer};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How far a latency in a container may lie from the harness's own clock.
pub(crate) const TOLERANCE_MS: f64 = 20.0;

/// The same on this machine; for what `Facts` does not scale by itself.
pub(crate) fn tolerance_ms() -> f64 {
    TOLERANCE_MS * slow()
}

/// How the victim of most scenarios is reached.
pub(crate) const PORT: [&str; 2] = ["--listen", "0.0.0.0:8080"];

/// A pod that is up, and gracetrace waiting for its end.
pub(crate) struct Traced<'a> {
    pub(crate) node: &'a Node,
    pub(crate) pod: RunningPod,
    tracer: Tracer,
    log: PathBuf,
    stages: Stages,
    clients: Vec<Connection>,
    _nobody_waits: Release,
}

/// The pod's end as the kubelet and the report have it.
pub(crate) struct Ended {
    pub(crate) pod: RunningPod,
    pub(crate) endings: Vec<Ending>,
    pub(crate) facts: Facts,
    /// What the clients saw, in their order, and what the late ones did.
    pub(crate) seen: Vec<Seen>,
    pub(crate) knocked: Vec<Seen>,
    finished: Finished,
    log: PathBuf,
}

impl<'a> Traced<'a> {
    /// Brings the pod up and starts `gracetrace --pod`.
    pub(crate) fn pod(node: &'a Node, spec: &PodSpec) -> anyhow::Result<Self> {
        let pod = node.kubelet.run(spec)?;
        let (tracer, log) = tracer_on(node, spec, &[])?;
        Ok(Self::begin(node, pod, tracer, log))
    }

    /// The same the other way round: what happens to the pod is seen from its first moment on.
    pub(crate) fn pod_to_come(node: &'a Node, spec: &PodSpec) -> anyhow::Result<Self> {
        let (arguments, log) = tracer_args(node, spec, &[]);
        let mut tracer = Tracer::start(arguments)?;
        tracer.wait_for_line("waiting for pod")?;
        let pod = node.kubelet.run(spec)?;
        tracer.wait_for_line(&tracing(spec))?;
        Ok(Self::begin(node, pod, tracer, log))
    }

    fn begin(node: &'a Node, pod: RunningPod, tracer: Tracer, log: PathBuf) -> Self {
        let stages = Stages::default();
        let release = Release(stages.clone());
        Self { node, pod, tracer, log, stages, clients: Vec::new(), _nobody_waits: release }
    }

    /// Opens connections from outside and gives the pod a quarter of a second to read what they said.
    pub(crate) fn open(&mut self, uses: impl IntoIterator<Item = Use>) -> anyhow::Result<()> {
        self.open_at(self.pod.server, uses)
    }

    /// The same under any of its addresses.
    pub(crate) fn open_at(&mut self, server: SocketAddr, uses: impl IntoIterator<Item = Use>) -> anyhow::Result<()> {
        self.clients.extend(client::open_all(server, uses, &self.stages)?);
        std::thread::sleep(Duration::from_millis(250));
        Ok(())
    }

    /// Ends the pod as the kubelet does, and reads the report.
    pub(crate) fn stop(self) -> anyhow::Result<Ended> {
        self.stop_while(|_| Ok(Vec::new()))
    }

    /// The same with late clients: so many, so often, once the stop has had its effect.
    pub(crate) fn stop_with_knocks(self, count: u32, every: Duration) -> anyhow::Result<Ended> {
        self.stop_while(|pod| Knocks::begin(pod.server, count, every).seen())
    }

    /// The same, doing something else once the stop has had its effect; it may bring late clients.
    pub(crate) fn stop_while(
        self,
        meanwhile: impl FnOnce(&RunningPod) -> anyhow::Result<Vec<Seen>>,
    ) -> anyhow::Result<Ended> {
        self.stop_by(|node, pod| node.kubelet.stop(pod), meanwhile)
    }

    /// Ends the pod with no time at all.
    pub(crate) fn stop_by_force(self) -> anyhow::Result<Ended> {
        self.stop_by(|node, pod| node.kubelet.stop_by_force(pod), |_| Ok(Vec::new()))
    }

    /// The same, as `stop` does it.
    pub(crate) fn stop_by(
        self,
        stop: impl FnOnce(&Node, &RunningPod) -> anyhow::Result<Vec<Ending>> + Send,
        meanwhile: impl FnOnce(&RunningPod) -> anyhow::Result<Vec<Seen>>,
    ) -> anyhow::Result<Ended> {
        let (node, pod, stages) = (self.node, &self.pod, &self.stages);
        let app = pod.stamps(&pod.spec.containers[0].name);
        let (endings, knocked) = std::thread::scope(|scope| {
            let kubelet = scope.spawn(|| stop(node, pod));
            let effect = || (app.first("handler").is_ok() || kubelet.is_finished()).then_some(());
            let _neither = wait_until("the stop's effect", Duration::from_secs(20), effect);
            std::thread::sleep(QUIET);
            stages.reach(Stage::Stopped);
            let knocked = meanwhile(pod);
            let endings = kubelet.join().map_err(|_| anyhow::anyhow!("the kubelet panicked"))?;
            stages.reach(Stage::Ended);
            anyhow::Ok((endings?, knocked?))
        })?;
        self.ended(endings, knocked)
    }

    /// The containers have ended by themselves: only the sandbox is left to stop.
    pub(crate) fn stop_sandbox(self) -> anyhow::Result<Ended> {
        self.node.kubelet.stop_sandbox(&self.pod)?;
        self.ended(Vec::new(), Vec::new())
    }

    fn ended(self, endings: Vec<Ending>, knocked: Vec<Seen>) -> anyhow::Result<Ended> {
        let finished = self.tracer.finish()?;
        self.stages.reach(Stage::Reported);
        let seen = client::seen_by_all(self.clients)?;
        self.node.kubelet.remove(&self.pod)?;
        let mut facts = Facts::of(finished.report()?);
        who(&mut facts, &self.pod);
        facts.complete();
        Ok(Ended { pod: self.pod, endings, facts, seen, knocked, finished, log: self.log })
    }
}

/// `gracetrace --pod` on this pod with more flags, once it traces, and where it records.
pub(crate) fn tracer_on(node: &Node, spec: &PodSpec, more: &[&str]) -> anyhow::Result<(Tracer, PathBuf)> {
    let (arguments, log) = tracer_args(node, spec, more);
    let mut tracer = Tracer::start(arguments)?;
    tracer.wait_for_line(&tracing(spec))?;
    Ok((tracer, log))
}

/// What it says once the pod is there.
pub(crate) fn tracing(spec: &PodSpec) -> String {
    format!("tracing {}/{}", spec.namespace, spec.name)
}

/// The command line for that.
pub(crate) fn tracer_args(node: &Node, spec: &PodSpec, more: &[&str]) -> (Vec<String>, PathBuf) {
    let log = node.scratch().join(format!("{}.jsonl", spec.name));
    let (endpoint, record) = (node.endpoint(), log.display().to_string());
    let whom = ["--pod", &spec.name, "-n", &spec.namespace, "--runtime-endpoint", &endpoint];
    let how = ["-o", "json", "--timeout", "60s", "--record", &record];
    ([&whom[..], &how, more].concat().into_iter().map(str::to_owned).collect(), log)
}

/// The pod's names, as its labels and annotations tell them.
pub(crate) fn who(facts: &mut Facts, pod: &RunningPod) {
    facts.is("/apiVersion", "gracetrace.dev/v1");
    facts.is("/kind", "ShutdownReport");
    facts.is("/scope", "Pod");
    facts.is("/pod/namespace", pod.spec.namespace.as_str());
    facts.is("/pod/name", pod.spec.name.as_str());
    facts.is("/pod/uid", pod.uid.as_str());
    facts.is("/pod/labels", serde_json::json!({"app": pod.spec.name}));
    facts.is("/pod/qosClass", "Burstable");
    facts.is("/pod/hostNetwork", pod.spec.host_network);
    facts.is("/pod/metadataSource", "cri");
    facts.is("/pod/terminationGracePeriodSeconds", f64::from(pod.spec.grace_s));
    facts.is("/pod/gracePeriodSource", "Annotations");
    let listed = facts.at("/containers").as_array().map_or(0, Vec::len);
    facts.holds(listed == pod.containers.len(), "every container, and no sandbox", &format!("there are {listed}"));
    for (index, container) in pod.spec.containers.iter().enumerate() {
        let at = facts.container(&container.name);
        facts.is(&format!("{at}/id"), format!("containerd://{}", pod.containers[index]));
        facts.is(&format!("{at}/image"), container.image);
        // App or Sidecar: the CRI does not tell, and one word too many would be a guess
        facts.is(&format!("{at}/type"), Value::Null);
        facts.is(&format!("{at}/initPid"), pod.pids[index]);
        facts.is(&format!("{at}/initComm"), container.comm);
        facts.is(&format!("{at}/restarts"), 0);
    }
}

impl Ended {
    /// The stop signal of a container: what, what became of it, and that the runtime sent it.
    pub(crate) fn stop_signal(&mut self, container: &str, signal: &str, result: &str, disposition: &str) {
        let at = format!("{}/stop", self.facts.container(container));
        self.facts.is(&format!("{at}/signal"), signal);
        self.facts.is(&format!("{at}/result"), result);
        self.facts.is(&format!("{at}/disposition"), disposition);
        self.sent_by_the_runtime(&at);
    }

    /// SIGKILL from the runtime, and the exit that follows it.
    pub(crate) fn killed(&mut self, container: &str, cause: &str) {
        let at = self.facts.container(container);
        self.facts.is(&format!("{at}/kill/cause"), cause);
        self.sent_by_the_runtime(&format!("{at}/kill"));
        self.exited(container, Err("SIGKILL"));
        let most = self.kill_to_exit_at_most(container, cause);
        self.facts.between(&format!("{at}/killToExitMs"), 0.0, most);
    }

    /// What the harness saw pass between the end of the grace period and the end: SIGKILL came no earlier, the exit no later.
    fn kill_to_exit_at_most(&self, container: &str, cause: &str) -> f64 {
        let index = self.pod.spec.containers.iter().position(|spec| spec.name == container);
        match index.and_then(|index| self.endings.get(index)) {
            Some(ending) if cause == "GracePeriodExpired" => {
                let grace_s = i32::try_from(ending.timeout_s).map_or(f64::NAN, f64::from);
                ms_between(ending.stop.0, ending.ended_at) - grace_s * 1e3 + slow()
            }
            Some(_) | None => 100.0 * slow(),
        }
    }

    fn sent_by_the_runtime(&mut self, at: &str) {
        self.facts.is(&format!("{at}/sender/comm"), kind().runtime);
        self.facts.is(&format!("{at}/sender/parentComm"), "containerd-shim");
    }

    /// It was not killed.
    pub(crate) fn not_killed(&mut self, container: &str) {
        let at = self.facts.container(container);
        self.facts.is(&format!("{at}/kill"), Value::Null);
    }

    /// How a container's init ended.
    pub(crate) fn exited(&mut self, container: &str, how: Result<i32, &str>) {
        let at = format!("{}/exit", self.facts.container(container));
        let (code, signal) =
            how.map_or_else(|signal| (Value::Null, Value::from(signal)), |code| (Value::from(code), Value::Null));
        self.facts.is(&format!("{at}/code"), code);
        self.facts.is(&format!("{at}/signal"), signal);
    }

    /// From stop signal to exit, against the victim's own stamps.
    pub(crate) fn took_what_the_victim_says(&mut self, container: &str) -> anyhow::Result<()> {
        let stamps = self.pod.stamps(container);
        let took = ms_between(stamps.first("handler")?.at_ns, stamps.first("exit")?.at_ns);
        let at = self.facts.container(container);
        self.took_from_handler(&at, took);
        Ok(())
    }

    /// From stop signal to exit, against the victim's handler and its init's pidfd.
    pub(crate) fn took_from_handler_to_end(&mut self, container: usize) -> anyhow::Result<()> {
        let name = self.pod.spec.containers[container].name.clone();
        let took = ms_between(self.pod.stamps(&name).first("handler")?.at_ns, self.endings[container].ended_at);
        let at = self.facts.container(&name);
        self.took_from_handler(&at, took);
        Ok(())
    }

    /// An init that blocks the signal has no handler that the kernel could see begin.
    fn took_from_handler(&mut self, at: &str, took: f64) {
        if self.facts.at(&format!("{at}/stop/deliveredMs")).is_number() {
            self.facts.handler_to_exit(at, took, TOLERANCE_MS);
        } else {
            let whole =
                self.endings.iter().map(|ending| ms_between(ending.stop.0, ending.ended_at)).fold(took, f64::max);
            self.facts.between(&format!("{at}/stopToExitMs"), took - slow(), whole + slow());
        }
    }

    /// From stop signal to exit, where nothing in the container could look: between the runtime's
    /// timeout and the span from `StopContainer` to the init's end.
    pub(crate) fn took_the_whole_timeout(&mut self, container: usize) {
        let ending = &self.endings[container];
        #[expect(clippy::cast_precision_loss, reason = "a few seconds")]
        let timeout = ending.timeout_s as f64 * 1e3;
        let call = ms_between(ending.stop.0, ending.ended_at);
        let at = self.facts.container(&self.pod.spec.containers[container].name.clone());
        self.facts.between(&format!("{at}/stopToExitMs"), timeout, call);
    }

    /// What follows rests on them.
    pub(crate) fn needs_cgroups_of_sockets(&self) -> anyhow::Result<()> {
        let sees = recording::sees(&self.log)?;
        if sees.on_host_network { Ok(()) } else { Err(NotPossible(NO_CGROUP.to_owned()).into()) }
    }

    /// The pod's counts, all exact, and each client as it saw its own end.
    pub(crate) fn connections(&mut self, expected: &Counts) {
        self.facts.counts(expected, true);
        let came_up = self.knocked.iter().filter(|knock| knock.end != client::End::Refused);
        self.facts.details_are(self.seen.iter().chain(came_up));
    }

    /// All facts, and the log replays to the same bytes.
    pub(crate) fn verdict(self) -> anyhow::Result<Vec<String>> {
        let facts = self.facts.verdict()?;
        recording::replays(&self.log, &self.finished, &format!("pod-{}", self.pod.spec.name))?;
        Ok(facts)
    }
}

/// So many milliseconds on a machine as fast as usual, after which something happens that is to be traced from its beginning.
pub(crate) fn once_traced(ms: u64) -> String {
    (if slow() > 1.0 { ms * 5 } else { ms }).to_string()
}
