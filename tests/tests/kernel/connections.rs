//! What became of the connections: the report against the clients of a case.

use crate::check::{Case, Played};
use gracetrace_tests::client::{self, End, Seen};
use gracetrace_tests::clock::{ms_between, slow};
use gracetrace_tests::facts::Facts;

/// The report's moments are read on the same clock; a client is this late at the most to see what it saw.
const TOLERANCE_MS: f64 = 20.0;

/// The case's counts, the clients' view of them, and each connection by itself.
pub(crate) fn compare(facts: &mut Facts, case: &Case, played: &Played) {
    facts.reset_late(played.seen.iter().filter(|client| client.reset_later).count() as u64);
    facts.counts(&case.connections, case.stop.is_some());
    // the numbers of a case are what its clients really saw
    let refused = client::count(&played.knocked, End::Refused);
    facts.holds(refused == case.connections.refused, "as many late clients were refused", &format!("{refused}"));
    facts.details_are(played.seen.iter().chain(played.knocked.iter().filter(|knock| knock.end != End::Refused)));
    let met = &played.met;
    let outbound: Vec<_> = facts.details().into_iter().filter(|one| one["direction"] == "Outbound").collect();
    facts.holds(outbound.len() == met.len(), "as many outbound as were met outside", &format!("{}", outbound.len()));
    for one in met {
        let listed = outbound.iter().filter(|detail| detail["local"] == one.peer.to_string()).count();
        facts.holds(listed == 1, &format!("{} listed once as outbound", one.peer), &format!("{listed} times"));
    }
    let tells_refused = facts.sees().refused;
    last(facts, played, "/connections/lastRefusedMs", |knock| tells_refused && knock.end == End::Refused);
    last(facts, played, "/connections/lastAcceptedMs", |knock| knock.end != End::Refused);
}

/// When the last late client came: between its call and its answer, both on its own clock. The stop
/// signal, from which the report counts, was sent between the order and the handler's start.
fn last(facts: &mut Facts, played: &Played, at: &str, which: impl Fn(&Seen) -> bool) {
    let Some(knock) = played.knocked.iter().rfind(|knock| which(knock)) else {
        return facts.is(at, serde_json::Value::Null);
    };
    let (Some(ordered), Ok(handler)) = (played.ordered, played.stamps.first("handler")) else { return };
    let low = ms_between(handler.at_ns, knock.connect.0);
    facts.between(at, low, ms_between(ordered, knock.connect.1) + TOLERANCE_MS * slow());
}
