//! Pods whose container ends without a stop signal.

use crate::play::{Ended, Traced, once_traced};
use gracetrace_tests::clock::{slow, wait_until};
use gracetrace_tests::node::{Node, PodSpec};
use serde_json::Value;
use std::time::Duration;

/// Waits until the runtime has seen the container's end, as the kubelet does before it acts.
pub(crate) fn wait_for_exit(traced: &Traced<'_>) -> anyhow::Result<(i32, String)> {
    wait_until("the container's end", Duration::from_secs(20), || {
        let status = traced.node.kubelet.runtime.status(&traced.pod.containers[0]).ok()?;
        (status.finished_at > 0).then_some((status.exit_code, status.reason))
    })
}

/// The runtime's own word. It learns of the OOM killer from another place than of the exit, and on a slow machine too late.
pub(crate) fn says_oom_killed(ended: &mut Ended, code: i32, reason: &str) {
    let is_late = slow() > 1.0 && reason == "Error";
    let holds = code == 137 && (reason == "OOMKilled" || is_late);
    ended.facts.holds(holds, "the runtime says 137, OOMKilled", &format!("{code}, {reason}"));
}

/// The OOM killer took PID 1, in quiet times.
pub(crate) fn pid1_went(ended: &mut Ended, code: i32, reason: &str) {
    says_oom_killed(ended, code, reason);
    ended.facts.is("/outcome", "OOMKilled");
    ended.facts.is("/trigger/kind", "OOM");
    ended.facts.is("/containers/0/stop", Value::Null);
    ended.facts.is("/containers/0/kill/cause", "OOM");
    ended.facts.is("/containers/0/kill/sender", Value::Null);
    ended.exited("app", Err("SIGKILL"));
    ended.facts.findings(&["oom-killed"]);
}

/// PID 1 takes more memory than the container's limit.
pub(crate) fn oom_pid1(node: &Node) -> anyhow::Result<Vec<String>> {
    let mut spec = PodSpec::new("oom-pid1", 8, &["--delay", &once_traced(2500), "eat-memory", "200"]);
    spec.containers[0].memory_mib = Some(32);
    let traced = Traced::pod(node, &spec)?;
    let (code, reason) = wait_for_exit(&traced)?;
    let mut ended = traced.stop_sandbox()?;
    pid1_went(&mut ended, code, &reason);
    ended.facts.timeline("OOMVictim", 1);
    ended.verdict()
}

/// A segmentation fault in quiet times.
pub(crate) fn crash(node: &Node) -> anyhow::Result<Vec<String>> {
    let traced = Traced::pod(node, &PodSpec::new("crash", 8, &["segv", &once_traced(2500)]))?;
    let (code, _) = wait_for_exit(&traced)?;
    let mut ended = traced.stop_sandbox()?;
    ended.facts.holds(code == 139, "the runtime says 139", &code.to_string());
    ended.facts.is("/outcome", "Crashed");
    ended.facts.is("/trigger/kind", "ContainerExit");
    ended.facts.is("/containers/0/stop", Value::Null);
    ended.facts.is("/stopToExitMs", Value::Null);
    ended.not_killed("app");
    ended.exited("app", Err("SIGSEGV"));
    ended.facts.findings(&[]);
    ended.verdict()
}

/// A job that is done.
pub(crate) fn completed(node: &Node) -> anyhow::Result<Vec<String>> {
    let traced = Traced::pod(node, &PodSpec::new("completed", 2, &["complete", &once_traced(4500)]))?;
    let (code, reason) = wait_for_exit(&traced)?;
    let mut ended = traced.stop_sandbox()?;
    ended.facts.holds(
        code == 0 && reason == "Completed",
        "the runtime says 0, Completed",
        &format!("{code}, {reason}"),
    );
    ended.facts.is("/outcome", "Completed");
    ended.facts.is("/trigger/kind", "ContainerExit");
    ended.facts.is("/containers/0/stop", Value::Null);
    ended.exited("app", Ok(0));
    ended.not_killed("app");
    ended.facts.findings(&[]);
    ended.verdict()
}
