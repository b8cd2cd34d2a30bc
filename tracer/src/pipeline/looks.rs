//! When a pod's sockets are looked at: as soon as a signal is read that may be its stop signal, before
//! records are put in order. What comes back is an input like any other.

use crate::engine::cgroup_path;
use crate::input::{BootNs, CgroupId, Input};
use crate::source::cgroupfs::CgroupTree;
use crate::source::sockets::{SocketReader, Wanted};
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::mpsc;

/// Parts of answers that may wait; a full queue makes the threads that read sockets wait.
const ANSWERS: usize = 256;
/// The containers of a pod are stopped together: so soon after one look there is no other.
const TOGETHER_MS: f64 = 100.0;
/// So many cgroups of a pod are remembered, the newest: of containers that are gone, no socket is left.
const CGROUPS: usize = 64;

/// Whose sockets can be looked at, and whose were.
#[derive(Debug)]
pub(super) struct Looks {
    tree: CgroupTree,
    reader: SocketReader,
    answers: mpsc::Receiver<Input>,
    /// The tree is the whole hierarchy: what is not in it is nowhere.
    is_whole: bool,
    pods: BTreeMap<CgroupId, Pod>,
}

#[derive(Debug)]
struct Pod {
    /// Of its cgroup, below what is mounted.
    path: String,
    /// It was there, or would have been if it had not gone.
    is_visible: bool,
    /// Its cgroups, those that are gone included; the kernel gives greater numbers to newer ones.
    cgroups: BTreeSet<CgroupId>,
    asked: Option<BootNs>,
}

impl Looks {
    /// Starts the threads that read.
    pub(super) fn start(tree: &CgroupTree, host_netns: Option<u32>) -> std::io::Result<Self> {
        let (sender, answers) = mpsc::channel(ANSWERS);
        let reader = SocketReader::spawn(tree, host_netns, sender)?;
        Ok(Self { tree: tree.clone(), reader, answers, is_whole: tree.is_whole(), pods: BTreeMap::new() })
    }

    /// A cgroup of this pod is there.
    pub(super) fn learn(&mut self, pod: CgroupId, cgroup: CgroupId, path: &str) {
        if let Some(known) = self.pods.get_mut(&pod) {
            known.cgroups.insert(cgroup);
            if known.cgroups.len() > CGROUPS {
                known.cgroups.pop_first();
            }
            return;
        }
        // the pod's own is so many names down; the command of `gracetrace run` has one cgroup for all
        let depth = cgroup_path::parse(path).map(|place| place.pod_depth);
        let path = match depth {
            Some(depth) => {
                let own: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).take(depth).collect();
                format!("/{}", own.join("/"))
            }
            None => path.to_owned(),
        };
        let place = self.tree.place_of(&path, pod);
        let is_visible = self.is_whole || place.is_some();
        let path = place.unwrap_or(path);
        self.pods.insert(pod, Pod { path, is_visible, cgroups: BTreeSet::from([cgroup]), asked: None });
    }

    /// A cgroup is gone; a pod's own takes the pod with it.
    pub(super) fn forget(&mut self, cgroup: CgroupId) {
        self.pods.remove(&cgroup);
    }

    /// Pods whose cgroup is not there any more; each is told once.
    pub(super) fn gone(&mut self) -> Vec<CgroupId> {
        let is_there = |pod: CgroupId, known: &Pod| self.tree.id(&known.path).is_ok_and(|id| id == pod);
        let visible = self.pods.iter().filter(|(_, known)| known.is_visible);
        let gone: Vec<CgroupId> = visible.filter(|(pod, known)| !is_there(**pod, known)).map(|(pod, _)| *pod).collect();
        for pod in &gone {
            self.pods.remove(pod);
        }
        gone
    }

    /// A process of this pod may have been told to stop; false if that was known.
    pub(super) fn ask(&mut self, pod: CgroupId, tgid: u32, at: BootNs) -> bool {
        let Some(known) = self.pods.get_mut(&pod) else { return false };
        if known.asked.is_some_and(|asked| at.ms_since(asked) < TOGETHER_MS) {
            return false;
        }
        known.asked = Some(at);
        self.reader.want(Wanted { pod, path: known.path.clone(), cgroups: known.cgroups.clone(), tgid });
        true
    }

    /// The next part of an answer. May be dropped while it waits.
    pub(super) async fn answer(&mut self) -> Option<Input> {
        self.answers.recv().await
    }

    /// What has come already.
    pub(super) fn answered(&mut self) -> Option<Input> {
        self.answers.try_recv().ok()
    }

    /// How many looks there was no room for since this was called last.
    pub(super) fn take_untold(&self) -> u64 {
        self.reader.take_untold()
    }
}
