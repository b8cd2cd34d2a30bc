//! Two pods and one ring: one storms while gracetrace does not get to run, the other ends in the same moment. The quiet one's
//! report lacks nothing, the other's says what it lacks, and the numbers add up.

use crate::hierarchies::Hierarchy;
use gracetrace_tests::client::{self, Stage, Stages, Use};
use gracetrace_tests::clock::{ExitWatch, scaled, wait_until};
use gracetrace_tests::command::Machine;
use gracetrace_tests::counts::Counts;
use gracetrace_tests::facts::Facts;
use gracetrace_tests::recording;
use gracetrace_tests::stamps::StampFile;
use gracetrace_tests::suite;
use gracetrace_tests::tracer::Tracer;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Below it are the pods of this test.
const PODS: &str = "gracetrace-tests-storm";
const QUIET: &str = "7a6e0001-57f3-4222-8333-444455556666";
const STORMY: &str = "7a6e0002-57f3-4222-8333-444455556666";
/// Room for some 700 records …
const RING: &str = "128KiB";
/// … and so many programs are started, each of them three records.
const STORM: u64 = 2_500;
const CLIENTS: u64 = 4;

/// Waits for its stop signal, then for the file `$0`; starts programs that do nothing, and says in `$2` that it has.
const STORMS: &str = r#"
stopped=; trap stopped=1 TERM
until [ "$stopped" ] && [ -e "$0" ]; do sleep 0.02; done
i=0; while [ $i -lt "$1" ]; do /bin/true; i=$((i + 1)); done
: >"$2"; exit 0"#;

pub(crate) fn beside_a_quiet_pod(machine: &Machine) -> anyhow::Result<Vec<String>> {
    let (name, root) = hierarchy()?;
    let root = root.join(PODS);
    sweep(&root)?;
    let swept = root.clone();
    suite::at_end("the pods that storm and do not", move || sweep(&swept));
    std::fs::create_dir(&root)?;
    let [log, stamps, go, done] =
        ["storm.jsonl", "storm.stamps", "storm.go", "storm.done"].map(|name| machine.file(name));
    let [quiet, stormy] = [QUIET, STORMY].map(|uid| root.join(format!("pod{uid}")));
    // there before the tracer is: it takes the hierarchy that has pods
    [&quiet, &stormy].into_iter().try_for_each(std::fs::create_dir)?;

    let flags = ["-v", "-o", "jsonl", "--ring-buffer-size", RING, "--cgroup-hierarchy", &name, "--record"];
    let mut tracer = Tracer::start(flags.map(str::to_owned).into_iter().chain([log.display().to_string()]))?;
    tracer.wait_for_line("tracing every pod")?;
    let victim = [machine.victim().display().to_string(), "--stamps".to_owned(), stamps.display().to_string()];
    let serves = ["--listen", "127.0.0.1:0", "graceful"].map(str::to_owned);
    let quiet = Container::start(&quiet, victim.into_iter().chain(serves))?;
    let storm = [go.display().to_string(), STORM.to_string(), done.display().to_string()];
    let stormy = Container::start(&stormy, ["sh", "-c", STORMS].map(str::to_owned).into_iter().chain(storm))?;
    let stamps = StampFile::at(&stamps);
    let port: u16 = stamps.wait_for("ready")?.detail.parse()?;
    let stages = Stages::default();
    let clients = client::open_all(([127, 0, 0, 1], port).into(), [Use::Served; CLIENTS as usize], &stages)?;
    // what has begun is read
    std::thread::sleep(scaled(Duration::from_millis(500)));

    let reader = pid(tracer.pid())?;
    kill_process(reader, Signal::STOP)?;
    let held_up = held_up(&quiet, &stormy, &stamps, (&go, &done), &stages);
    // also where something failed: it is to end
    kill_process(reader, Signal::CONT)?;
    held_up?;
    stages.reach(Stage::Ended);
    tracer.wait_for_reports(2)?;
    stages.reach(Stage::Reported);
    tracer.terminate()?;
    let finished = tracer.finish()?;
    client::seen_by_all(clients)?;
    [quiet, stormy].into_iter().try_for_each(Container::end)?;
    sweep(&root)?;

    let reports = finished.reports()?;
    let of = |uid: &str| reports.iter().find(|report| report["pod"]["uid"] == uid).cloned().unwrap_or_default();
    let mut lines = Vec::new();

    let sees = recording::sees(&log)?;
    let mut facts = Facts::of(of(QUIET)).seeing(sees);
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
    lines.extend(facts.verdict()?);

    let counts = counts(&finished.stderr)?;
    let mut facts = Facts::of(of(STORMY));
    facts.is("/outcome", "Graceful");
    facts.is("/containers/0/stop/signal", "SIGTERM");
    facts.is("/containers/0/exit/code", 0);
    facts.is("/completeness/complete", false);
    // a shell that starts programs has others, by what it was doing when it was told to stop
    let rules = facts.rules();
    facts.holds(rules.iter().any(|rule| rule == "incomplete"), "there is a finding for it", &format!("{rules:?}"));
    let dropped: u64 = counts.iter().map(|count| count.dropped).sum();
    facts.holds(dropped > STORM, "more was dropped than written", &format!("{dropped} dropped"));
    facts.is("/completeness/eventsLost", dropped);
    let entries = facts.at("/timeline").as_array().map(Vec::as_slice).unwrap_or_default();
    let told = entries.iter().filter(|entry| entry["event"] == "EventsLost");
    let not_own: Vec<&Value> =
        told.filter(|entry| !entry["detail"].as_str().unwrap_or_default().ends_with("of this pod")).collect();
    let (is_own, instead) = (not_own.is_empty(), format!("{not_own:?}"));
    facts.holds(is_own, "every record lost was this pod's", &instead);
    let reason = facts.at("/completeness/reasons/0").as_str().unwrap_or_default().to_owned();
    let says_why =
        reason.starts_with(&format!("{dropped} records of this pod")) && reason.contains("--ring-buffer-size");
    facts.holds(says_why, "the report says why, and what to do", &reason);
    for Count { kind, written, dropped, read } in &counts {
        facts.holds(
            written == read,
            &format!("{kind}: {written} written + {dropped} dropped"),
            &format!("{read} read"),
        );
    }
    let forks = counts.iter().find(|count| count.kind == "process_fork").map_or(0, |one| one.written + one.dropped);
    facts.holds(forks >= STORM, "every fork was counted", &format!("{forks} of {STORM}"));
    lines.extend(facts.verdict()?);
    lines.push(format!("{dropped} records lost, all of them the stormy pod's"));
    Ok(lines)
}

/// Both pods are told to end; the quiet one does so while the other storms.
fn held_up(
    quiet: &Container,
    stormy: &Container,
    stamps: &StampFile,
    (go, done): (&Path, &Path),
    stages: &Stages,
) -> anyhow::Result<()> {
    let (gone, over) = (ExitWatch::on(quiet.init)?, ExitWatch::on(stormy.init)?);
    kill_process(pid(stormy.init)?, Signal::TERM)?;
    std::fs::write(go, "")?;
    // far more than the ring holds
    std::thread::sleep(scaled(Duration::from_millis(1_000)));
    anyhow::ensure!(!done.exists(), "the storm is over before the quiet pod is told to end");
    kill_process(pid(quiet.init)?, Signal::TERM)?;
    stamps.wait_for("handler")?;
    stages.reach(Stage::Stopped);
    gone.ended_at()?;
    anyhow::ensure!(!done.exists(), "the storm is over before the quiet pod has ended");
    wait_until("the end of the storm", Duration::from_secs(30), || done.exists().then_some(()))?;
    over.ended_at()?;
    Ok(())
}

/// A container without a runtime: a cgroup that is named like one, and a process in it that is PID 1 of its namespace.
struct Container {
    /// Outside the cgroup: it waits for its only child.
    parent: Child,
    init: u32,
}

impl Container {
    fn start(pod: &Path, command: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let cgroup = pod.join("c".repeat(64));
        std::fs::create_dir(&cgroup)?;
        let procs = cgroup.join("cgroup.procs");
        let mut parent = Command::new("unshare");
        parent.args(["-p", "-f", "sh", "-c", "echo 0 >\"$0\" && exec \"$@\""]).arg(&procs).args(command);
        let parent = parent.stdin(Stdio::null()).spawn()?;
        let init = wait_until("a process in the cgroup", Duration::from_secs(5), || {
            std::fs::read_to_string(&procs).ok()?.lines().next()?.parse().ok()
        })?;
        Ok(Self { parent, init })
    }

    fn end(mut self) -> anyhow::Result<()> {
        wait_until("the end of a container", Duration::from_secs(5), || self.parent.try_wait().ok().flatten())?;
        Ok(())
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if matches!(self.parent.try_wait(), Ok(None)) {
            // of a run that failed; its parent follows
            let _gone = pid(self.init).map(|init| kill_process(init, Signal::KILL));
            let _reaped = self.parent.wait();
        }
    }
}

fn pid(number: u32) -> anyhow::Result<Pid> {
    Pid::from_raw(i32::try_from(number)?).ok_or_else(|| anyhow::anyhow!("0 is no process"))
}

/// The hierarchy that the run is for (v2, where there is a choice), by the word for it and where it is mounted.
fn hierarchy() -> anyhow::Result<(String, PathBuf)> {
    let wanted = std::env::var("GRACETRACE_TEST_HIERARCHY").ok();
    let words = wanted.map_or_else(|| ["v2", "pids", "memory"].map(str::to_owned).to_vec(), |wanted| vec![wanted]);
    let mounted = Hierarchy::mounted()?;
    let found = words.into_iter().find_map(|word| {
        let root = mounted.iter().find(|it| it.controller.as_deref().unwrap_or("v2") == word)?.root.clone();
        Some((word, root))
    });
    found.ok_or_else(|| anyhow::anyhow!("no cgroup hierarchy is mounted"))
}

/// What a run leaves, also one that failed.
fn sweep(root: &Path) -> anyhow::Result<()> {
    for pod in std::fs::read_dir(root).into_iter().flatten().flatten() {
        for container in std::fs::read_dir(pod.path()).into_iter().flatten().flatten() {
            if container.file_type().is_ok_and(|kind| kind.is_dir()) {
                std::fs::remove_dir(container.path())?;
            }
        }
        if pod.file_type().is_ok_and(|kind| kind.is_dir()) {
            std::fs::remove_dir(pod.path())?;
        }
    }
    match std::fs::remove_dir(root) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// What gracetrace says of a kind of record at its end.
struct Count {
    kind: String,
    written: u64,
    dropped: u64,
    read: u64,
}

/// Of each line `records: KIND N written, M dropped, R read`.
fn counts(said: &str) -> anyhow::Result<Vec<Count>> {
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
