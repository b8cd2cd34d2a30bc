//! What became of the connections of one pod: every way that a pod's clients see, each with exact counts.

use crate::case::{Case, case, check, lag_of};
use crate::play::Ended;
use gracetrace_tests::client::Use::{self, Asks, AsksInVain, Nothing, Served, ServedOverMptcp, Unread};
use gracetrace_tests::client::{End, Line, count};
use gracetrace_tests::counts::Counts;
use gracetrace_tests::node::Node;
use gracetrace_tests::suite::Scenario;
use std::time::Duration;

/// Three seconds of late clients.
const FOR_3_S: Option<(u32, Duration)> = Some((30, Duration::from_millis(100)));

pub(crate) fn all() -> Vec<Scenario<Node>> {
    let mut all = by_end();
    all.extend(late());
    all.extend(by_kind());
    all
}

/// So many open at the stop, and all closed gracefully.
fn all_drained(count: u64) -> Counts {
    Counts { open_at_stop: count, closed_gracefully: count, ..Counts::default() }
}

fn by_end() -> Vec<Scenario<Node>> {
    vec![
        case!("unread-request", {
            clients: &[Unread(500), Served, Unread(1)],
            connections: Counts { open_at_stop: 3, dropped_by_kill: 3, reset: 2, in_flight: 2, ..Counts::default() },
            also: |ended| {
                for (client, unread) in [(0, 500), (2, 1)] {
                    let peer = ended.seen[client].local;
                    ended.facts.detail_is(peer, "work", "RequestUnread");
                    ended.facts.detail_is(peer, "unreadBytes", unread);
                    ended.facts.detail_is(peer, "closedBy", "Kill");
                }
                Ok(())
            },
        }, Case::killed()),
        case!("backlog", {
            victim: &["--accept", "1", "graceful"], clients: &[Served, Nothing, Unread(100)],
            connections: Counts { open_at_stop: 3, closed_gracefully: 1, refused_in_backlog: 2, reset: 2, ..Counts::default() }, findings: &["connections-refused"],
            also: |ended| {
                for client in [1, 2] {
                    ended.facts.detail_is(ended.seen[client].local, "end", "RefusedInBacklog");
                }
                let unread = Line::Ignore.text().len() + 100;
                ended.facts.detail_is(ended.seen[2].local, "unreadBytes", unread);
                Ok(())
            },
        }),
        case!("keepalive-idle", {
            victim: &["keep-idle"], clients: &[Served, Served, Nothing],
            connections: Counts { open_at_stop: 3, closed_at_exit: 3, ..Counts::default() },
        }),
        case!("leaves-early", {
            victim: &["keep-idle"], clients: &[AsksInVain, Nothing],
            connections: Counts { open_at_stop: 2, closed_at_exit: 2, in_flight: 1, ..Counts::default() },
            findings: &["requests-in-flight-at-exit"],
        }),
        case!("shared-pid-connections", {
            share_pids: true, clients: &[Served, AsksInVain],
            connections: Counts { open_at_stop: 2, dropped_by_kill: 2, in_flight: 1, ..Counts::default() },
        }, Case::killed()),
    ]
}

/// Clients that come after the stop.
fn late() -> Vec<Scenario<Node>> {
    vec![
        case!("early-close", {
            grace_s: 30, victim: &["slow-drain", "5000"], knocks: FOR_3_S,
            connections: Counts { refused: 30, ..Counts::default() },
            findings: &["listener-closed-early", "connections-refused"],
            also: |ended| {
                let refused = count(&ended.knocked, End::Refused);
                ended.facts.holds(refused == 30, "30 late clients were refused", &format!("{refused} were"));
                advises_the_lag(ended, "connections-refused")
            },
        }),
        case!("late-clients", {
            grace_s: 30, victim: &["--accept-for", "5000", "graceful"], knocks: FOR_3_S,
            connections: Counts { opened_after_stop: 30, accepted_after_stop: 30, closed_gracefully: 30, ..Counts::default() },
            findings: &["late-connections"],
            also: |ended| advises_the_lag(ended, "late-connections"),
        }),
        case!("slow-without-clients", {
            victim: &["slow-drain", "1500"], connections: Counts::default(),
        }),
    ]
}

/// The finding tells when the last of the late clients came, and how long a sleep would have covered them.
fn advises_the_lag(ended: &mut Ended, rule: &str) -> anyhow::Result<()> {
    let last = ended.knocked.last().ok_or_else(|| anyhow::anyhow!("nobody came late"))?;
    let (low, high) = lag_of(ended, last)?;
    let findings = ended.facts.at("/findings").as_array().cloned().unwrap_or_default();
    let finding = findings.into_iter().find(|finding| finding["rule"] == rule).unwrap_or_default();
    let text = |field: &str| finding[field].as_str().unwrap_or_default().to_owned();
    let (advice, summary) = (text("advice"), text("summary"));
    let sleep = [low, high].iter().any(|lag| advice.contains(&format!("sleeps {:.0} s", (lag / 1000.0).ceil())));
    ended.facts.holds(
        sleep,
        &format!("{rule} advises a sleep of {low:.0} to {high:.0} ms"),
        &format!("it says {advice:?}"),
    );
    let told =
        summary.split(' ').zip(summary.split(' ').skip(1)).find(|(_, unit)| unit.trim_end_matches([':', ',']) == "s");
    let told = told.and_then(|(number, _)| number.parse::<f64>().ok()).unwrap_or(f64::NAN) * 1000.0;
    let near = (low - 50.0..=high + 50.0).contains(&told);
    ended.facts.holds(
        near,
        &format!("{rule} tells of a lag of {low:.0} to {high:.0} ms"),
        &format!("it says {summary:?}"),
    );
    Ok(())
}

fn by_kind() -> Vec<Scenario<Node>> {
    vec![
        case!("ipv6", {
            listen: "[::]:8080", over_ipv6: &[true], clients: &[Served, Asks(600)],
            connections: all_drained(2), also: own_addresses,
        }),
        case!("ipv6-killed", {
            listen: "[::]:8080", over_ipv6: &[true], clients: &[Served, AsksInVain, Unread(7)],
            connections: Counts { open_at_stop: 3, dropped_by_kill: 3, in_flight: 2, reset: 1, ..Counts::default() },
            also: own_addresses,
        }, Case::killed()),
        case!("dual-stack", {
            listen: "[::]:8080", over_ipv6: &[false, true], clients: &[Served, Served, Asks(600), Asks(600)],
            connections: all_drained(4), also: own_addresses,
        }),
        case!("mptcp-listener", {
            listen: "mptcp:0.0.0.0:8080", clients: &[Served, ServedOverMptcp, AsksInVain],
            connections: Counts { open_at_stop: 3, dropped_by_kill: 3, in_flight: 1, ..Counts::default() },
            also: |ended| {
                for (client, mptcp) in [(0, false), (1, true), (2, false)] {
                    ended.facts.detail_is(ended.seen[client].local, "mptcp", mptcp);
                }
                Ok(())
            },
        }, Case::killed()),
        case!("unreaped-child", {
            victim: &["--accept", "0", "--worker", "graceful", ";", "slow-drain", "2000"],
            also: |ended| {
                // it has left by itself long before; that nobody has reaped it makes it no victim of PID 1
                ended.facts.is("/containers/0/processes/killedByPidNamespace", 0);
                ended.facts.is("/containers/0/processes/signalled", 2);
                Ok(())
            },
        }),
        case!("prefork", {
            victim: &[
                "--accept", "0", "--workers", "8",
                "--worker", "--stamps", "{stamps}", "--log", "--listen", "fd:{fd}", "--accept", "2", "overrun", ";", "fail", "0",
            ],
            clients: SIXTEEN,
            connections: Counts { open_at_stop: 16, dropped_by_kill: 16, in_flight: 8, ..Counts::default() },
            findings: &["children-killed-with-pid1", "connections-dropped"],
            also: prefork,
        }),
    ]
}

/// Two clients of each worker, one served and one waiting.
const SIXTEEN: &[Use] = &[
    Served, AsksInVain, Served, AsksInVain, Served, AsksInVain, Served, AsksInVain, Served, AsksInVain, Served,
    AsksInVain, Served, AsksInVain, Served, AsksInVain,
];

/// The master left by itself; its workers, and what they had accepted, were cut down with its PID namespace.
#[expect(clippy::unnecessary_wraps, reason = "it is what a case also asserts, and others can fail")]
fn prefork(ended: &mut Ended) -> anyhow::Result<()> {
    let accepted = ended.pod.stamps("app.worker").all().iter().filter(|stamp| stamp.name == "accepted").count();
    ended.facts.holds(accepted == 16, "the workers accepted all 16", &format!("{accepted}"));
    for (what, count) in [("seen", 9), ("signalled", 9), ("unsignalled", 0), ("killedByPidNamespace", 8)] {
        ended.facts.is(&format!("/containers/0/processes/{what}"), count);
    }
    let findings = ended.facts.at("/findings").as_array().cloned().unwrap_or_default();
    let finding = findings.into_iter().find(|finding| finding["rule"] == "children-killed-with-pid1");
    let summary = finding.unwrap_or_default()["summary"].as_str().unwrap_or_default().to_owned();
    let told = summary.contains("8 children") && summary.contains("16 connections");
    ended.facts.holds(told, "8 children and 16 connections went with PID 1", &summary);
    Ok(())
}

/// The local address of each is the one that its client reached.
fn own_addresses(ended: &mut Ended) -> anyhow::Result<()> {
    for client in ended.seen.clone() {
        let Some(peer) = client.local else { continue };
        let local = ended.pod.server_over(peer.is_ipv6())?;
        ended.facts.detail_is(Some(peer), "local", local.to_string());
    }
    Ok(())
}
