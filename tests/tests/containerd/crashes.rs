//! Ends that are the program's own fault or its memory's: with a stop under way, in a child, long before.

use crate::ends_itself::{pid1_went, says_oom_killed, wait_for_exit};
use crate::play::{Ended, PORT, Traced, once_traced};
use gracetrace_tests::client::Use;
use gracetrace_tests::counts::Counts;
use gracetrace_tests::node::{ContainerSpec, Node, PodSpec};
use serde_json::Value;

/// A segmentation fault in the handler's wake, with a client.
pub(crate) fn on_stop(node: &Node) -> anyhow::Result<Vec<String>> {
    let mut traced = Traced::pod(node, &PodSpec::new("crash-on-stop", 8, &[PORT[0], PORT[1], "crash-on-stop"]))?;
    traced.open([Use::Served])?;
    let mut ended = traced.stop()?;
    let code = ended.endings[0].exit_code;
    ended.facts.holds(code == 139, "the runtime says 139", &code.to_string());
    ended.facts.is("/outcome", "Failed");
    ended.stop_signal("app", "SIGTERM", "Delivered", "Handler");
    ended.exited("app", Err("SIGSEGV"));
    ended.not_killed("app");
    ended.took_from_handler_to_end(0)?;
    ended.connections(&Counts { open_at_stop: 1, dropped_by_kill: 1, ..Counts::default() });
    ended.facts.findings(&["crash-during-shutdown", "connections-dropped"]);
    ended.verdict()
}

fn hungry(name: &str, victim: &[&str]) -> PodSpec {
    let mut spec = PodSpec::new(name, 8, victim);
    spec.containers[0].memory_mib = Some(32);
    spec
}

/// The stop itself takes more memory than there is.
pub(crate) fn oom_on_stop(node: &Node) -> anyhow::Result<Vec<String>> {
    let mut ended = Traced::pod(node, &hungry("oom-on-stop", &["eat-on-stop", "200"]))?.stop()?;
    let (code, reason) = (ended.endings[0].exit_code, ended.endings[0].reason.clone());
    says_oom_killed(&mut ended, code, &reason);
    ended.facts.is("/outcome", "OOMKilled");
    // it was being stopped already: the OOM killer is not what set the end off
    ended.facts.is("/trigger/kind", "Unknown");
    ended.stop_signal("app", "SIGTERM", "Delivered", "Handler");
    ended.facts.is("/containers/0/kill/cause", "OOM");
    ended.facts.is("/containers/0/kill/sender", Value::Null);
    ended.exited("app", Err("SIGKILL"));
    ended.took_from_handler_to_end(0)?;
    ended.facts.findings(&["oom-killed"]);
    victim_is(&mut ended, "victim");
    ended.verdict()
}

/// The kernel takes PID 1's child, and PID 1 leaves for that.
pub(crate) fn oom_child(node: &Node) -> anyhow::Result<Vec<String>> {
    let mut spec = hungry("oom-child", &[]);
    let script = format!("$victim --delay {} eat-memory 200; exit 1", once_traced(2500));
    spec.containers[0] = ContainerSpec { memory_mib: Some(32), ..ContainerSpec::script("app", &script) };
    let traced = Traced::pod(node, &spec)?;
    let (code, _) = wait_for_exit(&traced)?;
    let mut ended = traced.stop_sandbox()?;
    ended.facts.holds(code == 1, "the runtime says 1", &code.to_string());
    ended.facts.is("/outcome", "OOMKilled");
    ended.facts.is("/trigger/kind", "OOM");
    ended.facts.is("/containers/0/stop", Value::Null);
    ended.not_killed("app");
    ended.exited("app", Ok(1));
    ended.facts.findings(&["oom-killed"]);
    victim_is(&mut ended, "victim");
    let summary = ended.facts.at("/findings/0/summary").as_str().unwrap_or_default().to_owned();
    ended.facts.holds(summary.contains("not the main process"), "it was not the main process", &summary);
    ended.verdict()
}

/// With `memory.oom.group` the kernel takes all of the container when one process is too much.
pub(crate) fn oom_group(node: &Node) -> anyhow::Result<Vec<String>> {
    let mut spec = hungry("oom-group", &[]);
    let script = format!("$victim --delay {} eat-memory 200; exit 1", once_traced(2500));
    let container = ContainerSpec::script("app", &script);
    spec.containers[0] = ContainerSpec { memory_mib: Some(32), oom_group: true, ..container };
    let traced = Traced::pod(node, &spec)?;
    let (code, reason) = wait_for_exit(&traced)?;
    let mut ended = traced.stop_sandbox()?;
    pid1_went(&mut ended, code, &reason);
    ended.facts.timeline("OOMVictim", 2);
    let summary = ended.facts.at("/findings/0/summary").as_str().unwrap_or_default().to_owned();
    ended.facts.holds(summary.contains("sh (") && summary.contains("the main process"), "PID 1 is named", &summary);
    ended.verdict()
}

/// A worker is lost to the OOM killer, the others serve on; the stop two seconds later has nothing to do with it.
pub(crate) fn oom_earlier(node: &Node) -> anyhow::Result<Vec<String>> {
    let worker = ["--worker", "--stamps", "{stamps}", "--delay", &once_traced(2000), "eat-memory", "200", ";"];
    let spec = hungry("oom-earlier", &[&PORT[..], &worker, &["graceful"]].concat());
    let mut traced = Traced::pod(node, &spec)?;
    traced.open([Use::Served])?;
    traced.pod.stamps("app.worker").wait_for("eating")?;
    std::thread::sleep(std::time::Duration::from_secs(2));
    anyhow::ensure!(traced.pod.stamps("app.worker").first("full").is_err(), "the worker got its memory");
    let mut ended = traced.stop()?;
    ended.facts.is("/outcome", "Graceful");
    ended.facts.is("/trigger/kind", "Unknown");
    ended.exited("app", Ok(0));
    ended.not_killed("app");
    ended.took_what_the_victim_says("app")?;
    ended.connections(&Counts { open_at_stop: 1, closed_gracefully: 1, ..Counts::default() });
    ended.facts.findings(&[]);
    ended.facts.timeline("OOMVictim", 0);
    ended.verdict()
}

fn victim_is(ended: &mut Ended, comm: &str) {
    ended.facts.timeline("OOMVictim", 1);
    let timeline = ended.facts.at("/timeline").as_array().cloned().unwrap_or_default();
    let entry = timeline.into_iter().find(|entry| entry["event"] == "OOMVictim").unwrap_or_default();
    ended.facts.holds(entry["comm"] == comm, &format!("the OOM killer chose {comm}"), &format!("{entry}"));
}
