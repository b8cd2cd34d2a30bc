//! Connections that outlive the pod, and those that the kernel gives up; and the look at the sockets.

use crate::play::{Ended, PORT, Traced};
use anyhow::Context;
use gracetrace_tests::client::Step::{Receive, Reset, Say, Wait};
use gracetrace_tests::client::{Line, Reading, Seen, Use};
use gracetrace_tests::clock::{ms_between, slow};
use gracetrace_tests::counts::Counts;
use gracetrace_tests::node::{Node, PodSpec};
use rustix::fd::OwnedFd;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::Duration;

/// The app hands what it accepts to a process outside and leaves, after gracetrace has looked at the pod's sockets; it is still open when
/// the report is out.
pub(crate) fn still_open(node: &Node) -> anyhow::Result<Vec<String>> {
    let spec = PodSpec::new("still-open", 8, &[PORT[0], PORT[1], "--hand-to", "/stamps/hand", "slow-drain", "1000"]);
    let mut traced = Traced::pod(node, &spec)?;
    let outside = UnixListener::bind(traced.pod.stamps.join("hand"))?;
    let taken = std::thread::spawn(move || (0..2).map(|_| take_over(&outside)).collect::<Result<Vec<_>, _>>());
    // never looks: it would wait for an end that comes only with the process outside
    let never = || Use::Does(&[], &[], Reading::Never);
    traced.open([never(), never()])?;
    let held = taken.join().map_err(|_| anyhow::anyhow!("the process outside panicked"))??;
    let mut ended = traced.stop()?;
    drop(held);
    ended.facts.is("/outcome", "Graceful");
    ended.exited("app", Ok(0));
    ended.connections(&Counts { open_at_stop: 2, still_open: 2, ..Counts::default() });
    for client in ended.seen.clone() {
        ended.facts.detail_is(client.local, "end", "StillOpen");
        ended.facts.detail_is(client.local, "atMs", serde_json::Value::Null);
    }
    ended.facts.findings(&[]);
    ended.verdict()
}

/// One descriptor that comes over a unix socket.
fn take_over(receiver: &UnixListener) -> anyhow::Result<OwnedFd> {
    let (sender, _) = receiver.accept()?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    recvmsg(&sender, &mut [IoSliceMut::new(&mut [0])], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let descriptors = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        RecvAncillaryMessage::ScmCredentials(_) | _ => None,
    });
    descriptors.ok_or_else(|| anyhow::anyhow!("no descriptor came"))
}

/// The app's answer is to stay unacknowledged that long and no longer.
const USER_TIMEOUT: [&str; 2] = ["--user-timeout", "600"];
/// Both clients leave while the cable is out: nothing of them comes too late.
const LEAVES: [gracetrace_tests::client::Step; 2] = [Wait(3000), Reset];

/// The pod's cable is pulled before it answers: the kernel gives that connection up, and the idle one stays.
pub(crate) fn timed_out(node: &Node) -> anyhow::Result<Vec<String>> {
    let spec = PodSpec::new("timed-out", 4, &[&PORT[..], &USER_TIMEOUT, &["overrun"]].concat());
    let others = cables()?;
    let mut traced = Traced::pod(node, &spec)?;
    let cable = cables()?.into_iter().find(|cable| !others.contains(cable)).context("the pod has no cable")?;
    let waits = Use::Does(&[Say(Line::Request(900))], &LEAVES, Reading::Always);
    traced.open([waits, Use::Does(&[], &LEAVES, Reading::Always)])?;
    // it goes with the pod
    let mut ended = traced.stop_while(|_| pull(&cable).map(|()| Vec::new()))?;
    ended.facts.is("/outcome", "ForceKilled");
    ended.connections(&Counts { open_at_stop: 2, timed_out: 1, dropped_by_kill: 1, ..Counts::default() });
    let given_up = ended.seen[0].local;
    for (field, word) in [("end", "TimedOut"), ("manner", "TimedOut"), ("closedBy", "Kernel")] {
        ended.facts.detail_is(given_up, field, word);
    }
    ended.facts.detail_is(given_up, "unackedBytes", "answer\n".len());
    ended.facts.detail_is(given_up, "drained", false);
    ended.facts.detail_is(given_up, "work", "ResponseUnsent");
    ended.facts.findings(&["grace-period-exceeded", "connections-dropped"]);
    ended.verdict()
}

/// The host's ends of the pods' networks, by name. (A pod of a scenario that failed is there until the end.)
fn cables() -> anyhow::Result<Vec<String>> {
    let listed = Command::new("ip").args(["-j", "link", "show", "master", "gttest0"]).output()?;
    let problem = String::from_utf8_lossy(&listed.stderr);
    if problem.contains("does not exist") {
        // the first pod brings the bridge
        return Ok(Vec::new());
    }
    anyhow::ensure!(listed.status.success(), "the cables cannot be listed: {problem}");
    let links: Vec<serde_json::Value> = serde_json::from_slice(&listed.stdout)?;
    Ok(links.iter().filter_map(|link| link["ifname"].as_str()).map(str::to_owned).collect())
}

/// Sets such an end down.
fn pull(cable: &str) -> anyhow::Result<()> {
    let set = Command::new("ip").args(["link", "set", "dev", cable, "down"]).status()?;
    anyhow::ensure!(set.success(), "{cable} cannot be set down");
    Ok(())
}

const SERVED: [gracetrace_tests::client::Step; 2] = [Say(Line::Request(25)), Receive];

/// The look at the sockets right after the stop signal, and how old and how quiet each connection was.
pub(crate) fn snapshot(node: &Node) -> anyhow::Result<Vec<String>> {
    let worker = ["--worker", "--listen", "0.0.0.0:8081", "--accept-for", "600", "graceful", ";"];
    let victim = [&PORT[..], &worker, &["--accept-for", "600", "slow-drain", "1000"]].concat();
    let mut traced = Traced::pod(node, &PodSpec::new("snapshot", 8, &victim))?;
    traced.open([Use::Does(&SERVED, &[], Reading::Always)])?;
    std::thread::sleep(Duration::from_millis(600));
    traced.open([Use::Does(&SERVED, &[], Reading::Always), Use::Nothing])?;
    let mut ended = traced.stop()?;
    ended.facts.is("/outcome", "Graceful");
    ended.connections(&Counts { open_at_stop: 3, closed_gracefully: 3, ..Counts::default() });
    ended.facts.is("/connections/snapshot/listeners", 2);
    ended.facts.is("/connections/snapshot/connections", 3);
    let stop_at = ended.facts.ms("/containers/0/stop/atMs");
    ended.facts.between("/connections/snapshot/atMs", stop_at, stop_at + 100.0 * slow());
    ended.facts.between("/connections/snapshot/tookMs", 0.0, 50.0 * slow());
    for client in ended.seen.clone() {
        ages(&mut ended, &client);
    }
    ended.verdict()
}

/// The kernel's clock of the last bytes ticks every 10 ms at the worst.
const TICK_MS: f64 = 10.0;

/// Against the client's clock: how old it was at least, and since when nothing had come or gone.
fn ages(ended: &mut Ended, client: &Seen) {
    let detail = ended.facts.detail(client.local);
    let found = |field: &str| detail[field].as_f64().unwrap_or(f64::NAN);
    let of = client.local.map(|local| local.to_string()).unwrap_or_default();
    let slack = TICK_MS + crate::play::tolerance_ms();
    let (age, quiet) = (ms_between(client.connect.0, client.ended_at), ms_between(client.steps[0], client.ended_at));
    let mut near = |field: &str, expected: f64| {
        let fact = format!("{field} of {of} = {expected:.0} ± {slack} ms");
        ended.facts.holds((found(field) - expected).abs() <= slack, &fact, &format!("it is {}", detail[field]));
    };
    let mut at_least = 0.0;
    if client.answers > 0 {
        near("sinceSentMs", quiet);
        near("sinceReceivedMs", quiet + 25.0);
        at_least = quiet;
    } else {
        for field in ["sinceSentMs", "sinceReceivedMs"] {
            ended.facts.detail_is(client.local, field, serde_json::Value::Null);
        }
    }
    let (low, high) = (at_least - slack, age + slack);
    let fact = format!("{low:.0} ≤ ageAtLeastMs of {of} ≤ {high:.0}");
    let within = (low..=high).contains(&found("ageAtLeastMs"));
    ended.facts.holds(within, &fact, &format!("it is {}", detail["ageAtLeastMs"]));
    ended.facts.detail_is(client.local, "ageMs", serde_json::Value::Null);
}
