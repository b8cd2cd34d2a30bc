//! The connections of a pod that have ended, and which of them an event is about that comes after the end.
//!
//! Mostly that is one of the last, as the peer's answer to a FIN or what a RST is sent for follows at once; then nothing is kept for
//! it. Only where it is another one, all are written down to be found.

use super::chunks::Chunks;
use super::close::Closing;
use crate::input::{BootNs, CgroupId, SocketCounters};
use crate::report::Direction;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// So many of the last are looked through.
const LAST: usize = 8;

/// Both ends of a connection, ours first: unique among the open ones of a network namespace.
pub(super) type Ends = (SocketAddr, SocketAddr);

/// A connection that has ended, or that is told as it stands.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    /// The socket's, until that has another connection that may be taken for it.
    pub address: u64,
    /// When; `None` if it has not.
    pub at: Option<BootNs>,
    /// The container whose cgroup the socket has, or whose process closed it.
    pub container: Option<CgroupId>,
    /// When it was established.
    pub opened: Opened,
    pub direction: Direction,
    pub local: SocketAddr,
    pub peer: SocketAddr,
    /// `None` while it is open.
    pub closing: Option<Closing>,
    /// With a RST, at once or later.
    pub reset: bool,
    /// The peer acknowledged everything written.
    pub drained: Option<bool>,
    /// A process held it: it was accepted, or opened by the pod itself.
    pub held: bool,
    pub mptcp: bool,
    /// The kubelet opened it: it was running when the handshake was completed.
    pub by_kubelet: bool,
    /// Made outside the pod and handed in: the kernel side knows whose it is only while the pod itself does something with it.
    pub handed_in: bool,
    pub counters: Option<SocketCounters>,
}

impl Ended {
    /// It is still to be told whether the peer gets what was written.
    pub(super) fn is_pending(&self) -> bool {
        self.drained.is_none() && self.counters.is_some() && !self.handed_in
    }
}

/// When a connection was established.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opened {
    /// That was seen.
    At(BootNs),
    /// Before tracing of it began; it was there for so long (milliseconds) before it ended, at least.
    Before(Option<u64>),
    /// Some time after the look at the pod's sockets, which did not show it.
    AfterSnapshot,
}

/// Those of a pod, in the order they ended.
#[derive(Clone, Debug, Default)]
pub(super) struct EndedList {
    all: Chunks<Ended>,
    /// Where the last one of a socket is, and the last one between two ends: of so many as were there when it was asked for last.
    by_address: BTreeMap<u64, u32>,
    by_ends: BTreeMap<Ends, u32>,
    written_down: u32,
}

impl EndedList {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn push(&mut self, ended: Ended) {
        self.all.push(ended);
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Ended> {
        self.all.get_mut(index)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Ended> {
        self.all.iter()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The last one of a socket.
    pub(super) fn find(&mut self, address: u64) -> Option<usize> {
        let is_its = |ended: &Ended| ended.address == address;
        self.among_the_last(is_its).or_else(|| {
            self.write_down();
            let index = self.by_address.get(&address).map(|index| *index as usize);
            // unless it was disowned since
            index.filter(|index| self.all.get(*index).is_some_and(is_its))
        })
    }

    /// The last one between these ends.
    pub(super) fn find_between(&mut self, ends: Ends) -> Option<usize> {
        self.among_the_last(|ended| (ended.local, ended.peer) == ends).or_else(|| {
            self.write_down();
            self.by_ends.get(&ends).map(|index| *index as usize)
        })
    }

    /// What comes of this socket from now on is not of a connection that it had before.
    pub(super) fn disown(&mut self, address: u64) {
        while let Some(before) = self.find(address).and_then(|index| self.all.get_mut(index)) {
            before.address = 0;
        }
    }

    fn among_the_last(&self, is_it: impl Fn(&Ended) -> bool) -> Option<usize> {
        let (first, tail) = self.all.tail();
        let last = tail.len().saturating_sub(LAST);
        tail[last..].iter().rposition(is_it).map(|index| first + last + index)
    }

    fn write_down(&mut self) {
        for ended in self.all.iter_from(self.written_down as usize) {
            self.by_address.insert(ended.address, self.written_down);
            self.by_ends.insert((ended.local, ended.peer), self.written_down);
            self.written_down += 1;
        }
    }
}

impl Ended {
    /// A connection that has not ended.
    pub(super) fn open(
        ends: Ends,
        container: Option<CgroupId>,
        opened: Opened,
        direction: Direction,
        mptcp: bool,
    ) -> Self {
        Self {
            address: 0,
            at: None,
            container,
            opened,
            direction,
            local: ends.0,
            peer: ends.1,
            closing: None,
            reset: false,
            drained: None,
            held: true,
            mptcp,
            by_kubelet: false,
            handed_in: false,
            counters: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    fn ends(port: u16) -> Ends {
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 80));
        (local, SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    fn ended(address: u64, port: u16) -> Ended {
        Ended { address, ..Ended::open(ends(port), None, Opened::AfterSnapshot, Direction::Unknown, false) }
    }

    proptest! {
        /// Whatever was asked for before: the last of each socket and between each two ends, and none that was disowned.
        #[test]
        fn finds_the_last_one_as_a_plain_search_does(steps in prop::collection::vec((0..6_u8, 1..40_u64, 1..40_u16), 1..300)) {
            let mut list = EndedList::default();
            let mut plain: Vec<(u64, u16)> = Vec::new();
            for (step, address, port) in steps {
                match step {
                    0 => prop_assert_eq!(list.find(address), plain.iter().rposition(|one| one.0 == address)),
                    1 => prop_assert_eq!(list.find_between(ends(port)), plain.iter().rposition(|one| one.1 == port)),
                    2 => {
                        list.disown(address);
                        // and an earlier one is not taken for it instead
                        plain.iter_mut().filter(|one| one.0 == address).for_each(|one| one.0 = 0);
                    }
                    _ => {
                        list.push(ended(address, port));
                        plain.push((address, port));
                    }
                }
                prop_assert_eq!(list.len(), plain.len());
            }
        }
    }
}
