//! One case of the kernel tier: what is run, how it is used and stopped, and what the report must say.

use gracetrace_tests::client::{self, End, Use};
use gracetrace_tests::clock::{ExitWatch, ms_between, wait_until};
use gracetrace_tests::facts::Facts;
use gracetrace_tests::recording;
use gracetrace_tests::stamps::StampFile;
use gracetrace_tests::storm::Storm;
use gracetrace_tests::suite;
use gracetrace_tests::tracer::Tracer;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the cases share: the victim, and a folder that is gone at the end.
pub(crate) struct Machine {
    victim: PathBuf,
    folder: PathBuf,
}

/// A case. `Case::default()` is a graceful server without clients, and everything in order.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Flags of `gracetrace run`.
    pub(crate) run: &'static [&'static str],
    /// Arguments of the victim; `{self}` is the victim with stamps of its own.
    pub(crate) victim: &'static [&'static str],
    pub(crate) clients: &'static [Use],
    /// SIGTERM to gracetrace once the clients are there; otherwise the victim ends by itself.
    pub(crate) stopped: bool,
    /// With a storm on the host around the stop.
    pub(crate) storm: bool,
    pub(crate) outcome: &'static str,
    pub(crate) trigger: Option<&'static str>,
    pub(crate) stop: Option<(&'static str, &'static str, &'static str)>,
    pub(crate) exit: Result<i32, &'static str>,
    pub(crate) kill_cause: Option<&'static str>,
    pub(crate) connections: Connections,
    /// seen, signalled, killed by the end of the PID namespace.
    pub(crate) processes: (u32, u32, u32),
    pub(crate) findings: &'static [&'static str],
    pub(crate) timeline: &'static [(&'static str, usize)],
    /// From stop to exit in ms, where neither the victim's stamps nor its pidfd tell.
    pub(crate) stop_to_exit: StopToExit,
}

/// What the harness compares `stopToExitMs` with.
#[derive(PartialEq)]
pub(crate) enum StopToExit {
    /// The victim's own stamps `handler` and `exit`.
    Stamps,
    /// The victim's stamp `handler`, and its end by its pidfd.
    HandlerToPidfd,
    /// The harness's SIGTERM to gracetrace, and the victim's end by its pidfd.
    OrderToPidfd,
    /// There was no stop signal.
    Null,
}

/// The counts of the report, all exact.
#[derive(Default)]
pub(crate) struct Connections {
    pub(crate) open_at_stop: u64,
    pub(crate) closed_gracefully: u64,
    pub(crate) closed_at_exit: u64,
    pub(crate) dropped_by_kill: u64,
    pub(crate) reset: u64,
    pub(crate) in_flight: u64,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            name: "",
            run: &["--grace-period", "3s"],
            victim: &["--listen", "127.0.0.1:0", "graceful"],
            clients: &[],
            stopped: true,
            storm: false,
            outcome: "Graceful",
            trigger: None,
            stop: Some(("SIGTERM", "Delivered", "Handler")),
            exit: Ok(0),
            kill_cause: None,
            connections: Connections::default(),
            processes: (1, 1, 0),
            findings: &[],
            timeline: &[("ContainerExited", 1), ("EventsLost", 0)],
            stop_to_exit: StopToExit::Stamps,
        }
    }
}

impl Machine {
    pub(crate) fn new(victim: &Path) -> anyhow::Result<Self> {
        gracetrace_tests::tracer::binary()?;
        let folder = tempfile::Builder::new().prefix("gracetrace-kernel-").tempdir()?.keep();
        let removed = folder.clone();
        suite::at_end("the tier's folder", move || Ok(std::fs::remove_dir_all(removed)?));
        Ok(Self { victim: victim.to_owned(), folder })
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Starts `gracetrace run` with these flags and the victim with these arguments.
    pub(crate) fn run(&self, flags: &[&str], victim: &[&str], log: &Path, stamps: &Path) -> anyhow::Result<Tracer> {
        let mut args: Vec<String> = ["run", "-o", "json", "--record"].map(str::to_owned).to_vec();
        args.push(log.display().to_string());
        args.extend(flags.iter().map(|&flag| flag.to_owned()));
        let one = || [self.victim.display().to_string(), "--stamps".to_owned(), stamps.display().to_string()];
        args.push("--".to_owned());
        args.extend(one());
        for &arg in victim {
            if arg == "{self}" { args.extend(one()) } else { args.push(arg.to_owned()) }
        }
        Tracer::start(args)
    }
}

/// Plays a case: the report must hold every fact, and its log must replay to the same bytes.
pub(crate) fn check(machine: &Machine, case: &Case) -> anyhow::Result<Vec<String>> {
    let (log, stamps) = (machine.file(&format!("{}.jsonl", case.name)), machine.file(&format!("{}.stamps", case.name)));
    let tracer = machine.run(case.run, case.victim, &log, &stamps)?;
    let stamps = StampFile::at(&stamps);
    let ready = stamps.wait_for("ready")?;
    let init = wait_until("the victim among the processes", Duration::from_secs(5), || {
        victim_pid(tracer.pid(), stamps.path())
    })?;
    let watch = ExitWatch::on(init)?;
    let server = std::net::SocketAddr::from(([127, 0, 0, 1], ready.detail.parse().unwrap_or(0)));
    let clients = client::open_all(server, case.clients.iter().copied())?;
    let storm = case.storm.then(|| Storm::start(Duration::from_secs(2)));
    // requests are read, and a storm blows, before the stop
    std::thread::sleep(Duration::from_millis(if case.storm { 500 } else { 100 }));
    let ordered = if case.stopped { Some(tracer.terminate()?) } else { None };
    let comm = std::fs::read_to_string("/proc/self/comm")?;
    let finished = tracer.finish()?;
    let ended = watch.ended_at()?;
    let noise = storm.map(Storm::end);
    let seen = client::seen_by_all(clients)?;

    let mut facts = Facts::of(finished.report()?);
    facts.is("/apiVersion", "gracetrace.dev/v1");
    facts.is("/scope", "Pod");
    facts.is("/outcome", case.outcome);
    if let Some(trigger) = case.trigger {
        facts.is("/trigger/kind", trigger);
    }
    facts.holds(
        facts.at("/containers").as_array().is_some_and(|all| all.len() == 1),
        "one container",
        "there is another number",
    );
    facts.is("/containers/0/initPid", init);
    facts.is("/containers/0/initComm", "victim");
    stop_and_exit(&mut facts, case, comm.trim());
    connections(&mut facts, case, &seen);
    let (total, signalled, with_namespace) = case.processes;
    facts.is("/containers/0/processes/seen", total);
    facts.is("/containers/0/processes/signalled", signalled);
    facts.is("/containers/0/processes/killedByPidNamespace", with_namespace);
    facts.findings(case.findings);
    for (event, times) in case.timeline {
        facts.timeline(event, *times);
    }
    facts.complete();
    let ms = match (&case.stop_to_exit, ordered) {
        (StopToExit::Stamps, _) => Some(ms_between(stamps.first("handler")?.at_ns, stamps.first("exit")?.at_ns)),
        (StopToExit::HandlerToPidfd, _) => Some(ms_between(stamps.first("handler")?.at_ns, ended)),
        (StopToExit::OrderToPidfd, Some(ordered)) => Some(ms_between(ordered, ended)),
        (StopToExit::OrderToPidfd | StopToExit::Null, _) => None,
    };
    let by_handler = match case.stop_to_exit {
        StopToExit::Stamps | StopToExit::HandlerToPidfd => facts.at("/containers/0/stop/deliveredMs").is_number(),
        StopToExit::OrderToPidfd | StopToExit::Null => false,
    };
    match ms {
        Some(ms) if by_handler => facts.handler_to_exit("/containers/0", ms, 5.0),
        Some(ms) if case.stop_to_exit == StopToExit::OrderToPidfd => {
            // the order reaches the victim through gracetrace, which takes its time to be scheduled
            let at_least = if case.kill_cause == Some("GracePeriodExpired") { grace_ms(case) } else { 0.0 };
            facts.between("/stopToExitMs", at_least, ms + 1.0);
        }
        // a blocked signal is fetched when the scheduler lets the init run: at least what its stamps span, at
        // most from the order to the end
        Some(ms) => match ordered {
            Some(ordered) => facts.between("/stopToExitMs", ms - 1.0, ms_between(ordered, ended) + 1.0),
            None => facts.near("/stopToExitMs", ms, 5.0),
        },
        None => facts.is("/stopToExitMs", serde_json::Value::Null),
    }
    if let Some([signals, forks, connections]) = noise {
        let enough = signals > 10_000 && forks > 100 && connections > 1_000;
        facts.holds(
            enough,
            &format!("a storm of {signals} signals, {forks} processes, {connections} connections"),
            "that is none",
        );
    }
    nobody_elses(&mut facts, &log)?;
    let facts = facts.verdict()?;
    recording::replays(&log, &finished, &format!("run-{}", case.name))?;
    Ok(facts)
}

/// `--grace-period` of a case, which is always whole seconds.
fn grace_ms(case: &Case) -> f64 {
    let value = case.run.iter().skip_while(|flag| **flag != "--grace-period").nth(1);
    let seconds = value.and_then(|value| value.strip_suffix('s')).and_then(|seconds| seconds.parse::<f64>().ok());
    seconds.map_or(f64::NAN, |seconds| seconds * 1_000.0)
}

/// The kernel side wrote no record about anything outside the traced cgroup: a log holds all it wrote.
fn nobody_elses(facts: &mut Facts, log: &Path) -> anyhow::Result<()> {
    let own = recording::session(log)?["scope"]["cgroup"].clone();
    let inputs = recording::inputs(log)?;
    let events: Vec<_> = inputs.iter().filter(|input| input["input"] == "Event").collect();
    let strangers = events.iter().filter(|event| event["cgroup"] != own).count();
    let fact = format!("{} records, all of the traced cgroup", events.len());
    facts.holds(!events.is_empty() && strangers == 0, &fact, &format!("{strangers} are of others"));
    Ok(())
}

fn stop_and_exit(facts: &mut Facts, case: &Case, comm: &str) {
    if let Some((signal, result, disposition)) = case.stop {
        facts.is("/containers/0/stop/signal", signal);
        facts.is("/containers/0/stop/result", result);
        facts.is("/containers/0/stop/disposition", disposition);
        facts.is("/containers/0/stop/sender/comm", "gracetrace");
        facts.is("/containers/0/stop/sender/parentComm", comm);
    } else {
        facts.is("/containers/0/stop", serde_json::Value::Null);
    }
    match case.exit {
        Ok(code) => {
            facts.is("/containers/0/exit/code", code);
            facts.is("/containers/0/exit/signal", serde_json::Value::Null);
        }
        Err(signal) => {
            facts.is("/containers/0/exit/code", serde_json::Value::Null);
            facts.is("/containers/0/exit/signal", signal);
        }
    }
    if let Some(cause) = case.kill_cause {
        facts.is("/containers/0/kill/cause", cause);
        facts.is("/containers/0/kill/sender/comm", "gracetrace");
        facts.between("/containers/0/killToExitMs", 0.0, 50.0);
    } else {
        facts.is("/containers/0/kill", serde_json::Value::Null);
    }
}

fn connections(facts: &mut Facts, case: &Case, seen: &[client::Seen]) {
    let expected = &case.connections;
    facts.is("/connections/openAtStop", expected.open_at_stop);
    facts.is("/connections/closedGracefully", expected.closed_gracefully);
    facts.is("/connections/closedAtExit", expected.closed_at_exit);
    facts.is("/connections/droppedByKill", expected.dropped_by_kill);
    facts.is("/connections/reset", expected.reset);
    facts.is("/connections/inFlight", expected.in_flight);
    facts.is("/connections/reset", client::count(seen, End::Reset));
    let details = facts.at("/connections/details").as_array().cloned().unwrap_or_default();
    facts.holds(details.len() == seen.len(), "as many details as clients", &format!("there are {}", details.len()));
    for one in seen {
        let Some(peer) = one.local else { continue };
        let listed = details.iter().filter(|detail| detail["peer"] == peer.to_string()).count();
        facts.holds(listed == 1, &format!("{peer} listed once"), &format!("it is there {listed} times"));
    }
}

/// The victim that gracetrace started: the oldest whose command line has these stamps.
fn victim_pid(tracer: u32, stamps: &Path) -> Option<u32> {
    let stamps = stamps.to_string_lossy();
    let mut pids: Vec<u32> = Vec::new();
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command);
        let program = command.split('\0').next().unwrap_or_default();
        if pid != tracer && program.ends_with("/victim") && command.contains(&*stamps) {
            pids.push(pid);
        }
    }
    pids.into_iter().min()
}
