//! Pods that end by themselves after their stop signal.

use crate::play::{PORT, TOLERANCE_MS, Traced, tolerance_ms};
use gracetrace_tests::client::{self, End, Use};
use gracetrace_tests::clock::slow;
use gracetrace_tests::counts::Counts;
use gracetrace_tests::node::{Node, PodSpec, VICTIM_QUIT_IMAGE};
use std::time::Duration;

/// Two requests in flight are answered, the listener is closed, exit 0.
pub(crate) fn graceful_server(node: &Node) -> anyhow::Result<Vec<String>> {
    let mut traced = Traced::pod(node, &PodSpec::new("graceful-server", 8, &[PORT[0], PORT[1], "graceful"]))?;
    traced.open([Use::Asks(900), Use::Asks(1100)])?;
    let mut ended = traced.stop()?;
    ended.facts.holds(
        client::count(&ended.seen, End::Eof) == 2 && ended.seen.iter().all(|one| one.answers == 1),
        "both clients were answered",
        "they were not",
    );
    ended.facts.is("/outcome", "Graceful");
    ended.stop_signal("app", "SIGTERM", "Delivered", "Handler");
    ended.exited("app", Ok(0));
    ended.not_killed("app");
    ended.took_what_the_victim_says("app")?;
    ended.connections(&Counts { open_at_stop: 2, closed_gracefully: 2, ..Counts::default() });
    let stamps = ended.pod.stamps("app");
    let stop_at = ended.facts.ms("/containers/0/stop/atMs");
    ended.facts.listener_closed("/containers/0", stop_at, TOLERANCE_MS, |name| Ok(stamps.first(name)?.at_ns))?;
    ended.facts.near("/containers/0/stop/deliveredMs", stop_at, TOLERANCE_MS);
    ended.facts.findings(&[]);
    for (event, times) in [
        ("StopSignalSent", 1),
        ("StopSignalHandled", 1),
        ("ListenerClosed", 1),
        ("ContainerExited", 1),
        ("SandboxExited", 1),
        ("KillSent", 0),
    ] {
        ended.facts.timeline(event, times);
    }
    ended.verdict()
}

/// Exits at 90 % of the grace period.
pub(crate) fn slow_drain(node: &Node) -> anyhow::Result<Vec<String>> {
    // the runtime has to hear of the exit in the tenth that is left, or it sends SIGKILL
    let (grace_s, drain) = if slow() > 1.0 { (20, "18000") } else { (10, "9000") };
    let traced = Traced::pod(node, &PodSpec::new("slow-drain", grace_s, &["slow-drain", drain]))?;
    let mut ended = traced.stop()?;
    ended.facts.is("/outcome", "Graceful");
    ended.exited("app", Ok(0));
    ended.not_killed("app");
    ended.took_what_the_victim_says("app")?;
    ended.facts.between("/gracePeriodUsedRatio", 0.9, (0.9 + 0.02 * slow()).min(0.99));
    ended.facts.findings(&["slow-exit"]);
    ended.verdict()
}

fn with_hook(name: &str, grace_s: u32, command: &[&str]) -> PodSpec {
    let mut spec = PodSpec::new(name, grace_s, &[PORT[0], PORT[1], "graceful"]);
    spec.containers[0].pre_stop = Some(command.iter().map(|&word| word.to_owned()).collect());
    spec
}

/// A hook of two seconds; the stop signal comes after it.
pub(crate) fn prestop_sleep(node: &Node) -> anyhow::Result<Vec<String>> {
    let mut ended = Traced::pod(node, &with_hook("prestop-sleep", 10, &["/bin/sleep", "2"]))?.stop()?;
    ended.facts.is("/outcome", "Graceful");
    ended.facts.is("/containers/0/preStop/kind", "Exec");
    ended.facts.is("/containers/0/preStop/startMs", 0.0);
    ended.facts.is("/containers/0/preStop/exitCode", 0);
    let took = ended.facts.ms("/containers/0/preStop/endMs");
    ended.facts.holds(
        (took - 2000.0).abs() <= tolerance_ms(),
        "the hook took 2000 ± 20 ms",
        &format!("it took {took}"),
    );
    let stop_at = ended.facts.ms("/containers/0/stop/atMs");
    ended.facts.holds(stop_at > took, "the stop signal came after the hook", &format!("it came at {stop_at}"));
    ended.stop_signal("app", "SIGTERM", "Delivered", "Handler");
    ended.took_what_the_victim_says("app")?;
    ended.facts.findings(&[]);
    ended.facts.timeline("PreStopStarted", 1);
    ended.facts.timeline("PreStopEnded", 1);
    ended.verdict()
}

/// A hook that ends with 3.
pub(crate) fn prestop_fails(node: &Node) -> anyhow::Result<Vec<String>> {
    let mut ended = Traced::pod(node, &with_hook("prestop-fails", 10, &["/bin/sh", "-c", "exit 3"]))?.stop()?;
    let code = ended.endings[0].pre_stop.map(|(_, _, code)| code);
    ended.facts.holds(code == Some(3), "the kubelet saw 3", &format!("{code:?}"));
    ended.facts.is("/outcome", "Graceful");
    ended.facts.is("/containers/0/preStop/exitCode", 3);
    ended.facts.findings(&["prestop-failed"]);
    ended.verdict()
}

/// A hook that uses over half of the grace period.
pub(crate) fn prestop_eats(node: &Node) -> anyhow::Result<Vec<String>> {
    // how long the runtime takes to start the hook, and to stop the container, counts too
    let (grace_s, hook) = (12, "7.5");
    let mut ended = Traced::pod(node, &with_hook("prestop-eats", grace_s, &["/bin/sleep", hook]))?.stop()?;
    ended.facts.is("/outcome", "Graceful");
    ended.facts.is("/containers/0/preStop/exitCode", 0);
    ended.facts.findings(&["prestop-ate-grace-period"]);
    ended.verdict()
}

/// `STOPSIGNAL SIGQUIT` in the image.
pub(crate) fn stopsignal_quit(node: &Node) -> anyhow::Result<Vec<String>> {
    let mut spec = PodSpec::new("stopsignal-quit", 8, &[PORT[0], PORT[1], "quit"]);
    spec.containers[0].image = VICTIM_QUIT_IMAGE;
    let mut ended = Traced::pod(node, &spec)?.stop()?;
    ended.facts.is("/outcome", "Graceful");
    ended.stop_signal("app", "SIGQUIT", "Delivered", "Handler");
    ended.exited("app", Ok(0));
    ended.took_what_the_victim_says("app")?;
    ended.facts.findings(&["stop-signal-not-sigterm"]);
    ended.verdict()
}

/// A tini-like PID 1 blocks the signal, fetches it with sigwait and forwards it.
pub(crate) fn init_wrapper(node: &Node) -> anyhow::Result<Vec<String>> {
    let server = ["init", "/victim", "--stamps", "/stamps/app", PORT[0], PORT[1], "graceful"];
    let mut traced = Traced::pod(node, &PodSpec::new("init-wrapper", 8, &server))?;
    traced.open([Use::Served])?;
    let mut ended = traced.stop()?;
    ended.facts.holds(client::count(&ended.seen, End::Eof) == 1, "the client saw an orderly end", "it did not");
    ended.facts.is("/outcome", "Graceful");
    ended.stop_signal("app", "SIGTERM", "Delivered", "Blocked");
    ended.exited("app", Ok(0));
    ended.facts.is("/containers/0/stop/deliveredMs", serde_json::Value::Null);
    for (what, count) in [("seen", 2), ("signalled", 2), ("unsignalled", 0), ("killedByPidNamespace", 0)] {
        ended.facts.is(&format!("/containers/0/processes/{what}"), count);
    }
    ended.connections(&Counts { open_at_stop: 1, closed_gracefully: 1, ..Counts::default() });
    ended.facts.findings(&[]);
    ended.facts.timeline("SignalForwarded", 1);
    ended.facts.timeline("StopSignalIgnored", 0);
    ended.verdict()
}

/// A `kubectl exec` that is alive at the stop is neither a hook nor the workload.
pub(crate) fn exec_during(node: &Node) -> anyhow::Result<Vec<String>> {
    let traced = Traced::pod(node, &with_hook("exec-during", 8, &["/bin/sleep", "1"]))?;
    let (runtime, id) = (node.kubelet.runtime.clone(), traced.pod.containers[0].clone());
    let exec = std::thread::spawn(move || runtime.exec_sync(&id, &["/bin/sleep", "20"].map(str::to_owned)));
    std::thread::sleep(Duration::from_millis(400));
    let mut ended = traced.stop()?;
    // it is killed with its PID namespace; what the runtime says about that is its own affair
    let _cut = exec.join();
    ended.facts.is("/outcome", "Graceful");
    ended.exited("app", Ok(0));
    ended.not_killed("app");
    let took = ended.facts.ms("/containers/0/preStop/endMs") - ended.facts.ms("/containers/0/preStop/startMs");
    ended.facts.holds(
        (took - 1000.0).abs() <= tolerance_ms(),
        "the hook is the sleep of 1 s",
        &format!("it took {took}"),
    );
    ended.took_what_the_victim_says("app")?;
    ended.facts.is("/containers/0/processes/killedByPidNamespace", 1);
    ended.facts.findings(&[]);
    ended.verdict()
}
