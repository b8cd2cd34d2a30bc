//! A pod in which something ends and that goes on: what becomes of its connections meanwhile is no part of its end, and what becomes of
//! them while a container drains is told, whatever is started beside it.

use crate::pods::{self, Container, pid, sweep};
use gracetrace_tests::client::Step::{Close, Receive, Say};
use gracetrace_tests::client::{self, End, Line, Reading, Stage, Stages, Use};
use gracetrace_tests::clock::wait_until;
use gracetrace_tests::command::Machine;
use gracetrace_tests::counts::Counts;
use gracetrace_tests::facts::Facts;
use gracetrace_tests::probe_maps::ProbeMaps;
use gracetrace_tests::recording;
use gracetrace_tests::stamps::StampFile;
use gracetrace_tests::tracer::Tracer;
use rustix::process::{Signal, kill_process};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PODS: &str = "gracetrace-tests-goes-on";
const UID: &str = "7a6e0031-57f3-4222-8333-444455556666";
const BEFORE: &str = "7a6e0032-57f3-4222-8333-444455556666";
const LATE: u64 = 5;
/// Ends by itself, like an init container. (By its path: a shell that is busybox would become it without exec.)
const ENDS: [&str; 2] = ["/bin/sleep", "0.3"];
/// Open until it is told to close, long before anything is stopped.
const EARLY: Use = Use::Does(&[Say(Line::Request(25)), Receive], &[Close], Reading::Always);
/// Answered once, and then in the middle of a request.
const ASKS: Use = Use::Does(&[Say(Line::Request(25)), Receive, Say(Line::Request(900))], &[], Reading::Always);

/// The pod, and where its servers write down what they do.
struct Scene<'a> {
    machine: &'a Machine,
    pod: PathBuf,
}

impl Scene<'_> {
    /// A container that serves until it is told to stop.
    fn server(&self, digit: char) -> anyhow::Result<(Container, SocketAddr)> {
        self.server_at(digit, "127.0.0.1:0", &["graceful"])
    }

    fn server_at(&self, digit: char, local: &str, ends: &[&str]) -> anyhow::Result<(Container, SocketAddr)> {
        let stamps = self.machine.file(&format!("goes-on-{digit}.stamps"));
        let victim = [self.machine.victim().display().to_string(), "--stamps".to_owned(), stamps.display().to_string()];
        let serves = ["--listen", local].into_iter().chain(ends.iter().copied()).map(str::to_owned);
        let container = Container::start_as(&self.pod, digit, victim.into_iter().chain(serves))?;
        let port: u16 = StampFile::at(&stamps).wait_for("ready")?.detail.parse()?;
        Ok((container, ([127, 0, 0, 1], port).into()))
    }
}

/// A gracetrace that follows every pod, and its event log.
fn tracing(machine: &Machine, hierarchy: &str, log: &str) -> anyhow::Result<(Tracer, PathBuf)> {
    let log = machine.file(log);
    let flags = ["-v", "-o", "jsonl", "--cgroup-hierarchy", hierarchy, "--record"].map(str::to_owned);
    let mut tracer = Tracer::start(flags.into_iter().chain([log.display().to_string()]))?;
    tracer.wait_for_line("tracing every pod")?;
    Ok((tracer, log))
}

pub(crate) fn is_let_be(machine: &Machine) -> anyhow::Result<Vec<String>> {
    let (hierarchy, root) = pods::place(PODS)?;
    let scene = Scene { machine, pod: root.join(format!("pod{UID}")) };
    std::fs::create_dir(&scene.pod)?;
    let (tracer, log) = tracing(machine, &hierarchy, "goes-on.jsonl")?;
    let maps = ProbeMaps::of(tracer.pid())?;

    let (drains, server) = scene.server('a')?;
    Container::start_as(&scene.pod, 'b', ENDS.map(str::to_owned).into_iter())?.end()?;
    let marked = maps.look()?.stopping;
    let stages = Stages::default();
    let early = client::open_all(server, [EARLY, EARLY, EARLY], &stages)?;
    let (stays, _) = scene.server('d')?;
    is_over(&maps, "after a container that ended by itself")?;
    stages.reach(Stage::Stopped);
    client::seen_by_all(early)?;
    kill_process(pid(stays.init)?, Signal::WINCH)?;
    is_over(&maps, "after a signal that meant nothing")?;

    let stages = Stages::default();
    let asking = client::open_all(server, [ASKS, ASKS], &stages)?;
    // each has been accepted and answered once: now its second request is read
    std::thread::sleep(Duration::from_millis(50));
    kill_process(pid(drains.init)?, Signal::TERM)?;
    let (comes, _) = scene.server('e')?;
    drains.end()?;
    for last in [stays, comes] {
        kill_process(pid(last.init)?, Signal::TERM)?;
        last.end()?;
    }
    stages.reach(Stage::Ended);
    sweep(&root)?;
    tracer.wait_for("the pod's report", |stdout| stdout.lines().any(|line| line.contains(UID)))?;
    stages.reach(Stage::Reported);
    client::seen_by_all(asking)?;
    let reports = tracer.end()?.reports()?;
    let own = reports.into_iter().filter(|report| report["pod"]["uid"] == UID).collect::<Vec<_>>();
    verdict(&own, marked, &log)
}

/// Two pods in one network namespace, the later one on every address of the port that the first had on one: who comes late is refused by the
/// later one, and told of it.
pub(crate) fn has_the_port_of_another(machine: &Machine) -> anyhow::Result<Vec<String>> {
    let (hierarchy, root) = pods::place(PODS)?;
    let (tracer, log) = tracing(machine, &hierarchy, "same-port.jsonl")?;
    let is_told = |uid: &'static str| move |stdout: &str| stdout.lines().any(|line| line.contains(uid));

    let before = Scene { machine, pod: root.join(format!("pod{BEFORE}")) };
    std::fs::create_dir(&before.pod)?;
    let (first, server) = before.server('f')?;
    kill_process(pid(first.init)?, Signal::TERM)?;
    first.end()?;
    sweep(&root)?;
    tracer.wait_for("the first pod's report", is_told(BEFORE))?;

    let (_, root) = pods::place(PODS)?;
    let own = Scene { machine, pod: root.join(format!("pod{UID}")) };
    std::fs::create_dir(&own.pod)?;
    let (second, _) = own.server_at('0', &format!("0.0.0.0:{}", server.port()), &["slow-drain", "1500"])?;
    kill_process(pid(second.init)?, Signal::TERM)?;
    let closed = || client::knock(server).ok().filter(|seen| seen.end == End::Refused);
    wait_until("a closed port", Duration::from_secs(5), closed)?;
    for _ in 1..LATE {
        anyhow::ensure!(client::knock(server)?.end == End::Refused, "the port is open again");
    }
    second.end()?;
    sweep(&root)?;
    tracer.wait_for("the second pod's report", is_told(UID))?;
    let reports = tracer.end()?.reports()?;
    let sees = recording::sees(&log)?;
    let report = reports.into_iter().find(|report| report["pod"]["uid"] == UID).unwrap_or_default();
    let mut facts = Facts::of(report).seeing(sees);
    facts.complete();
    if sees.refused && sees.on_host_network {
        facts.is("/connections/refusedAfterListenerClose", LATE);
    }
    facts.verdict()
}

/// Nobody on the node is being stopped any more, or not at all.
fn is_over(maps: &ProbeMaps, when: &str) -> anyhow::Result<()> {
    let what = format!("that the pod's sockets are let be {when}");
    wait_until(&what, Duration::from_secs(10), || (maps.look().ok()?.stopping == 0).then_some(()))
}

fn verdict(own: &[serde_json::Value], marked: usize, log: &Path) -> anyhow::Result<Vec<String>> {
    let sees = recording::sees(log)?;
    let mut facts = Facts::of(own.first().cloned().unwrap_or_default()).seeing(sees);
    facts.holds(own.len() == 1, "one report", &format!("{}", own.len()));
    facts.is("/scope", "Pod");
    facts.complete();
    facts.holds(marked == 1, "an end is followed until it is known to be no end of the pod", &format!("{marked}"));
    if sees.on_host_network {
        facts.counts(&Counts { open_at_stop: 2, closed_gracefully: 2, ..Counts::default() }, true);
    }
    facts.verdict()
}
