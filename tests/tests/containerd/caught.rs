//! One pod and one gracetrace: begun too late, and with an exit code for scripts.

use crate::inside::unified;
use crate::play::{PORT, tracer_on, who};
use gracetrace_tests::client::{self, Stages, Use};
use gracetrace_tests::clock::{slow, wait_until};
use gracetrace_tests::facts::Facts;
use gracetrace_tests::node::{Node, PodSpec, RunningPod};
use gracetrace_tests::probe_maps::ProbeMaps;
use gracetrace_tests::recording;
use gracetrace_tests::tracer::Tracer;
use serde_json::Value;
use std::net::TcpStream;
use std::time::Duration;

/// Tracing begins when the stop signal has long been handled: the report says that it has not seen the beginning, and
/// does not call this an end of the pod's own.
pub(crate) fn in_the_middle(node: &Node) -> anyhow::Result<Vec<String>> {
    // long enough for tracing to begin
    let (grace_s, drain) = if slow() > 1.0 { (20, "15000") } else { (8, "2500") };
    let spec = PodSpec::new("adopted-late", grace_s, &[PORT[0], PORT[1], "slow-drain", drain]);
    let pod = node.kubelet.run(&spec)?;
    let (endings, finished, log) = std::thread::scope(|scope| {
        let kubelet = scope.spawn(|| node.kubelet.stop(&pod));
        pod.stamps("app").wait_for("handler")?;
        let (tracer, log) = tracer_on(node, &spec, &[])?;
        let finished = tracer.finish()?;
        let endings = kubelet.join().map_err(|_| anyhow::anyhow!("the kubelet panicked"))??;
        anyhow::Ok((endings, finished, log))
    })?;
    node.kubelet.remove(&pod)?;
    anyhow::ensure!(endings[0].exit_code == 0, "{endings:?}");
    let mut facts = Facts::of(finished.report()?);
    who(&mut facts, &pod);
    facts.is("/completeness/complete", false);
    facts.is("/completeness/startSeen", false);
    facts.is("/completeness/eventsLost", 0);
    facts.is("/containers/0/stop", Value::Null);
    facts.is("/stopToExitMs", Value::Null);
    facts.is("/containers/0/exit/code", 0);
    // it was stopped, and that was not seen
    facts.is("/outcome", "Unknown");
    facts.findings(&["incomplete"]);
    let facts = facts.verdict()?;
    recording::replays(&log, &finished, "pod-adopted-late")?;
    Ok(facts)
}

/// So many clients, each good for several records.
const CLIENTS: usize = 700;

/// The smallest ring, and a reader that is held up while the pod drains: records are lost, and the report says so. What
/// it counts is no more than there was.
pub(crate) fn lost_records(node: &Node) -> anyhow::Result<Vec<String>> {
    lost(node, "lost-records", |pod| {
        pod.stamps("app").wait_for("handler")?;
        std::thread::sleep(Duration::from_millis(700));
        Ok(())
    })
}

/// The same until the pod and its cgroup have gone: what tells of its end is never refused, however full the ring is of its
/// connections.
pub(crate) fn lost_exit(node: &Node) -> anyhow::Result<Vec<String>> {
    lost(node, "lost-exit", |pod| {
        wait_until("the pod's end", Duration::from_secs(20), || unified(&pod.cgroup()).is_err().then_some(()))
    })
}

fn lost(node: &Node, name: &str, held_up: fn(&RunningPod) -> anyhow::Result<()>) -> anyhow::Result<Vec<String>> {
    let spec = PodSpec::new(name, 8, &[PORT[0], PORT[1], "slow-drain", "2000"]);
    let pod = node.kubelet.run(&spec)?;
    let (tracer, log) = tracer_on(node, &spec, &["--ring-buffer-size", "64KiB", "--max-connections", "10"])?;
    let clients = (0..CLIENTS).map(|_| TcpStream::connect(pod.server)).collect::<Result<Vec<_>, _>>()?;
    // all are accepted
    std::thread::sleep(Duration::from_secs(1));
    let endings = std::thread::scope(|scope| {
        let kubelet = tracer.while_still(|| {
            let kubelet = scope.spawn(|| node.kubelet.stop(&pod));
            held_up(&pod).map(|()| kubelet)
        })?;
        kubelet.join().map_err(|_| anyhow::anyhow!("the kubelet panicked"))?
    })?;
    let finished = tracer.finish()?;
    drop(clients);
    node.kubelet.remove(&pod)?;
    anyhow::ensure!(endings[0].exit_code == 0, "{endings:?}");
    let mut facts = Facts::of(finished.report()?);
    who(&mut facts, &pod);
    facts.is("/completeness/complete", false);
    let lost = facts.at("/completeness/eventsLost").as_u64().unwrap_or(0);
    facts.holds(lost > 0, "records were lost", &lost.to_string());
    facts.findings(&["incomplete"]);
    let reason = facts.at("/completeness/reasons/0").as_str().unwrap_or_default().to_owned();
    facts.holds(reason.starts_with(&format!("{lost} records of this pod")), "all of them this pod's", &reason);
    facts.is("/outcome", "Graceful");
    facts.is("/containers/0/stop/signal", "SIGTERM");
    facts.is("/containers/0/exit/code", 0);
    facts.timeline("SandboxExited", 1);
    let told = facts.at("/connections/closedGracefully").as_u64().unwrap_or(u64::MAX);
    facts.holds(told <= CLIENTS as u64, "no more closed than there were", &told.to_string());
    for cut in ["closedAtExit", "droppedByKill", "resetByPeer", "refusedInBacklog", "inFlight"] {
        facts.is(&format!("/connections/{cut}"), 0);
    }
    let mut lines = facts.verdict()?;
    lines.push(format!("{lost} records lost, {told} of {CLIENTS} connections told"));
    recording::replays(&log, &finished, &format!("pod-{name}"))?;
    Ok(lines)
}

/// Once it is known which pod is meant the kernel side follows no other one, and has not miscounted those that it let go.
pub(crate) fn others_are_let_be(node: &Node) -> anyhow::Result<Vec<String>> {
    let spec = |name: &str| PodSpec::new(name, 8, &[PORT[0], PORT[1], "graceful"]);
    let [other, pod] = ["let-be", "not-let-be"].map(|name| node.kubelet.run(&spec(name)));
    let (other, pod) = (other?, pod?);
    let (tracer, _log) = tracer_on(node, &pod.spec, &[])?;
    let maps = ProbeMaps::of(tracer.pid())?;
    let mut facts = Facts::of(Value::Null);
    let alone = wait_until("that one pod is traced", Duration::from_secs(10), || {
        maps.look().ok().filter(|seen| seen.pods == 1)
    })?;
    // its own, the sandbox's, the container's
    facts.holds(alone.traced == 3, "three cgroups of it", &format!("{alone:?}"));
    alone.adds_up(&mut facts, "with one pod of two");
    node.kubelet.stop(&other)?;
    let after = maps.look()?;
    facts.holds(after.stopping == 0, "the end of the other one is none", &format!("{after:?}"));
    after.adds_up(&mut facts, "at the other's end");
    node.kubelet.stop(&pod)?;
    let finished = tracer.finish()?;
    [&other, &pod].into_iter().try_for_each(|pod| node.kubelet.remove(pod))?;
    let mut lines = facts.verdict()?;
    let mut report = Facts::of(finished.report()?);
    who(&mut report, &pod);
    lines.extend(report.verdict()?);
    Ok(lines)
}

/// `--fail-on connections-dropped`: 3 where a client was cut, 0 where none was; the report comes out either way.
pub(crate) fn fail_on(node: &Node) -> anyhow::Result<Vec<String>> {
    let mut lines = Vec::new();
    for (behaviour, code, outcome) in [("overrun", 3, "ForceKilled"), ("graceful", 0, "Graceful")] {
        let name = format!("fail-on-{behaviour}");
        let pod = node.kubelet.run(&PodSpec::new(&name, 2, &[PORT[0], PORT[1], behaviour]))?;
        let endpoint = node.endpoint();
        let flags = ["-n", &pod.spec.namespace, "-o", "json", "--fail-on", "connections-dropped", "--timeout", "60s"];
        let mut tracer = Tracer::start([&["--pod", &name, "--runtime-endpoint", &endpoint], &flags[..]].concat())?;
        tracer.wait_for_line("tracing ")?;
        let clients = client::open_all(pod.server, [Use::Served], &Stages::all_reached())?;
        std::thread::sleep(Duration::from_millis(100));
        node.kubelet.stop(&pod)?;
        let finished = tracer.finish()?;
        client::seen_by_all(clients)?;
        node.kubelet.remove(&pod)?;
        let report: Value = serde_json::from_str(&finished.stdout)?;
        anyhow::ensure!(report["outcome"] == outcome, "{report:#}");
        anyhow::ensure!(finished.code == code, "{behaviour} ends with {}: {}", finished.code, finished.stderr);
        lines.push(format!("{behaviour}: exit {code}, with the report"));
    }
    Ok(lines)
}
