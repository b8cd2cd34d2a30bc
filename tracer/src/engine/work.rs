//! What was lost with a connection: a fact where bytes were left unread, else an estimate.
//!
//! The estimate takes a request and its answer for alternating: it fails for HTTP/2, gRPC, WebSocket
//! and server-sent events, for protocols in which the server speaks first or the client never gets an
//! answer, and for TLS alerts sent just before the close. `docs/report.md` says so to users.

use crate::engine::connections::Ended;
use crate::report::{Direction, Work};

/// Data both ways within one kernel tick, and quiet since for at least this long, is taken for a
/// request and its answer: a request that waited that long would have been the later one.
const SETTLED_MS: u32 = 20;

/// What was lost with a connection that was opened by `direction`.
pub(super) fn lost(ended: &Ended, direction: Direction) -> Work {
    let Some(counters) = ended.counters else {
        return Work::Unknown;
    };
    // a received FIN counts as one byte in each of the kernel's counters
    let fin = u32::from(ended.peer_closed);
    let received = counters.bytes_received.saturating_sub(u64::from(fin));
    if counters.unread.saturating_sub(fin) > 0 {
        return Work::RequestUnread;
    }
    let sent = counters.bytes_sent;
    let received_last = counters.received_minus_sent > 0;
    let sent_last = counters.received_minus_sent < 0;
    let same_tick = received > 0 && sent > 0 && counters.received_minus_sent == 0;
    let settled = counters.since_received_ms.is_some_and(|ms| ms >= SETTLED_MS);
    match direction {
        Direction::Inbound if counters.unacked > 0 => Work::ResponseUnsent,
        Direction::Inbound if received > 0 && (sent == 0 || received_last) => Work::RequestUnanswered,
        Direction::Outbound if sent > 0 && (received == 0 || sent_last) => Work::RequestUnanswered,
        Direction::Unknown if received > 0 || sent > 0 => Work::Unknown,
        Direction::Inbound | Direction::Outbound | Direction::Unknown if same_tick && !settled => Work::Unknown,
        Direction::Inbound | Direction::Outbound | Direction::Unknown => Work::Idle,
    }
}

/// Whether that counts as work in flight.
pub(super) fn in_flight(work: Work) -> bool {
    match work {
        Work::RequestUnread | Work::RequestUnanswered | Work::ResponseUnsent => true,
        Work::Idle | Work::Unknown => false,
    }
}
