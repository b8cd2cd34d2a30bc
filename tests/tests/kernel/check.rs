//! One case of the kernel tier: what is run, how it is used and stopped, and what the report must say.

use crate::connections;
use gracetrace_tests::client::{self, Knocks, Met, PeerServer, Release, Seen, Use};
use gracetrace_tests::clock::{ms_between, slow};
use gracetrace_tests::command::{Machine, Running};
use gracetrace_tests::counts::Counts;
use gracetrace_tests::facts::Facts;
use gracetrace_tests::recording;
use gracetrace_tests::stamps::StampFile;
use gracetrace_tests::storm::Storm;
use gracetrace_tests::suite::{NO_CGROUP, NotPossible};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A case. `Case::default()` is a graceful server without clients, and everything in order.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Flags of `gracetrace run`.
    pub(crate) run: &'static [&'static str],
    /// Arguments of the victim; `{self}` is the victim with stamps of its own.
    pub(crate) victim: &'static [&'static str],
    /// Under which addresses the clients reach it, by turns.
    pub(crate) addrs: &'static [&'static str],
    pub(crate) clients: &'static [Use],
    /// So many late clients, so often, once the stop has had its effect.
    pub(crate) knocks: Option<(u32, Duration)>,
    /// Whether this kernel has what the case is about.
    pub(crate) possible: fn() -> anyhow::Result<()>,
    /// What it is given by its surroundings.
    pub(crate) given: Given,
    /// SIGTERM to gracetrace once the clients are there; otherwise the victim ends by itself.
    pub(crate) stopped: bool,
    /// With a storm on the host around the stop.
    pub(crate) storm: bool,
    pub(crate) outcome: &'static str,
    pub(crate) trigger: Option<&'static str>,
    pub(crate) stop: Option<(&'static str, &'static str, &'static str)>,
    pub(crate) exit: Result<i32, &'static str>,
    pub(crate) kill_cause: Option<&'static str>,
    pub(crate) connections: Counts,
    /// seen, signalled, killed by the end of the PID namespace.
    pub(crate) processes: (u32, u32, u32),
    pub(crate) findings: &'static [&'static str],
    pub(crate) timeline: &'static [(&'static str, usize)],
    /// From stop to exit in ms, where neither the victim's stamps nor its pidfd tell.
    pub(crate) stop_to_exit: StopToExit,
    /// What holds for this case alone.
    pub(crate) also: fn(&mut Facts, &Played) -> anyhow::Result<()>,
}

/// What the harness makes for a victim.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Given {
    Nothing,
    /// A server to be a client of: `{peer}` among the victim's arguments.
    ServerOutside,
    /// A listening socket that was made outside its cgroup: `{inherited}` among the arguments.
    Listener,
    /// One port that all late clients come from, each leaving with a RST.
    OnePort,
    /// A worker that closes its own listener at the stop, before late clients come.
    ClosingWorker,
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

impl Case {
    /// A server that is still there when the grace period ends.
    pub(crate) fn killed() -> Self {
        Self {
            run: &["--grace-period", "2s"],
            victim: &["--listen", "127.0.0.1:0", "overrun"],
            outcome: "ForceKilled",
            exit: Err("SIGKILL"),
            kill_cause: Some("GracePeriodExpired"),
            findings: &["grace-period-exceeded", "connections-dropped"],
            stop_to_exit: StopToExit::HandlerToPidfd,
            ..Self::default()
        }
    }
}

impl Default for Case {
    fn default() -> Self {
        Self {
            name: "",
            run: &["--grace-period", "30s"],
            victim: &["--listen", "127.0.0.1:0", "graceful"],
            addrs: &["127.0.0.1"],
            clients: &[],
            knocks: None,
            possible: || Ok(()),
            given: Given::Nothing,
            stopped: true,
            storm: false,
            outcome: "Graceful",
            trigger: None,
            stop: Some(("SIGTERM", "Delivered", "Handler")),
            exit: Ok(0),
            kill_cause: None,
            connections: Counts::default(),
            processes: (1, 1, 0),
            findings: &[],
            timeline: &[("ContainerExited", 1), ("EventsLost", 0)],
            stop_to_exit: StopToExit::Stamps,
            also: |_, _| Ok(()),
        }
    }
}

/// What a case has shown besides the report.
pub(crate) struct Played {
    /// The clients, in the case's order.
    pub(crate) seen: Vec<Seen>,
    /// The late clients.
    pub(crate) knocked: Vec<Seen>,
    /// The connections that the server outside has met.
    pub(crate) met: Vec<Met>,
    pub(crate) stamps: StampFile,
    /// The event log.
    pub(crate) log: PathBuf,
    pub(crate) ordered: Option<u64>,
    pub(crate) ended: u64,
}

/// Plays a case: the report must hold every fact, and its log must replay to the same bytes.
pub(crate) fn check(machine: &Machine, case: &Case) -> anyhow::Result<Vec<String>> {
    (case.possible)()?;
    let outside = (case.given == Given::ServerOutside).then(|| PeerServer::start([127, 0, 0, 1].into())).transpose()?;
    let inherited = (case.given == Given::Listener).then(Inherited::new).transpose()?;
    let filled = |arg: &&str| {
        let peer = outside.as_ref().map(|outside| outside.addr.to_string()).unwrap_or_default();
        arg.replace("{peer}", &peer)
            .replace("{inherited}", &inherited.as_ref().map(Inherited::number).unwrap_or_default())
    };
    let victim: Vec<String> = case.victim.iter().map(filled).collect();
    let flags: Vec<String> = case.run.iter().map(|&flag| flag.to_owned()).collect();
    let mut running = Running::start(machine, case.name, &flags, &victim)?;
    // only the command has it from here on
    drop(inherited);
    let _nobody_waits = Release(running.stages.clone());
    let (init, log) = (running.init, running.log.clone());
    let servers: Vec<SocketAddr> =
        case.addrs.iter().map(|ip| Ok(running.server(ip.parse()?))).collect::<anyhow::Result<_>>()?;
    let mut clients = Vec::new();
    for (&usage, &server) in case.clients.iter().zip(servers.iter().cycle()) {
        clients.extend(client::open_all(server, [usage], &running.stages)?);
    }
    let storm = case.storm.then(|| Storm::start(Duration::from_secs(2)));
    // requests are read, and a storm blows, before the stop
    std::thread::sleep(Duration::from_millis(if case.storm { 500 } else { 250 }));
    if case.stopped {
        running.stop()?;
    }
    if case.given == Given::ClosingWorker {
        running.stamps.of_workers().wait_for("listener-closed")?;
    }
    let begin = if case.given == Given::OnePort { Knocks::begin_on_one_port } else { Knocks::begin };
    let knocks = case.knocks.map(|(count, every)| begin(servers[0], count, every));
    let comm = std::fs::read_to_string("/proc/self/comm")?;
    let over = running.finish()?;
    let noise = storm.map(Storm::end);
    let played = Played {
        seen: client::seen_by_all(clients)?,
        knocked: knocks.map_or(Ok(Vec::new()), Knocks::seen)?,
        met: outside.map_or(Ok(Vec::new()), PeerServer::met)?,
        stamps: over.stamps,
        log: log.clone(),
        ordered: over.ordered,
        ended: over.ended,
    };
    let sees = recording::sees(&log)?;
    let has_connections = !case.clients.is_empty() || case.knocks.is_some() || case.connections != Counts::default();
    if !sees.on_host_network && has_connections {
        return Err(NotPossible(NO_CGROUP.to_owned()).into());
    }
    let mut facts = Facts::of(over.finished.report()?).seeing(sees);
    ending(&mut facts, case, &played, init, comm.trim());
    connections::compare(&mut facts, case, &played);
    stop_to_exit(&mut facts, case, &played)?;
    if let Some(noise) = noise {
        stormy(&mut facts, noise);
    }
    if case.given != Given::Listener {
        // a socket that was handed in belongs to the cgroup that made it
        nobody_elses(&mut facts, &log)?;
    }
    let also = (case.also)(&mut facts, &played);
    let facts = also.and_then(|()| facts.verdict()).inspect_err(|_| recording::keep_failed(&log, case.name))?;
    recording::replays(&log, &over.finished, &format!("run-{}", case.name))?;
    Ok(facts)
}

/// Rules that go by attempts that were refused, which not every kernel tells of.
const OF_REFUSED: [&str; 2] = ["connections-refused", "listener-closed-early"];

/// Everything but connections and times.
fn ending(facts: &mut Facts, case: &Case, played: &Played, init: u32, comm: &str) {
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
    stop_and_exit(facts, case, played, comm);
    let (total, signalled, with_namespace) = case.processes;
    facts.is("/containers/0/processes/seen", total);
    facts.is("/containers/0/processes/signalled", signalled);
    facts.is("/containers/0/processes/killedByPidNamespace", with_namespace);
    // what is cut in a backlog is told everywhere
    let told = facts.sees().refused || case.connections.refused == 0;
    let findings = case.findings.iter().copied().filter(|rule| told || !OF_REFUSED.contains(rule));
    facts.findings(&findings.collect::<Vec<_>>());
    for (event, times) in case.timeline {
        facts.timeline(event, *times);
    }
    facts.complete();
}

fn stop_to_exit(facts: &mut Facts, case: &Case, played: &Played) -> anyhow::Result<()> {
    let (stamps, ordered, ended) = (&played.stamps, played.ordered, played.ended);
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
    // a pidfd is read by a thread of the harness, which has to wait for its turn: 6 ms beside an emulator, more in one
    let tolerance = match case.stop_to_exit {
        StopToExit::HandlerToPidfd if slow() > 1.0 => 20.0,
        StopToExit::HandlerToPidfd => 10.0,
        StopToExit::Stamps | StopToExit::OrderToPidfd | StopToExit::Null => 5.0,
    };
    match ms {
        Some(ms) if by_handler => facts.handler_to_exit("/containers/0", ms, tolerance),
        Some(ms) if case.stop_to_exit == StopToExit::OrderToPidfd => {
            // the order reaches the victim through gracetrace, which takes its time to be scheduled
            let at_least = if case.kill_cause == Some("GracePeriodExpired") { grace_ms(case) } else { 0.0 };
            facts.between("/stopToExitMs", at_least, ms + slow());
        }
        // a blocked signal is fetched when the scheduler lets the init run: at least what its stamps span, at
        // most from the order to the end
        Some(ms) => match ordered {
            Some(ordered) => facts.between("/stopToExitMs", ms - slow(), ms_between(ordered, ended) + slow()),
            None => facts.near("/stopToExitMs", ms, 5.0),
        },
        None => facts.is("/stopToExitMs", serde_json::Value::Null),
    }
    Ok(())
}

fn stormy(facts: &mut Facts, [signals, forks, connections]: [u64; 3]) {
    let least = [10_000.0, 100.0, 1_000.0].map(|usual| usual / slow());
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let enough = [signals, forks, connections].iter().zip(least).all(|(&count, least)| count as f64 > least);
    facts.holds(
        enough,
        &format!("a storm of {signals} signals, {forks} processes, {connections} connections"),
        "that is none",
    );
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

fn stop_and_exit(facts: &mut Facts, case: &Case, played: &Played, comm: &str) {
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
        facts.between("/containers/0/killToExitMs", 0.0, kill_to_exit_at_most(case, played));
    } else {
        facts.is("/containers/0/kill", serde_json::Value::Null);
    }
}

/// What the harness saw pass between the end of the grace period and the end: SIGKILL came no earlier, the exit no later.
fn kill_to_exit_at_most(case: &Case, played: &Played) -> f64 {
    match played.ordered {
        Some(ordered) if case.kill_cause == Some("GracePeriodExpired") => {
            ms_between(ordered, played.ended) - grace_ms(case) + slow()
        }
        _ => 50.0 * slow(),
    }
}

/// A listening socket that the command of `gracetrace run` is started with.
struct Inherited(TcpListener);

impl Inherited {
    fn new() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        rustix::io::fcntl_setfd(&listener, rustix::io::FdFlags::empty())?;
        Ok(Self(listener))
    }

    fn number(&self) -> String {
        std::os::fd::AsRawFd::as_raw_fd(&self.0).to_string()
    }
}
