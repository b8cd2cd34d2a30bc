//! What programs do inside their container: cgroups of their own, a main thread that leaves, workers that are killed.

use crate::play::{PORT, Traced};
use gracetrace_tests::client::Use;
use gracetrace_tests::counts::Counts;
use gracetrace_tests::node::{ContainerSpec, Node, PodSpec};
use gracetrace_tests::suite::NotPossible;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A cgroup in the v2 tree, by itself or beside v1 controllers; in that of `pids` where there is none.
pub(crate) fn unified(cgroup: &str) -> anyhow::Result<PathBuf> {
    let places = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup", "/sys/fs/cgroup/pids"]
        .map(|root| Path::new(root).join(cgroup.trim_start_matches('/')));
    let found = places.iter().find(|place| place.join("cgroup.procs").exists());
    found.cloned().ok_or_else(|| anyhow::anyhow!("no cgroup: {places:?}"))
}

/// PID 1 moves itself two cgroups down, as systemd does, and starts a second server there.
pub(crate) fn nested_cgroup(node: &Node) -> anyhow::Result<Vec<String>> {
    let script = "$victim --listen 0.0.0.0:8080 graceful & first=$!; \
                  while ! [ -e /stamps/go ]; do sleep 0.05; done; \
                  /victim --stamps /stamps/inner --listen 0.0.0.0:8081 graceful & second=$!; \
                  trap 'kill -TERM $first $second' TERM; wait; wait $first; wait $second; exit 0";
    let mut spec = PodSpec::new("nested-cgroup", 8, &[]);
    spec.containers[0] = ContainerSpec::script("app", script);
    let mut traced = Traced::pod(node, &spec)?;
    let inner = unified(&traced.pod.container_cgroup(0))?.join("init.scope/deeper");
    std::fs::create_dir_all(&inner)?;
    std::fs::write(inner.join("cgroup.procs"), traced.pod.pids[0].to_string())?;
    std::fs::write(traced.pod.stamps.join("go"), "")?;
    traced.pod.stamps("inner").wait_for("ready")?;
    let mut second = traced.pod.server;
    second.set_port(8081);
    traced.open([Use::Served])?;
    traced.open_at(second, [Use::Served, Use::Asks(600)])?;
    let mut ended = traced.stop()?;
    ended.facts.is("/outcome", "Graceful");
    ended.stop_signal("app", "SIGTERM", "Delivered", "Handler");
    ended.exited("app", Ok(0));
    ended.not_killed("app");
    for (what, count) in [("signalled", 3), ("unsignalled", 0), ("killedByPidNamespace", 0)] {
        ended.facts.is(&format!("/containers/0/processes/{what}"), count);
    }
    ended.connections(&Counts { open_at_stop: 3, closed_gracefully: 3, ..Counts::default() });
    ended.facts.findings(&[]);
    ended.facts.timeline("SignalForwarded", 2);
    ended.verdict()
}

/// The first thread of the server has left long before: the process lives as long as the others do. It runs below an
/// init, for runc takes a PID 1 without its first thread for dead and signals it no more.
pub(crate) fn thread_leader_exits(node: &Node) -> anyhow::Result<Vec<String>> {
    let server =
        ["init", "/victim", "--stamps", "/stamps/app", "--leave-leader", PORT[0], PORT[1], "slow-drain", "700"];
    let mut traced = Traced::pod(node, &PodSpec::new("thread-leader-exits", 8, &server))?;
    traced.open([Use::Served])?;
    traced.pod.stamps("app").wait_for("leader-left")?;
    let mut ended = traced.stop()?;
    ended.facts.is("/outcome", "Graceful");
    ended.stop_signal("app", "SIGTERM", "Delivered", "Blocked");
    ended.exited("app", Ok(0));
    ended.not_killed("app");
    ended.took_what_the_victim_says("app")?;
    for (what, count) in [("seen", 2), ("signalled", 2), ("unsignalled", 0), ("killedByPidNamespace", 0)] {
        ended.facts.is(&format!("/containers/0/processes/{what}"), count);
    }
    ended.connections(&Counts { open_at_stop: 1, closed_gracefully: 1, ..Counts::default() });
    ended.facts.findings(&[]);
    ended.facts.timeline("ProcessExited", 1);
    ended.facts.timeline("ContainerExited", 1);
    ended.verdict()
}

/// A supervisor that kills its own workers at the stop: nobody else has killed anything.
pub(crate) fn supervisor_kills(node: &Node) -> anyhow::Result<Vec<String>> {
    let worker = ["--worker", "overrun", ";", "--workers", "3", "--kill-workers"];
    let spec = PodSpec::new("supervisor-kills", 8, &[&worker[..], &["slow-drain", "300"]].concat());
    let mut ended = Traced::pod(node, &spec)?.stop()?;
    ended.facts.is("/outcome", "Graceful");
    ended.stop_signal("app", "SIGTERM", "Delivered", "Handler");
    ended.exited("app", Ok(0));
    ended.not_killed("app");
    ended.took_what_the_victim_says("app")?;
    for (what, count) in [("seen", 4), ("killedByPidNamespace", 0)] {
        ended.facts.is(&format!("/containers/0/processes/{what}"), count);
    }
    ended.facts.findings(&[]);
    ended.facts.timeline("KillSent", 0);
    ended.facts.timeline("ProcessExited", 3);
    ended.verdict()
}

/// Somebody on the node ends the container through `cgroup.kill`.
pub(crate) fn killed_by_cgroup(node: &Node) -> anyhow::Result<Vec<String>> {
    let traced = Traced::pod(node, &PodSpec::new("killed-by-cgroup", 8, &["graceful"]))?;
    let switch = unified(&traced.pod.container_cgroup(0))?.join("cgroup.kill");
    if !switch.exists() {
        return Err(NotPossible("cgroup v1 has no cgroup.kill, and v2 not before 5.14".to_owned()).into());
    }
    let watch = gracetrace_tests::clock::ExitWatch::on(traced.pod.pids[0])?;
    std::fs::write(switch, "1")?;
    watch.ended_at()?;
    std::thread::sleep(Duration::from_millis(50));
    let mut ended = traced.stop_sandbox()?;
    ended.facts.is("/outcome", "ForceKilled");
    ended.facts.is("/trigger/kind", "External");
    ended.facts.is("/containers/0/stop", serde_json::Value::Null);
    ended.facts.is("/containers/0/kill/cause", "CgroupKill");
    ended.exited("app", Err("SIGKILL"));
    ended.facts.findings(&["killed-by-other"]);
    ended.verdict()
}
