//! What is known to be missing: of one pod alone, or perhaps of any.

use crate::input::{BootNs, CgroupId};
use std::collections::BTreeMap;

/// Losses remembered one by one, of one pod or of all; older ones are drawn together.
const MAX_LOSSES: usize = 1_024;
/// Pods whose losses are remembered apart.
const MAX_PODS: usize = 4_096;

/// Something that was noticed to be missing: when, of what, how many.
pub(super) type Noticed = (BootNs, String, u64);

/// Everything noticed so far.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// Records of nobody knows whom, oldest first.
    anybodys: Vec<Noticed>,
    /// Records that were refused to a pod.
    of_pod: BTreeMap<CgroupId, Vec<Noticed>>,
    /// Events of the whole node for which no program ran: the hook stands for the kind.
    passed_over: Vec<Noticed>,
}

/// What one pod's report must tell.
#[derive(Clone, Copy, Debug)]
pub(super) struct LossesOf<'a> {
    pub anybodys: &'a [Noticed],
    pub own: &'a [Noticed],
    pub passed_over: &'a [Noticed],
}

impl Losses {
    /// Takes a loss of `pod`, or of anybody. `is_there` tells whether a pod may yet be reported: what was lost of others is
    /// forgotten first.
    pub(super) fn lost(&mut self, noticed: Noticed, pod: Option<CgroupId>, is_there: impl Fn(CgroupId) -> bool) {
        let Some(pod) = pod else { return keep(&mut self.anybodys, noticed) };
        if self.of_pod.len() >= MAX_PODS && !self.of_pod.contains_key(&pod) {
            self.of_pod.retain(|pod, _| is_there(*pod));
        }
        if self.of_pod.len() >= MAX_PODS && !self.of_pod.contains_key(&pod) {
            keep(&mut self.anybodys, noticed);
        } else {
            keep(self.of_pod.entry(pod).or_default(), noticed);
        }
    }

    /// Takes events that no program was shown.
    pub(super) fn passed_over(&mut self, noticed: Noticed) {
        keep(&mut self.passed_over, noticed);
    }

    /// What was noticed that this pod's report may have to tell.
    pub(super) fn of(&self, pod: CgroupId) -> LossesOf<'_> {
        let own = self.of_pod.get(&pod).map_or(&[] as &[_], Vec::as_slice);
        LossesOf { anybodys: &self.anybodys, own, passed_over: &self.passed_over }
    }

    /// The pod is reported.
    pub(super) fn forget(&mut self, pod: CgroupId) {
        self.of_pod.remove(&pod);
    }
}

impl LossesOf<'_> {
    /// What was noticed before `start` is none of this end's.
    pub(super) fn since(self, start: BootNs) -> Self {
        let since = |noticed: &mut &[Noticed]| *noticed = &noticed[noticed.partition_point(|(at, ..)| *at < start)..];
        let Self { mut anybodys, mut own, mut passed_over } = self;
        [&mut anybodys, &mut own, &mut passed_over].into_iter().for_each(since);
        Self { anybodys, own, passed_over }
    }

    /// No record is missing that could be this pod's.
    pub(super) fn is_empty(&self) -> bool {
        self.anybodys.is_empty() && self.own.is_empty()
    }

    /// Whether a record of a socket may be missing that was written at this time or later: a loss is noticed after it has happened. What
    /// is not known by the name of another kind may be one.
    pub(super) fn may_hide_a_socket_since(&self, since: BootNs) -> bool {
        let of_others = ["signal_", "process_", "sched_", "oom_", "mark_victim", "cgroup"];
        let may_be = |(at, what, _): &Noticed| *at >= since && !of_others.iter().any(|kind| what.starts_with(kind));
        [self.anybodys, self.own, self.passed_over].into_iter().flatten().any(may_be)
    }

    /// Every loss of records, and whether it is this pod's alone.
    pub(super) fn records(&self) -> impl Iterator<Item = (&Noticed, bool)> {
        self.anybodys.iter().map(|noticed| (noticed, false)).chain(self.own.iter().map(|noticed| (noticed, true)))
    }
}

/// How many in all.
pub(super) fn sum(noticed: &[Noticed]) -> u64 {
    noticed.iter().map(|(.., count)| count).sum()
}

/// Of what, each kind once.
pub(super) fn kinds(noticed: &[Noticed]) -> String {
    let mut kinds: Vec<&str> = noticed.iter().map(|(_, what, _)| what.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds.join(", ")
}

/// Keeps what was noticed, and forgets nothing: beyond the bound the oldest count is added to the next.
fn keep(noticed: &mut Vec<Noticed>, (at, what, count): Noticed) {
    if noticed.len() == MAX_LOSSES {
        let (_, _, first) = noticed.remove(0);
        if let Some(next) = noticed.first_mut() {
            next.2 += first;
        }
    }
    noticed.push((at, what, count));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_hides_what_came_before_it_was_noticed() {
        let hides = |what: &str, since| {
            let noticed = [(BootNs(5), what.to_owned(), 1)];
            let all = LossesOf { anybodys: &[], own: &noticed, passed_over: &[] };
            let passed = LossesOf { anybodys: &[], own: &[], passed_over: &noticed };
            (all.may_hide_a_socket_since(BootNs(since)), passed.may_hide_a_socket_since(BootNs(since)))
        };
        assert_eq!(hides("socket_state", 5), (true, true));
        assert_eq!(hides("inet_sock_set_state", 4), (true, true));
        assert_eq!(hides("decode", 5), (true, true));
        assert_eq!(hides("socket_state", 6), (false, false));
        assert!(tracer_ebpf::kind::NAMES.iter().all(|kind| hides(kind, 5).0 == kind.starts_with("socket")));
        let of_sockets = ["inet_sock_set_state", "tcp_send_reset", "kfree_skb"];
        assert!(tracer_ebpf::TRACEPOINTS.iter().all(|hook| hides(hook, 5).1 == of_sockets.contains(hook)));
    }

    #[test]
    fn is_bounded_and_forgets_no_loss_of_a_pod_that_is_there() {
        let mut losses = Losses::default();
        let noticed = |at| (BootNs(at), "process_fork".to_owned(), 1);
        let pods = u64::try_from(MAX_PODS).expect("a number");
        for pod in 0..pods {
            losses.lost(noticed(pod), Some(CgroupId(pod)), |_| true);
        }
        losses.lost(noticed(pods), Some(CgroupId(pods)), |_| true);
        assert_eq!((losses.of(CgroupId(pods)).own.len(), sum(losses.of(CgroupId(pods)).anybodys)), (0, 1));
        losses.lost(noticed(pods), Some(CgroupId(pods)), |pod| pod.0 != 3);
        assert_eq!((losses.of(CgroupId(pods)).own.len(), losses.of(CgroupId(3)).own.len()), (1, 0));
        for at in 0..2 * pods {
            losses.lost(noticed(at), Some(CgroupId(1)), |_| true);
        }
        let own = losses.of(CgroupId(1)).own;
        assert_eq!((own.len(), sum(own)), (MAX_LOSSES, 2 * pods + 1));
    }
}
