//! Which pods are traced, and who they are: the ones that are there, the one that is wanted, what is learnt.

use super::Pipeline;
use super::target::{Target, Verdict};
use crate::engine::cgroup_path;
use crate::input::{CgroupFound, CgroupId, Input, PodFacts};
use crate::source::cgroupfs::CgroupTree;
use crate::source::sockets::netns_of;
use anyhow::Context;
use std::collections::BTreeSet;

impl Pipeline {
    /// Traces the pods that are there already; gives how many.
    pub fn adopt(&mut self, tree: &CgroupTree) -> anyhow::Result<usize> {
        // first track, then look again: a process made in between is seen by one of the two
        for found in tree.pods().context("cannot look for pods")? {
            self.track(&found)?;
        }
        let mut pods = BTreeSet::new();
        for found in tree.pods().context("cannot look for pods")? {
            self.track(&found)?;
            pods.insert(found.pod);
            self.cgroup_seen(found.pod, found.id, &found.path, true)?;
            self.core.feed(&Input::CgroupFound(found))?;
        }
        Ok(pods.len())
    }

    /// Traces one cgroup and hands it in.
    pub fn adopt_cgroup(&mut self, found: CgroupFound) -> anyhow::Result<()> {
        self.track(&found)?;
        if let Some(looks) = &mut self.looks {
            looks.learn(found.pod, found.id, &found.path);
        }
        self.core.feed(&Input::CgroupFound(found))
    }

    /// Every source was asked for the target, and these were found.
    pub fn targets_named(&mut self, pods: Vec<PodFacts>) -> anyhow::Result<()> {
        for facts in pods {
            self.learn(&Input::Pod(facts))?;
        }
        let forget = self.target.as_mut().map(Target::settle);
        if let (Some(resolver), Some(target)) = (&self.resolver, &self.target) {
            for (uid, containers) in target.candidates() {
                resolver.pod_seen(uid);
                containers.for_each(|id| resolver.container_seen(uid, id));
            }
        }
        self.want_time();
        self.forget(forget.unwrap_or_default())
    }

    /// The pod that is waited for.
    pub fn target(&self) -> Option<&Target> {
        self.target.as_ref()
    }

    /// A cgroup of a pod is there: ask who it is, unless it is none of our business.
    pub(super) fn cgroup_seen(
        &mut self,
        pod: CgroupId,
        cgroup: CgroupId,
        path: &str,
        existing: bool,
    ) -> anyhow::Result<()> {
        if let Some(looks) = &mut self.looks {
            looks.learn(pod, cgroup, path);
        }
        let (Some(resolver), Some(place)) = (&self.resolver, cgroup_path::parse(path)) else { return Ok(()) };
        let depth = path.split('/').filter(|part| !part.is_empty()).count();
        // what is nested inside a container is the container's own affair
        let container = place.container.filter(|container| container.depth == depth);
        let mut ask = true;
        if let Some(target) = &mut self.target {
            if target.pod_seen(&place.uid, pod, existing) == Verdict::Other {
                return self.forget(vec![pod]);
            }
            if let Some(container) = &container {
                target.container_seen(&place.uid, &container.id);
            }
            // a node's pods are not all asked about to find one
            ask = !existing || target.is_settled();
        }
        match container {
            Some(container) if ask => resolver.container_seen(&place.uid, &container.id),
            None if ask && place.pod_depth == depth => resolver.pod_seen(&place.uid),
            Some(_) | None => {}
        }
        Ok(())
    }

    /// Something was learnt about a pod or container.
    pub(super) fn learn(&mut self, input: &Input) -> anyhow::Result<()> {
        let mut forget = Vec::new();
        if let (Some(target), Input::Pod(facts)) = (&mut self.target, input) {
            forget = target.learnt(facts)?;
        }
        self.core.feed(input)?;
        self.forget(forget)
    }

    fn track(&mut self, found: &CgroupFound) -> anyhow::Result<()> {
        let failed = || format!("cannot trace {}", found.path);
        self.probes.track(found.id, found.pod).with_context(failed)?;
        // of programs that begin later the probes learn it themselves
        for netns in found.processes.iter().filter_map(|process| netns_of(process.tgid)) {
            self.probes.track_netns(netns, found.pod).with_context(failed)?;
        }
        Ok(())
    }

    fn forget(&mut self, pods: Vec<CgroupId>) -> anyhow::Result<()> {
        for pod in pods {
            self.probes.forget_pod(pod).context("cannot stop tracing a pod")?;
        }
        Ok(())
    }
}
