//! A healthy process is left in peace: no socket record under churn, neither before any signal nor after one
//! from outside that turned out to be no stop signal.

use anyhow::Context;
use gracetrace_tests::clock::{boot_ns, scaled, wait_until};
use gracetrace_tests::command::{Machine, Running};
use gracetrace_tests::facts::Facts;
use gracetrace_tests::probe_maps::ProbeMaps;
use gracetrace_tests::recording;
use rustix::process::{Pid, Signal, kill_process};
use std::io::Read;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

const CHURN: usize = 2_000;

/// Churn, SIGWINCH from outside (ignored by default), churn again, then the stop.
pub(crate) fn under_churn(machine: &Machine) -> anyhow::Result<Vec<String>> {
    let victim = ["--listen", "127.0.0.1:0", "graceful"];
    let mut running = Running::start(machine, "healthy-churn", &["--grace-period", "3s"], &victim)?;
    let server = running.server([127, 0, 0, 1].into());
    churn(server, running.init)?;
    // The server is done with the last of them as well. What it did while the signal was on its way could have the earlier time: a
    // record's is taken when the pod has been marked already.
    std::thread::sleep(scaled(Duration::from_millis(100)));
    let pid = i32::try_from(running.init).ok().and_then(Pid::from_raw).ok_or_else(|| anyhow::anyhow!("no pid"))?;
    let maps = ProbeMaps::of(running.tracer.pid())?;
    let called = running.tracer.while_still(|| {
        kill_process(pid, Signal::WINCH)?;
        drop(TcpStream::connect(server).context("one more connection to the victim")?);
        maps.look()
    })?;
    // gracetrace looks within a second at which signals were none
    let let_be = wait_until("that it is not being stopped after all", Duration::from_secs(10), || {
        maps.look().ok().filter(|seen| seen.stopping == 0)
    })?;
    let calm_since = boot_ns();
    churn(server, running.init)?;
    let before_stop = boot_ns();
    running.stop()?;
    let log = running.log.clone();
    let over = running.finish()?;
    let mut facts = Facts::of(over.finished.report()?);
    facts.is("/outcome", "Graceful");
    facts.is("/containers/0/stop/signal", "SIGTERM");
    let seen = format!("{called:?}");
    facts.holds(called.stopping == 1, "it may be being stopped after a signal from outside", &seen);
    facts.holds(called.known_to_stop == 1, "from its first connection on that is known without a look-up", &seen);
    called.adds_up(&mut facts, "after the signal");
    let_be.adds_up(&mut facts, "once it is let be");
    facts.complete();
    let records = recording::inputs(&log)?;
    let socket_records = |from: u64, to: u64| {
        let within = |input: &&serde_json::Value| input["at"].as_u64().is_some_and(|at| (from..to).contains(&at));
        let of_sockets =
            |input: &&serde_json::Value| input["what"]["kind"].as_str().is_some_and(|kind| kind.starts_with("Socket"));
        records.iter().filter(within).filter(of_sockets).count()
    };
    let watched = records.iter().any(|input| input["what"]["signal"] == 28);
    facts.holds(watched, "SIGWINCH from outside was seen", "it was not");
    let signal_at = records.iter().find(|input| input["what"]["signal"] == 28).and_then(|input| input["at"].as_u64());
    for (when, from, to) in [
        ("before any signal", 0, signal_at.unwrap_or(0)),
        ("a second after a signal that meant nothing", calm_since, before_stop),
    ] {
        let found = socket_records(from, to);
        facts.holds(found == 0, &format!("{CHURN} connections {when}, no socket record"), &format!("{found}"));
    }
    facts.verdict()
}

/// A worker that ends by itself, with two connections open, in a pod that goes on and on a node where none is being stopped: what becomes of
/// them is told, also what follows the close of the one on which it wrote something, while it dies. (Their peer has sent its FIN before, so
/// that over loopback it acknowledges the worker's in the same breath.)
pub(crate) fn but_for_who_dies(machine: &Machine) -> anyhow::Result<Vec<String>> {
    let outside = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let peer = outside.local_addr()?.to_string();
    let victim =
        ["--worker", "--connect", &peer, "", "--connect", &peer, "something", "complete", "1500", ";", "graceful"];
    let mut running = Running::start(machine, "healthy-worker-ends", &["--grace-period", "3s"], &victim)?;
    let mut accepted = Vec::new();
    for _ in 0..2 {
        let (stream, worker) = outside.accept()?;
        stream.shutdown(Shutdown::Write)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        accepted.push((stream, worker.to_string()));
    }
    let mut read = Vec::new();
    for (stream, _) in &mut accepted {
        read.push(stream.read_to_end(&mut Vec::new())?);
    }
    let maps = ProbeMaps::of(running.tracer.pid())?;
    let stopping = maps.look()?.stopping;
    running.stop()?;
    let log = running.log.clone();
    let over = running.finish()?;
    let mut facts = Facts::of(over.finished.report()?);
    facts.holds(read == [0, "something\n".len()], "its peer saw the end of both connections", &format!("{read:?}"));
    facts.holds(stopping == 0, "no pod was being stopped then", &format!("{stopping}"));
    facts.is("/outcome", "Graceful");
    facts.complete();
    let records = recording::inputs(&log)?;
    let changes = |local: &str| -> Vec<_> {
        let of_it = |what: &&serde_json::Value| what["kind"] == "SocketState" && what["socket"]["local"] == local;
        let all = records.iter().map(|input| &input["what"]).filter(of_it);
        all.map(|what| (what["old"].as_str(), what["new"].as_str(), what["current"]["exiting"].as_bool())).collect()
    };
    let expected =
        [("CloseWait", "LastAck"), ("LastAck", "Close")].map(|(old, new)| (Some(old), Some(new), Some(true)));
    for ((_, local), (wrote, expected)) in
        accepted.iter().zip([("nothing, and its close says all", &expected[..1]), ("something", &expected[..])])
    {
        let changes = changes(local);
        let fact = format!("of the dying worker's connection on which it wrote {wrote}");
        facts.holds(changes == expected, &fact, &format!("{changes:?}"));
    }
    facts.verdict()
}

/// Connections that come and go.
fn churn(server: SocketAddr, victim: u32) -> anyhow::Result<()> {
    for number in 1..=CHURN {
        drop(TcpStream::connect(server).with_context(|| {
            let name_and_state = std::fs::read_to_string(format!("/proc/{victim}/stat"));
            let name_and_state =
                name_and_state.map_or_else(|error| error.to_string(), |stat| stat.chars().take(40).collect());
            format!("connection {number} of {CHURN} to the victim, of which /proc says {name_and_state:?}")
        })?);
    }
    Ok(())
}
