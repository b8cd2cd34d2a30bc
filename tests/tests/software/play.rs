//! One piece of software in a pod, under load when the kubelet stops it, and the report about that.

use crate::backend::{Backend, Met};
use crate::client::{Client, Connected, Heard};
use gracetrace_tests::client::{End, Stage, Stages};
use gracetrace_tests::clock::{ms_between, wait_until};
use gracetrace_tests::counts::Counts;
use gracetrace_tests::facts::Facts;
use gracetrace_tests::node::{ContainerSpec, Ending, Node, PodSpec, RunningPod, kind};
use gracetrace_tests::recording;
use gracetrace_tests::tracer::{Finished, Tracer};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The node with its images, and where reports are kept for people.
pub(crate) struct World {
    pub(crate) node: Node,
    pub(crate) backend: Backend,
    pub(crate) reports: PathBuf,
}

/// A case: the software, its load, and what must come of it.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) image: &'static str,
    pub(crate) grace_s: u32,
    /// One that is answered once the software serves.
    pub(crate) ready: Client,
    /// The load, and what each client sees in the end.
    pub(crate) clients: &'static [(Client, End, Answer)],
    pub(crate) expected: Expected,
}

/// Whether a client has all that it asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Whole,
    CutOff,
}

/// What the report must say.
pub(crate) struct Expected {
    pub(crate) init_comm: &'static str,
    pub(crate) outcome: &'static str,
    /// The stop signal, what became of it, and what PID 1 does with it.
    pub(crate) stop: [&'static str; 3],
    /// The exit code, or the signal that ended PID 1.
    pub(crate) exit: Result<i32, &'static str>,
    /// Milliseconds from the stop signal to the exit, at least and at most.
    pub(crate) took_ms: (f64, f64),
    pub(crate) counts: Counts,
    /// Processes that were alive when PID 1 had gone, and that the kernel killed.
    pub(crate) killed_along: (u64, u64),
    /// These rules, and no others.
    pub(crate) findings: &'static [&'static str],
    /// Whatever else is worth asserting.
    pub(crate) more: fn(&mut Facts),
}

/// Plays the case and gives the facts that hold.
pub(crate) fn play(world: &World, case: &Case) -> anyhow::Result<Vec<String>> {
    let spec = PodSpec {
        containers: vec![ContainerSpec::of_image("app", case.image)],
        ..PodSpec::new(case.name, case.grace_s, &[])
    };
    let pod = world.node.kubelet.start(&spec)?;
    serves(&pod, case)?;
    let log = world.node.scratch().join(format!("{}.jsonl", case.name));
    let tracer = trace(&world.node, &pod, &log)?;
    let (stages, before) = (Stages::default(), world.backend.count());
    let _nobody_waits = gracetrace_tests::client::Release(stages.clone());
    let clients: Vec<_> =
        case.clients.iter().map(|(client, ..)| client.connect(pod.server, &stages)).collect::<anyhow::Result<_>>()?;
    // to the report, a server that sent something within the last second may not be done with it
    std::thread::sleep(Duration::from_millis(1100));
    let alive = processes(&pod)?;
    let endings = world.node.kubelet.stop(&pod)?;
    let finished = tracer.finish()?;
    stages.reach(Stage::Reported);
    let heard: Vec<_> = clients.into_iter().map(Connected::heard).collect::<anyhow::Result<_>>()?;
    world.node.kubelet.remove(&pod)?;
    let met = world.backend.met_since(before)?;
    keep_for_people(&world.reports, case.name, &log)?;
    let mut facts = Facts::of(finished.report()?);
    compare(&mut facts, case, &endings[0], &heard);
    // HAProxy ends a connection to the server behind with a RST unless that server's FIN is there already
    let reset = case.expected.counts.reset + met.iter().filter(|one| one.end == Some(End::Reset)).count() as u64;
    let counts = case.expected.counts.clone();
    let left = left_by_themselves(&facts, case);
    let (dropped_by_kill, closed_at_exit) = (counts.dropped_by_kill - left, counts.closed_at_exit + left);
    facts.counts(&Counts { reset, dropped_by_kill, closed_at_exit, ..counts }, true);
    facts.is("/containers/0/processes/seen", alive);
    let (least, most) = case.expected.killed_along;
    let killed = facts.at("/containers/0/processes/killedByPidNamespace").as_u64().unwrap_or(u64::MAX);
    facts.holds(
        (least..=most).contains(&killed),
        &format!("{least} to {most} processes killed with PID 1"),
        &format!("{killed}"),
    );
    if least < most {
        // whoever was not killed has left, and is told as that: with PID 1 they are all there were
        let timeline = facts.at("/timeline").as_array().cloned().unwrap_or_default();
        let exits = timeline.iter().filter(|entry| entry["event"] == "ProcessExited");
        let left = exits.filter(|entry| entry["detail"].as_str().is_some_and(|how| how.starts_with("exited with")));
        let ended = usize::try_from(killed)?.saturating_add(left.count()).saturating_add(1);
        facts.holds(ended == alive, "every process was killed or has left", &format!("{ended} of {alive}"));
    }
    for Met { peer, end } in &met {
        outbound_is(&mut facts, *peer, *end);
    }
    let held = facts.verdict().map_err(|error| anyhow::anyhow!("{error}\nclients: {heard:#?}\nbehind: {met:#?}"))?;
    recording::replays(&log, &finished, &format!("soft-{}", case.name))?;
    Ok(held)
}

/// Waits until the software answers.
fn serves(pod: &RunningPod, case: &Case) -> anyhow::Result<()> {
    let stages = Stages::default();
    wait_until(case.name, Duration::from_secs(20), || case.ready.connect(pod.server, &stages).ok())
        .map_err(|error| anyhow::anyhow!("{error}; it printed: {}", pod.printed("app")))?
        .leave()
}

fn trace(node: &Node, pod: &RunningPod, log: &Path) -> anyhow::Result<Tracer> {
    let (name, namespace) = (&pod.spec.name, &pod.spec.namespace);
    let (endpoint, record) = (node.endpoint(), log.display().to_string());
    let mut tracer = Tracer::start([
        "--pod",
        name,
        "-n",
        namespace,
        "-o",
        "json",
        "--runtime-endpoint",
        &endpoint,
        "--timeout",
        "60s",
        "--record",
        &record,
    ])?;
    tracer.wait_for_line(&format!("tracing {namespace}/{name}"))?;
    Ok(tracer)
}

/// How many processes the container has, by the kernel's own list.
fn processes(pod: &RunningPod) -> anyhow::Result<usize> {
    let cgroup = pod.container_cgroup(0);
    let lists = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(|root| format!("{root}{cgroup}/cgroup.procs"));
    let list = lists.iter().find_map(|list| std::fs::read_to_string(list).ok());
    Ok(list.ok_or_else(|| anyhow::anyhow!("there is no {}", lists.join(" and no ")))?.lines().count())
}

/// The report as a person sees it, and the log for another look.
fn keep_for_people(folder: &Path, name: &str, log: &Path) -> anyhow::Result<()> {
    let replay = ["replay".as_ref(), log.as_os_str(), "-o".as_ref(), "text".as_ref()];
    let Finished { stdout, .. } = Tracer::start(replay)?.finish()?;
    std::fs::create_dir_all(folder)?;
    std::fs::copy(log, folder.join(format!("{name}.jsonl")))?;
    Ok(std::fs::write(folder.join(format!("{name}.txt")), stdout)?)
}

fn compare(facts: &mut Facts, case: &Case, ending: &Ending, heard: &[Heard]) {
    let Expected { init_comm, outcome, stop: [signal, result, disposition], exit, took_ms, .. } = case.expected;
    facts.complete();
    facts.is("/outcome", outcome);
    facts.is("/containers/0/image", case.image);
    facts.is("/containers/0/initComm", init_comm);
    facts.is("/containers/0/stop/signal", signal);
    facts.is("/containers/0/stop/result", result);
    facts.is("/containers/0/stop/disposition", disposition);
    facts.is("/containers/0/stop/sender/comm", kind().runtime);
    facts.is("/containers/0/exit/code", exit.map_or(Value::Null, Value::from));
    facts.is("/containers/0/exit/signal", exit.err().map_or(Value::Null, Value::from));
    if exit == Err("SIGKILL") {
        facts.is("/containers/0/kill/cause", "GracePeriodExpired");
    } else {
        facts.is("/containers/0/kill", Value::Null);
        // the runtime's own word about it
        let code = facts.at("/containers/0/exit/code").as_i64();
        let ended_well = code.is_none_or(|code| code == i64::from(ending.exit_code));
        facts.holds(ended_well, "the runtime saw the same exit code", &format!("it saw {}", ending.exit_code));
    }
    let call = ms_between(ending.stop.0, ending.ended_at);
    facts.between("/containers/0/stopToExitMs", took_ms.0, took_ms.1.min(call + 1.0));
    facts.details_are(heard.iter().map(|one| &one.seen));
    for ((client, end, answer), heard) in case.clients.iter().zip(heard) {
        let found = (heard.seen.end, if heard.whole { Answer::Whole } else { Answer::CutOff });
        let fact = format!("{:?} saw {end:?}, {answer:?}", client.what);
        facts.holds(found == (*end, *answer), &fact, &format!("it saw {found:?}"));
    }
    let mut findings = case.expected.findings.to_vec();
    let left = left_by_themselves(facts, case);
    if left > 0 {
        let told = facts.rules();
        findings.retain(|rule| *rule != "connections-dropped" || left < case.expected.counts.dropped_by_kill);
        findings.extend(["requests-in-flight-at-exit"].iter().filter(|rule| told.iter().any(|told| told == *rule)));
    }
    facts.findings(&findings);
    (case.expected.more)(facts);
}

/// Connections whose process was quicker to leave than the kernel to kill it, where either may be.
fn left_by_themselves(facts: &Facts, case: &Case) -> u64 {
    let (least, most) = case.expected.killed_along;
    let told = facts.at("/connections/closedAtExit").as_u64().unwrap_or(0);
    if least < most { told.min(case.expected.counts.dropped_by_kill) } else { 0 }
}

/// A connection that the pod opened is listed, and ended as the server behind it saw it end.
fn outbound_is(facts: &mut Facts, local: SocketAddr, end: Option<End>) {
    let details = facts.details();
    let detail = details.iter().find(|one| one["local"] == *local.to_string());
    let found = detail.map(|one| (one["direction"] == "Outbound", one["reset"] == true));
    let expected = Some((true, end == Some(End::Reset)));
    let fact = format!("{local}, opened by the pod, ended with {end:?}");
    facts.holds(found == expected, &fact, &format!("it is {detail:?}"));
}
