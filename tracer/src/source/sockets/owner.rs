//! Whose a socket is: the pod's, or a stranger's in the same network namespace.
//!
//! Pure: decides from the kernel's list, the pod's cgroups and what its processes hold.

use super::diag::Row;
use crate::input::{CgroupId, FoundSocket, TcpState};
use std::collections::{BTreeSet, HashSet};

/// How many sockets are kept of each kind: 12 MB at most.
const MAX_ROWS: usize = 100_000;
/// The v2 root's id, which the kernel also tells where it keeps no cgroup for a socket.
const ROOT: CgroupId = CgroupId(1);

/// The sockets of a network namespace, sorted while they are read.
#[derive(Debug)]
pub(super) struct Sorted<'pod> {
    cgroups: &'pod BTreeSet<CgroupId>,
    /// Others live in this namespace, too.
    is_shared: bool,
    /// The pod's.
    own: Vec<Row>,
    /// Strangers' as far as the kernel tells; one of the pod's processes may hold them all the same.
    others: Vec<Row>,
    /// Some had no room.
    pub(super) is_cut: bool,
}

impl<'pod> Sorted<'pod> {
    pub(super) fn new(cgroups: &'pod BTreeSet<CgroupId>, is_shared: bool) -> Self {
        Self { cgroups, is_shared, own: Vec::new(), others: Vec::new(), is_cut: false }
    }

    pub(super) fn add(&mut self, row: Row) {
        let rows = if self.is_own(row.cgroup) { &mut self.own } else { &mut self.others };
        if rows.len() < MAX_ROWS {
            rows.push(row);
        } else {
            self.is_cut = true;
        }
    }

    /// By the cgroup of the task that made the socket (a listener hands its own down). Where that is
    /// not told, whatever is in the pod's own namespace is the pod's.
    fn is_own(&self, cgroup: Option<CgroupId>) -> bool {
        match cgroup {
            Some(id) if self.cgroups.contains(&id) => true,
            Some(id) if id > ROOT => false,
            Some(_) | None => !self.is_shared,
        }
    }

    /// Of the others, the inode numbers by which a process of the pod would hold them.
    pub(super) fn unclaimed(&self) -> HashSet<u32> {
        self.others.iter().map(|row| row.inode).filter(|inode| *inode != 0).collect()
    }

    /// A kernel before 5.9 does not tell cgroups, and in a shared namespace nothing else does.
    pub(super) fn lacks_cgroups(&self) -> bool {
        self.others.iter().any(|row| row.cgroup.is_none())
    }

    /// The pod's sockets, each once, given which of the unclaimed its processes hold.
    pub(super) fn finish(mut self, held: &HashSet<u32>) -> Vec<FoundSocket> {
        // what nobody has accepted yet belongs to its listener
        let listeners: HashSet<_> = self
            .others
            .iter()
            .filter(|row| row.state == TcpState::Listen && held.contains(&row.inode))
            .map(|row| (row.cgroup, row.local.port()))
            .collect();
        let is_held = |row: &Row| match row.inode {
            0 => row.state != TcpState::Listen && listeners.contains(&(row.cgroup, row.local.port())),
            inode => held.contains(&inode),
        };
        self.own.extend(self.others.into_iter().filter(is_held));
        self.own.sort_unstable_by_key(|row| row.cookie);
        self.own.dedup_by_key(|row| row.cookie);
        let found = |row: Row| FoundSocket {
            cgroup: row.cgroup.filter(|id| self.cgroups.contains(id)),
            state: row.state,
            local: row.local,
            peer: row.peer,
            at_least_ms: row.at_least_ms,
            is_orphan: row.inode == 0,
            handed_in: row.cgroup.is_some_and(|id| !self.cgroups.contains(&id) && (self.is_shared || id > ROOT)),
        };
        self.own.into_iter().map(found).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: CgroupId = CgroupId(40);
    const CONTAINER: CgroupId = CgroupId(41);
    const STRANGER: CgroupId = CgroupId(90);

    fn row(cookie: u64, cgroup: Option<CgroupId>, inode: u32, state: TcpState, port: u16) -> Row {
        let local = std::net::SocketAddr::from(([10, 0, 0, 1], port));
        let peer = std::net::SocketAddr::from(([10, 0, 0, 2], 50_000));
        Row { cookie, inode, cgroup, state, local, peer, at_least_ms: None }
    }

    /// Port, cgroup, orphan, handed in.
    type Found = (u16, Option<CgroupId>, bool, bool);

    fn check(is_shared: bool, held: &[u32], rows: &[Row], expected: &[Found]) {
        let cgroups = [POD, CONTAINER].into();
        let mut sorted = Sorted::new(&cgroups, is_shared);
        rows.iter().cloned().for_each(|row| sorted.add(row));
        let unclaimed = sorted.unclaimed();
        let held = held.iter().copied().filter(|inode| unclaimed.contains(inode)).collect();
        let found = sorted.finish(&held);
        let found: Vec<Found> =
            found.iter().map(|one| (one.local.port(), one.cgroup, one.is_orphan, one.handed_in)).collect();
        assert_eq!(found, expected, "shared: {is_shared}, held: {held:?}, {rows:?}");
    }

    use TcpState::{CloseWait, Established, Listen};

    #[test]
    fn the_pods_own_whatever_the_namespace() {
        let rows = [
            row(3, Some(CONTAINER), 7, Listen, 80),
            row(1, Some(CONTAINER), 8, Established, 81),
            row(2, Some(POD), 0, CloseWait, 82),
        ];
        let expected =
            [(81, Some(CONTAINER), false, false), (82, Some(POD), true, false), (80, Some(CONTAINER), false, false)];
        check(false, &[], &rows, &expected);
        check(true, &[], &rows, &expected);
    }

    #[test]
    fn where_the_kernel_tells_no_cgroup_the_namespace_does() {
        for untold in [None, Some(ROOT), Some(CgroupId(0))] {
            let rows = [row(1, untold, 7, Listen, 80), row(2, untold, 0, Established, 80)];
            check(false, &[], &rows, &[(80, None, false, false), (80, None, true, false)]);
            check(true, &[], &rows, &[]);
        }
    }

    #[test]
    fn a_strangers_is_not_the_pods() {
        let rows = [row(1, Some(STRANGER), 7, Established, 80), row(2, Some(STRANGER), 0, Established, 80)];
        check(false, &[], &rows, &[]);
        check(true, &[], &rows, &[]);
        check(false, &[9], &rows, &[]);
    }

    #[test]
    fn handed_in_and_what_waits_at_it() {
        let rows = [
            row(1, Some(STRANGER), 7, Listen, 80),
            row(2, Some(STRANGER), 8, Established, 80),
            row(3, Some(STRANGER), 0, Established, 80),
            row(4, Some(STRANGER), 9, Listen, 81),
            row(5, Some(STRANGER), 0, Established, 81),
            row(6, Some(CgroupId(91)), 0, Established, 80),
        ];
        let expected = [(80, None, false, true), (80, None, false, true), (80, None, true, true)];
        check(false, &[7, 8], &rows, &expected);
        check(true, &[7, 8], &rows, &expected);
    }

    #[test]
    fn held_without_a_cgroup() {
        // before 5.9: it is the pod's, where it was made is not known
        check(true, &[7], &[row(1, None, 7, Listen, 80)], &[(80, None, false, false)]);
        // the pod has cgroups of its own, so one of the root's came from outside
        check(true, &[7], &[row(1, Some(ROOT), 7, Listen, 80)], &[(80, None, false, true)]);
    }

    #[test]
    fn each_once() {
        let listener = row(1, Some(POD), 7, Listen, 80);
        let other = Row { cookie: 2, ..listener.clone() };
        let rows = [listener.clone(), other, listener];
        check(false, &[], &rows, &[(80, Some(POD), false, false), (80, Some(POD), false, false)]);
    }

    #[test]
    fn bounded() {
        let cgroups = [POD].into();
        let mut sorted = Sorted::new(&cgroups, true);
        for cookie in 0..=MAX_ROWS as u64 {
            sorted.add(row(cookie, Some(STRANGER), 7, Listen, 80));
        }
        assert!(sorted.is_cut);
        sorted.add(row(0, Some(POD), 7, Listen, 80));
        assert_eq!(sorted.finish(&HashSet::new()).len(), 1);
    }
}
