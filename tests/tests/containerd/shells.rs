//! A shell as PID 1: whether it passes the stop signal on, and that one which has made room is no shell.

use crate::play::{Ended, Traced};
use gracetrace_tests::client::Use;
use gracetrace_tests::counts::Counts;
use gracetrace_tests::node::{ContainerSpec, Node, PodSpec};

/// The server waits in the background, and the shell for it: nobody tells it to stop.
pub(crate) fn background(node: &Node) -> anyhow::Result<Vec<String>> {
    does_not_forward(node, "shell-wrapper", "$victim --listen 0.0.0.0:8080 graceful & wait")
}

/// The server runs in the foreground; that a command follows keeps the shell from making room for it.
pub(crate) fn foreground(node: &Node) -> anyhow::Result<Vec<String>> {
    does_not_forward(node, "shell-foreground", "$victim --listen 0.0.0.0:8080 graceful; exit 0")
}

/// One command and nothing else: some shells then make room for it, and the report must say what this one did.
pub(crate) fn one_command(node: &Node) -> anyhow::Result<Vec<String>> {
    let script = "$victim --listen 0.0.0.0:8080 graceful";
    let mut spec = shell("shell-one-command", 3, script);
    let pod = node.kubelet.run(&shell("shell-probe", 2, script))?;
    let comm = std::fs::read_to_string(format!("/proc/{}/comm", pod.pids[0]))?;
    node.kubelet.stop(&pod)?;
    node.kubelet.remove(&pod)?;
    if comm.trim() == "sh" {
        return does_not_forward(node, "shell-one-command", script);
    }
    spec.containers[0].comm = "victim";
    drained(Traced::pod(node, &spec)?)
}

/// `exec`: the server is PID 1 and hears the signal itself.
pub(crate) fn exec(node: &Node) -> anyhow::Result<Vec<String>> {
    let mut spec = shell("shell-exec", 3, "exec $victim --listen 0.0.0.0:8080 graceful");
    spec.containers[0].comm = "victim";
    drained(Traced::pod(node, &spec)?)
}

/// A trap that passes the signal on, and waits twice.
pub(crate) fn forwards(node: &Node) -> anyhow::Result<Vec<String>> {
    let script = "$victim --listen 0.0.0.0:8080 graceful & pid=$!; trap 'kill -TERM $pid' TERM; wait $pid; wait $pid";
    let mut traced = Traced::pod(node, &shell("shell-forwards", 8, script))?;
    traced.open([Use::Served])?;
    let mut ended = traced.stop()?;
    graceful(&mut ended);
    for (what, count) in [("seen", 2), ("signalled", 2), ("unsignalled", 0)] {
        ended.facts.is(&format!("/containers/0/processes/{what}"), count);
    }
    ended.facts.timeline("SignalForwarded", 1);
    ended.verdict()
}

fn shell(name: &str, grace_s: u32, script: &str) -> PodSpec {
    let mut spec = PodSpec::new(name, grace_s, &[]);
    spec.containers[0] = ContainerSpec::script("app", script);
    spec
}

/// The server never hears of the stop, and goes with its client when the time is over.
fn does_not_forward(node: &Node, name: &str, script: &str) -> anyhow::Result<Vec<String>> {
    let mut traced = Traced::pod(node, &shell(name, 3, script))?;
    traced.open([Use::Served])?;
    let mut ended = traced.stop()?;
    ended.facts.holds(ended.pod.stamps("app").first("handler").is_err(), "the server heard nothing", "it did");
    ended.facts.is("/outcome", "ForceKilled");
    ended.stop_signal("app", "SIGTERM", "Ignored", "Default");
    ended.killed("app", "GracePeriodExpired");
    ended.took_the_whole_timeout(0);
    for (what, count) in [("seen", 2), ("signalled", 1), ("unsignalled", 1)] {
        ended.facts.is(&format!("/containers/0/processes/{what}"), count);
    }
    ended.connections(&Counts { open_at_stop: 1, dropped_by_kill: 1, ..Counts::default() });
    let expected = ["shell-does-not-forward", "stop-signal-ignored", "grace-period-exceeded", "connections-dropped"];
    ended.facts.findings(&expected);
    let findings = ended.facts.at("/findings").as_array().cloned().unwrap_or_default();
    let finding = findings.into_iter().find(|finding| finding["rule"] == expected[0]).unwrap_or_default();
    let summary = finding["summary"].as_str().unwrap_or_default();
    ended.facts.holds(summary.contains("sh") && summary.contains("victim"), "it names shell and server", summary);
    ended.verdict()
}

fn drained(mut traced: Traced<'_>) -> anyhow::Result<Vec<String>> {
    traced.open([Use::Served])?;
    let mut ended = traced.stop()?;
    graceful(&mut ended);
    ended.took_what_the_victim_says("app")?;
    ended.verdict()
}

/// One client, drained, and nothing to find.
fn graceful(ended: &mut Ended) {
    ended.facts.is("/outcome", "Graceful");
    ended.stop_signal("app", "SIGTERM", "Delivered", "Handler");
    ended.not_killed("app");
    ended.connections(&Counts { open_at_stop: 1, closed_gracefully: 1, ..Counts::default() });
    ended.facts.findings(&[]);
}
