//! The connections of a report: which belong to this end, whose each was, and how many of each fate.

use super::close::Closer;
use super::connections::Caller;
use super::ended::{Ended, Ends, Opened};
use super::last_word::was_done;
use super::picture::{Concluded, Picture, round};
use super::work;
use crate::input::{BootNs, CgroupId, SocketCounters};
use crate::report::{
    ClosedBy, Connection, ConnectionCounts, ConnectionEnd, Connections, Direction, LeftFirst, Manner, Scope, Snapshot,
    Work, rank,
};
use crate::signal;
use std::collections::{BTreeMap, BTreeSet};

impl Picture<'_> {
    pub(super) fn conclude(&self) -> Vec<Concluded> {
        let all_ends = self.pod.connections.all_ends();
        let names: BTreeMap<CgroupId, Option<String>> =
            self.pod.containers.values().map(|container| (container.cgroup, self.name(container))).collect();
        let ended = self.pod.connections.ended().filter(|one| one.at.is_some_and(|at| at >= self.start));
        let all = ended.cloned().chain(self.pod.connections.still_open());
        all.map(|one| self.concluded(one, &all_ends, &names)).filter(|one| self.belongs(one)).collect()
    }

    /// A report about one container leaves out what is another's.
    fn belongs(&self, one: &Concluded) -> bool {
        self.scope == Scope::Pod || one.owner.is_some_and(|id| self.containers.iter().any(|c| c.cgroup == id))
    }

    fn concluded(&self, ended: Ended, all_ends: &[Ends], names: &BTreeMap<CgroupId, Option<String>>) -> Concluded {
        let sole = match self.containers.as_slice() {
            [one] if self.scope == Scope::Pod => Some(one.cgroup),
            _ => None,
        };
        let owner = ended.container.or(sole);
        let direction = self.pod.connections.direction(&ended);
        let (end, closed_by, killed_by) = match &ended.closing {
            Some(closing) => {
                let init = owner.and_then(|id| self.pod.containers.get(id)).and_then(|container| container.exit);
                let gone = init.filter(|(at, _)| ended.at.is_some_and(|closed| *at <= closed));
                let was_done = ended.counters.is_some_and(|counters| was_done(&counters, direction));
                closing.end(|tgid| self.pod.exit_of(tgid), gone.map(|(_, status)| status), was_done)
            }
            // of one that closed unseen nothing is known
            None if self.losses.is_empty() && !ended.handed_in => (ConnectionEnd::StillOpen, ClosedBy::Unknown, None),
            None => (ConnectionEnd::Unknown, ClosedBy::Unknown, None),
        };
        let opened_after_stop = self.stopped_at().is_some_and(|stop| match ended.opened {
            Opened::At(opened) => opened > stop,
            Opened::Before(_) => false,
            Opened::AfterSnapshot => true,
        });
        Concluded {
            at: ended.at,
            end,
            closed_by,
            killed_by,
            container: owner.and_then(|id| names.get(&id)?.clone()),
            opened_after_stop,
            accepted_after_stop: opened_after_stop && ended.held && direction == Direction::Inbound,
            internal: all_ends.binary_search(&(ended.peer, ended.local)).is_ok(),
            owner,
            direction,
            work: work::lost(&ended, end, direction, self.would_know_of(&ended)),
            ended,
        }
    }

    /// Whether it is known what became of what had been written to it, if anything did.
    fn would_know_of(&self, ended: &Ended) -> bool {
        let is_told = self.pod.was_followed() && !ended.handed_in;
        let waited = |closed| self.pod.has_waited_since(closed) && !self.losses.may_hide_a_socket_since(closed);
        is_told && ended.at.is_some_and(waited)
    }

    pub(super) fn connections(&self) -> Connections {
        let limit = self.session.max_connections;
        let listed =
            if self.connections.len() > limit { self.most_telling(limit) } else { self.connections.iter().collect() };
        let details: Vec<Connection> = listed.into_iter().map(|one| self.connection(one)).collect();
        let omitted = self.connections.len() - details.len();
        let details_omitted = u64::try_from(omitted).unwrap_or(u64::MAX) + self.pod.connections.uncounted;
        Connections {
            counts: self.counts(None),
            snapshot: self.snapshot(),
            left_first: self.left_first(),
            details,
            details_omitted,
        }
    }

    /// Those that a reader will look for, in the order they ended.
    fn most_telling(&self, limit: usize) -> Vec<&Concluded> {
        let mut order: Vec<usize> = (0..self.connections.len()).collect();
        order.sort_by_key(|index| {
            let one = &self.connections[*index];
            (rank(one.end, one.work, one.internal), *index)
        });
        order.truncate(limit);
        order.sort_unstable();
        order.into_iter().map(|index| &self.connections[index]).collect()
    }

    /// Which containers cut connections to others of the pod by leaving before them.
    fn left_first(&self) -> Vec<LeftFirst> {
        let owners: BTreeMap<Ends, &Concluded> = self
            .connections
            .iter()
            .filter(|one| one.internal)
            .map(|one| ((one.ended.local, one.ended.peer), one))
            .collect();
        let mut cut: BTreeMap<(CgroupId, CgroupId), LeftFirst> = BTreeMap::new();
        for one in owners.values() {
            let other = owners.get(&(one.ended.peer, one.ended.local));
            let (Some(left), Some(stayed)) = (one.owner, other.and_then(|other| other.owner)) else { continue };
            let by_leaving = matches!(one.closed_by, ClosedBy::Exit | ClosedBy::Kill);
            let first = other.is_none_or(|other| other.at.is_none_or(|at| one.at.is_some_and(|own| own < at)));
            if left != stayed && by_leaving && first {
                let of = cut.entry((left, stayed)).or_insert_with(|| LeftFirst {
                    left: one.container.clone(),
                    stayed: other.and_then(|other| other.container.clone()),
                    connections: 0,
                });
                of.connections += 1;
            }
        }
        cut.into_values().collect()
    }

    fn snapshot(&self) -> Option<Snapshot> {
        let taken = self.pod.connections.snapshot.as_ref().filter(|taken| taken.problem.is_none())?;
        Some(Snapshot {
            at_ms: self.ms(taken.taken_at),
            took_ms: round(taken.at.ms_since(taken.taken_at)),
            listeners: taken.listeners,
            connections: u64::try_from(taken.found.len()).unwrap_or(u64::MAX),
        })
    }

    fn connection(&self, one: &Concluded) -> Connection {
        let ended = &one.ended;
        let counters = ended.counters;
        let peer_closed = ended.closing.is_some_and(|closing| closing.peer_closed);
        let fin = u64::from(peer_closed);
        // an active opener's SYN is acknowledged as one byte, and no byte is acknowledged that was not sent
        let syn = |c: &SocketCounters| u64::from(one.direction == Direction::Outbound || c.bytes_acked > c.bytes_sent);
        let age = match (ended.at, ended.opened) {
            (Some(at), Opened::At(opened)) => Some(round(at.ms_since(opened))),
            (Some(_) | None, Opened::At(_) | Opened::Before(_) | Opened::AfterSnapshot) => None,
        };
        #[expect(clippy::cast_precision_loss, reason = "ages are far below 2^53 milliseconds")]
        let at_least = match ended.opened {
            Opened::Before(at_least) => at_least.map(|ms| ms as f64),
            Opened::At(_) | Opened::AfterSnapshot => None,
        };
        Connection {
            at_ms: ended.at.map(|at| self.ms(at)),
            container: one.container.clone(),
            direction: one.direction,
            local: ended.local.to_string(),
            peer: ended.peer.to_string(),
            end: one.end,
            manner: ended.closing.map_or(Manner::Unknown, |closing| closing.manner),
            closed_by: one.closed_by,
            peer_closed,
            reset: ended.reset,
            drained: ended.drained,
            work: one.work,
            internal: one.internal,
            mptcp: ended.mptcp,
            from_kubelet: ended.by_kubelet,
            age_ms: age,
            age_at_least_ms: at_least,
            since_received_ms: counters.and_then(|c| c.since_received_ms).map(u64::from),
            since_sent_ms: counters.and_then(|c| c.since_sent_ms).map(u64::from),
            bytes_received: counters.map(|c| c.bytes_received.saturating_sub(fin)),
            bytes_sent: counters.map(|c| c.bytes_acked.saturating_sub(syn(&c))),
            unread_bytes: counters.map(|c| u64::from(c.unread).saturating_sub(fin)),
            unacked_bytes: counters.map(|c| u64::from(c.unacked)),
        }
    }

    /// The counts of one container's connections; of all, if `None`.
    pub(super) fn counts(&self, container: Option<CgroupId>) -> ConnectionCounts {
        let stop = self.stopped_at().filter(|_| self.sees().connections);
        let mut counts = ConnectionCounts {
            open_at_stop: self.sees().connections.then_some(0),
            opened_after_stop: stop.map(|_| 0),
            accepted_after_stop: stop.map(|_| 0),
            ..Default::default()
        };
        let mut pairs: BTreeSet<Ends> = BTreeSet::new();
        let mut last_accepted: Option<BootNs> = None;
        for one in self.connections.iter().filter(|one| container.is_none() || one.owner == container) {
            if one.internal {
                let (local, peer) = (one.ended.local, one.ended.peer);
                pairs.insert((local.min(peer), local.max(peer)));
                continue;
            }
            add(if one.opened_after_stop { &mut counts.opened_after_stop } else { &mut counts.open_at_stop });
            if one.accepted_after_stop {
                add(&mut counts.accepted_after_stop);
                counts.accepted_from_kubelet += u64::from(one.ended.by_kubelet);
                if let (Opened::At(opened), false) = (one.ended.opened, one.ended.by_kubelet) {
                    last_accepted = last_accepted.max(Some(opened));
                }
            }
            add_end(&mut counts, one);
            counts.dropped_with_pid1 += u64::from(self.went_with_pid1(one));
        }
        counts.internal = u64::try_from(pairs.len()).unwrap_or(u64::MAX);
        counts.last_accepted_ms = last_accepted.map(|at| self.ms(at));
        self.count_refused(&mut counts, container);
        counts
    }

    /// Whether it was dropped because the kernel killed its process as PID 1 had left.
    fn went_with_pid1(&self, one: &Concluded) -> bool {
        let Some(Closer::Dying(tgid)) = one.ended.closing.map(|closing| closing.closer) else { return false };
        let owner = one.owner.and_then(|id| self.pod.containers.get(id));
        one.end == ConnectionEnd::DroppedByKill
            && owner.is_some_and(|container| container.killed_by_pid_namespace.contains(&tgid))
    }

    fn count_refused(&self, counts: &mut ConnectionCounts, container: Option<CgroupId>) {
        if !self.sees().refused {
            return;
        }
        let wanted = |owner: Option<CgroupId>| match (container, self.scope) {
            (Some(_), _) => owner == container,
            (None, Scope::Pod) => true,
            (None, Scope::Container) => self.containers.iter().any(|c| owner == Some(c.cgroup)),
        };
        let of_this_end = |at: BootNs| at >= self.start;
        let refused = || self.pod.connections.refused.iter().filter(|r| wanted(r.container) && of_this_end(r.last));
        let sum = |by: Caller| refused().filter(|span| span.by == by).map(|span| span.count).sum::<u64>();
        counts.refused_to_kubelet = sum(Caller::Kubelet);
        counts.refused_after_listener_close = Some(sum(Caller::Client) + counts.refused_to_kubelet);
        counts.internal_refused = sum(Caller::Own);
        let clients = refused().filter(|span| span.by == Caller::Client);
        counts.last_refused_ms = clients.map(|span| span.last).max().map(|at| self.ms(at));
    }
}

fn add(count: &mut Option<u64>) {
    *count = count.map(|count| count + 1);
}

/// Counts what became of one connection.
fn add_end(counts: &mut ConnectionCounts, one: &Concluded) {
    let is_lost = one.work.is_in_flight();
    let is_cut = matches!(one.end, ConnectionEnd::DroppedByKill | ConnectionEnd::ClosedAtExit);
    counts.in_flight += u64::from(is_cut && is_lost);
    counts.in_flight_unknown += u64::from(is_cut && one.work == Work::Unknown);
    counts.outbound_in_flight += u64::from(is_cut && is_lost && one.direction == Direction::Outbound);
    counts.reset += u64::from(one.ended.reset);
    counts.outbound += u64::from(one.direction == Direction::Outbound);
    match one.end {
        ConnectionEnd::ClosedGracefully => {
            counts.closed_gracefully += 1;
            counts.closed_unanswered += u64::from(is_lost && one.closed_by == ClosedBy::Process);
        }
        ConnectionEnd::ClosedAtExit => {
            counts.closed_at_exit += 1;
            counts.exit_in_flight += u64::from(is_lost);
        }
        ConnectionEnd::DroppedByKill => {
            counts.dropped_by_kill += 1;
            counts.dropped_in_flight += u64::from(is_lost);
            let signal = one.killed_by.map(signal::name);
            let first = counts.dropped_by_kill == 1;
            counts.dropped_by = if first || counts.dropped_by == signal { signal } else { None };
        }
        ConnectionEnd::ResetByPeer => counts.reset_by_peer += 1,
        ConnectionEnd::TimedOut => counts.timed_out += 1,
        ConnectionEnd::RefusedInBacklog => counts.refused_in_backlog += 1,
        ConnectionEnd::StillOpen => counts.still_open += 1,
        ConnectionEnd::Unknown => counts.unknown += 1,
    }
}
