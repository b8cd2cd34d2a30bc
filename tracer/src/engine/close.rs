//! What it means that a connection closes: how, by whom, and what its end is called. Pure readings of
//! one state change (kernel: `__tcp_close`, `tcp_reset`, `tcp_write_err`, `inet_csk_listen_stop`).

use crate::input::{Caller, Socket, TcpState, WaitStatus};
use crate::report::{ClosedBy, ConnectionEnd, Manner};

/// What `tcp_reset` leaves in `sk_err`: `ECONNRESET`, or `EPIPE` if the peer had closed its half before.
const ECONNRESET: u32 = 104;
const EPIPE: u32 = 32;
/// What a peer that answers no more leaves there (`tcp_write_err`; routers may have told why).
const ETIMEDOUT: u32 = 110;
const ENETUNREACH: u32 = 101;
const EHOSTDOWN: u32 = 112;
const EHOSTUNREACH: u32 = 113;
/// `SHUTDOWN_MASK`: `close()` sets it before it changes the state; a RST from the peer or a timeout does not.
const CLOSED_HERE: u8 = 3;

/// A state change of a socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change<'a> {
    pub socket: &'a Socket,
    pub current: &'a Caller,
    pub old: TcpState,
    pub new: TcpState,
}

/// A state change of a socket that this side has closed.
#[derive(Clone, Copy, Debug)]
pub(super) struct AfterClose {
    pub address: u64,
    pub unacked: Option<u32>,
    pub error: u32,
    pub old: TcpState,
    pub new: TcpState,
}

/// Who took a connection down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closer {
    /// A process that lives on.
    Living,
    /// The kernel, for a process of the pod that was on its way out; how it ended is known by its exit.
    Dying(u32),
    /// The peer's RST.
    Peer,
    /// The kernel: the peer answered no more.
    Timeout,
    /// A kernel thread, for a process (MPTCP, `io_uring`): for one that lives, or for one that has ended.
    Worker,
    /// The kernel or somebody else; for whom is not known.
    Unknown,
}

/// How a connection was closed, as far as the change itself tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closing {
    pub closer: Closer,
    pub manner: Manner,
    /// A completed handshake that nobody had accepted.
    pub in_backlog: bool,
    /// The peer had closed its half before.
    pub peer_closed: bool,
}

impl Change<'_> {
    /// Whether this change closes a connection on our side, or ends it.
    pub(super) fn closes(&self) -> bool {
        matches!(
            (self.old, self.new),
            (
                TcpState::Established | TcpState::CloseWait,
                TcpState::FinWait1 | TcpState::LastAck | TcpState::Close | TcpState::Closing,
            )
        )
    }

    /// How it closes.
    pub(super) fn closing(&self) -> Closing {
        let Self { socket, old, new, .. } = *self;
        let peer_closed = old == TcpState::CloseWait;
        let here = |in_backlog, manner| Closing { closer: self.current_as_closer(), manner, in_backlog, peer_closed };
        let by = |closer, manner| Closing { closer, manner, in_backlog: false, peer_closed };
        if new != TcpState::Close {
            return here(false, Manner::Fin);
        }
        if socket.shutdown == CLOSED_HERE {
            return here(!socket.has_file, Manner::RstSent);
        }
        match (socket.error, socket.has_file) {
            // taken down with its listener, which does not shut it down first
            (0, false) => here(true, Manner::RstSent),
            (ECONNRESET | EPIPE, _) => by(Closer::Peer, Manner::RstReceived),
            (ETIMEDOUT | ENETUNREACH | EHOSTDOWN | EHOSTUNREACH, _) => by(Closer::Timeout, Manner::TimedOut),
            // no error: this side disconnected (`connect` to AF_UNSPEC) and lives on
            (0, true) if socket.current_in_pod && !self.current.exiting => by(Closer::Living, Manner::RstSent),
            // an administrator destroyed it
            _ => by(Closer::Unknown, Manner::Unknown),
        }
    }

    /// `close()` runs in the closer's context; only a kernel thread does it for somebody else.
    fn current_as_closer(&self) -> Closer {
        match (self.current.kernel_thread, self.current.exiting) {
            (true, _) => Closer::Worker,
            (false, false) => Closer::Living,
            (false, true) if self.socket.current_in_pod => Closer::Dying(self.current.tgid),
            (false, true) => Closer::Unknown,
        }
    }

    /// As one after the close, which older logs have like any other.
    pub(super) fn after_close(&self) -> AfterClose {
        AfterClose {
            address: self.socket.address,
            unacked: self.socket.counters.map(|counters| counters.unacked),
            error: self.socket.error,
            old: self.old,
            new: self.new,
        }
    }
}

impl AfterClose {
    /// What becomes of what had been written: `None` if this change does not tell.
    pub(super) fn fate(&self) -> Option<Fate> {
        match (self.old, self.new) {
            (TcpState::FinWait1, TcpState::FinWait2) => Some(Fate { drained: Some(true), reset: false }),
            (TcpState::FinWait1 | TcpState::FinWait2 | TcpState::Closing | TcpState::LastAck, TcpState::Close) => {
                let was_acked = self.old == TcpState::FinWait2;
                // our FIN counts as one byte. Without an error as well something may be left: what the peer sends to a half that is closed
                // is answered by a RST, and so is what is unread when the rest closes; memory may run short
                let is_acked = self.unacked.map(|unacked| unacked <= 1);
                let drained = if was_acked { Some(true) } else { is_acked.or((self.error == 0).then_some(true)) };
                Some(Fate { drained, reset: matches!(self.error, ECONNRESET | EPIPE) })
            }
            _ => None,
        }
    }
}

/// What became of what had been written when a connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fate {
    /// The peer acknowledged all of it; `None` if not known.
    pub drained: Option<bool>,
    /// A RST put an end to it, from either side.
    pub reset: bool,
}

impl Closing {
    /// What the end is called, once it is known how the process ended that it was closed for.
    /// `gone`: how the container's init had ended by then, if it had. `was_done`: nothing was owed any more.
    pub(super) fn end(
        &self,
        exit: impl FnOnce(u32) -> Option<WaitStatus>,
        gone: Option<WaitStatus>,
        was_done: bool,
    ) -> (ConnectionEnd, ClosedBy, Option<i32>) {
        let for_process = |status: Option<WaitStatus>| match status.map(WaitStatus::signal) {
            Some(Some(signal)) => (ConnectionEnd::DroppedByKill, ClosedBy::Kill, Some(signal)),
            Some(None) => (ConnectionEnd::ClosedAtExit, ClosedBy::Exit, None),
            None => (ConnectionEnd::Unknown, ClosedBy::Unknown, None),
        };
        let (end, by, signal) = match self.closer {
            Closer::Living => (ConnectionEnd::ClosedGracefully, ClosedBy::Process, None),
            Closer::Peer => (ConnectionEnd::ResetByPeer, ClosedBy::Peer, None),
            Closer::Timeout => (ConnectionEnd::TimedOut, ClosedBy::Kernel, None),
            Closer::Unknown => (ConnectionEnd::Unknown, ClosedBy::Unknown, None),
            Closer::Dying(tgid) => for_process(exit(tgid)),
            Closer::Worker => for_process(gone),
        };
        if self.in_backlog {
            return (ConnectionEnd::RefusedInBacklog, by, None);
        }
        let is_cut = matches!(end, ConnectionEnd::DroppedByKill | ConnectionEnd::ClosedAtExit);
        if is_cut && self.peer_closed && was_done {
            (ConnectionEnd::ClosedGracefully, by, None)
        } else {
            (end, by, signal)
        }
    }
}
