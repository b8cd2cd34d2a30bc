//! The kernel tier's cases, as data: those of the scenario list that need no container.

use crate::check::{Case, StopToExit, check};
use crate::{calm, full, goes_on, hierarchies, idle, many, nesting, presence, startup, storm, tcp, timeout};
use gracetrace_tests::client::Use::{self, Asks, AsksInVain, Nothing, Served};
use gracetrace_tests::command::Machine;
use gracetrace_tests::counts::Counts;
use gracetrace_tests::recording;
use gracetrace_tests::suite::Scenario;

const PID1: &[&str] = &["--pid-namespace", "--grace-period", "30s"];

/// Makes a scenario of a case: the name twice would be one too many. What the case does not say is as in
/// `Case::default()`, or as in another one that is named.
macro_rules! case {
    ($name:literal, { $($field:ident: $value:expr),* $(,)? }) => {
        case!($name, { $($field: $value),* }, Case::default())
    };
    ($name:literal, { $($field:ident: $value:expr),* $(,)? }, $otherwise:expr) => {
        Scenario {
            name: $name,
            play: |machine: &Machine| check(machine, &Case { name: $name, $($field: $value,)* ..$otherwise }),
        }
    };
}
pub(crate) use case;

pub(crate) fn all() -> Vec<Scenario<Machine>> {
    let mut all = vec![
        Scenario { name: "start-up", play: startup::is_quick },
        Scenario { name: "healthy-churn", play: calm::under_churn },
        Scenario { name: "healthy-worker-ends", play: calm::but_for_who_dies },
        Scenario { name: "stop-after", play: startup::stops_after },
        Scenario { name: "plain-loads", play: startup::plain_loads },
    ];
    all.extend(by_signal());
    all.extend(by_force());
    all.extend(by_itself());
    all.extend(several_processes());
    all.extend(tcp::all());
    all.push(Scenario { name: "same-id-elsewhere", play: hierarchies::same_id_elsewhere });
    all.push(Scenario { name: "many", play: many::ten_thousand });
    all.push(Scenario { name: "passed-over", play: nesting::is_made_up_for });
    all.push(Scenario { name: "counted-where-traced", play: presence::is_counted });
    all.push(Scenario { name: "goes-on", play: goes_on::is_let_be });
    all.push(Scenario { name: "port-of-another", play: goes_on::has_the_port_of_another });
    all.push(Scenario { name: "ends-while-idle", play: idle::loses_nothing });
    all.push(Scenario { name: "trickle", play: idle::is_in_no_hurry });
    all.push(Scenario { name: "disk-full", play: full::disk });
    all.push(Scenario { name: "pipe-unread", play: full::pipe });
    all.push(Scenario { name: "timeout-during-an-end", play: timeout::tells_what_has_begun });
    all.push(Scenario { name: "storm-beside-a-quiet-pod", play: storm::beside_a_quiet_pod });
    all
}

/// Three requests and an idle connection, all of them finished.
const DRAINED: &[Use] = &[Served, Asks(1200), Asks(1300), Nothing];

/// So many open at the stop, and all closed gracefully.
pub(crate) fn all_drained(count: u64) -> Counts {
    Counts { open_at_stop: count, closed_gracefully: count, ..Counts::default() }
}

fn by_signal() -> Vec<Scenario<Machine>> {
    vec![
        case!("graceful", { clients: DRAINED, connections: all_drained(4), timeline: &[("StopSignalSent", 1), ("StopSignalHandled", 1), ("ContainerExited", 1), ("KillSent", 0), ("EventsLost", 0)] }),
        case!("calm-in-a-storm", { storm: true, clients: DRAINED, connections: all_drained(4) }),
        case!("graceful-pid1", { run: PID1, clients: &[Served], connections: all_drained(1) }),
        case!("slow-drain", { run: &["--grace-period", "6s"], victim: &["slow-drain", "5400"], findings: &["slow-exit"] }),
        case!("nearly-slow", { run: &["--grace-period", "6s"], victim: &["slow-drain", "4200"] }),
        case!("stopsignal-quit", {
            run: &["--grace-period", "30s", "--stop-signal", "SIGQUIT"], victim: &["--listen", "127.0.0.1:0", "quit"],
            stop: Some(("SIGQUIT", "Delivered", "Handler")), findings: &["stop-signal-not-sigterm"],
        }),
        case!("keepalive-idle", {
            victim: &["--listen", "127.0.0.1:0", "keep-idle"], clients: &[Served, Served, Nothing],
            connections: Counts { open_at_stop: 3, closed_at_exit: 3, ..Counts::default() },
        }),
        case!("fails", { victim: &["fail", "7"], outcome: "Failed", exit: Ok(7) }),
        case!("crash-on-stop", {
            victim: &["crash-on-stop"], outcome: "Failed", exit: Err("SIGSEGV"), findings: &["crash-during-shutdown"],
            stop_to_exit: StopToExit::HandlerToPidfd,
        }),
    ]
}

fn by_force() -> Vec<Scenario<Machine>> {
    vec![
        case!("ignores-term", {
            run: &["--pid-namespace", "--grace-period", "2s"], victim: &["ignores"], outcome: "ForceKilled", stop: Some(("SIGTERM", "Ignored", "Default")),
            exit: Err("SIGKILL"), kill_cause: Some("GracePeriodExpired"), findings: &["stop-signal-ignored", "grace-period-exceeded"],
            timeline: &[("StopSignalIgnored", 1), ("KillSent", 1), ("StopSignalHandled", 0), ("ContainerExited", 1)], stop_to_exit: StopToExit::OrderToPidfd,
        }),
        case!("default-terminated", {
            victim: &["--listen", "127.0.0.1:0", "ignores"], clients: &[Nothing, Served], outcome: "Terminated",
            stop: Some(("SIGTERM", "Delivered", "Default")), exit: Err("SIGTERM"),
            connections: Counts { open_at_stop: 2, dropped_by_kill: 2, ..Counts::default() }, findings: &["connections-dropped"],
            stop_to_exit: StopToExit::OrderToPidfd,
        }),
        case!("overruns", {
            run: &["--grace-period", "2s"], victim: &["--listen", "127.0.0.1:0", "overrun"],
            clients: &[Served, Served, Served, Nothing, Nothing, Nothing, AsksInVain, AsksInVain, AsksInVain, AsksInVain],
            outcome: "ForceKilled", exit: Err("SIGKILL"), kill_cause: Some("GracePeriodExpired"),
            connections: Counts { open_at_stop: 10, dropped_by_kill: 10, in_flight: 4, ..Counts::default() },
            findings: &["grace-period-exceeded", "connections-dropped"], stop_to_exit: StopToExit::HandlerToPidfd,
        }),
        case!("force-delete", {
            run: &["--grace-period", "0s"], outcome: "ForceKilled", stop: None, exit: Err("SIGKILL"), kill_cause: Some("NoGracePeriod"),
            processes: (1, 0, 0), findings: &["no-grace-period"], stop_to_exit: StopToExit::Null,
        }),
    ]
}

fn by_itself() -> Vec<Scenario<Machine>> {
    vec![
        case!("completed", {
            victim: &["complete", "1500"], stopped: false, outcome: "Completed", trigger: Some("ContainerExit"), stop: None,
            processes: (1, 0, 0), stop_to_exit: StopToExit::Null,
        }),
        case!("exits-3", {
            victim: &["complete", "1500", "3"], stopped: false, outcome: "Crashed", trigger: Some("ContainerExit"), stop: None,
            exit: Ok(3), processes: (1, 0, 0), stop_to_exit: StopToExit::Null,
        }),
        case!("crash", {
            victim: &["segv", "1500"], stopped: false, outcome: "Crashed", trigger: Some("ContainerExit"), stop: None,
            exit: Err("SIGSEGV"), processes: (1, 0, 0), stop_to_exit: StopToExit::Null,
        }),
        case!("abort", {
            victim: &["abort", "1500"], stopped: false, outcome: "Crashed", trigger: Some("ContainerExit"), stop: None,
            exit: Err("SIGABRT"), processes: (1, 0, 0), stop_to_exit: StopToExit::Null,
        }),
    ]
}

fn several_processes() -> Vec<Scenario<Machine>> {
    vec![
        case!("init-wrapper", {
            run: PID1, victim: &["init", "{self}", "--listen", "127.0.0.1:0", "graceful"], clients: &[Served],
            stop: Some(("SIGTERM", "Delivered", "Blocked")), processes: (2, 2, 0),
            connections: all_drained(1),
            timeline: &[("SignalForwarded", 1), ("ProcessExited", 1), ("ContainerExited", 1), ("StopSignalIgnored", 0)],
        }),
        // what has a PID namespace of its own in the container is PID 1 there and still not the container's init
        case!("nested-namespace", {
            run: PID1, victim: &["--nested", "init", "{self}", "--listen", "127.0.0.1:0", "graceful"], clients: &[Served],
            stop: Some(("SIGTERM", "Delivered", "Blocked")), processes: (2, 2, 0),
            connections: all_drained(1),
            timeline: &[("SignalForwarded", 1), ("ProcessExited", 1), ("ContainerExited", 1), ("StopSignalIgnored", 0)],
            also: |facts, played| {
                let exits = recording::inputs(&played.log)?;
                let exits = exits.iter().filter(|input| input["what"]["kind"] == "ProcessExited");
                let ids: Vec<_> = exits.map(|input| input["what"]["process"]["nsTgid"].as_u64()).collect();
                facts.holds(ids == [Some(1), Some(1)], "each was PID 1 where it lived", &format!("{ids:?}"));
                Ok(())
            },
        }),
        case!("thread-leader-exits", { run: PID1, victim: &["--leave-leader", "--listen", "127.0.0.1:0", "slow-drain", "700"], clients: &[Served], connections: all_drained(1),
            also: |facts, played| {
                let [left, handled] = ["leader-left", "handler"].map(|name| played.stamps.first(name).map(|stamp| stamp.at_ns));
                let (left, handled) = (left?, handled?);
                facts.holds(left < handled, "the first thread had left before the stop", &format!("{left} {handled}"));
                Ok(())
            },
        }),
        case!("early-exit", {
            run: PID1, victim: &["--workers", "3", "fail", "0"], processes: (4, 4, 3), findings: &["children-killed-with-pid1"],
            timeline: &[("SignalForwarded", 3), ("ContainerExited", 1), ("KillSent", 0)],
        }),
    ]
}
