//! The report of a schedule against the tally of its clients: counts, and each connection by itself.

use crate::fate::{self, Fate, When};
use crate::schedule::{Ending, Schedule};
use gracetrace::input::Sees;
use gracetrace_tests::client::{End, Seen};
use gracetrace_tests::clock::ms_between;
use gracetrace_tests::command::Over;
use gracetrace_tests::counts::Counts;
use gracetrace_tests::facts::{Facts, on_this_machine};
use serde_json::{Value, json};

/// A client is this late at the most to see what the kernel did.
const TOLERANCE_MS: f64 = 20.0;

/// What clients and report do not agree on: what, the clients' word, the report's.
pub(crate) type Difference = (String, Value, Value);

/// Both sides.
pub(crate) struct Compared {
    pub(crate) counts: Counts,
    pub(crate) differences: Vec<Difference>,
}

/// Compares everything that the clients can know.
pub(crate) fn all(schedule: &Schedule, seen: &[Seen], over: &Over, kernel: Sees) -> anyhow::Result<Compared> {
    let fates = fate::of(schedule);
    let mut facts = Facts::of(over.finished.report()?).seeing(kernel);
    facts.reset_late(seen.iter().filter(|client| client.reset_later).count() as u64);
    let mut differences = Vec::new();
    let mut same = |what: String, clients: Value, report: Value| {
        if clients != report {
            differences.push((what, clients, report));
        }
    };
    for (index, (fate, seen)) in fates.iter().zip(seen).enumerate() {
        // the clients among themselves: the end that was seen is the one that the script leads to
        same(format!("client {index} saw"), json!(format!("{:?}", seen.end)), json!(format!("{:?}", fate.sees)));
        same(format!("client {index} met a RST later"), json!(seen.reset_later), json!(fate.too_late));
    }
    let counts = fate::tally(schedule, &fates, seen);
    for (name, count) in counts.expected(schedule.ending != Ending::Kill, kernel) {
        let report = facts.at(&format!("/connections/{name}"));
        let untold = facts.untold_resets();
        let reset = counts.reset - untold..=counts.reset;
        if name == "reset" && untold > 0 && report.as_u64().is_some_and(|told| reset.contains(&told)) {
            continue;
        }
        same(name.to_owned(), count, report.clone());
    }
    let listed = fates.iter().filter(|fate| fate.listed()).count();
    same("details".to_owned(), json!(listed), json!(facts.details().len()));
    let mut unread = 0;
    let ours: Vec<_> = fates.iter().zip(seen).zip(&schedule.clients).filter(|((fate, _), _)| fate.listed()).collect();
    let found = facts.details_of(ours.iter().map(|((_, seen), _)| *seen));
    for (((fate, seen), script), found) in ours.into_iter().zip(found) {
        unread += fate.server.unread;
        detail(&facts, &found, fate, seen, fate::reset(seen, script), &mut same);
    }
    let sum = facts.details().iter().map(|one| one["unreadBytes"].as_u64()).sum::<Option<u64>>();
    same("unreadBytes of all".to_owned(), json!(unread), json!(sum));
    for (at, which) in [("lastRefusedMs", true), ("lastAcceptedMs", false)] {
        let (clients, report, agree) = last(schedule, &fates, seen, over, &facts, at, which);
        if !agree {
            same(at.to_owned(), clients, report);
        }
    }
    same("completeness".to_owned(), json!(true), facts.at("/completeness/complete").clone());
    Ok(Compared { counts, differences })
}

/// One connection, as it was `found` by its client's address.
fn detail(
    facts: &Facts,
    found: &Value,
    fate: &Fate,
    seen: &Seen,
    reset: bool,
    same: &mut impl FnMut(String, Value, Value),
) {
    let peer = seen.local.map(|local| local.to_string()).unwrap_or_default();
    let mut field = |name: &str, clients: Value| same(format!("{peer} {name}"), clients, found[name].clone());
    field("end", json!(fate.end));
    field("direction", json!("Inbound"));
    if !seen.reset_later || facts.untold_resets() == 0 {
        field("reset", json!(reset));
    }
    field("unreadBytes", json!(fate.server.unread));
    field("bytesReceived", json!(fate.server.received));
    field("peerClosed", json!(fate.server.fin));
    match seen.end {
        End::Eof => field("manner", json!("Fin")),
        End::Reset => field("manner", json!("RstSent")),
        End::Ours => field("manner", json!("RstReceived")),
        End::Refused | End::Unwatched | End::Other(_) => {}
    }
    if seen.end == End::Eof {
        // the last answer may be acknowledged only after the close that the bytes are read at
        let written = found["bytesSent"].as_u64().zip(found["unackedBytes"].as_u64()).map(|(sent, more)| sent + more);
        if written != Some(seen.received) {
            field("bytesSent", json!(seen.received));
        }
    }
    let word = found["work"].as_str().unwrap_or_default();
    if fate.work().is_some_and(|words| !words.contains(&word)) {
        field("work", json!(fate.work()));
    }
}

/// The last late client that was refused, or was accepted: between its call and its answer. The stop
/// signal, from which the report counts, was sent between the order and the handler's start.
fn last(
    schedule: &Schedule,
    fates: &[Fate],
    seen: &[Seen],
    over: &Over,
    facts: &Facts,
    at: &str,
    refused: bool,
) -> (Value, Value, bool) {
    let (report, kernel) = (facts.at(&format!("/connections/{at}")), facts.sees());
    let which = |fate: &Fate, seen: &Seen| {
        if refused { kernel.refused && seen.end == End::Refused } else { fate.when == When::After && fate.accepted }
    };
    let times = fates.iter().zip(seen).filter(|(fate, seen)| which(fate, seen)).map(|(_, seen)| seen.connect);
    let Some((began, came)) = times.max_by_key(|(_, came)| *came) else {
        return (Value::Null, report.clone(), report.is_null());
    };
    let handler = over.stamps.first("handler").map(|stamp| stamp.at_ns).unwrap_or_default();
    let tolerance = on_this_machine(TOLERANCE_MS);
    let (low, high) = (ms_between(handler, began), ms_between(over.ordered.unwrap_or_default(), came) + tolerance);
    // several at once: any of those that came in the same moments may have been the last
    let agree = report.as_f64().is_some_and(|ms| (low - tolerance..=high).contains(&ms));
    debug_assert!(schedule.ending != Ending::Kill, "nobody comes late to a server that is killed at once");
    (json!(format!("{low:.1} to {high:.1}")), report.clone(), agree)
}
