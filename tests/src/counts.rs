//! The connection counts of a report, all exact, and the sums they must close to.

use crate::facts::Facts;
use gracetrace::input::Sees;
use serde_json::Value;

/// Counts as the harness knows them. What is `null` in a report without a stop is 0 here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Established at the stop.
    pub open_at_stop: u64,
    /// Established after it, accepted or not.
    pub opened_after_stop: u64,
    /// Ends, one each.
    pub closed_gracefully: u64,
    /// By the process's own exit.
    pub closed_at_exit: u64,
    /// By a signal that ended the process.
    pub dropped_by_kill: u64,
    /// By the peer's RST.
    pub reset_by_peer: u64,
    /// By the kernel, which heard nothing any more.
    pub timed_out: u64,
    /// Never accepted.
    pub refused_in_backlog: u64,
    /// Not at all.
    pub still_open: u64,
    /// Not known how: the harness always knows.
    pub unknown: u64,
    /// With a RST, or one for what came later.
    pub reset: u64,
    /// Cut with work in flight.
    pub in_flight: u64,
    /// Closed by the living process, its request unread or unanswered.
    pub closed_unanswered: u64,
    /// Opened by the pod.
    pub outbound: u64,
    /// Pairs inside the pod.
    pub internal: u64,
    /// Of those after the stop, accepted.
    pub accepted_after_stop: u64,
    /// Attempts that met the closed port.
    pub refused: u64,
}

/// What is `null` without a stop signal.
const AFTER_STOP: [&str; 2] = ["openedAfterStop", "acceptedAfterStop"];

/// What is `null` on a kernel that tells of no refused attempts.
const REFUSED: &str = "refusedAfterListenerClose";

impl Counts {
    /// No connection at all.
    pub const NONE: Self = Self {
        open_at_stop: 0,
        opened_after_stop: 0,
        closed_gracefully: 0,
        closed_at_exit: 0,
        dropped_by_kill: 0,
        reset_by_peer: 0,
        timed_out: 0,
        refused_in_backlog: 0,
        still_open: 0,
        unknown: 0,
        reset: 0,
        in_flight: 0,
        closed_unanswered: 0,
        outbound: 0,
        internal: 0,
        accepted_after_stop: 0,
        refused: 0,
    };

    /// Under the report's names.
    pub fn named(&self) -> [(&'static str, u64); 17] {
        [
            ("openAtStop", self.open_at_stop),
            ("openedAfterStop", self.opened_after_stop),
            ("closedGracefully", self.closed_gracefully),
            ("closedAtExit", self.closed_at_exit),
            ("droppedByKill", self.dropped_by_kill),
            ("resetByPeer", self.reset_by_peer),
            ("timedOut", self.timed_out),
            ("refusedInBacklog", self.refused_in_backlog),
            ("stillOpen", self.still_open),
            ("unknown", self.unknown),
            ("reset", self.reset),
            ("inFlight", self.in_flight),
            ("closedUnanswered", self.closed_unanswered),
            ("outbound", self.outbound),
            ("internal", self.internal),
            ("acceptedAfterStop", self.accepted_after_stop),
            (REFUSED, self.refused),
        ]
    }

    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        let fields: [(&mut u64, u64); 17] = [
            (&mut self.open_at_stop, other.open_at_stop),
            (&mut self.opened_after_stop, other.opened_after_stop),
            (&mut self.closed_gracefully, other.closed_gracefully),
            (&mut self.closed_at_exit, other.closed_at_exit),
            (&mut self.dropped_by_kill, other.dropped_by_kill),
            (&mut self.reset_by_peer, other.reset_by_peer),
            (&mut self.timed_out, other.timed_out),
            (&mut self.refused_in_backlog, other.refused_in_backlog),
            (&mut self.still_open, other.still_open),
            (&mut self.unknown, other.unknown),
            (&mut self.reset, other.reset),
            (&mut self.in_flight, other.in_flight),
            (&mut self.closed_unanswered, other.closed_unanswered),
            (&mut self.outbound, other.outbound),
            (&mut self.internal, other.internal),
            (&mut self.accepted_after_stop, other.accepted_after_stop),
            (&mut self.refused, other.refused),
        ];
        for (sum, count) in fields {
            *sum += count;
        }
    }

    /// Each as it must stand in a report: what cannot be counted is `null`.
    pub fn expected(&self, stopped: bool, sees: Sees) -> Vec<(&'static str, Value)> {
        let named = self.named().into_iter();
        named
            .map(|(name, count)| {
                let of_all = name == "openAtStop" || AFTER_STOP.contains(&name);
                let null = !stopped && AFTER_STOP.contains(&name)
                    || !sees.refused && name == REFUSED
                    || !sees.connections && of_all;
                (name, if null { Value::Null } else { Value::from(count) })
            })
            .collect()
    }
}

impl Facts {
    /// The pod's counts are exactly these, and those of its containers add up.
    pub fn counts(&mut self, expected: &Counts, stopped: bool) {
        self.counts_at("/connections", expected, stopped);
        self.sums_close("/connections");
        let containers = self.at("/containers").as_array().map_or(0, Vec::len);
        for index in 0..containers {
            self.sums_close(&format!("/containers/{index}/connections"));
        }
        if containers == 1 {
            self.counts_at("/containers/0/connections", expected, stopped);
        }
    }

    fn counts_at(&mut self, at: &str, expected: &Counts, stopped: bool) {
        for (name, count) in expected.expected(stopped, self.sees()) {
            let (at, untold) = (format!("{at}/{name}"), self.untold_resets());
            if name == "reset" && untold > 0 {
                let told = self
                    .at(&at)
                    .as_u64()
                    .is_some_and(|told| (expected.reset - untold..=expected.reset).contains(&told));
                let fact = format!("{at} = {count}, of which this kernel does not tell {untold}");
                self.holds(told, &fact, &format!("it is {}", self.at(&at)));
            } else {
                self.is(&at, count);
            }
        }
    }

    /// Every connection that was there has exactly one end.
    pub fn sums_close(&mut self, at: &str) {
        let count = |name: &str| self.at(&format!("{at}/{name}")).as_u64();
        let there = count("openAtStop").map(|open| open + count("openedAfterStop").unwrap_or(0));
        let ends = [
            "closedGracefully",
            "closedAtExit",
            "droppedByKill",
            "resetByPeer",
            "timedOut",
            "refusedInBacklog",
            "stillOpen",
            "unknown",
        ];
        if !self.sees().connections {
            self.is(&format!("{at}/openAtStop"), Value::Null);
            return;
        }
        let ended = ends.iter().map(|name| count(name)).sum::<Option<u64>>();
        let fact = format!("{at}: as many ends as connections");
        self.holds(there.is_some() && there == ended, &fact, &format!("{there:?} connections, {ended:?} ends"));
    }
}
