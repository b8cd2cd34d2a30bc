//! What was lost with a connection: a fact where bytes were left unread, else an estimate.
//!
//! The estimate takes a request and its answer for alternating: it fails for HTTP/2, gRPC, WebSocket
//! and server-sent events, for protocols in which the server speaks first or the client never gets an
//! answer, and for TLS alerts sent just before the close. `docs/report.md` says so to users.

use crate::engine::ended::Ended;
use crate::engine::last_word::last_speaker;
use crate::input::Opener;
use crate::report::{ConnectionEnd, Direction, Work};

/// Data both ways within one kernel tick, and quiet since for at least this long, is taken for a
/// request and its answer: a request that waited that long would have been the later one.
const SETTLED_MS: u32 = 20;

/// A connection on which the server spoke this recently may have been cut in the middle of an answer.
const RECENT_MS: u32 = 1_000;

/// What was lost with a connection that was opened by `direction`. `waited_for`: had what was written got through, it would be known.
pub(super) fn lost(ended: &Ended, end: ConnectionEnd, direction: Direction, waited_for: bool) -> Work {
    let Some(counters) = ended.counters else {
        return Work::Unknown;
    };
    // a received FIN counts as one byte in each of the kernel's counters
    let fin = u32::from(ended.closing.is_some_and(|closing| closing.peer_closed));
    let received = counters.bytes_received.saturating_sub(u64::from(fin));
    if counters.unread.saturating_sub(fin) > 0 {
        return Work::RequestUnread;
    }
    // what a living process has written before it closes is delivered by the kernel
    let by_end = match end {
        ConnectionEnd::DroppedByKill | ConnectionEnd::ClosedAtExit => true,
        ConnectionEnd::ClosedGracefully
        | ConnectionEnd::ResetByPeer
        | ConnectionEnd::TimedOut
        | ConnectionEnd::RefusedInBacklog
        | ConnectionEnd::StillOpen
        | ConnectionEnd::Unknown => false,
    };
    // not acknowledged when it was closed, and cut off, or not known to have got through by the end
    let never_came = by_end && ended.drained.is_none() && waited_for;
    let unsent = counters.unacked > 0 && (ended.drained == Some(false) || never_came);
    let sent = counters.bytes_sent;
    let last = last_speaker(&counters, fin > 0);
    let (received_last, sent_last) = (last == Some(Opener::Peer), last == Some(Opener::ThisSide));
    let same_tick = received > 0 && sent > 0 && last.is_none();
    let settled = counters.since_received_ms.is_some_and(|ms| ms >= SETTLED_MS);
    let recent = counters.since_sent_ms.is_some_and(|ms| ms < RECENT_MS);
    match direction {
        Direction::Inbound if unsent => Work::ResponseUnsent,
        // written by a process that lived on, or nobody waited for it: not known to have got through or not
        Direction::Inbound if counters.unacked > 0 && ended.drained.is_none() => Work::Unknown,
        // a peer that has closed and still waits looks like one that has said goodbye (a TLS alert, `quit`) and gone
        Direction::Inbound if fin > 0 && received > 0 && (sent == 0 || received_last) => Work::Unknown,
        Direction::Inbound if received > 0 && (sent == 0 || received_last) => Work::RequestUnanswered,
        Direction::Outbound if sent > 0 && (received == 0 || sent_last) => Work::RequestUnanswered,
        Direction::Unknown if received > 0 || sent > 0 => Work::Unknown,
        // the server spoke last, and a moment ago: that was the whole answer, or a part of a longer one
        Direction::Inbound if by_end && sent_last && recent => Work::Unknown,
        Direction::Inbound | Direction::Outbound | Direction::Unknown if same_tick && !settled => Work::Unknown,
        Direction::Inbound | Direction::Outbound | Direction::Unknown => Work::Idle,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ended::Opened;
    use crate::input::{BootNs, SocketCounters};

    /// received, sent, unread, unacked, received minus sent, since sent.
    type Seen = (u64, u64, u32, u32, i32, u32);

    fn ended(seen: Seen) -> Ended {
        let (bytes_received, bytes_sent, unread, unacked, received_minus_sent, since) = seen;
        let counters = SocketCounters {
            bytes_received,
            bytes_acked: bytes_sent,
            bytes_sent,
            unread,
            unacked,
            since_received_ms: Some(since),
            since_sent_ms: Some(since),
            received_minus_sent,
            since_our_last: None,
        };
        Ended {
            address: 0,
            at: Some(BootNs(1)),
            container: None,
            opened: Opened::Before(None),
            direction: Direction::Inbound,
            local: ([10, 0, 0, 2], 80).into(),
            peer: ([10, 0, 0, 1], 40_000).into(),
            closing: None,
            reset: false,
            drained: None,
            held: true,
            mptcp: false,
            by_kubelet: false,
            handed_in: false,
            counters: Some(counters),
        }
    }

    #[test]
    fn what_a_kill_cuts() {
        let cases: [(&str, Seen, Work); 8] = [
            ("nothing ever came", (0, 0, 0, 0, 0, 5_000), Work::Idle),
            ("bytes were left unread", (9, 4, 5, 0, 1, 5_000), Work::RequestUnread),
            ("a request without an answer", (9, 0, 0, 0, 0, 5_000), Work::RequestUnanswered),
            ("a second request without an answer", (18, 4, 0, 0, 3, 5_000), Work::RequestUnanswered),
            ("answered long ago", (9, 4, 0, 0, -3, 5_000), Work::Idle),
            ("answered a moment ago, perhaps not in full", (9, 4, 0, 0, -3, 40), Work::Unknown),
            ("request and answer within one tick, long ago", (9, 4, 0, 0, 0, 5_000), Work::Idle),
            ("half an answer sent", (9, 4_000, 0, 900, -3, 40), Work::ResponseUnsent),
        ];
        for (case, seen, work) in cases {
            assert_eq!(lost(&ended(seen), ConnectionEnd::DroppedByKill, Direction::Inbound, true), work, "{case}");
        }
    }

    #[test]
    fn within_one_tick_the_acknowledgement_tells_who_spoke_last() {
        let served = |since_our_last, unacked, fin| {
            let mut one = ended((22, 7, fin, unacked, 0, 5_000));
            let counters = one.counters.as_mut().expect("counters");
            counters.since_our_last = since_our_last;
            one
        };
        let work = |one: &Ended| lost(one, ConnectionEnd::DroppedByKill, Direction::Inbound, true);
        assert_eq!(work(&served(Some(14), 0, 0)), Work::RequestUnanswered);
        assert_eq!(work(&served(Some(0), 0, 0)), Work::Idle);
        // the answer is on its way, so nobody has acknowledged it yet
        assert_eq!(work(&served(Some(14), 7, 0)), Work::ResponseUnsent);
        assert_eq!(work(&served(None, 0, 0)), Work::Idle);
    }

    #[test]
    fn of_what_a_living_process_wrote_it_is_not_known_at_once_whether_it_arrives() {
        let seen = (9, 4_000, 0, 900, -3, 40);
        assert_eq!(lost(&ended(seen), ConnectionEnd::ClosedGracefully, Direction::Inbound, true), Work::Unknown);
    }

    #[test]
    fn a_half_sent_answer_is_lost_unless_the_peer_got_it_after_all() {
        let seen = (9, 4_000, 0, 900, -3, 2_000);
        let with = |drained, end| lost(&Ended { drained, ..ended(seen) }, end, Direction::Inbound, true);
        let at_once =
            |drained| lost(&Ended { drained, ..ended(seen) }, ConnectionEnd::DroppedByKill, Direction::Inbound, false);
        assert_eq!(with(None, ConnectionEnd::DroppedByKill), Work::ResponseUnsent);
        assert_eq!(with(Some(true), ConnectionEnd::DroppedByKill), Work::Idle);
        // where nobody waited, or a record may be missing
        assert_eq!((at_once(None), at_once(Some(false))), (Work::Unknown, Work::ResponseUnsent));
        assert_eq!(with(Some(false), ConnectionEnd::DroppedByKill), Work::ResponseUnsent);
        assert_eq!(with(Some(false), ConnectionEnd::ClosedGracefully), Work::ResponseUnsent);
        assert_eq!(with(Some(true), ConnectionEnd::ClosedGracefully), Work::Idle);
    }

    #[test]
    fn a_peer_that_has_closed_may_have_gone() {
        let closing = crate::engine::close::Closing {
            closer: crate::engine::close::Closer::Living,
            manner: crate::report::Manner::Fin,
            in_backlog: false,
            peer_closed: true,
        };
        // its FIN counts as a byte
        let one = Ended { closing: Some(closing), ..ended((10, 4, 1, 0, 3, 50)) };
        assert_eq!(lost(&one, ConnectionEnd::ClosedGracefully, Direction::Inbound, true), Work::Unknown);
        let unread = Ended { closing: Some(closing), ..ended((10, 4, 3, 0, 3, 50)) };
        assert_eq!(lost(&unread, ConnectionEnd::ClosedGracefully, Direction::Inbound, true), Work::RequestUnread);
    }

    #[test]
    fn a_client_waits_for_the_answer_to_what_it_sent_last() {
        let dropped = |seen| lost(&ended(seen), ConnectionEnd::DroppedByKill, Direction::Outbound, true);
        assert_eq!(dropped((0, 9, 0, 0, -1, 50)), Work::RequestUnanswered);
        assert_eq!(dropped((4, 9, 0, 0, 3, 5_000)), Work::Idle);
    }
}
