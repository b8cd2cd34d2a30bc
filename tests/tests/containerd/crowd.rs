//! The daemon: a container that is started again in its living pod, fifty pods at once, and exit codes for scripts.

use crate::play::{PORT, tolerance_ms, who};
use gracetrace_tests::client::{self, Stages, Use};
use gracetrace_tests::clock::{ms_between, scaled, slow};
use gracetrace_tests::counts::Counts;
use gracetrace_tests::facts::Facts;
use gracetrace_tests::node::{ContainerSpec, Ending, Node, PodSpec, RunningPod};
use gracetrace_tests::recording;
use gracetrace_tests::tracer::Tracer;
use serde_json::Value;
use std::sync::{Barrier, Mutex, PoisonError};
use std::time::{Duration, Instant};

const MANY: usize = 50;
/// Stands in each report of a pod, and in no other.
const OF_A_POD: &str = r#""scope":"Pod""#;
/// So many are brought up at a time.
const HANDS: usize = 8;

fn daemon(node: &Node, name: &str) -> anyhow::Result<(Tracer, std::path::PathBuf)> {
    let log = node.scratch().join(format!("{name}.jsonl"));
    let (endpoint, record) = (node.endpoint(), log.display().to_string());
    let mut tracer = Tracer::start(["-o", "jsonl", "--runtime-endpoint", &endpoint, "--record", &record])?;
    tracer.wait_for_line("tracing")?;
    Ok((tracer, log))
}

/// One of two containers is stopped and started again, twice: first as after a failed probe, then killed by somebody.
/// The pod lives on, and ends only then.
pub(crate) fn restart_in_place(node: &Node) -> anyhow::Result<Vec<String>> {
    let spec = PodSpec::new("restart-in-place", 8, &[PORT[0], PORT[1], "graceful"]);
    let spec = spec.and(ContainerSpec::new("side", &["--listen", "0.0.0.0:8081", "slow-drain", "1000"]));
    let mut pod = node.kubelet.run(&spec)?;
    let (tracer, log) = daemon(node, "restart-in-place")?;
    let mut lines = Vec::new();
    let of_side = client::open_all((pod.server.ip(), 8081).into(), [Use::Served], &Stages::all_reached())?;
    let of_app = client::open_all(pod.server, [Use::Served], &Stages::all_reached())?;
    std::thread::sleep(Duration::from_millis(600));
    let first = pod.clone();
    let ending = node.kubelet.stop_one(&pod, 0)?;
    anyhow::ensure!(ending.exit_code == 0, "{ending:?}");
    client::seen_by_all(of_app)?;
    node.kubelet.restart(&mut pod, 0, 1)?;
    tracer.wait_for_reports(1)?;
    let second = pod.clone();
    let killed = std::process::Command::new("busybox").args(["kill", "-KILL", &pod.pids[0].to_string()]).status()?;
    anyhow::ensure!(killed.success(), "the kill failed");
    std::thread::sleep(Duration::from_millis(500));
    node.kubelet.restart(&mut pod, 0, 2)?;
    tracer.wait_for_reports(2)?;
    node.kubelet.stop(&pod)?;
    client::seen_by_all(of_side)?;
    tracer.wait_for_reports(3)?;
    let finished = tracer.end()?;
    node.kubelet.remove(&pod)?;
    let reports = finished.reports()?;
    anyhow::ensure!(reports.len() == 3, "there are {} reports:\n{}", reports.len(), finished.stdout);
    let one = Counts { open_at_stop: 1, closed_gracefully: 1, ..Counts::default() };
    lines.extend(one_container(&reports[0], &first, ("Graceful", "Unknown"), Ok(0), &one, &[], 0)?);
    let killed = ("ForceKilled", "External");
    lines.extend(one_container(
        &reports[1],
        &second,
        killed,
        Err("SIGKILL"),
        &Counts::default(),
        &["killed-by-other"],
        1,
    )?);
    let mut facts = Facts::of(reports[2].clone());
    facts.is("/scope", "Pod");
    facts.is("/outcome", "Graceful");
    facts.is("/pod/uid", pod.uid.as_str());
    for (name, restarts, id) in [("app", 2, &pod.containers[0]), ("side", 0, &pod.containers[1])] {
        let at = facts.container(name);
        facts.is(&format!("{at}/restarts"), restarts);
        facts.is(&format!("{at}/id"), format!("containerd://{id}"));
    }
    facts.counts(&one, true);
    // the look belongs to this stop, and not to one of those before
    facts.between("/connections/snapshot/atMs", 0.0, 200.0 * slow());
    facts.findings(&[]);
    facts.complete();
    lines.extend(facts.verdict()?);
    recording::same_again(&log, &finished, "jsonl")?;
    Ok(lines)
}

/// A report about the container `app` alone.
fn one_container(
    report: &Value,
    pod: &RunningPod,
    (outcome, trigger): (&str, &str),
    exit: Result<i32, &str>,
    connections: &Counts,
    findings: &[&str],
    restarts: u32,
) -> anyhow::Result<Vec<String>> {
    let mut facts = Facts::of(report.clone());
    facts.is("/scope", "Container");
    facts.is("/outcome", outcome);
    facts.is("/trigger/kind", trigger);
    facts.is("/pod/uid", pod.uid.as_str());
    let listed = facts.at("/containers").as_array().map_or(0, Vec::len);
    facts.holds(listed == 1, "one container", &listed.to_string());
    facts.is("/containers/0/name", "app");
    facts.is("/containers/0/id", format!("containerd://{}", pod.containers[0]));
    facts.is("/containers/0/initPid", pod.pids[0]);
    facts.is("/containers/0/restarts", restarts);
    let (code, signal) = exit.map_or_else(|signal| (Value::Null, signal.into()), |code| (code.into(), Value::Null));
    facts.is("/containers/0/exit/code", code);
    facts.is("/containers/0/exit/signal", signal);
    facts.counts(connections, exit.is_ok());
    facts.timeline("SandboxExited", 0);
    facts.findings(findings);
    facts.complete();
    facts.verdict()
}

/// Fifty pods with a client each are stopped in the same second: fifty complete reports.
pub(crate) fn fifty(node: &Node) -> anyhow::Result<Vec<String>> {
    let begun = Instant::now();
    let (tracer, log) = daemon(node, "fifty")?;
    let pods = bring_up(node)?;
    let up = begun.elapsed();
    let clients = pods
        .iter()
        .map(|pod| client::open_all(pod.server, [Use::Served], &Stages::all_reached()))
        .collect::<Result<Vec<_>, _>>()?;
    std::thread::sleep(Duration::from_millis(300));
    let endings = stop_at_once(node, &pods)?;
    let calls = endings.iter().map(|ending| ending.stop.0);
    let spread = ms_between(calls.clone().min().unwrap_or(0), calls.max().unwrap_or(0));
    for client in clients {
        client::seen_by_all(client)?;
    }
    tracer.wait_for("reports of pods", |stdout| stdout.matches(OF_A_POD).count() >= MANY)?;
    let finished = tracer.end()?;
    for pod in &pods {
        node.kubelet.remove(pod)?;
    }
    let all = finished.reports()?;
    let reports: Vec<_> = all.iter().filter(|report| report["scope"] == "Pod").collect();
    anyhow::ensure!(reports.len() == MANY, "there are {} reports of pods", reports.len());
    // a container that has been gone for a while before its pod ends has a report of its own: on a slow machine alone
    anyhow::ensure!(all.len() == MANY || slow() > 1.0, "there are {} reports", all.len());
    for (pod, ending) in pods.iter().zip(&endings) {
        let report = reports.iter().find(|report| report["pod"]["uid"] == pod.uid.as_str());
        let mut facts = Facts::of(report.copied().cloned().unwrap_or_default());
        who(&mut facts, pod);
        facts.is("/outcome", "Graceful");
        facts.is("/containers/0/exit/code", 0);
        facts.counts(&Counts { open_at_stop: 1, closed_gracefully: 1, ..Counts::default() }, true);
        let stamps = pod.stamps("app");
        let took = ms_between(stamps.first("handler")?.at_ns, stamps.first("exit")?.at_ns);
        // fifty on few CPUs: handlers wait for their turn, so the kubelet's view is the upper bound
        let tolerance = tolerance_ms();
        let whole = ms_between(ending.stop.0, ending.ended_at);
        facts.between("/containers/0/stopToExitMs", took - tolerance, whole + tolerance);
        facts.findings(&[]);
        facts.complete();
        facts.verdict()?;
    }
    anyhow::ensure!(spread < 1000.0 * slow(), "they were stopped over {spread:.0} ms");
    recording::same_again(&log, &finished, "jsonl")?;
    let took = begun.elapsed();
    anyhow::ensure!(took < scaled(Duration::from_secs(60)), "it took {took:.1?}, {up:.1?} of it to bring them up");
    Ok(vec![format!(
        "{MANY} pods, stopped within {spread:.0} ms, {MANY} complete reports; up in {up:.1?}, all in {took:.1?}"
    )])
}

fn bring_up(node: &Node) -> anyhow::Result<Vec<RunningPod>> {
    let numbers = Mutex::new(0..MANY);
    std::thread::scope(|scope| {
        let hands: Vec<_> = (0..HANDS)
            .map(|_| {
                scope.spawn(|| {
                    let mut up = Vec::new();
                    loop {
                        let next = numbers.lock().unwrap_or_else(PoisonError::into_inner).next();
                        let Some(number) = next else { return anyhow::Ok(up) };
                        let name = format!("fifty-{number}");
                        up.push(node.kubelet.run(&PodSpec::new(&name, 30, &[PORT[0], PORT[1], "graceful"]))?);
                    }
                })
            })
            .collect();
        let each = hands.into_iter().map(|hand| hand.join().map_err(|_| anyhow::anyhow!("a kubelet panicked"))?);
        Ok(each.collect::<Result<Vec<_>, _>>()?.concat())
    })
}

fn stop_at_once(node: &Node, pods: &[RunningPod]) -> anyhow::Result<Vec<Ending>> {
    let together = Barrier::new(pods.len());
    let stop = |pod| {
        together.wait();
        node.kubelet.stop(pod)
    };
    let stop = &stop;
    std::thread::scope(|scope| {
        let threads: Vec<_> = pods.iter().map(|pod| scope.spawn(move || stop(pod))).collect();
        let each =
            threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow::anyhow!("a kubelet panicked"))?);
        Ok(each.collect::<Result<Vec<_>, _>>()?.concat())
    })
}
