//! Pods that a SIGKILL ends.

use crate::play::{PORT, Traced};
use gracetrace_tests::client::{self, End, Use};
use gracetrace_tests::counts::Counts;
use gracetrace_tests::node::{Node, PodSpec};

/// PID 1 has no handler: the kernel discards SIGTERM.
pub(crate) fn ignores_term(node: &Node) -> anyhow::Result<Vec<String>> {
    let mut ended = Traced::pod(node, &PodSpec::new("ignores-term", 3, &["ignores"]))?.stop()?;
    ended.facts.is("/outcome", "ForceKilled");
    ended.stop_signal("app", "SIGTERM", "Ignored", "Default");
    ended.killed("app", "GracePeriodExpired");
    ended.took_the_whole_timeout(0);
    ended.facts.findings(&["stop-signal-ignored", "grace-period-exceeded"]);
    ended.facts.timeline("StopSignalIgnored", 1);
    ended.facts.timeline("KillSent", 1);
    ended.verdict()
}

/// Ten connections, four of them with a request that nobody answers, and no end in time.
pub(crate) fn overruns(node: &Node) -> anyhow::Result<Vec<String>> {
    let mut traced = Traced::pod(node, &PodSpec::new("overruns", 3, &[PORT[0], PORT[1], "overrun"]))?;
    let uses = [[Use::Served; 3].as_slice(), &[Use::Nothing; 3], &[Use::AsksInVain; 4]].concat();
    traced.open(uses)?;
    let mut ended = traced.stop()?;
    ended.facts.holds(
        client::count(&ended.seen, End::Eof) == 10,
        "every client saw an end without an answer",
        "they did not",
    );
    ended.facts.is("/outcome", "ForceKilled");
    ended.stop_signal("app", "SIGTERM", "Delivered", "Handler");
    ended.killed("app", "GracePeriodExpired");
    ended.took_from_handler_to_end(0)?;
    ended.connections(&Counts { open_at_stop: 10, dropped_by_kill: 10, in_flight: 4, ..Counts::default() });
    ended.facts.findings(&["grace-period-exceeded", "connections-dropped"]);
    ended.verdict()
}

/// `StopContainer` with a timeout of 0: SIGKILL without a stop signal.
pub(crate) fn force_delete(node: &Node) -> anyhow::Result<Vec<String>> {
    // a pod that was there already may have had its stop signal before tracing began
    let spec = PodSpec::new("force-delete", 30, &[PORT[0], PORT[1], "graceful"]);
    let mut ended = Traced::pod_to_come(node, &spec)?.stop_by_force()?;
    ended.facts.is("/outcome", "ForceKilled");
    ended.facts.is("/containers/0/stop", serde_json::Value::Null);
    ended.killed("app", "NoGracePeriod");
    ended.facts.findings(&["no-grace-period"]);
    ended.facts.timeline("StopSignalSent", 0);
    ended.verdict()
}

/// The hook is still running when the grace period ends; then the container gets the least there is.
pub(crate) fn prestop_overruns(node: &Node) -> anyhow::Result<Vec<String>> {
    let mut spec = PodSpec::new("prestop-overruns", 3, &[PORT[0], PORT[1], "graceful"]);
    spec.containers[0].pre_stop = Some(["/bin/sleep", "30"].map(str::to_owned).to_vec());
    let mut ended = Traced::pod(node, &spec)?.stop()?;
    ended.facts.holds(
        ended.endings[0].timeout_s == 2,
        "StopContainer had 2 s",
        &format!("{} s", ended.endings[0].timeout_s),
    );
    ended.exited("app", Ok(0));
    ended.stop_signal("app", "SIGTERM", "Delivered", "Handler");
    ended.took_what_the_victim_says("app")?;
    ended.facts.is("/containers/0/preStop/exitCode", serde_json::Value::Null);
    ended.facts.is("/containers/0/preStop/signal", "SIGKILL");
    let rules = ended.facts.rules();
    ended.facts.holds(
        rules.iter().any(|rule| rule == "prestop-overran"),
        "prestop-overran",
        &format!("only {rules:?}"),
    );
    ended.facts.holds(
        !rules.iter().any(|rule| rule == "prestop-ate-grace-period"),
        "not prestop-ate-grace-period",
        &format!("{rules:?}"),
    );
    ended.verdict()
}

/// `kill -9` by somebody on the node.
pub(crate) fn killed_from_host(node: &Node) -> anyhow::Result<Vec<String>> {
    let traced = Traced::pod(node, &PodSpec::new("killed-from-host", 8, &["graceful"]))?;
    let watch = gracetrace_tests::clock::ExitWatch::on(traced.pod.pids[0])?;
    let mut killer =
        std::process::Command::new("busybox").args(["kill", "-9", &traced.pod.pids[0].to_string()]).spawn()?;
    let sender = killer.id();
    anyhow::ensure!(killer.wait()?.success(), "the kill failed");
    watch.ended_at()?;
    let mut ended = traced.stop_sandbox()?;
    ended.facts.is("/trigger/kind", "External");
    ended.facts.is("/containers/0/kill/cause", "External");
    ended.facts.is("/containers/0/kill/sender/pid", sender);
    ended.facts.is("/containers/0/kill/sender/comm", "busybox");
    ended.exited("app", Err("SIGKILL"));
    ended.facts.findings(&["killed-by-other"]);
    ended.verdict()
}
