//! Three pods and one ring: two storm while gracetrace does not get to run, the third ends in the same moment. The quiet one's
//! report lacks nothing, each of the others' says what it lacks, and the numbers add up.

use crate::pods::{self, Container, pid, sweep};
use gracetrace::input::Sees;
use gracetrace_tests::client::{self, Stage, Stages, Use};
use gracetrace_tests::clock::{ExitWatch, scaled};
use gracetrace_tests::command::Machine;
use gracetrace_tests::counts::Counts;
use gracetrace_tests::facts::Facts;
use gracetrace_tests::recording;
use gracetrace_tests::stamps::StampFile;
use gracetrace_tests::tracer::Tracer;
use rustix::process::{Signal, kill_process};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// Below it are the pods of this test.
const PODS: &str = "gracetrace-tests-storm";
const QUIET: &str = "7a6e0001-57f3-4222-8333-444455556666";
const STORMY: [&str; 2] = ["7a6e0002-57f3-4222-8333-444455556666", "7a6e0003-57f3-4222-8333-444455556666"];
/// Room for some 700 records, of which a program that is started takes three.
const RING: &str = "128KiB";
/// What a storm must have lost at least, to have been one.
const STORM: u64 = 1_000;
const CLIENTS: u64 = 4;

/// Waits for its stop signal, then for the file `$0`; starts programs that do nothing until `$1` is there, and writes how many
/// into `$2`.
const STORMS: &str = r#"
stopped=; trap stopped=1 TERM
until [ "$stopped" ] && [ -e "$0" ]; do sleep 0.02; done
i=0; until [ -e "$1" ]; do /bin/true; i=$((i + 1)); done
echo $i >"$2"; exit 0"#;

pub(crate) fn beside_a_quiet_pod(machine: &Machine) -> anyhow::Result<Vec<String>> {
    let (hierarchy, root) = pods::place(PODS)?;
    // there before the tracer is: it takes the hierarchy that has pods
    let pod = |uid: &str| root.join(format!("pod{uid}"));
    [QUIET].iter().chain(&STORMY).try_for_each(|uid| std::fs::create_dir(pod(uid)))?;

    let [log, stamps, go, enough] =
        ["storm.jsonl", "storm.stamps", "storm.go", "storm.enough"].map(|name| machine.file(name));
    let flags = ["-v", "-o", "jsonl", "--ring-buffer-size", RING, "--cgroup-hierarchy", &hierarchy, "--record"];
    let mut tracer = Tracer::start(flags.map(str::to_owned).into_iter().chain([log.display().to_string()]))?;
    tracer.wait_for_line("tracing every pod")?;
    let victim = [machine.victim().display().to_string(), "--stamps".to_owned(), stamps.display().to_string()];
    let serves = ["--listen", "127.0.0.1:0", "graceful"].map(str::to_owned);
    let quiet = Container::start(&pod(QUIET), victim.into_iter().chain(serves))?;
    let mut stormy = Vec::new();
    for uid in STORMY {
        let files = [&go, &enough, &machine.file(uid)].map(|file| file.display().to_string());
        // by its path: a shell that is busybox would become another one without exec
        stormy
            .push(Container::start(&pod(uid), ["/bin/sh", "-c", STORMS].map(str::to_owned).into_iter().chain(files))?);
    }
    let stamps = StampFile::at(&stamps);
    let port: u16 = stamps.wait_for("ready")?.detail.parse()?;
    let stages = Stages::default();
    let usage = (0..CLIENTS).map(|_| Use::Served);
    let clients = client::open_all(([127, 0, 0, 1], port).into(), usage, &stages)?;
    // what has begun is read, as far as anybody waits for it
    std::thread::sleep(scaled(Duration::from_millis(500)));

    tracer.while_still(|| held_up(&quiet, &stormy, &stamps, (&go, &enough), &stages))?;
    stages.reach(Stage::Ended);
    // others may have pods on this machine
    let is_told = |stdout: &str| {
        let lines = stdout.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        [QUIET].iter().chain(&STORMY).all(|uid| lines.clone().any(|line| line.contains(uid)))
    };
    tracer.wait_for("the reports of the three pods", is_told)?;
    stages.reach(Stage::Reported);
    let finished = tracer.end()?;
    client::seen_by_all(clients)?;
    quiet.end()?;
    stormy.into_iter().try_for_each(Container::end)?;
    sweep(&root)?;

    let (reports, counts) = (finished.reports()?, counts(&finished.stderr)?);
    let of = |uid: &str| reports.iter().find(|report| report["pod"]["uid"] == uid).cloned().unwrap_or_default();
    let mut lines = has_all(of(QUIET), recording::sees(&log)?)?;
    let (mut lost, mut started) = (0, 0);
    for uid in STORMY {
        let (facts, own) = says_what_it_lacks(of(uid))?;
        lines.extend(facts);
        lost += own;
        started += std::fs::read_to_string(machine.file(uid))?.trim().parse::<u64>()?;
    }
    let mut facts = Facts::of(Value::Null);
    let dropped: u64 = counts.iter().map(|count| count.dropped).sum();
    let inputs = recording::inputs(&log)?;
    let told = inputs.iter().filter(|input| input["input"] == "Lost").filter_map(|input| input["count"].as_u64());
    let told: u64 = told.sum();
    facts.holds(told == dropped, "every record dropped was told once", &format!("{told} of {dropped}"));
    facts.holds(lost <= dropped, "the stormy pods were told of no more", &format!("{lost} of {dropped}"));
    for Count { kind, written, dropped, read } in &counts {
        facts.holds(
            written == read,
            &format!("{kind}: {written} written + {dropped} dropped"),
            &format!("{read} read"),
        );
    }
    let forks = counts.iter().find(|count| count.kind == "process_fork").map_or(0, |one| one.written + one.dropped);
    facts.holds(forks >= started, "every fork was counted", &format!("{forks} of {started}"));
    lines.extend(facts.verdict()?);
    Ok(lines)
}

/// The quiet pod's report, as if nobody had stormed.
fn has_all(report: Value, sees: Sees) -> anyhow::Result<Vec<String>> {
    let mut facts = Facts::of(report).seeing(sees);
    facts.is("/outcome", "Graceful");
    facts.is("/containers/0/stop/signal", "SIGTERM");
    facts.is("/containers/0/exit/code", 0);
    facts.timeline("StopSignalHandled", 1);
    facts.timeline("EventsLost", 0);
    facts.complete();
    // the test is no container runtime
    facts.findings(&["killed-by-other"]);
    if sees.on_host_network {
        facts.counts(&Counts { open_at_stop: CLIENTS, closed_gracefully: CLIENTS, ..Counts::default() }, true);
    }
    facts.verdict()
}

/// A stormy pod's report; gives also how many records it says were lost.
fn says_what_it_lacks(report: Value) -> anyhow::Result<(Vec<String>, u64)> {
    let mut facts = Facts::of(report);
    facts.is("/outcome", "Graceful");
    facts.is("/containers/0/stop/signal", "SIGTERM");
    facts.is("/containers/0/exit/code", 0);
    facts.is("/completeness/complete", false);
    let lost = facts.at("/completeness/eventsLost").as_u64().unwrap_or(0);
    facts.holds(lost > STORM, &format!("{lost} records lost"), "too few for a storm");
    // a shell that starts programs has others, by what it was doing when it was told to stop
    let rules = facts.rules();
    facts.holds(rules.iter().any(|rule| rule == "incomplete"), "there is a finding for it", &format!("{rules:?}"));
    let entries = facts.at("/timeline").as_array().cloned().unwrap_or_default();
    let told = entries.iter().filter(|entry| entry["event"] == "EventsLost");
    let not_own: Vec<&Value> =
        told.filter(|entry| !entry["detail"].as_str().unwrap_or_default().ends_with("of this pod")).collect();
    facts.holds(not_own.is_empty(), "every one was this pod's", &format!("{not_own:?}"));
    let reason = facts.at("/completeness/reasons/0").as_str().unwrap_or_default().to_owned();
    let says_why = reason.starts_with(&format!("{lost} records of this pod")) && reason.contains("--ring-buffer-size");
    facts.holds(says_why, "it says why, and what to do", &reason);
    Ok((facts.verdict()?, lost))
}

/// All pods are told to end; the quiet one does so while the others storm.
fn held_up(
    quiet: &Container,
    stormy: &[Container],
    stamps: &StampFile,
    (go, enough): (&Path, &Path),
    stages: &Stages,
) -> anyhow::Result<()> {
    let gone = ExitWatch::on(quiet.init)?;
    let over = stormy.iter().map(|pod| ExitWatch::on(pod.init)).collect::<anyhow::Result<Vec<_>>>()?;
    stormy.iter().try_for_each(|pod| anyhow::Ok(kill_process(pid(pod.init)?, Signal::TERM)?))?;
    std::fs::write(go, "")?;
    // far more than the ring holds
    std::thread::sleep(scaled(Duration::from_secs(2)));
    kill_process(pid(quiet.init)?, Signal::TERM)?;
    stamps.wait_for("handler")?;
    stages.reach(Stage::Stopped);
    gone.ended_at()?;
    std::fs::write(enough, "")?;
    over.into_iter().try_for_each(|storm| storm.ended_at().map(drop))
}

/// What gracetrace says of a kind of record at its end.
#[derive(Debug)]
pub(crate) struct Count {
    pub(crate) kind: String,
    pub(crate) written: u64,
    pub(crate) dropped: u64,
    pub(crate) read: u64,
}

/// Of each line `records: KIND N written, M dropped, R read`.
pub(crate) fn counts(said: &str) -> anyhow::Result<Vec<Count>> {
    let lines = said.lines().filter_map(|line| Some(line.split_once("records: ")?.1));
    let count = |line: &str| {
        let (kind, rest) = line.split_once(' ')?;
        let mut numbers = rest.split(' ').filter_map(|word| word.parse().ok());
        let mut next = || numbers.next();
        Some(Count { kind: kind.to_owned(), written: next()?, dropped: next()?, read: next()? })
    };
    let counts: Vec<Count> = lines.filter_map(count).collect();
    anyhow::ensure!(!counts.is_empty(), "no counts in {said}");
    Ok(counts)
}
