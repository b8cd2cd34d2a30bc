//! Whether a pod goes on after something in it ended, and what that means for its connections: asked by the pipeline, which then takes the
//! pod's mark away in the kernel and tells the engine so (`Input::LetBe`). When a report is due is `pod`'s to say.

use super::CONTAINER_REPORT_MS;
use super::container::Container;
use super::pod::{DRAIN_MS, Pod};
use crate::input::{BootNs, CgroupId};

impl Pod {
    /// A container has had its own report.
    pub(super) fn reported(&mut self, container: CgroupId) {
        self.reported.push(container);
        self.goes_on_if_told();
    }

    /// From here on the kernel side tells nothing of its connections, until it is asked to stop again.
    pub(super) fn let_be(&mut self) {
        self.connections.forget_open();
        self.goes_on_if_told();
    }

    /// Every end in it has had its report: what comes now is of another one.
    fn goes_on_if_told(&mut self) {
        let is_open = |container: &Container| container.ending.is_some() && !self.reported.contains(&container.cgroup);
        if self.ends && !self.containers.values().any(is_open) {
            self.ends = false;
            self.connections.forget();
        }
    }

    /// Whether an end goes on in it of which its connections have more to tell: of a container that has not gone, or whose report is
    /// still to come, unless it ended by itself and the pod went on to start another one.
    pub(super) fn is_watched(&self, now: BootNs) -> bool {
        let is_over = |container: &Container| {
            let Some(gone) = container.exit.map(|(at, _)| at).or(container.emptied) else { return false };
            let went_on = container.stop.is_none() && self.containers.values().any(|other| other.since > gone);
            gone.plus_ms(CONTAINER_REPORT_MS) <= now || went_on && gone.plus_ms(DRAIN_MS) <= now
        };
        let mut open = self.containers.values().filter(|container| !self.reported.contains(&container.cgroup));
        open.any(|container| container.ending.is_some() && !is_over(container))
    }

    /// Whether the kernel side told what became of its connections after they were closed: it does from a signal from outside on, and from
    /// the exit of a process that it can tell to be a container's first.
    pub(super) fn was_followed(&self) -> bool {
        self.containers.values().any(|container| {
            let is_seen_to_leave =
                container.cgroup == self.cgroup || container.init.as_ref().is_some_and(|init| init.ns_tgid == 1);
            container.stop.is_some() || container.kill.is_some() || is_seen_to_leave && container.exit.is_some()
        })
    }
}
