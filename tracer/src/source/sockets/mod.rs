//! The TCP sockets of a pod, read when its stop signal is seen: what was there before, whether or not
//! anything happens to it later.
//!
//! Reads from outside and off the event path, in threads of its own: never signals, traces or delays
//! anybody, never enters a pod's mounts, and holds its network namespace only while it reads.

mod diag;
mod held;
mod netns;
mod owner;
mod snapshot;

use crate::input::{BootNs, CgroupId, Input, Sockets};
use crate::source::cgroupfs::CgroupTree;
use crate::source::clock;
use std::collections::BTreeSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// Pods that are read at a time.
const THREADS: usize = 2;
/// How many pods may wait: a drained node stops all of its pods at once.
const WAITING: usize = 512;
/// What is missing if nothing could be read.
const UNKNOWN: &str = "connections and listeners that were there before are not known";

/// Inode number of the network namespace of a process; `None` if it has ended, or may not be looked at (`CAP_SYS_PTRACE`).
pub fn netns_of(tgid: u32) -> Option<u32> {
    netns::Netns::of_process(tgid).ok().map(|netns| netns.inode)
}

/// A pod whose sockets are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The pod's cgroup.
    pub pod: CgroupId,
    /// That cgroup's path below the hierarchy's root, starting with `/`.
    pub path: String,
    /// Cgroups that were the pod's at any time: one is gone as soon as nobody is in it, and its sockets may live on.
    pub cgroups: BTreeSet<CgroupId>,
    /// The process that got the stop signal: the first to be asked for its network namespace.
    pub tgid: u32,
}

/// Reads the sockets of pods in the background, until it is dropped.
#[derive(Debug)]
pub struct SocketReader {
    wanted: SyncSender<Wanted>,
    results: mpsc::Sender<Input>,
    untold: AtomicU64,
}

impl SocketReader {
    /// Starts the threads. `host_netns` is the inode number of the node's own network namespace; pods
    /// in it, or in the caller's, share it with others. The results are `Input::Sockets`.
    pub fn spawn(tree: &CgroupTree, host_netns: Option<u32>, results: mpsc::Sender<Input>) -> io::Result<Self> {
        let spaces = Spaces { own: netns::Netns::own()?.inode, host: host_netns };
        let (wanted, queue) = sync_channel(WAITING);
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..THREADS {
            let (tree, queue, results) = (tree.clone(), Arc::clone(&queue), results.clone());
            std::thread::Builder::new()
                .name(format!("sockets-{number}"))
                .spawn(move || work(&tree, spaces, &queue, &results))?;
        }
        Ok(Self { wanted, results, untold: AtomicU64::new(0) })
    }

    /// Asks for a pod's sockets; never waits. Where there is no room, the answer is that there are none
    /// to be had, or, without room for that either, it is counted ([`Self::take_untold`]).
    pub fn want(&self, wanted: Wanted) {
        let Err(refused) = self.wanted.try_send(wanted) else { return };
        let (std::sync::mpsc::TrySendError::Full(wanted) | std::sync::mpsc::TrySendError::Disconnected(wanted)) =
            refused;
        let now = clock::boot_now();
        let nothing = nothing(wanted.pod, now, "too many pods stop at once");
        if self.results.try_send(Input::Sockets(nothing)).is_err() {
            self.untold.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many pods were asked for and will get no answer, since this was called last.
    pub fn take_untold(&self) -> u64 {
        self.untold.swap(0, Ordering::Relaxed)
    }
}

/// The network namespaces in which not everything is the pod's.
#[derive(Clone, Copy, Debug)]
struct Spaces {
    /// This process's.
    own: u32,
    /// The node's.
    host: Option<u32>,
}

impl Spaces {
    fn are_shared(self, netns: u32) -> bool {
        netns == self.own || Some(netns) == self.host
    }
}

/// Answers until nobody can ask any more or nobody listens.
fn work(tree: &CgroupTree, spaces: Spaces, queue: &Mutex<Receiver<Wanted>>, results: &mpsc::Sender<Input>) {
    loop {
        // held while waiting, and not while reading: the other thread waits for its turn to wait
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(wanted) = next else { return };
        let begun = clock::boot_now();
        // whoever asked is waiting for an answer, even if a parser gives up in the worst way
        let parts = catch_unwind(AssertUnwindSafe(|| snapshot::take(tree, spaces, &wanted)))
            .unwrap_or_else(|_| vec![nothing(wanted.pod, begun, "reading them panicked (a bug in gracetrace)")]);
        for part in parts {
            if results.blocking_send(Input::Sockets(part)).is_err() {
                return;
            }
        }
    }
}

/// The answer if nothing could be read.
fn nothing(pod: CgroupId, taken_at: BootNs, why: &str) -> Sockets {
    let problem = Some(format!("{why}: {UNKNOWN}"));
    Sockets { at: clock::boot_now(), taken_at, pod, netns: None, found: Vec::new(), more: false, problem }
}
