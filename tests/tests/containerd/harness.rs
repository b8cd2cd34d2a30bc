//! What the other scenarios take for granted of pods, clients and clocks, tried without gracetrace.

use crate::inside::unified;
use crate::play::tolerance_ms;
use gracetrace_tests::client::{self, End, Stages, Use};
use gracetrace_tests::clock::{ms_between, slow, wait_until};
use gracetrace_tests::node::{ContainerSpec, Node, PodSpec, VICTIM_QUIT_IMAGE};
use std::time::Duration;

/// Pods come up with the cgroups, signals and addresses that the assertions elsewhere rest on.
pub(crate) fn proves_itself(node: &Node) -> anyhow::Result<Vec<String>> {
    let mut facts = graceful(node)?;
    facts.extend(forced(node)?);
    facts.extend(two_containers_and_a_hook(node)?);
    facts.extend(out_of_memory(node)?);
    Ok(facts)
}

fn graceful(node: &Node) -> anyhow::Result<Vec<String>> {
    let pod = node.kubelet.run(&PodSpec::new("self-graceful", 5, &["--listen", "0.0.0.0:8080", "graceful"]))?;
    unified(&pod.container_cgroup(0))?;
    let clients = client::open_all(pod.server, [Use::Served, Use::Asks(400)], &Stages::all_reached())?;
    std::thread::sleep(Duration::from_millis(100));
    let ending = node.kubelet.stop(&pod)?.remove(0);
    let seen = client::seen_by_all(clients)?;
    anyhow::ensure!(client::count(&seen, End::Eof) == 2 && seen.iter().all(|one| one.answers == 1), "{seen:?}");
    anyhow::ensure!(ending.exit_code == 0, "{ending:?}");
    let stamps = pod.stamps("app");
    let drained = ms_between(stamps.first("handler")?.at_ns, stamps.first("exit")?.at_ns);
    // the answer comes 400 ms after a request that was not read before there was a connection
    let least = 400.0 - ms_between(seen[1].connect.0, stamps.first("handler")?.at_ns);
    anyhow::ensure!((least..400.0 * slow()).contains(&drained), "drained for {drained} ms, not {least}");
    let late = ms_between(stamps.first("exit")?.at_ns, ending.ended_at);
    anyhow::ensure!((0.0..tolerance_ms()).contains(&late), "the pidfd was {late} ms later than the victim");
    node.kubelet.remove(&pod)?;
    Ok(vec![format!(
        "a graceful pod drained for {drained:.1} ms, its pidfd was {late:.2} ms later, its cgroup existed"
    )])
}

fn forced(node: &Node) -> anyhow::Result<Vec<String>> {
    let mut spec = PodSpec::new("self-forced", 2, &["--listen", "0.0.0.0:8080", "overrun"]);
    spec.containers[0].image = VICTIM_QUIT_IMAGE;
    let pod = node.kubelet.run(&spec)?;
    let clients = client::open_all(pod.server, [Use::Nothing, Use::AsksInVain], &Stages::all_reached())?;
    let ending = node.kubelet.stop(&pod)?.remove(0);
    let seen = client::seen_by_all(clients)?;
    anyhow::ensure!(ending.exit_code == 137, "SIGQUIT met a SIGTERM handler's PID 1: {ending:?}");
    anyhow::ensure!(client::count(&seen, End::Eof) == 2, "{seen:?}");
    let took = ms_between(ending.stop.0, ending.ended_at);
    anyhow::ensure!((2000.0..2000.0 + 400.0 * slow()).contains(&took), "killed after {took} ms");
    Ok(vec![format!("STOPSIGNAL SIGQUIT met no handler; killed {took:.0} ms after StopContainer")])
}

fn two_containers_and_a_hook(node: &Node) -> anyhow::Result<Vec<String>> {
    let mut spec = PodSpec::new("self-two", 8, &["--listen", "0.0.0.0:8080", "graceful"]);
    spec.containers[0].pre_stop = Some(["/bin/sleep", "1"].map(str::to_owned).to_vec());
    let pod = node.kubelet.run(&spec.and(ContainerSpec::new("side", &["slow-drain", "300"])))?;
    let endings = node.kubelet.stop(&pod)?;
    let (begun, ended, code) = endings[0].pre_stop.ok_or_else(|| anyhow::anyhow!("no hook"))?;
    let hook = ms_between(begun, ended);
    // whole seconds of it are gone
    let left_s = 8 - i64::try_from((ended - begun) / 1_000_000_000)?;
    anyhow::ensure!(code == 0 && (1000.0..1000.0 + 400.0 * slow()).contains(&hook), "{endings:?}");
    anyhow::ensure!(endings[0].timeout_s == left_s && endings[1].timeout_s == 8, "{endings:?}");
    anyhow::ensure!(
        endings[1].ended_at < endings[0].ended_at && endings.iter().all(|one| one.exit_code == 0),
        "{endings:?}"
    );
    Ok(vec![format!(
        "a hook of 1 s took {hook:.0} ms and one second of the grace period; the other container left before"
    )])
}

fn out_of_memory(node: &Node) -> anyhow::Result<Vec<String>> {
    let mut spec = PodSpec::new("self-oom", 2, &["eat-memory", "200"]);
    spec.containers[0].memory_mib = Some(32);
    let pod = node.kubelet.run(&spec)?;
    // of the OOM killer the runtime learns from another place than of the exit
    let says_so = |reason: &str| reason == "OOMKilled" || slow() > 1.0 && reason == "Error";
    let status = wait_until("the runtime's word of an OOM kill", Duration::from_secs(10), || {
        let status = node.kubelet.runtime.status(&pod.containers[0]).ok()?;
        (status.finished_at > 0 && says_so(&status.reason)).then_some(status)
    })?;
    node.kubelet.stop_sandbox(&pod)?;
    anyhow::ensure!(status.exit_code == 137, "{} {}", status.exit_code, status.reason);
    anyhow::ensure!(pod.stamps("app").first("full").is_err(), "it got more memory than its limit");
    Ok(vec!["a container over its limit is OOMKilled with 137".to_owned()])
}
