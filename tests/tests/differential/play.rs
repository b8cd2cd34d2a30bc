//! Plays one schedule: server up, clients in, stop, clients on, end, report.

use crate::compare::{self, Compared};
use crate::fate::{self, When};
use crate::schedule::{Ending, LONG_MS, SLOWLY_MS, Schedule};
use crate::server::{Mode, Server};
use gracetrace_tests::client::{Connection, Release, Seen, Step, seen_by_all};
use gracetrace_tests::clock::wait_until;
use gracetrace_tests::command::{Machine, Over, QUIET, Running};
use gracetrace_tests::facts::Facts;
use gracetrace_tests::recording;
use gracetrace_tests::stamps::StampFile;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// What came of it.
pub(crate) enum Played {
    /// Clients and report were compared.
    Compared(Compared),
    /// The machine was too slow for the schedule: something fell into a moment that it was to avoid, or an emulated one was
    /// preempted where a real one is not.
    Void(String),
}

/// Plays it once.
pub(crate) fn once(machine: &Machine, schedule: &Schedule, attempt: u32) -> anyhow::Result<Played> {
    let name = format!("{}-{attempt}", schedule.seed);
    let mut running = Running::start(machine, &name, &schedule.flags(), &schedule.victim())?;
    let _nobody_waits = Release(running.stages.clone());
    let ip: IpAddr = if schedule.ipv6 { "::1" } else { "127.0.0.1" }.parse()?;
    // with another address of their own no client can meet itself on a port that nobody listens on
    let from = (!schedule.ipv6).then(|| SocketAddr::from(([127, 0, 0, 2], 0)));
    let server = running.server(ip);
    let clients: Vec<Connection> = schedule
        .clients
        .iter()
        .map(|script| Connection::play(server, from, script, &running.stages))
        .collect::<anyhow::Result<_>>()?;
    for (client, script) in clients.iter().zip(&schedule.clients) {
        if script.before.is_some() {
            client.settle()?;
        }
    }
    everything_is_read(schedule, &clients, &running.stamps)?;
    std::thread::sleep(QUIET);
    running.stop()?;
    let log = running.log.clone();
    let over = running.finish()?;
    let seen = seen_by_all(clients)?;
    let void = match too_slow(schedule, &seen, &over) {
        Some(why) => Some(why),
        None => Facts::of(over.finished.report()?).disturbed(),
    };
    Ok(match void {
        Some(why) => Played::Void(why),
        None => Played::Compared(compare::all(schedule, &seen, &over, recording::sees(&log)?)?),
    })
}

/// Where the event log of an attempt is.
pub(crate) fn log(machine: &Machine, schedule: &Schedule, attempt: u32) -> std::path::PathBuf {
    machine.file(&format!("{}-{attempt}.jsonl", schedule.seed))
}

/// Waits until the server has read every line that it is going to read before the stop.
fn everything_is_read(schedule: &Schedule, clients: &[Connection], stamps: &StampFile) -> anyhow::Result<()> {
    let accepted = |index: usize| schedule.accept.is_none_or(|accept| index < accept);
    let mut expected = 0;
    for script in schedule.clients.iter().enumerate().filter(|(index, _)| accepted(*index)).map(|(_, script)| script) {
        let mut server = Server::accepting();
        for step in script.before.iter().flatten() {
            expected += usize::from(server.mode == Mode::Reading && matches!(step, Step::Say(_)));
            server.sees(*step);
        }
    }
    let early = clients.iter().filter(|client| client.local.is_some()).count();
    let in_time = early.min(schedule.accept.unwrap_or(early));
    wait_until("the server to read everything", Duration::from_secs(5), || {
        let all = stamps.all();
        let count = |name: &str| all.iter().filter(|stamp| stamp.name == name).count();
        (count("asked") >= expected && count("accepted") >= in_time).then_some(())
    })
}

/// Why this attempt says nothing, if so.
fn too_slow(schedule: &Schedule, seen: &[Seen], over: &Over) -> Option<String> {
    let ns = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    let (quiet, ms) = (ns(QUIET), 1_000_000);
    let ordered = over.ordered?;
    let all = over.stamps.all();
    let long = format!(" request {LONG_MS}");
    let asked = all.iter().filter(|stamp| stamp.name == "asked" && stamp.detail.ends_with(&long));
    let first_long = asked.map(|stamp| stamp.at_ns).min();
    if let Some(first) = first_long
        && ordered + quiet > first + LONG_MS * ms
    {
        return Some("a long request was answered before the stop".to_owned());
    }
    // who leaves at once is to leave before that
    let leaves = matches!(schedule.ending, Ending::Exit | Ending::Fail | Ending::Crash | Ending::Kill)
        || schedule.ending == Ending::NoHandler && !schedule.pid_namespace;
    if let Some(first) = first_long
        && leaves
        && over.ended > first + LONG_MS * ms
    {
        return Some("a long request was answered before the end".to_owned());
    }
    let at = |name: &str| all.iter().find(|stamp| stamp.name == name).map(|stamp| stamp.at_ns);
    let mut deadline = over.ended;
    if let Some(handler) = at("handler") {
        if schedule.accept_for_ms > 0 {
            deadline = deadline.min(handler + schedule.accept_for_ms * ms);
        } else if schedule.ending == Ending::DrainSlowly {
            deadline = deadline.min(handler + SLOWLY_MS * ms);
        }
    }
    let busy = fate::of(schedule).into_iter().zip(seen).zip(&schedule.clients);
    for ((fate, seen), script) in busy {
        if (fate.when == When::After || !script.after.is_empty()) && seen.steps[2] + quiet > deadline {
            return Some("a client was not done when the server ended".to_owned());
        }
        let closed = if schedule.accept_for_ms == 0 { at("listener-closed") } else { None };
        if fate.when == When::After && closed.is_some_and(|closed| closed + quiet / 2 > seen.connect.0) {
            return Some("a client came while the listener closed".to_owned());
        }
    }
    None
}
