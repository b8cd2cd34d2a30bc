//! What must have become of each client's connection: from its script, the way the server ended, and
//! what the client saw. Nothing here comes from a report.

use crate::schedule::{Ending, Schedule};
use crate::server::{Mode, Server};
use gracetrace_tests::client::{End, Script, Seen, Step};
use gracetrace_tests::counts::Counts;

/// When a client was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// Its connection was over when the server was stopped.
    Before,
    /// It was established then.
    AtStop,
    /// It came later.
    After,
}

/// One connection's fate, in the report's words.
#[derive(Debug, Clone)]
pub(crate) struct Fate {
    pub(crate) when: When,
    /// Somebody accepted it.
    pub(crate) accepted: bool,
    /// How it ended; empty if that was before the stop, or if it was refused.
    pub(crate) end: &'static str,
    /// The end that its client must have seen.
    pub(crate) sees: End,
    /// Data was sent to a socket that was closed.
    pub(crate) too_late: bool,
    /// The server's side of it.
    pub(crate) server: Server,
    /// The living process closed it.
    by_process: bool,
}

/// The fates of all clients of a schedule.
pub(crate) fn of(schedule: &Schedule) -> Vec<Fate> {
    let accepted =
        |index: usize, script: &Script| schedule.accept.is_none_or(|accept| index < accept && script.before.is_some());
    schedule.clients.iter().enumerate().map(|(index, script)| one(schedule, script, accepted(index, script))).collect()
}

fn one(schedule: &Schedule, script: &Script, accepted: bool) -> Fate {
    let mut server = if accepted { Server::accepting() } else { Server::in_backlog() };
    for step in script.before.iter().flatten() {
        server.sees(*step);
    }
    let when = match script.before {
        None => When::After,
        Some(_) if server.gone() => When::Before,
        Some(_) => When::AtStop,
    };
    let refused = when == When::After && schedule.accept_for_ms == 0;
    let mut fate = Fate {
        when,
        accepted: accepted && !refused,
        end: "",
        sees: End::Eof,
        too_late: false,
        server,
        by_process: false,
    };
    if refused {
        fate.sees = End::Refused;
        return fate;
    }
    if when == When::Before {
        fate.sees = end_before(&server);
        return fate;
    }
    let drained_first = when == When::AtStop && schedule.ending == Ending::DrainSlowly && schedule.accept_for_ms == 0;
    for step in &script.after {
        if drained_first && matches!(step, Step::Bytes(_)) {
            fate.too_late = true;
        }
        fate.server.sees(*step);
    }
    conclude(schedule, &mut fate);
    fate
}

/// How a connection that was over before the stop was seen to end.
fn end_before(server: &Server) -> End {
    match server.mode {
        Mode::Reset => End::Ours,
        _ if server.unread > 0 => End::Reset,
        Mode::Backlog
        | Mode::Reading
        | Mode::Working
        | Mode::Never
        | Mode::Ignoring
        | Mode::Deaf
        | Mode::Writing
        | Mode::Closed => End::Eof,
    }
}

/// How the connection ends, given how the server does.
fn conclude(schedule: &Schedule, fate: &mut Fate) {
    let server = &mut fate.server;
    let drains = matches!(schedule.ending, Ending::Drain | Ending::DrainSlowly);
    let lasts = matches!(schedule.ending, Ending::Hang) || drains || stays_deaf_to_signals(schedule);
    if server.mode == Mode::Working && lasts {
        // there was time for the answer
        server.sees(Step::Receive);
    }
    let owed_nothing = server.fin && server.unread == 0 && !server.owes;
    let cut = match schedule.ending {
        Ending::Exit | Ending::Fail => "ClosedAtExit",
        Ending::Drain | Ending::DrainSlowly | Ending::Hang | Ending::Crash | Ending::NoHandler | Ending::Kill => {
            "DroppedByKill"
        }
    };
    (fate.end, fate.by_process) = match server.mode {
        Mode::Reset => ("ResetByPeer", false),
        Mode::Closed => ("ClosedGracefully", true),
        Mode::Backlog => ("RefusedInBacklog", false),
        Mode::Reading | Mode::Working | Mode::Ignoring | Mode::Deaf if drains => ("ClosedGracefully", true),
        Mode::Reading | Mode::Working | Mode::Ignoring | Mode::Deaf if owed_nothing => ("ClosedGracefully", false),
        // in the middle of something no drain gets at it
        Mode::Reading | Mode::Working | Mode::Ignoring | Mode::Deaf | Mode::Never | Mode::Writing => (cut, false),
    };
    fate.sees = match server.mode {
        Mode::Reset => End::Ours,
        Mode::Writing => End::Unwatched,
        Mode::Backlog => End::Reset,
        _ if server.unread > 0 => End::Reset,
        Mode::Reading | Mode::Working | Mode::Never | Mode::Ignoring | Mode::Deaf | Mode::Closed => End::Eof,
    };
}

/// PID 1 of its namespace loses a signal that it has no handler for.
fn stays_deaf_to_signals(schedule: &Schedule) -> bool {
    schedule.ending == Ending::NoHandler && schedule.pid_namespace
}

impl Fate {
    /// Whether a report has it among its details.
    pub(crate) fn listed(&self) -> bool {
        !self.end.is_empty()
    }

    /// What was lost with it; none where any word will do.
    pub(crate) fn work(&self) -> Option<&'static [&'static str]> {
        match self.end {
            "ResetByPeer" | "RefusedInBacklog" => None,
            _ if self.server.unread > 0 => Some(&["RequestUnread"]),
            // whether a client that has closed its half still waits, nobody on the server's side can tell
            _ if self.server.owes && self.server.fin => Some(&["Unknown"]),
            _ if self.server.owes => Some(&["RequestUnanswered"]),
            _ if self.server.mode == Mode::Writing => Some(&["ResponseUnsent"]),
            // estimates: an answer that is younger than a second may not have been all of it
            _ => Some(&["Idle", "Unknown"]),
        }
    }

    fn in_flight(&self) -> bool {
        let cut = matches!(self.end, "DroppedByKill" | "ClosedAtExit");
        cut && (self.server.unread > 0 || self.owes_visibly() || self.server.mode == Mode::Writing)
    }

    fn closed_unanswered(&self) -> bool {
        self.by_process && (self.server.unread > 0 || self.owes_visibly())
    }

    /// It owes an answer to somebody who has not closed.
    fn owes_visibly(&self) -> bool {
        self.server.owes && !self.server.fin
    }
}

/// Whether the connection was reset, as its client knows.
pub(crate) fn reset(seen: &Seen, script: &Script) -> bool {
    let by_client =
        seen.end == End::Ours && script.before.iter().flatten().chain(&script.after).any(|step| *step == Step::Reset);
    seen.end == End::Reset || seen.reset_later || by_client
}

/// All clients together.
pub(crate) fn tally(schedule: &Schedule, fates: &[Fate], seen: &[Seen]) -> Counts {
    let mut counts = Counts::default();
    for ((fate, seen), script) in fates.iter().zip(seen).zip(&schedule.clients) {
        counts.refused += u64::from(seen.end == End::Refused);
        if !fate.listed() {
            continue;
        }
        if fate.when == When::After {
            counts.opened_after_stop += 1;
            counts.accepted_after_stop += u64::from(fate.accepted);
        } else {
            counts.open_at_stop += 1;
        }
        let end = match fate.end {
            "ClosedGracefully" => &mut counts.closed_gracefully,
            "ClosedAtExit" => &mut counts.closed_at_exit,
            "DroppedByKill" => &mut counts.dropped_by_kill,
            "ResetByPeer" => &mut counts.reset_by_peer,
            _ => &mut counts.refused_in_backlog,
        };
        *end += 1;
        counts.reset += u64::from(reset(seen, script));
        counts.in_flight += u64::from(fate.in_flight());
        counts.closed_unanswered += u64::from(fate.closed_unanswered());
    }
    counts
}
