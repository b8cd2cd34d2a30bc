//! Ten thousand connections at a SIGKILL: all are counted, and the report does not keep anybody waiting.

use gracetrace_tests::client::Stage;
use gracetrace_tests::clock::{boot_ns, ms_between, scaled, slow};
use gracetrace_tests::command::{Machine, Running};
use gracetrace_tests::counts::Counts;
use gracetrace_tests::facts::Facts;
use gracetrace_tests::recording;
use gracetrace_tests::suite::{NO_CGROUP, NotPossible};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

const MANY: u64 = 10_000;
/// What a report lists one by one.
const LISTED: usize = 1_000;
/// From the last exit to the report.
const REPORT_MS: f64 = 2_000.0;

/// The grace period is over with all of them open.
pub(crate) fn ten_thousand(machine: &Machine) -> anyhow::Result<Vec<String>> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    let victim = ["--listen", "127.0.0.1:0", "--hold", "overrun"];
    let mut running = Running::start(machine, "many", &["--grace-period", "1s"], &victim)?;
    let server = running.server([127, 0, 0, 1].into());
    let begun = boot_ns();
    let mut clients = Vec::new();
    for number in 0..MANY {
        let client = TcpStream::connect_timeout(&server, scaled(Duration::from_secs(5)));
        clients.push(client.map_err(|error| anyhow::anyhow!("client {number}: {error}"))?);
    }
    let took = ms_between(begun, boot_ns());
    // the last ones are accepted
    std::thread::sleep(scaled(Duration::from_millis(300)));
    running.stop()?;
    let stages = running.stages.clone();
    let ends = std::thread::spawn(move || {
        stages.wait_for(Stage::Ended)?;
        ends_of(clients)
    });
    let log = running.log.clone();
    let over = running.finish()?;
    let (orderly, reset) = ends.join().map_err(|_| anyhow::anyhow!("the clients panicked"))??;
    let sees = recording::sees(&log)?;
    if !sees.on_host_network {
        return Err(NotPossible(NO_CGROUP.to_owned()).into());
    }
    let mut facts = Facts::of(over.finished.report()?).seeing(sees);
    facts.is("/outcome", "ForceKilled");
    facts.counts(&Counts { open_at_stop: MANY, dropped_by_kill: orderly + reset, reset, ..Counts::default() }, true);
    facts.holds(orderly + reset == MANY, "every client saw an end", &format!("{orderly} FIN, {reset} RST"));
    let listed = facts.details().len();
    facts.holds(listed == LISTED, &format!("{LISTED} are listed"), &format!("{listed}"));
    facts.is("/connections/detailsOmitted", MANY - LISTED as u64);
    facts.complete();
    let after = ms_between(over.ended, over.reported);
    let limit = REPORT_MS * slow();
    let fact = format!("the report was out within {limit} ms of the exit");
    facts.holds(after < limit, &fact, &format!("after {after:.0} ms"));
    let mut lines = facts.verdict().inspect_err(|_| recording::keep_failed(&log, "many"))?;
    lines.push(format!("connected in {took:.0} ms, reported {after:.0} ms after the exit"));
    Ok(lines)
}

/// How many saw an orderly end, and how many a RST.
fn ends_of(clients: Vec<TcpStream>) -> anyhow::Result<(u64, u64)> {
    let (mut orderly, mut reset) = (0, 0);
    for mut client in clients {
        client.set_read_timeout(Some(scaled(Duration::from_secs(10))))?;
        match client.read(&mut [0]) {
            Ok(0) => orderly += 1,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => reset += 1,
            other => anyhow::bail!("a client saw {other:?}"),
        }
    }
    Ok((orderly, reset))
}
