//! The TCP connections of one pod while it ends: which were open, who closed each, what was lost.
//!
//! The kernel side tells of state changes only from the stop signal (or a process's death) on, so a
//! connection whose beginning was not seen was open before. What became of it is read off the change
//! that closes it; direction and lost work are concluded in `verdict::work`, when every listener of
//! the pod is known.

use crate::input::{Actor, BootNs, CgroupId, Socket, SocketCounters, TcpState, WaitStatus};
use crate::report::{ConnectionEnd, Direction};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// Connections remembered one by one; further ones are counted, their work unknown.
const MAX_ENDED: usize = 262_144;
/// What `tcp_reset` leaves in `sk_err`: `ECONNRESET`, or `EPIPE` if the peer had closed its half before.
const ECONNRESET: u32 = 104;
const EPIPE: u32 = 32;
/// Open connections remembered; further ones are known from their close on.
const MAX_OPEN: usize = 262_144;

/// All connections of a pod.
#[derive(Clone, Debug, Default)]
pub(super) struct Connections {
    open: BTreeMap<u64, Open>,
    ended: Vec<Ended>,
    /// Where in `ended` the last connection of a socket is.
    by_address: BTreeMap<u64, usize>,
    /// Local ports on which the pod listened, as far as was seen.
    listening: BTreeSet<u16>,
    /// Ended connections beyond the bound.
    pub uncounted: u64,
}

/// A connection that has not been closed by this side yet.
#[derive(Clone, Copy, Debug)]
struct Open {
    opened: BootNs,
    direction: Direction,
}

/// A connection that has ended.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub at: BootNs,
    /// The container whose cgroup the socket has.
    pub container: Option<CgroupId>,
    /// When it was established, if that was seen.
    pub opened: Option<BootNs>,
    pub direction: Direction,
    pub local: SocketAddr,
    pub peer: SocketAddr,
    pub end: ConnectionEnd,
    pub reset: bool,
    /// A process held it: it was accepted, or opened by the pod itself.
    pub held: bool,
    /// The signal that ended the process whose end closed it.
    pub killed_by: Option<i32>,
    /// The peer had closed its half before.
    pub peer_closed: bool,
    pub counters: Option<SocketCounters>,
}

/// What a state change meant beyond the connection itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// A listener closed.
    ListenerClosed,
    /// Nothing.
    None,
}

impl Connections {
    /// Takes a state change. `closer` is the wait status of `current`, if it is dying.
    pub(super) fn state(&mut self, at: BootNs, container: Option<CgroupId>, change: &Change<'_>) -> Effect {
        let Change { socket, old, new, .. } = change;
        match (old, new) {
            (_, TcpState::Listen) => {
                self.listening.insert(socket.local.port());
                Effect::None
            }
            (TcpState::Listen, _) => {
                self.listening.insert(socket.local.port());
                Effect::ListenerClosed
            }
            (TcpState::SynRecv | TcpState::NewSynRecv, TcpState::Established) => {
                self.opened(at, socket, Direction::Inbound);
                Effect::None
            }
            (TcpState::SynSent, TcpState::Established) => {
                self.opened(at, socket, Direction::Outbound);
                Effect::None
            }
            (
                TcpState::Established | TcpState::CloseWait,
                TcpState::FinWait1 | TcpState::LastAck | TcpState::Close | TcpState::Closing,
            ) => {
                self.closed(at, container, change);
                Effect::None
            }
            _ => Effect::None,
        }
    }

    /// A RST went out from this socket.
    pub(super) fn reset(&mut self, address: u64) {
        if let Some(ended) = self.by_address.get(&address).and_then(|index| self.ended.get_mut(*index)) {
            ended.reset = true;
        }
    }

    /// Every connection that ended, in the order they did.
    pub(super) fn ended(&self) -> &[Ended] {
        &self.ended
    }

    /// Who opened it, now that the pod's listeners are known.
    pub(super) fn direction(&self, ended: &Ended) -> Direction {
        match ended.direction {
            Direction::Unknown if self.listening.contains(&ended.local.port()) => Direction::Inbound,
            known @ (Direction::Inbound | Direction::Outbound | Direction::Unknown) => known,
        }
    }

    /// Forgets what ended so far: it belongs to an ending that is over or to none.
    pub(super) fn forget_ended(&mut self) {
        self.ended.clear();
        self.by_address.clear();
        self.uncounted = 0;
    }

    fn opened(&mut self, at: BootNs, socket: &Socket, direction: Direction) {
        self.by_address.remove(&socket.address);
        if self.open.len() < MAX_OPEN {
            self.open.insert(socket.address, Open { opened: at, direction });
        }
    }

    fn closed(&mut self, at: BootNs, container: Option<CgroupId>, change: &Change<'_>) {
        let socket = change.socket;
        let open = self.open.remove(&socket.address);
        let ended = Ended {
            at,
            container,
            opened: open.map(|open| open.opened),
            direction: open.map_or(Direction::Unknown, |open| open.direction),
            local: socket.local,
            peer: socket.peer,
            end: change.end(),
            reset: change.new == TcpState::Close,
            held: socket.has_file,
            killed_by: change.dying.and_then(WaitStatus::signal),
            peer_closed: change.old == TcpState::CloseWait,
            counters: socket.counters,
        };
        if self.ended.len() == MAX_ENDED {
            self.uncounted += 1;
            return;
        }
        self.by_address.insert(socket.address, self.ended.len());
        self.ended.push(ended);
    }
}

/// A state change of a socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change<'a> {
    pub socket: &'a Socket,
    pub current: &'a Actor,
    pub old: TcpState,
    pub new: TcpState,
    /// How `current` ends, if it is a dying process of the pod.
    pub dying: Option<WaitStatus>,
}

impl Change<'_> {
    /// What became of a connection by this change (kernel: `__tcp_close`, `tcp_reset`, `inet_csk_listen_stop`).
    fn end(&self) -> ConnectionEnd {
        // close() sets sk_shutdown to 3 before it changes the state; a RST from the peer does not
        let locally = self.socket.shutdown == 3 || self.new != TcpState::Close;
        if !locally {
            // never accepted, and the listener's end took it down: inet_csk_listen_stop does not shut it down first
            return match (self.socket.error, self.socket.has_file) {
                (0, false) => ConnectionEnd::RefusedInBacklog,
                (ECONNRESET | EPIPE, _) => ConnectionEnd::ResetByPeer,
                // no error: this side disconnected (`connect` to AF_UNSPEC) and lives on
                (0, true) if self.socket.current_in_pod && !self.current.exiting => ConnectionEnd::ClosedGracefully,
                // retransmissions or keep-alives gave up, or an administrator destroyed it
                _ => ConnectionEnd::Unknown,
            };
        }
        if !self.socket.has_file && self.new == TcpState::Close {
            return ConnectionEnd::RefusedInBacklog;
        }
        if !(self.socket.current_in_pod && self.current.exiting) {
            return ConnectionEnd::ClosedGracefully;
        }
        if self.old == TcpState::CloseWait
            && self.socket.counters.is_some_and(|counters| peer_had_its_answer(&counters))
        {
            return ConnectionEnd::ClosedGracefully;
        }
        match self.dying {
            Some(status) if status.signal().is_some() => ConnectionEnd::DroppedByKill,
            Some(_) => ConnectionEnd::ClosedAtExit,
            None => ConnectionEnd::Unknown,
        }
    }
}

/// Whether a peer that has closed its half was owed nothing any more: all it sent was read, and something was sent
/// since. (A FIN counts as a received byte, but moves no time stamp.)
fn peer_had_its_answer(counters: &SocketCounters) -> bool {
    let received = counters.bytes_received.saturating_sub(1);
    let read = counters.unread <= 1;
    read && counters.unacked == 0 && (received == 0 || (counters.bytes_sent > 0 && counters.received_minus_sent <= 0))
}
