//! Book-keeping of what the probes could not write: whose it was, and whether everything else has arrived.
//!
//! Pure: counters in, differences out. What is told always adds up to what was dropped.

use crate::input::CgroupId;
use std::collections::BTreeMap;
use tracer_ebpf::kind;

/// One number for each kind of record.
type Kinds = [u64; kind::COUNT];

/// Records that were not written, since the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Name of the kind.
    pub kind: &'static str,
    /// Whose they were; `None` if that is not known, or anybody's.
    pub pod: Option<CgroupId>,
    /// How many.
    pub count: u64,
}

/// What was told so far.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Dropped, when it was looked at last.
    dropped: Kinds,
    /// Of these, told as some pod's.
    charged: Kinds,
    /// Of these, told as anybody's.
    rest: Kinds,
    /// What the entry of each pod said then.
    of_pod: BTreeMap<u64, Kinds>,
}

impl Told {
    /// The news in `dropped`. `refused` gives what is counted for each pod, and is asked only if there are any.
    ///
    /// A record of a pod is counted for it before it is counted as dropped, and is looked for in the opposite order: none is
    /// told twice. One whose pod's entry the kernel has overwritten since is anybody's.
    pub(super) fn take<I>(&mut self, dropped: Kinds, refused: impl FnOnce() -> I) -> Vec<Loss>
    where
        I: Iterator<Item = (u64, Kinds)>,
    {
        let mut news = Vec::new();
        if dropped == self.dropped {
            return news;
        }
        self.dropped = dropped;
        let before = std::mem::take(&mut self.of_pod);
        for (pod, now) in refused() {
            let known = before.get(&pod).copied().unwrap_or_default();
            // an entry that counts less than it did is a new one
            let is_new = now.iter().zip(known).any(|(now, known)| *now < known);
            let known = if is_new { Kinds::default() } else { known };
            for (index, kind) in kind::NAMES.into_iter().enumerate() {
                let count = now[index] - known[index];
                if count > 0 {
                    self.charged[index] += count;
                    news.push(Loss { kind, pod: Some(CgroupId(pod)), count });
                }
            }
            self.of_pod.insert(pod, now);
        }
        for (index, kind) in kind::NAMES.into_iter().enumerate() {
            let count = dropped[index].saturating_sub(self.charged[index] + self.rest[index]);
            if count > 0 {
                self.rest[index] += count;
                news.push(Loss { kind, pod: None, count });
            }
        }
        news
    }
}

/// A kind of which not as many records arrived as were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Name of the kind.
    pub kind: &'static str,
    /// By the probes' count.
    pub written: u64,
    /// By the reader's.
    pub read: u64,
}

/// The kinds that do not add up: there was a reason to write as many as were dropped or have arrived. `counts`: the first two.
pub fn mismatches(counts: &[(u64, u64); kind::COUNT], read: &Kinds) -> Vec<Mismatch> {
    let all = kind::NAMES.into_iter().zip(counts).zip(read);
    let all = all.map(|((kind, (generated, dropped)), read)| Mismatch {
        kind,
        written: generated.saturating_sub(*dropped),
        read: *read,
    });
    all.filter(|one| one.written != one.read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORK: usize = kind::PROCESS_FORKED as usize;
    const EXIT: usize = kind::PROCESS_EXITED as usize;

    fn kinds(forks: u64, exits: u64) -> Kinds {
        let mut kinds = Kinds::default();
        (kinds[FORK], kinds[EXIT]) = (forks, exits);
        kinds
    }

    fn loss(kind: usize, pod: Option<u64>, count: u64) -> Loss {
        Loss { kind: kind::NAMES[kind], pod: pod.map(CgroupId), count }
    }

    #[test]
    fn what_is_charged_is_its_pods_and_the_rest_anybodys() {
        let mut told = Told::default();
        let shares = [(7, kinds(3, 0)), (9, kinds(1, 2))];
        let news = told.take(kinds(5, 2), || shares.into_iter());
        assert_eq!(news, [loss(FORK, Some(7), 3), loss(FORK, Some(9), 1), loss(EXIT, Some(9), 2), loss(FORK, None, 1)]);
        let nothing = told.take(kinds(5, 2), || -> std::iter::Empty<(u64, Kinds)> { panic!("nothing is new") });
        assert_eq!(nothing, []);
        let news = told.take(kinds(6, 2), || [(7, kinds(4, 0)), (9, kinds(1, 2))].into_iter());
        assert_eq!(news, [loss(FORK, Some(7), 1)]);
    }

    /// One record refused in between is counted for its pod and not yet as dropped.
    #[test]
    fn none_is_told_twice() {
        let mut told = Told::default();
        assert_eq!(told.take(kinds(1, 0), || [(7, kinds(2, 0))].into_iter()), [loss(FORK, Some(7), 2)]);
        assert_eq!(told.take(kinds(2, 0), || [(7, kinds(2, 0))].into_iter()), []);
        assert_eq!(told.take(kinds(3, 0), || [(7, kinds(2, 0))].into_iter()), [loss(FORK, None, 1)]);
    }

    #[test]
    fn an_overwritten_entry_loses_its_name_and_no_record() {
        let mut told = Told::default();
        let mut sum = 0;
        let mut take = |dropped, share: Option<(u64, Kinds)>| {
            let news = told.take(dropped, || share.into_iter());
            sum += news.iter().map(|loss| loss.count).sum::<u64>();
            news
        };
        take(kinds(4, 0), Some((7, kinds(4, 0))));
        // three more, and the entry was overwritten by that of another pod
        assert_eq!(take(kinds(7, 0), None), [loss(FORK, None, 3)]);
        assert_eq!(take(kinds(9, 0), Some((7, kinds(2, 0)))), [loss(FORK, Some(7), 2)]);
        // overwritten and made again in between
        assert_eq!(take(kinds(12, 0), Some((7, kinds(1, 0)))), [loss(FORK, Some(7), 1), loss(FORK, None, 2)]);
        assert_eq!(sum, 12);
    }

    #[test]
    fn adds_up_or_is_named() {
        let mut counts = [(0, 0); kind::COUNT];
        counts[FORK] = (10, 4);
        counts[EXIT] = (3, 0);
        assert_eq!(mismatches(&counts, &kinds(6, 3)), []);
        let mismatch = Mismatch { kind: kind::NAMES[EXIT], written: 3, read: 2 };
        assert_eq!(mismatches(&counts, &kinds(6, 2)), [mismatch]);
    }
}
