//! The connections of a report: which belong to this end, whose each was, and how many of each fate.

use super::picture::{Concluded, Picture, round};
use super::work;
use crate::input::{BootNs, CgroupId, SocketCounters};
use crate::report::{Connection, ConnectionCounts, ConnectionEnd, Connections, Direction, Scope};
use crate::signal;

impl<'a> Picture<'a> {
    pub(super) fn conclude(&self) -> Vec<Concluded<'a>> {
        let stop = self.stopped_at();
        let sole = match self.containers.as_slice() {
            [one] => Some(one.cgroup),
            _ => None,
        };
        let ours = |id: &CgroupId| self.containers.iter().any(|container| container.cgroup == *id);
        let ended = self.pod.connections.ended().iter();
        ended
            .filter(|one| {
                one.at >= self.start && (self.scope == Scope::Pod || one.container.is_some_and(|id| ours(&id)))
            })
            .map(|ended| {
                let direction = self.pod.connections.direction(ended);
                let owner = ended.container.or(sole);
                let container = owner.and_then(|id| self.pod.containers.get(&id)).and_then(|c| self.name(c));
                let after = ended.opened.filter(|opened| stop.is_some_and(|stop| *opened > stop));
                let held = ended.held && direction == Direction::Inbound;
                Concluded {
                    at: ended.at,
                    end: ended.end,
                    container,
                    accepted_after_stop: after.filter(|_| held),
                    owner,
                    direction,
                    work: work::lost(ended, direction),
                    ended,
                }
            })
            .collect()
    }

    pub(super) fn connections(&self) -> Connections {
        let limit = self.session.max_connections;
        let details: Vec<Connection> = self.connections.iter().take(limit).map(|one| self.connection(one)).collect();
        let omitted = self.connections.len() - details.len();
        let details_omitted = u64::try_from(omitted).unwrap_or(u64::MAX) + self.pod.connections.uncounted;
        Connections { counts: self.counts(|_| true), details, details_omitted }
    }

    fn connection(&self, one: &Concluded<'_>) -> Connection {
        let ended = one.ended;
        let counters = ended.counters;
        let fin = u64::from(ended.peer_closed);
        // an active opener's SYN is acknowledged as one byte, and no byte is acknowledged that was not sent
        let syn = |c: &SocketCounters| u64::from(one.direction == Direction::Outbound || c.bytes_acked > c.bytes_sent);
        Connection {
            at_ms: self.ms(ended.at),
            container: one.container.clone(),
            direction: one.direction,
            local: ended.local.to_string(),
            peer: ended.peer.to_string(),
            end: ended.end,
            reset: ended.reset,
            work: one.work,
            age_ms: ended.opened.map(|opened| round(ended.at.ms_since(opened))),
            bytes_received: counters.map(|c| c.bytes_received.saturating_sub(fin)),
            bytes_sent: counters.map(|c| c.bytes_acked.saturating_sub(syn(&c))),
            unread_bytes: counters.map(|c| u64::from(c.unread).saturating_sub(fin)),
            unacked_bytes: counters.map(|c| u64::from(c.unacked)),
        }
    }

    pub(super) fn counts(&self, wanted: impl Fn(&Concluded<'_>) -> bool) -> ConnectionCounts {
        let stop = self.stopped_at();
        let mut counts =
            ConnectionCounts { open_at_stop: Some(0), accepted_after_stop: stop.map(|_| 0), ..Default::default() };
        let mut last_opened: Option<BootNs> = None;
        for one in self.connections.iter().filter(|one| wanted(one)) {
            let before =
                stop.is_none() || one.ended.opened.is_none_or(|opened| stop.is_some_and(|stop| opened <= stop));
            counts.open_at_stop = counts.open_at_stop.map(|open| open + u64::from(before));
            let cut = match one.end {
                ConnectionEnd::ClosedGracefully => {
                    counts.closed_gracefully += 1;
                    false
                }
                ConnectionEnd::ClosedAtExit => {
                    counts.closed_at_exit += 1;
                    true
                }
                ConnectionEnd::DroppedByKill => {
                    counts.dropped_by_kill += 1;
                    true
                }
                ConnectionEnd::ResetByPeer | ConnectionEnd::RefusedInBacklog | ConnectionEnd::Unknown => false,
            };
            counts.reset += u64::from(one.ended.reset);
            let in_flight = u64::from(cut && work::in_flight(one.work));
            counts.in_flight += in_flight;
            if one.end == ConnectionEnd::DroppedByKill {
                counts.dropped_in_flight += in_flight;
                let signal = one.ended.killed_by.map(signal::name);
                let first = counts.dropped_by_kill == 1;
                counts.dropped_by = if first || counts.dropped_by == signal { signal } else { None };
            } else {
                counts.exit_in_flight += in_flight;
            }
            if let Some(opened) = one.accepted_after_stop {
                counts.accepted_after_stop = counts.accepted_after_stop.map(|accepted| accepted + 1);
                last_opened = last_opened.max(Some(opened));
            }
        }
        counts.last_accepted_ms = last_opened.map(|at| self.ms(at));
        counts
    }
}
