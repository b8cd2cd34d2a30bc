//! Who had the last word on a connection, and whether anybody is owed one: read off the kernel's counters alone.

use crate::input::{Opener, SocketCounters};
use crate::report::Direction;

/// Whose data came last; `None` if that cannot be told. By the kernel's clock ticks; within one, by what the peer sent
/// with or after its acknowledgement of our last data, if it has acknowledged all of it.
pub(super) fn last_speaker(counters: &SocketCounters, peer_closed: bool) -> Option<Opener> {
    let pending = counters.since_our_last.filter(|_| counters.unacked == 0 && counters.bytes_sent > 0);
    match (counters.received_minus_sent, pending.map(|bytes| bytes.saturating_sub(u32::from(peer_closed)))) {
        (..0, _) | (0, Some(0)) => Some(Opener::ThisSide),
        (1.., _) | (0, Some(_)) => Some(Opener::Peer),
        (0, None) => None,
    }
}

/// Whether, when the peer has closed its half, nothing is owed any more: all that came was read, all that was written
/// has arrived, and who asked has its answer. (A FIN counts as a received byte, but moves no time stamp.)
pub(super) fn was_done(counters: &SocketCounters, direction: Direction) -> bool {
    let received = counters.bytes_received.saturating_sub(1);
    let (sent, last) = (counters.bytes_sent, last_speaker(counters, true));
    let answered = match direction {
        Direction::Inbound | Direction::Unknown => received == 0 || (sent > 0 && last != Some(Opener::Peer)),
        Direction::Outbound => sent == 0 || (received > 0 && last != Some(Opener::ThisSide)),
    };
    counters.unread <= 1 && counters.unacked == 0 && answered
}
