//! The connections of a report: counts, and one by one.

use schemars::JsonSchema;
use serde::Serialize;

/// The connections of a pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Connections {
    /// How many, by what became of them.
    #[serde(flatten)]
    pub counts: ConnectionCounts,
    /// When the pod's sockets were looked at, and how long that took; `null` if they were not.
    pub snapshot: Option<Snapshot>,
    /// Connections between containers that one of them cut by leaving first; for the rules.
    #[serde(skip)]
    pub left_first: Vec<LeftFirst>,
    /// One by one, in the order they ended; at most `--max-connections`.
    pub details: Vec<Connection>,
    /// How many are not listed.
    pub details_omitted: u64,
}

/// A container that left while another was still connected to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftFirst {
    /// The one that left.
    pub left: Option<String>,
    /// The one that was there still.
    pub stayed: Option<String>,
    /// How many connections between them that cut.
    pub connections: u64,
}

/// The look at the pod's sockets when its stop signal was seen.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// When it began.
    pub at_ms: f64,
    /// How long it took.
    pub took_ms: f64,
    /// Listening sockets found.
    pub listeners: u64,
    /// Connections found, those inside the pod included.
    pub connections: u64,
}

/// Counts of TCP connections that were established when the stop signal came, or came up afterwards.
/// Connections between processes of the pod are in `internal` and in no other number.
///
/// `openAtStop` + `openedAfterStop` = `closedGracefully` + `closedAtExit` + `droppedByKill` +
/// `resetByPeer` + `timedOut` + `refusedInBacklog` + `stillOpen` + `unknown`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionCounts {
    /// Established when the stop signal was sent (without one: when the process ended).
    pub open_at_stop: Option<u64>,
    /// Closed by the process while it lived, or by the peer first where nothing was owed to it.
    pub closed_gracefully: u64,
    /// Closed by the kernel because the process exited by itself.
    pub closed_at_exit: u64,
    /// Closed by the kernel because a signal ended the process.
    pub dropped_by_kill: u64,
    /// Reset by the peer.
    pub reset_by_peer: u64,
    /// Given up by the kernel: the peer answered no more.
    pub timed_out: u64,
    /// Completed handshakes that nobody accepted before the listener closed.
    pub refused_in_backlog: u64,
    /// Open when the report was made: handed on to somebody outside, or tracing ended first.
    pub still_open: u64,
    /// What became of them is not known.
    pub unknown: u64,
    /// Of all these, ended with a RST.
    pub reset: u64,
    /// Of those dropped or closed at exit, with work in flight (an estimate where no bytes were left unread).
    pub in_flight: u64,
    /// Of those dropped or closed at exit, those of which it is not known whether work was in flight.
    pub in_flight_unknown: u64,
    /// Closed by the living process with a request unread or unanswered, or with an answer that did not get through (an estimate where no bytes were left unread).
    pub closed_unanswered: u64,
    /// Of all these, opened by the pod itself.
    pub outbound: u64,
    /// Between processes of the pod: none of the other numbers.
    pub internal: u64,
    /// Attempts by processes of the pod that met a closed port of the pod: none of the other numbers.
    pub internal_refused: u64,
    /// Established after the stop signal, accepted or not, whoever opened them.
    pub opened_after_stop: Option<u64>,
    /// Accepted after the stop signal.
    pub accepted_after_stop: Option<u64>,
    /// Of those, opened by the kubelet, whose probes go on while a pod is stopped: an estimate.
    pub accepted_from_kubelet: u64,
    /// When the last of the others came.
    pub last_accepted_ms: Option<f64>,
    /// Attempts that met a closed port after the last listener had closed.
    pub refused_after_listener_close: Option<u64>,
    /// Of those, made by the kubelet: an estimate.
    pub refused_to_kubelet: u64,
    /// When the last of the others came.
    pub last_refused_ms: Option<f64>,
    /// Of `droppedByKill`, those of processes that the kernel killed because PID 1 had left; likewise for the rules.
    #[serde(skip)]
    pub dropped_with_pid1: u64,
    /// Of `inFlight`, those that the pod itself had opened, to somebody else; likewise.
    #[serde(skip)]
    pub outbound_in_flight: u64,
    /// Of `inFlight`, those dropped by a kill; for the rules, not for the JSON, where the details tell.
    #[serde(skip)]
    pub dropped_in_flight: u64,
    /// Of `inFlight`, those closed as the process exited by itself; likewise.
    #[serde(skip)]
    pub exit_in_flight: u64,
    /// The signal that dropped them, if it was one and the same; likewise.
    #[serde(skip)]
    pub dropped_by: Option<String>,
}

/// One TCP connection.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// When this end of it was closed; `null` if it was still open.
    pub at_ms: Option<f64>,
    /// The container that held it, where that can be told.
    pub container: Option<String>,
    /// Who opened it.
    pub direction: Direction,
    /// The pod's end: `address:port`.
    pub local: String,
    /// The other end: `address:port`.
    pub peer: String,
    /// What became of it.
    pub end: ConnectionEnd,
    /// How this end of it was closed.
    pub manner: Manner,
    /// Who closed it.
    pub closed_by: ClosedBy,
    /// The peer had closed its half before.
    pub peer_closed: bool,
    /// With a RST: at once, or later for data that came too late.
    pub reset: bool,
    /// Whether the peer's kernel acknowledged everything that had been written; `null` if that was still open.
    pub drained: Option<bool>,
    /// What was lost with it.
    pub work: Work,
    /// Its other end belongs to the pod as well.
    pub internal: bool,
    /// A subflow of an MPTCP connection: what was read and written is not known.
    pub mptcp: bool,
    /// Opened by the kubelet after the stop signal: an estimate.
    pub from_kubelet: bool,
    /// How long it had been established, where its beginning was seen.
    pub age_ms: Option<f64>,
    /// How long it had been there at least, where its beginning was not seen.
    pub age_at_least_ms: Option<f64>,
    /// How long ago data last came in.
    pub since_received_ms: Option<u64>,
    /// How long ago data last went out.
    pub since_sent_ms: Option<u64>,
    /// Bytes received.
    pub bytes_received: Option<u64>,
    /// Bytes the peer acknowledged.
    pub bytes_sent: Option<u64>,
    /// Bytes received that the process never read.
    pub unread_bytes: Option<u64>,
    /// Bytes written that the peer had not acknowledged.
    pub unacked_bytes: Option<u64>,
}

impl Connection {
    /// Where a list has it that a reader has to find what was lost in: 0 comes first.
    pub fn rank(&self) -> u8 {
        rank(self.end, self.work, self.internal)
    }
}

/// [`Connection::rank`], for those who have yet to choose what is listed.
pub(crate) fn rank(end: ConnectionEnd, work: Work, internal: bool) -> u8 {
    match end {
        _ if internal => 6,
        ConnectionEnd::DroppedByKill | ConnectionEnd::ClosedAtExit => u8::from(!work.is_in_flight()),
        ConnectionEnd::ClosedGracefully if work.is_in_flight() => 2,
        ConnectionEnd::RefusedInBacklog | ConnectionEnd::ResetByPeer | ConnectionEnd::TimedOut => 3,
        ConnectionEnd::StillOpen | ConnectionEnd::Unknown => 4,
        ConnectionEnd::ClosedGracefully => 5,
    }
}

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub enum Direction {
    /// The peer.
    Inbound,
    /// The pod.
    Outbound,
    /// Not known: it was there before, and no listener of its port was seen.
    Unknown,
}

/// What became of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub enum ConnectionEnd {
    /// The process closed it while it lived, or the peer had closed first.
    ClosedGracefully,
    /// The kernel closed it because the process exited by itself.
    ClosedAtExit,
    /// The kernel closed it because a signal ended the process.
    DroppedByKill,
    /// The peer reset it.
    ResetByPeer,
    /// The kernel gave it up: the peer answered no more.
    TimedOut,
    /// A completed handshake that nobody accepted.
    RefusedInBacklog,
    /// It was still open when the report was made.
    StillOpen,
    /// Not known.
    Unknown,
}

/// How this end of a connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub enum Manner {
    /// With a FIN.
    Fin,
    /// With a RST to the peer.
    RstSent,
    /// By a RST from the peer.
    RstReceived,
    /// By the kernel, after the peer had not answered for long.
    TimedOut,
    /// Not closed, or not known.
    Unknown,
}

/// Who closed this end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub enum ClosedBy {
    /// A living process.
    Process,
    /// The kernel, for a process that exited by itself.
    Exit,
    /// The kernel, for a process that a signal ended.
    Kill,
    /// The peer.
    Peer,
    /// The kernel by itself.
    Kernel,
    /// Nobody, or not known.
    Unknown,
}

/// What was lost with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub enum Work {
    /// Bytes were received and never read: a fact.
    RequestUnread,
    /// Data came in last and nothing went out since: an estimate.
    RequestUnanswered,
    /// Bytes were written and not acknowledged: an estimate, the peer may still have got them; a fact where `drained` is false.
    ResponseUnsent,
    /// Nothing.
    Idle,
    /// Not known.
    Unknown,
}

impl Work {
    /// Whether that counts as work in flight.
    pub fn is_in_flight(self) -> bool {
        match self {
            Self::RequestUnread | Self::RequestUnanswered | Self::ResponseUnsent => true,
            Self::Idle | Self::Unknown => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ConnectionEnd, Work, rank};

    #[test]
    fn the_graver_loss_comes_first() {
        let in_order = [
            rank(ConnectionEnd::DroppedByKill, Work::RequestUnread, false),
            rank(ConnectionEnd::DroppedByKill, Work::Idle, false),
            rank(ConnectionEnd::ClosedGracefully, Work::RequestUnanswered, false),
            rank(ConnectionEnd::ResetByPeer, Work::Idle, false),
            rank(ConnectionEnd::StillOpen, Work::Unknown, false),
            rank(ConnectionEnd::ClosedGracefully, Work::Idle, false),
            rank(ConnectionEnd::DroppedByKill, Work::RequestUnread, true),
        ];
        assert!(in_order.is_sorted_by(|one, next| one < next), "{in_order:?}");
    }
}
