//! The kernel tier's cases about connections: every way in which one can end, and every kind of socket.

use crate::cases::{all_drained, case};
use crate::check::{Case, Given, Played, StopToExit, check};
use gracetrace_tests::client::Reading::{AfterTheEnd, Always, Never, NeverThenReset};
use gracetrace_tests::client::Step::{AwaitEnd, Bytes, HalfClose, Receive, Reset, Say, Wait};
use gracetrace_tests::client::Use::{self, Asks, AsksInVain, Does, Nothing, Served, ServedOverMptcp, Unread};
use gracetrace_tests::client::{End, Line, count};
use gracetrace_tests::command::Machine;
use gracetrace_tests::counts::Counts;
use gracetrace_tests::facts::Facts;
use gracetrace_tests::stamps::StampFile;
use gracetrace_tests::suite::{NotPossible, Scenario};
use socket2::{Domain, Protocol, Socket, Type};
use std::time::Duration;

/// Three seconds of late clients.
const FOR_3_S: Option<(u32, Duration)> = Some((30, Duration::from_millis(100)));
const REQUEST: gracetrace_tests::client::Step = Say(Line::Request(25));

pub(crate) fn all() -> Vec<Scenario<Machine>> {
    let mut all = cut();
    all.extend(late());
    all.extend(by_the_peer());
    all.extend(half_sent());
    all.extend(kinds_of_sockets());
    all.extend(several_processes());
    all
}

/// Requests that nobody answered.
fn cut() -> Vec<Scenario<Machine>> {
    vec![
        case!("unread-request", {
            clients: &[Unread(500), Served, Unread(1)],
            connections: Counts { open_at_stop: 3, dropped_by_kill: 3, reset: 2, in_flight: 2, ..Counts::default() },
            also: |facts, played| {
                for (client, unread) in [(0, 500), (2, 1)] {
                    let peer = played.seen[client].local;
                    facts.detail_is(peer, "work", "RequestUnread");
                    facts.detail_is(peer, "unreadBytes", unread);
                    facts.detail_is(peer, "closedBy", "Kill");
                }
                Ok(())
            },
        }, Case::killed()),
        case!("backlog", {
            victim: &["--listen", "127.0.0.1:0", "--accept", "1", "graceful"], clients: &[Served, Nothing, Unread(100)],
            connections: Counts { open_at_stop: 3, closed_gracefully: 1, refused_in_backlog: 2, reset: 2, ..Counts::default() }, findings: &["connections-refused"],
            also: |facts, played| {
                for client in [1, 2] {
                    facts.detail_is(played.seen[client].local, "end", "RefusedInBacklog");
                }
                let unread = Line::Ignore.text().len() + 100;
                facts.detail_is(played.seen[2].local, "unreadBytes", unread);
                Ok(())
            },
        }),
        case!("closed-unanswered", {
            victim: &["--listen", "127.0.0.1:0", "slow-drain", "500"], clients: &[Unread(50), Does(&[Say(Line::Ignore)], &[], Always), Served],
            connections: Counts { reset: 1, closed_unanswered: 2, ..all_drained(3) }, findings: &["requests-in-flight-at-exit"],
            also: |facts, played| {
                facts.detail_is(played.seen[0].local, "work", "RequestUnread");
                facts.detail_is(played.seen[1].local, "work", "RequestUnanswered");
                for client in &played.seen {
                    facts.detail_is(client.local, "closedBy", "Process");
                }
                Ok(())
            },
        }),
        case!("too-late-data", {
            victim: &["--listen", "127.0.0.1:0", "slow-drain", "1500"],
            // with the acknowledgement of the FIN (which is delayed by some 40 ms), and after it
            clients: &[
                Does(&[REQUEST, Receive], &[AwaitEnd, Bytes(5), Wait(40), Bytes(5)], Always),
                Does(&[REQUEST, Receive], &[AwaitEnd, Wait(100), Bytes(5), Wait(40), Bytes(5)], Always),
                Served,
            ],
            connections: Counts { reset: 2, ..all_drained(3) },
            also: |facts, played| {
                let late = played.seen.iter().filter(|client| client.reset_later).count();
                facts.holds(late == 2, "both late clients met a RST", &format!("{late} did"));
                Ok(())
            },
        }),
    ]
}

/// Clients that come after the stop.
fn late() -> Vec<Scenario<Machine>> {
    vec![
        case!("early-close", {
            victim: &["--listen", "127.0.0.1:0", "slow-drain", "5000"], knocks: FOR_3_S,
            findings: &["listener-closed-early", "connections-refused"],
            connections: Counts { refused: 30, ..Counts::default() },
            also: |facts, played| {
                facts.holds(count(&played.knocked, End::Refused) == 30, "30 late clients were refused", "others were");
                listener_closed(facts, &played.stamps)
            },
        }),
        case!("late-clients", {
            victim: &["--listen", "127.0.0.1:0", "--accept-for", "5000", "graceful"], knocks: FOR_3_S,
            findings: &["late-connections"],
            connections: Counts { opened_after_stop: 30, accepted_after_stop: 30, closed_gracefully: 30, ..Counts::default() },
            also: |facts, played| listener_closed(facts, &played.stamps),
        }),
        // a port is given out again as soon as it is free: the same two addresses are another connection each time
        case!("same-port-again", {
            victim: &["--listen", "127.0.0.1:0", "--accept-for", "1200", "graceful"],
            given: Given::OnePort, knocks: Some((5, Duration::from_millis(100))),
            findings: &["late-connections"],
            connections: Counts { opened_after_stop: 5, accepted_after_stop: 5, reset_by_peer: 5, reset: 5, ..Counts::default() },
            also: |facts, played| {
                let first = played.knocked.first().and_then(|knock| knock.local);
                let same = first.is_some() && played.knocked.iter().all(|knock| knock.local == first);
                facts.holds(same, "all five came from one port", "they did not");
                listener_closed(facts, &played.stamps)
            },
        }),
    ]
}

/// The last listener closed when the victim says it did.
fn listener_closed(facts: &mut Facts, stamps: &StampFile) -> anyhow::Result<()> {
    let handled = facts.ms("/containers/0/stop/deliveredMs");
    facts.listener_closed("/containers/0", handled, 5.0, |name| Ok(stamps.first(name)?.at_ns))
}

/// Clients that end connections themselves.
fn by_the_peer() -> Vec<Scenario<Machine>> {
    vec![
        case!("client-reset", {
            clients: &[Does(&[REQUEST, Receive], &[Wait(50), Reset], Always), Does(&[Say(Line::Never)], &[Reset], Always), Nothing],
            connections: Counts { open_at_stop: 3, reset_by_peer: 2, dropped_by_kill: 1, reset: 2, ..Counts::default() },
            also: |facts, played| {
                for client in [0, 1] {
                    let peer = played.seen[client].local;
                    facts.detail_is(peer, "end", "ResetByPeer");
                    facts.detail_is(peer, "manner", "RstReceived");
                    facts.detail_is(peer, "closedBy", "Peer");
                }
                Ok(())
            },
        }, Case::killed()),
        case!("client-half-close", {
            clients: &[
                Does(&[REQUEST, Receive], &[HalfClose, AwaitEnd], Always), Does(&[Say(Line::Deaf), Receive, HalfClose], &[], Always),
                Does(&[Say(Line::Never), HalfClose], &[], Always), Does(&[Say(Line::Ignore), Bytes(9), HalfClose], &[], Always),
            ],
            connections: Counts { open_at_stop: 4, closed_gracefully: 2, dropped_by_kill: 2, reset: 1, in_flight: 1, ..Counts::default() },
            also: |facts, played| {
                for (client, end) in [(0, "ClosedGracefully"), (1, "ClosedGracefully"), (2, "DroppedByKill"), (3, "DroppedByKill")] {
                    let peer = played.seen[client].local;
                    facts.detail_is(peer, "end", end);
                    facts.detail_is(peer, "peerClosed", true);
                }
                facts.detail_is(played.seen[0].local, "closedBy", "Process");
                facts.detail_is(played.seen[2].local, "work", "Unknown");
                facts.detail_is(played.seen[3].local, "unreadBytes", 9);
                Ok(())
            },
        }, Case::killed()),
        case!("outbound", {
            victim: &["--connect", "{peer}", "request 25", "--connect", "{peer}", "request never", "--connect", "{peer}", "", "overrun"],
            given: Given::ServerOutside,
            connections: Counts { open_at_stop: 3, outbound: 3, dropped_by_kill: 3, in_flight: 1, ..Counts::default() },
            also: met_an_orderly_end,
        }, Case::killed()),
        case!("outbound-drained", {
            victim: &["--connect", "{peer}", "request 25", "--connect", "{peer}", "", "graceful"], given: Given::ServerOutside,
            connections: Counts { outbound: 2, ..all_drained(2) },
            also: met_an_orderly_end,
        }),
    ]
}

#[expect(clippy::unnecessary_wraps, reason = "it is what a case also asserts, and others can fail")]
fn met_an_orderly_end(facts: &mut Facts, played: &Played) -> anyhow::Result<()> {
    let orderly = played.met.iter().filter(|one| one.end == End::Eof).count() as u64;
    facts.is("/connections/outbound", orderly);
    Ok(())
}

/// More than the buffers of both sides hold: the server is cut in the middle of writing.
const HALF: &[gracetrace_tests::client::Step] = &[Say(Line::Half(64 << 20)), Wait(300)];

fn half_sent() -> Vec<Scenario<Machine>> {
    vec![
        case!("half-sent", {
            clients: &[Does(HALF, &[], NeverThenReset), Does(HALF, &[], Never)],
            connections: Counts { open_at_stop: 2, dropped_by_kill: 2, reset: 1, in_flight: 2, ..Counts::default() },
            also: |facts, played| {
                let [reset, unread] = [0, 1].map(|client| &played.seen[client]);
                facts.detail_is(reset.local, "drained", false);
                facts.detail_is(reset.local, "reset", true);
                facts.detail_is(unread.local, "reset", false);
                for client in [reset, unread] {
                    facts.detail_is(client.local, "work", "ResponseUnsent");
                }
                let drained = facts.detail(unread.local)["drained"] == true;
                facts.holds(!drained, "what nobody read is not drained", "it is");
                Ok(())
            },
        }, Case::killed()),
        case!("read-after-the-end", {
            clients: &[Does(HALF, &[], AfterTheEnd)],
            connections: Counts { open_at_stop: 1, dropped_by_kill: 1, ..Counts::default() },
            also: |facts, played| {
                let read = &played.seen[0];
                facts.holds(read.received > 100_000 && read.end == End::Eof, "all that was written was read", "it was not");
                facts.detail_is(read.local, "drained", true);
                Ok(())
            },
        }, Case::killed()),
        // nobody stops it, and it is not PID 1 of anything: what its client gets all the same is known
        case!("read-after-it-left", {
            clients: &[Does(&[Say(Line::Half(1 << 20)), Say(Line::Exit(1_300))], &[], AfterTheEnd)], stopped: false, outcome: "Completed",
            trigger: Some("ContainerExit"), stop: None, processes: (1, 0, 0), stop_to_exit: StopToExit::Null,
            connections: Counts { open_at_stop: 1, closed_at_exit: 1, ..Counts::default() },
            also: |facts, played| {
                let read = &played.seen[0];
                facts.holds(read.received == 1 << 20 && read.end == End::Eof, "all of it was read", &format!("{read:?}"));
                facts.detail_is(read.local, "drained", true);
                facts.detail_is(read.local, "work", "Idle");
                Ok(())
            },
        }),
        // an answer and the end of this half; what comes in then is not read, so that the kernel cuts both off when the process goes
        case!("half-closed-and-cut", {
            clients: &[Does(&[REQUEST, Receive], &[Say(Line::Last(1 << 20)), Wait(300), Bytes(9)], Never)],
            findings: &["grace-period-exceeded", "requests-in-flight-at-exit"],
            connections: Counts { open_at_stop: 1, closed_gracefully: 1, reset: 1, closed_unanswered: 1, ..Counts::default() },
            also: |facts, played| {
                let cut = &played.seen[0];
                facts.detail_is(cut.local, "manner", "Fin");
                facts.detail_is(cut.local, "drained", false);
                facts.detail_is(cut.local, "work", "ResponseUnsent");
                Ok(())
            },
        }, Case::killed()),
    ]
}

fn kinds_of_sockets() -> Vec<Scenario<Machine>> {
    vec![
        case!("ipv6", {
            victim: &["--listen", "[::1]:0", "graceful"], addrs: &["::1"], clients: &[Served, Asks(600)],
            connections: all_drained(2), also: own_addresses,
        }),
        case!("dual-stack", {
            victim: &["--listen", "[::]:0", "graceful"], addrs: &["127.0.0.1", "::1"], clients: &[Served, Served, Asks(600), Asks(600)],
            connections: all_drained(4), also: own_addresses,
        }),
        case!("mptcp-listener", {
            possible: has_mptcp, victim: &["--listen", "mptcp:127.0.0.1:0", "overrun"], clients: &[Served, ServedOverMptcp, AsksInVain],
            connections: Counts { open_at_stop: 3, dropped_by_kill: 3, in_flight: 1, ..Counts::default() },
            also: |facts, played| {
                for (client, mptcp) in [(0, false), (1, true), (2, false)] {
                    facts.detail_is(played.seen[client].local, "mptcp", mptcp);
                }
                Ok(())
            },
        }, Case::killed()),
        case!("inherited-listener", {
            given: Given::Listener, victim: &["--listen", "fd:{inherited}", "overrun"], clients: &[Served, AsksInVain],
            connections: Counts { open_at_stop: 2, dropped_by_kill: 2, in_flight: 1, ..Counts::default() },
        }, Case::killed()),
        // whose such a socket is is known only while the command does something with it: what the peer got afterwards is not
        case!("inherited-and-read-after-the-end", {
            given: Given::Listener, victim: &["--listen", "fd:{inherited}", "overrun"], clients: &[Does(HALF, &[], AfterTheEnd)],
            connections: Counts { open_at_stop: 1, dropped_by_kill: 1, ..Counts::default() },
            also: |facts, played| {
                facts.detail_is(played.seen[0].local, "drained", serde_json::Value::Null);
                facts.detail_is(played.seen[0].local, "work", "Unknown");
                Ok(())
            },
        }, Case::killed()),
    ]
}

fn has_mptcp() -> anyhow::Result<()> {
    match Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP)) {
        Ok(_) => Ok(()),
        Err(error) => Err(NotPossible(format!("this kernel gives no MPTCP socket ({error})")).into()),
    }
}

/// The local address of each is the one that its client reached.
fn own_addresses(facts: &mut Facts, played: &Played) -> anyhow::Result<()> {
    let port = &played.stamps.first("ready")?.detail;
    for client in &played.seen {
        let Some(peer) = client.local else { continue };
        let local = std::net::SocketAddr::new(peer.ip(), port.parse()?);
        facts.detail_is(Some(peer), "local", local.to_string());
    }
    Ok(())
}

/// Two clients of each worker, one served and one waiting.
const SIXTEEN: &[Use] = &[
    Served, AsksInVain, Served, AsksInVain, Served, AsksInVain, Served, AsksInVain, Served, AsksInVain, Served,
    AsksInVain, Served, AsksInVain, Served, AsksInVain,
];

fn several_processes() -> Vec<Scenario<Machine>> {
    vec![
        case!("prefork", {
            run: &["--pid-namespace", "--grace-period", "2s"], processes: (9, 9, 8), clients: SIXTEEN,
            victim: &[
                "--listen", "127.0.0.1:0", "--accept", "0", "--workers", "8",
                "--worker", "--stamps", "{stamps}", "--log", "--listen", "fd:{fd}", "--accept", "2", "overrun", ";", "fail", "0",
            ],
            connections: Counts { open_at_stop: 16, dropped_by_kill: 16, in_flight: 8, ..Counts::default() },
            findings: &["children-killed-with-pid1", "connections-dropped"],
            also: |facts, played| {
                let accepted = played.stamps.of_workers().all().iter().filter(|stamp| stamp.name == "accepted").count();
                facts.holds(accepted == 16, "the workers accepted all 16", &format!("{accepted}"));
                Ok(())
            },
        }),
        case!("reuseport", {
            victim: &[
                "--listen", "reuseport:127.0.0.1:0", "--accept-for", "2500",
                "--worker", "--stamps", "{stamps}", "--listen", "reuseport:127.0.0.1:{port}", "graceful", ";", "slow-drain", "400",
            ],
            processes: (2, 2, 0), clients: &[Served, Served, Served, Served, Served, Served],
            given: Given::ClosingWorker, knocks: Some((10, Duration::from_millis(100))),
            findings: &["late-connections"],
            connections: Counts { open_at_stop: 6, opened_after_stop: 10, accepted_after_stop: 10, closed_gracefully: 16, ..Counts::default() },
            timeline: &[("SignalForwarded", 1), ("ContainerExited", 1)],
            also: |facts, played| listener_closed(facts, &played.stamps),
        }),
        case!("loopback-sidecar", {
            victim: &[
                "--listen", "127.0.0.1:0", "--worker",
                "--connect", "127.0.0.1:{port}", "request 25", "--connect", "127.0.0.1:{port}", "", "graceful", ";", "graceful",
            ],
            processes: (2, 2, 0), clients: &[Served, Asks(600)],
            connections: Counts { internal: 2, ..all_drained(2) },
            timeline: &[("SignalForwarded", 1), ("ContainerExited", 1)],
        }),
    ]
}
