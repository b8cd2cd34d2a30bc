//! The TCP connections of one pod while it ends: which were open, how each was closed, what came after.
//!
//! The kernel side tells of state changes only from the stop signal (or a process's death) on, so a
//! connection whose beginning was not seen was open before. A look at the pod's sockets right after the
//! stop signal adds what never closes, and which ports were listened on. What became of a connection is
//! read off the change that closes it (`close`); direction and lost work are concluded in `tally` and
//! `work`, when everything is known.

use super::close::{AfterClose, Change};
use super::ended::{Ended, EndedList, Ends, Opened};
use super::runtime_names::is_kubelet;
use crate::input::{BootNs, CgroupId, FoundSocket, Opener, Socket, Sockets, TcpState};
use crate::report::{Direction, Manner};
use std::collections::{BTreeMap, BTreeSet};

/// Connections remembered one by one; further ones are counted, their fate unknown.
const MAX_ENDED: usize = 262_144;
/// Open connections remembered; further ones are known from their close on.
const MAX_OPEN: usize = 262_144;
/// Spans of refused attempts; further ones are added to the last.
const MAX_REFUSED: usize = 4_096;
/// Refused attempts closer together than this are one span.
const REFUSED_SPAN_MS: f64 = 100.0;

/// All connections of a pod. In the order as written, as in a pod itself.
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub(super) struct Connections {
    open: BTreeMap<u64, Open>,
    /// Those that were closed with bytes not acknowledged, of which it is not known yet whether the peer gets them.
    pending: usize,
    /// What was found at the stop signal.
    pub snapshot: Option<Box<Snapshot>>,
    ended: EndedList,
    /// Local ports on which the pod listened, as far as was seen.
    listening: BTreeSet<u16>,
    /// Attempts that met a closed port.
    pub refused: Vec<Refused>,
    /// Ended connections beyond the bound.
    pub uncounted: u64,
}

/// The pod's sockets right after its stop signal.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub taken_at: BootNs,
    pub at: BootNs,
    pub listeners: u64,
    pub found: BTreeMap<Ends, Found>,
    /// Not every part has come.
    pub more: bool,
    pub problem: Option<String>,
}

/// A connection that was found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub container: Option<CgroupId>,
    at_least_ms: Option<u64>,
    handed_in: bool,
}

/// Attempts to connect to a closed port, close together.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub at: BootNs,
    pub last: BootNs,
    pub container: Option<CgroupId>,
    pub by: Caller,
    pub count: u64,
}

/// Who tried to connect: a process of this node does so in its own context, so `current` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// A client, wherever it is.
    Client,
    /// The kubelet, whose readiness probes go on while a pod is stopped.
    Kubelet,
    /// A process of the pod itself.
    Own,
}

/// A connection that was seen to come up and has not been closed by this side yet.
#[derive(Clone, Copy, Debug)]
struct Open {
    opened: BootNs,
    direction: Direction,
    ends: Ends,
    container: Option<CgroupId>,
    mptcp: bool,
    by_kubelet: bool,
}

/// What a state change meant beyond the connection itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// A listener opened.
    ListenerOpened,
    /// A listener closed.
    ListenerClosed,
    /// Nothing.
    None,
}

impl Connections {
    /// Takes a state change of a socket that belongs to `container`.
    pub(super) fn state(&mut self, at: BootNs, container: Option<CgroupId>, change: &Change<'_>) -> Effect {
        let Change { socket, old, new, .. } = change;
        match (old, new) {
            (_, TcpState::Listen) => {
                self.listening.insert(socket.local.port());
                Effect::ListenerOpened
            }
            (TcpState::Listen, _) => {
                self.listening.insert(socket.local.port());
                Effect::ListenerClosed
            }
            (TcpState::SynRecv | TcpState::NewSynRecv, TcpState::Established) => {
                self.opened(at, container, change, Direction::Inbound);
                Effect::None
            }
            (TcpState::SynSent, TcpState::Established) => {
                self.opened(at, container, change, Direction::Outbound);
                Effect::None
            }
            _ if change.closes() => {
                self.closed(at, container, change);
                Effect::None
            }
            _ => {
                self.followed(&change.after_close());
                Effect::None
            }
        }
    }

    /// A RST went out from this socket, or from what was left of it.
    pub(super) fn reset(&mut self, address: Option<u64>, ends: Option<Ends>) {
        let by_ends = ends.and_then(|ends| self.ended.find_between(ends));
        // of a socket that has another connection by now nothing is told of the one before
        let address = address.filter(|address| !self.open.contains_key(address));
        let found = by_ends.or_else(|| address.and_then(|address| self.ended.find(address)));
        if let Some(ended) = found.and_then(|index| self.ended.get_mut(index)) {
            ended.reset = true;
        }
    }

    /// An attempt met a port of this container that had closed.
    pub(super) fn refused(&mut self, at: BootNs, container: Option<CgroupId>, by: Caller) {
        let is_full = self.refused.len() >= MAX_REFUSED;
        let same = |span: &&mut Refused| span.container == container && span.by == by;
        let mut spans = self.refused.iter_mut().rev().filter(same);
        match spans.next() {
            Some(span) if is_full || at.ms_since(span.at) < REFUSED_SPAN_MS => {
                span.count += 1;
                span.last = span.last.max(at);
            }
            Some(_) | None => self.refused.push(Refused { at, last: at, container, by, count: 1 }),
        }
    }

    /// Takes a part of what was found at the stop signal; `place` tells the container of a cgroup.
    pub(super) fn found(&mut self, sockets: &Sockets, place: impl Fn(CgroupId) -> Option<CgroupId>) {
        let is_next = self.snapshot.as_ref().is_some_and(|known| known.taken_at == sockets.taken_at);
        if !is_next {
            self.snapshot = Some(Box::new(Snapshot {
                taken_at: sockets.taken_at,
                at: sockets.at,
                listeners: 0,
                found: BTreeMap::new(),
                more: sockets.more,
                problem: None,
            }));
        }
        let Some(snapshot) = &mut self.snapshot else { return };
        snapshot.more = sockets.more;
        snapshot.problem = sockets.problem.clone().or(snapshot.problem.take());
        for socket in &sockets.found {
            let FoundSocket { cgroup, state, local, peer, at_least_ms, is_orphan: _, handed_in } = socket;
            if *state == TcpState::Listen {
                snapshot.listeners += 1;
                self.listening.insert(local.port());
            } else if snapshot.found.len() < MAX_OPEN {
                let container = cgroup.and_then(&place);
                let found = Found { container, at_least_ms: *at_least_ms, handed_in: *handed_in };
                snapshot.found.insert((*local, *peer), found);
            }
        }
    }

    /// Whether what was written to some peer may still get through, or not.
    pub(super) fn is_draining(&self) -> bool {
        self.pending > 0
    }

    /// Every connection that ended, in the order they did.
    pub(super) fn ended(&self) -> impl Iterator<Item = &Ended> {
        self.ended.iter()
    }

    /// Those that have not.
    pub(super) fn still_open(&self) -> Vec<Ended> {
        let mut open: BTreeMap<Ends, Ended> = BTreeMap::new();
        if let Some(snapshot) = &self.snapshot {
            let closed: BTreeSet<Ends> = self.ended.iter().map(|ended| (ended.local, ended.peer)).collect();
            let found = snapshot.found.iter().filter(|(ends, _)| !closed.contains(*ends));
            open.extend(found.map(|(ends, found)| {
                let opened = Opened::Before(found.at_least_ms);
                let open = Ended::open(*ends, found.container, opened, Direction::Unknown, false);
                (*ends, Ended { handed_in: found.handed_in, ..open })
            }));
        }
        for seen in self.open.values() {
            let opened = Opened::At(seen.opened);
            open.insert(seen.ends, Ended::open(seen.ends, seen.container, opened, seen.direction, seen.mptcp));
        }
        open.into_values().collect()
    }

    /// Both ends of every connection known of this ending, sorted.
    pub(super) fn all_ends(&self) -> Vec<Ends> {
        let found = self.snapshot.iter().flat_map(|snapshot| snapshot.found.keys().copied());
        let ended = self.ended.iter().map(|ended| (ended.local, ended.peer));
        let found_there = self.snapshot.as_ref().map_or(0, |snapshot| snapshot.found.len());
        let mut all = Vec::with_capacity(self.ended.len() + found_there + self.open.len());
        all.extend(ended.chain(found).chain(self.open.values().map(|open| open.ends)));
        all.sort_unstable();
        all
    }

    /// Who opened it, now that the pod's listeners are known.
    pub(super) fn direction(&self, ended: &Ended) -> Direction {
        match ended.direction {
            Direction::Unknown if self.listening.contains(&ended.local.port()) => Direction::Inbound,
            known @ (Direction::Inbound | Direction::Outbound | Direction::Unknown) => known,
        }
    }

    /// Everything was found at the stop signal.
    pub(super) fn is_whole(&self) -> bool {
        self.snapshot.as_ref().is_some_and(|snapshot| snapshot.problem.is_none() && !snapshot.more)
    }

    /// Forgets those that are open: what becomes of them is not told any more.
    pub(super) fn forget_open(&mut self) {
        self.open.clear();
    }

    /// Forgets all that came so far: it belongs to an ending that is over or to none.
    pub(super) fn forget(&mut self) {
        self.forget_open();
        self.ended.clear();
        self.refused.clear();
        self.snapshot = None;
        self.uncounted = 0;
        self.pending = 0;
    }

    fn opened(&mut self, at: BootNs, container: Option<CgroupId>, change: &Change<'_>, direction: Direction) {
        let socket = change.socket;
        if self.open.len() < MAX_OPEN {
            let open = Open {
                opened: at,
                direction,
                ends: (socket.local, socket.peer),
                container,
                mptcp: socket.mptcp,
                // a handshake within a node is completed in the context of who connects
                by_kubelet: direction == Direction::Inbound && is_kubelet(&change.current.comm),
            };
            self.open.insert(socket.address, open);
        } else {
            self.ended.disown(socket.address);
        }
    }

    fn closed(&mut self, at: BootNs, container: Option<CgroupId>, change: &Change<'_>) {
        let socket = change.socket;
        // an address is given out again: of one whose close was not told nothing is known here
        let open = self.open.remove(&socket.address).filter(|open| open.ends == (socket.local, socket.peer));
        let closing = change.closing();
        let ended = Ended {
            address: socket.address,
            at: Some(at),
            container,
            opened: open.map_or_else(|| self.opened_before(at, socket), |open| Opened::At(open.opened)),
            direction: open.map_or_else(|| by_counters(socket.opener), |open| open.direction),
            local: socket.local,
            peer: socket.peer,
            closing: Some(closing),
            reset: matches!(closing.manner, Manner::RstSent | Manner::RstReceived),
            drained: match (socket.counters.map(|counters| counters.unacked), change.new) {
                (Some(0), _) => Some(true),
                (Some(_), TcpState::Close) => Some(false),
                (Some(_) | None, _) => None,
            },
            held: socket.has_file,
            mptcp: socket.mptcp,
            by_kubelet: open.is_some_and(|open| open.by_kubelet),
            handed_in: socket.by_current,
            counters: socket.counters,
        };
        if self.ended.len() == MAX_ENDED {
            self.ended.disown(socket.address);
            self.uncounted += 1;
            return;
        }
        self.pending += usize::from(ended.is_pending());
        self.ended.push(ended);
    }

    /// When a connection was established whose beginning was not seen.
    fn opened_before(&self, at: BootNs, socket: &Socket) -> Opened {
        let silent = socket.counters.and_then(|counters| counters.since_received_ms.max(counters.since_sent_ms));
        let found = self.snapshot.as_ref().and_then(|s| Some((s, s.found.get(&(socket.local, socket.peer))?)));
        match (found, &self.snapshot) {
            (Some((snapshot, found)), _) => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "whole milliseconds, not below 0"
                )]
                let since = at.ms_since(snapshot.at).max(0.0) as u64;
                let at_least = found.at_least_ms.map(|ms| ms + since);
                Opened::Before(at_least.max(silent.map(u64::from)))
            }
            // of a socket that was handed in the beginning is never seen; what the look did not show came later
            (None, Some(snapshot)) if socket.by_current && self.is_whole() && at > snapshot.at => Opened::AfterSnapshot,
            (None, _) => Opened::Before(silent.map(u64::from)),
        }
    }

    /// Takes what happens to a connection after this side has closed it.
    pub(super) fn followed(&mut self, change: &AfterClose) {
        let address = change.address;
        let Some(fate) = change.fate().filter(|_| !self.open.contains_key(&address)) else { return };
        if let Some(ended) = self.ended.find(address).and_then(|index| self.ended.get_mut(index)) {
            let was_pending = ended.is_pending();
            ended.drained = ended.drained.or(fate.drained);
            self.pending = self.pending.saturating_sub(usize::from(was_pending && ended.drained.is_some()));
            ended.reset |= fate.reset;
        }
    }
}

fn by_counters(opener: Option<Opener>) -> Direction {
    match opener {
        Some(Opener::ThisSide) => Direction::Outbound,
        Some(Opener::Peer) => Direction::Inbound,
        None => Direction::Unknown,
    }
}
