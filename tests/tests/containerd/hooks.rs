//! `preStop` hooks that are no program in the container, those that just make it, and what is no hook.

use crate::outside::Outside;
use crate::play::{PORT, TOLERANCE_MS, Traced};
use gracetrace_tests::clock::{ms_between, slow};
use gracetrace_tests::node::{Node, OwnHook, PodSpec};
use serde_json::Value;
use std::time::Duration;

/// The hook's server takes its time.
const ANSWERED_AFTER_MS: f64 = 600.0;
/// A hook that has ended longer before the stop signal is not taken for its own.
const BELONGS_MS: f64 = 250.0;

fn server(name: &str, grace_s: u32) -> PodSpec {
    PodSpec::new(name, grace_s, &[PORT[0], PORT[1], "graceful"])
}

/// `sleep: {seconds: 2}`: the kubelet waits itself, and nothing of it is seen in the container.
pub(crate) fn kind_sleep(node: &Node) -> anyhow::Result<Vec<String>> {
    let mut spec = server("prestop-kind-sleep", 10);
    spec.containers[0].own_hook = Some(OwnHook::Sleep(2));
    let mut ended = Traced::pod(node, &spec)?.stop()?;
    ended.facts.is("/outcome", "Graceful");
    for (field, value) in [
        ("kind", "Sleep".into()),
        ("knownBy", "Declaration".into()),
        ("exitCode", Value::Null),
        ("signal", Value::Null),
    ] {
        ended.facts.is(&format!("/containers/0/preStop/{field}"), value);
    }
    ended.facts.is("/containers/0/preStop/startMs", 0.0);
    ended.facts.near("/containers/0/preStop/endMs", 2000.0, 1.0);
    ended.facts.near("/containers/0/stop/atMs", 2000.0, 1.0);
    ended.stop_signal("app", "SIGTERM", "Delivered", "Handler");
    ended.took_what_the_victim_says("app")?;
    ended.facts.between("/gracePeriodUsedRatio", 0.2, (0.2 + 0.05 * slow()).min(0.49));
    ended.facts.findings(&[]);
    ended.verdict()
}

/// `httpGet`: a call of the kubelet that takes 600 ms, just before it stops the container.
pub(crate) fn http_get(node: &Node) -> anyhow::Result<Vec<String>> {
    let mut spec = server("prestop-http-get", 10);
    spec.containers[0].own_hook = Some(OwnHook::HttpGet(8080));
    let traced = Traced::pod(node, &spec)?;
    let mut call = None;
    let mut ended = traced.stop_by(
        |node, pod| {
            let kubelet = Outside::start(
                node,
                "kubelet",
                &["knock", &pod.server.to_string(), "1", "0", &ANSWERED_AFTER_MS.to_string()],
            )?;
            let stamps = kubelet.stamps.clone();
            anyhow::ensure!(kubelet.counts(["answered"])? == [1], "the hook was not answered");
            call = Some((stamps.first("calls")?.at_ns, stamps.first("answered")?.at_ns));
            node.kubelet.stop(pod)
        },
        |_| Ok(Vec::new()),
    )?;
    let (called, answered) = call.ok_or_else(|| anyhow::anyhow!("no call"))?;
    ended.facts.is("/outcome", "Graceful");
    ended.facts.is("/containers/0/preStop/kind", "HttpGet");
    let handler = ended.pod.stamps("app").first("handler")?.at_ns;
    // The stop signal may come too long after the call to belong to it, and in an emulator the kernel may come to the call's SYN when the
    // kubelet has left the processor to ksoftirqd. Then nothing may be said of the times.
    let is_late = ms_between(called, handler) - ANSWERED_AFTER_MS > BELONGS_MS;
    if (is_late || slow() > 1.0) && *ended.facts.at("/containers/0/preStop/knownBy") == "Declaration" {
        ended.facts.is("/containers/0/preStop/startMs", Value::Null);
        ended.facts.is("/containers/0/preStop/endMs", Value::Null);
    } else {
        ended.facts.is("/containers/0/preStop/knownBy", "Timing");
        ended.facts.is("/containers/0/preStop/startMs", 0.0);
        ended.facts.near("/containers/0/preStop/endMs", ms_between(called, answered), TOLERANCE_MS);
        ended.facts.near("/containers/0/stop/deliveredMs", ms_between(called, handler), TOLERANCE_MS);
    }
    ended.stop_signal("app", "SIGTERM", "Delivered", "Handler");
    ended.took_what_the_victim_says("app")?;
    ended.facts.findings(&[]);
    ended.verdict()
}

/// The hook is done just before the grace period is over: it has eaten it, and not overrun it.
pub(crate) fn in_time(node: &Node) -> anyhow::Result<Vec<String>> {
    // how long the runtime takes to start the hook counts too
    let (grace_s, hook) = (12, "10");
    let mut spec = server("prestop-in-time", grace_s);
    spec.containers[0].pre_stop = Some(["/bin/sleep", hook].map(str::to_owned).to_vec());
    let mut ended = Traced::pod(node, &spec)?.stop()?;
    ended.facts.is("/outcome", "Graceful");
    ended.exited("app", Ok(0));
    ended.not_killed("app");
    ended.facts.is("/containers/0/preStop/exitCode", 0);
    ended.facts.findings(&["prestop-ate-grace-period", "slow-exit"]);
    ended.verdict()
}

/// Probes run programs in the container too: one that has just ended, one that is still running. No hook is
/// declared, so none ran.
pub(crate) fn exec_probe(node: &Node) -> anyhow::Result<Vec<String>> {
    let traced = Traced::pod(node, &server("exec-probe", 8))?;
    let (runtime, id) = (node.kubelet.runtime.clone(), traced.pod.containers[0].clone());
    let hanging = {
        let (runtime, id) = (runtime.clone(), id.clone());
        std::thread::spawn(move || runtime.exec_sync(&id, &["/bin/sleep", "20"].map(str::to_owned)))
    };
    std::thread::sleep(Duration::from_millis(300));
    runtime.exec_sync(&id, &["/bin/sleep", "0.2"].map(str::to_owned))?;
    let mut ended = traced.stop()?;
    let _cut = hanging.join();
    ended.facts.is("/outcome", "Graceful");
    ended.facts.is("/containers/0/preStop", Value::Null);
    ended.facts.timeline("PreStopStarted", 0);
    ended.exited("app", Ok(0));
    ended.not_killed("app");
    ended.took_what_the_victim_says("app")?;
    for (what, count) in [("unsignalled", 0), ("killedByPidNamespace", 1), ("execsKilled", 1)] {
        ended.facts.is(&format!("/containers/0/processes/{what}"), count);
    }
    ended.facts.findings(&[]);
    ended.verdict()
}
