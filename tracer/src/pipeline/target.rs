//! Which of the node's pods is the one that `--pod NAME [-n NAMESPACE]` means. Pure: pods and facts
//! about them go in, verdicts come out.

use crate::input::{CgroupId, PodFacts};
use std::collections::{BTreeMap, BTreeSet};

/// What is wanted, and what is known of the pods on the node.
#[derive(Debug)]
pub struct Target {
    namespace: Option<String>,
    name: String,
    /// By uid; only pods whose cgroup is there.
    pods: BTreeMap<String, Seen>,
    /// Every source was asked for pods of that name that were there at the start.
    settled: bool,
}

#[derive(Debug)]
struct Seen {
    cgroup: CgroupId,
    /// It was there at the start.
    existing: bool,
    verdict: Verdict,
    namespace: Option<String>,
    sandbox_id: Option<String>,
    containers: BTreeSet<String>,
}

/// Whether a pod is the one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Target,
    /// It is not: nothing of it need be traced.
    Other,
    /// Not known yet: it is traced, for it may end before it is known.
    Unknown,
}

/// The pod that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// `namespace/name`, or the name alone.
    pub name: String,
    /// Its containers that are known, the sandbox left out.
    pub containers: usize,
}

/// Pods of that name were there in several namespaces.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("several pods on this node are named {name}: {}; say which one with -n NAMESPACE", list(.name, .namespaces))]
pub struct Ambiguous {
    name: String,
    namespaces: BTreeSet<String>,
}

fn list(name: &str, namespaces: &BTreeSet<String>) -> String {
    namespaces.iter().map(|namespace| format!("{namespace}/{name}")).collect::<Vec<_>>().join(", ")
}

impl Target {
    /// The pod of this name, in this namespace or in whichever it is.
    pub fn new(namespace: Option<&str>, name: &str) -> Self {
        Self { namespace: namespace.map(str::to_owned), name: name.to_owned(), pods: BTreeMap::new(), settled: false }
    }

    /// A pod's cgroup is there; `existing` if it was at the start.
    pub fn pod_seen(&mut self, uid: &str, cgroup: CgroupId, existing: bool) -> Verdict {
        let verdict = match self.settled && self.found().is_some() {
            // asked for by its uid, which needs nobody who tells names
            _ if uid == self.name => Verdict::Target,
            // whoever comes when the pod is known is another one
            true => Verdict::Other,
            false => Verdict::Unknown,
        };
        self.pods
            .entry(uid.to_owned())
            .or_insert_with(|| Seen {
                cgroup,
                existing,
                verdict,
                namespace: None,
                sandbox_id: None,
                containers: BTreeSet::new(),
            })
            .verdict
    }

    /// A container's cgroup is there, in a pod that was seen.
    pub fn container_seen(&mut self, uid: &str, id: &str) {
        if let Some(pod) = self.pods.get_mut(uid) {
            pod.containers.insert(id.to_owned());
        }
    }

    /// A cgroup is gone; a pod's own takes the pod with it.
    pub fn gone(&mut self, cgroup: CgroupId) {
        self.pods.retain(|_, pod| pod.cgroup != cgroup);
    }

    /// Who a pod is. Gives the cgroups of the pods that are out of the question by this.
    pub fn learnt(&mut self, facts: &PodFacts) -> Result<Vec<CgroupId>, Ambiguous> {
        let Some(pod) = self.pods.get_mut(&facts.uid) else { return Ok(Vec::new()) };
        if pod.verdict == Verdict::Other {
            return Ok(Vec::new());
        }
        pod.sandbox_id = facts.sandbox_id.clone().or(pod.sandbox_id.take());
        pod.namespace = facts.namespace.clone().or(pod.namespace.take());
        let existing = pod.existing;
        let mut forget = Vec::new();
        match self.compare(facts) {
            Verdict::Unknown => {}
            Verdict::Other => forget.extend(self.exclude(&facts.uid)),
            Verdict::Target => match self.rivals(facts, existing) {
                Rivals::None => self.accept(&facts.uid),
                Rivals::Earlier => forget.extend(self.exclude(&facts.uid)),
                Rivals::AlsoExisting(namespaces) => return Err(Ambiguous { name: self.name.clone(), namespaces }),
            },
        }
        forget.extend(self.eliminate());
        Ok(forget)
    }

    /// Every source was asked for pods that were there at the start. Gives the cgroups of those that
    /// are out of the question by this.
    pub fn settle(&mut self) -> Vec<CgroupId> {
        self.settled = true;
        self.eliminate()
    }

    /// Pods that were there at the start and may be the one (their uids and containers): whoever is not
    /// settled by then has to be asked about one by one.
    pub fn candidates(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = &str>)> {
        let open = self.pods.iter().filter(|(_, pod)| pod.existing && pod.verdict != Verdict::Other);
        open.map(|(uid, pod)| (uid.as_str(), pod.containers.iter().map(String::as_str)))
    }

    /// Whether every source was asked.
    pub fn is_settled(&self) -> bool {
        self.settled
    }

    /// The pod, once it is known.
    pub fn found(&self) -> Option<Found> {
        let pod = self.targets().next()?;
        let sandbox = pod.sandbox_id.as_ref();
        Some(Found {
            name: named(pod.namespace.as_deref(), &self.name),
            containers: pod.containers.iter().filter(|id| Some(*id) != sandbox).count(),
        })
    }

    /// What is waited for: `shop/web`, or `web` if any namespace will do.
    pub fn wanted(&self) -> String {
        named(self.namespace.as_deref(), &self.name)
    }

    fn compare(&self, facts: &PodFacts) -> Verdict {
        if facts.uid == self.name {
            return Verdict::Target;
        }
        let Some(name) = &facts.name else { return Verdict::Unknown };
        if *name != self.name {
            return Verdict::Other;
        }
        match (&self.namespace, &facts.namespace) {
            (None, _) => Verdict::Target,
            (Some(_), None) => Verdict::Unknown,
            (Some(wanted), Some(namespace)) if wanted == namespace => Verdict::Target,
            (Some(_), Some(_)) => Verdict::Other,
        }
    }

    /// Other targets, in other namespaces than this one. Several of one namespace are one pod and its
    /// successor (a `StatefulSet`'s).
    fn rivals(&self, facts: &PodFacts, existing: bool) -> Rivals {
        let own = facts.namespace.clone().unwrap_or_default();
        let others: Vec<&Seen> =
            self.targets().filter(|pod| pod.namespace.as_deref().unwrap_or_default() != own).collect();
        if others.is_empty() {
            return Rivals::None;
        }
        if !existing || others.iter().any(|pod| !pod.existing) {
            return Rivals::Earlier;
        }
        let namespaces = others.iter().filter_map(|pod| pod.namespace.clone());
        Rivals::AlsoExisting(namespaces.chain(facts.namespace.clone()).collect())
    }

    fn targets(&self) -> impl Iterator<Item = &Seen> {
        self.pods.values().filter(|pod| pod.verdict == Verdict::Target)
    }

    fn accept(&mut self, uid: &str) {
        if let Some(pod) = self.pods.get_mut(uid) {
            pod.verdict = Verdict::Target;
        }
    }

    fn exclude(&mut self, uid: &str) -> Option<CgroupId> {
        let pod = self.pods.get_mut(uid)?;
        pod.verdict = Verdict::Other;
        Some(pod.cgroup)
    }

    /// Once the pod is known and everybody was asked, the others need not be.
    fn eliminate(&mut self) -> Vec<CgroupId> {
        if !self.settled || self.targets().next().is_none() {
            return Vec::new();
        }
        let unknown = self.pods.values_mut().filter(|pod| pod.verdict == Verdict::Unknown);
        unknown
            .map(|pod| {
                pod.verdict = Verdict::Other;
                pod.cgroup
            })
            .collect()
    }
}

/// Other pods that were taken for the target.
enum Rivals {
    None,
    /// One was known before this one came.
    Earlier,
    /// All of them, and this one, were there at the start; their namespaces.
    AlsoExisting(BTreeSet<String>),
}

fn named(namespace: Option<&str>, name: &str) -> String {
    namespace.map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{BootNs, FactSource};

    fn facts(uid: &str, namespace: Option<&str>, name: Option<&str>) -> PodFacts {
        PodFacts {
            at: BootNs(0),
            uid: uid.to_owned(),
            source: FactSource::Cri,
            namespace: namespace.map(str::to_owned),
            name: name.map(str::to_owned),
            labels: None,
            sandbox_id: Some(format!("sandbox-{uid}")),
            host_network: None,
            grace_ms: None,
        }
    }

    fn learn(target: &mut Target, uid: &str, namespace: &str, name: &str) -> Result<Vec<u64>, Ambiguous> {
        let forget = target.learnt(&facts(uid, Some(namespace), Some(name)))?;
        Ok(forget.into_iter().map(|cgroup| cgroup.0).collect())
    }

    /// Pods `a`, `b`, `c` … with cgroups 1, 2, 3 … that were there at the start.
    fn with_pods(namespace: Option<&str>, count: u64) -> Target {
        let mut target = Target::new(namespace, "web");
        for (uid, cgroup) in ('a'..).zip(1..=count) {
            assert_eq!(target.pod_seen(&uid.to_string(), CgroupId(cgroup), true), Verdict::Unknown);
        }
        target
    }

    #[test]
    fn finds_the_pod_and_forgets_the_others() {
        let mut target = with_pods(Some("shop"), 3);
        assert_eq!(learn(&mut target, "a", "shop", "db"), Ok(vec![1]));
        assert_eq!(target.found(), None);
        assert_eq!(learn(&mut target, "b", "shop", "web"), Ok(vec![]));
        target.container_seen("b", "sandbox-b");
        target.container_seen("b", "app");
        target.container_seen("b", "app");
        assert_eq!(target.found(), Some(Found { name: "shop/web".to_owned(), containers: 1 }));
        assert_eq!(target.settle(), [CgroupId(3)]);
        assert_eq!(target.settle(), []);
        let open: Vec<_> = target.candidates().map(|(uid, containers)| (uid, containers.count())).collect();
        assert_eq!(open, [("b", 2)]);
        assert_eq!(target.pod_seen("d", CgroupId(4), false), Verdict::Other);
        assert_eq!(target.pod_seen("b", CgroupId(2), false), Verdict::Target);
    }

    #[test]
    fn a_uid_will_do_in_place_of_a_name() {
        let mut target = Target::new(None, "u-1");
        assert_eq!(target.pod_seen("u-2", CgroupId(2), true), Verdict::Unknown);
        assert_eq!(target.pod_seen("u-1", CgroupId(1), true), Verdict::Target);
        assert_eq!(target.found().map(|found| found.name), Some("u-1".to_owned()));
        assert_eq!(learn(&mut target, "u-1", "shop", "web"), Ok(vec![]));
        assert_eq!(target.settle(), [CgroupId(2)]);
    }

    #[test]
    fn waits_for_a_pod_that_is_not_there_yet() {
        let mut target = with_pods(None, 1);
        assert_eq!(target.settle(), []);
        assert_eq!(target.pod_seen("n", CgroupId(9), false), Verdict::Unknown);
        assert_eq!(target.learnt(&facts("n", None, None)), Ok(vec![]), "no name is no verdict");
        assert_eq!(learn(&mut target, "n", "shop", "web"), Ok(vec![1]));
        assert_eq!(target.found().map(|found| found.name), Some("shop/web".to_owned()));
        target.gone(CgroupId(9));
        assert_eq!(target.found(), None);
    }

    #[test]
    fn a_name_in_two_namespaces_has_to_be_told_apart() {
        let mut target = with_pods(None, 2);
        assert_eq!(learn(&mut target, "a", "shop", "web"), Ok(vec![]));
        let refusal = learn(&mut target, "b", "blog", "web").expect_err("two pods named web").to_string();
        assert_eq!(
            refusal,
            "several pods on this node are named web: blog/web, shop/web; say which one with -n NAMESPACE"
        );

        let mut target = with_pods(Some("blog"), 2);
        assert_eq!(learn(&mut target, "a", "shop", "web"), Ok(vec![1]));
        assert_eq!(learn(&mut target, "b", "blog", "web"), Ok(vec![]));
    }

    #[test]
    fn a_namesake_that_comes_later_is_another_pod() {
        let mut target = with_pods(None, 1);
        target.pod_seen("late", CgroupId(7), false);
        assert_eq!(learn(&mut target, "a", "shop", "web"), Ok(vec![]));
        assert_eq!(learn(&mut target, "late", "blog", "web"), Ok(vec![7]));
        // the successor of a StatefulSet's pod is not a rival
        target.pod_seen("next", CgroupId(8), false);
        assert_eq!(learn(&mut target, "next", "shop", "web"), Ok(vec![]));
    }

    #[test]
    fn facts_of_pods_without_a_cgroup_say_nothing() {
        let mut target = with_pods(None, 1);
        assert_eq!(learn(&mut target, "ended", "blog", "web"), Ok(vec![]));
        assert_eq!(learn(&mut target, "a", "shop", "web"), Ok(vec![]));
        assert_eq!(target.found().map(|found| found.name), Some("shop/web".to_owned()));
    }
}
