//! A node of our own: a real containerd with its own root, state, socket and network, and the
//! kubelet's part played over its CRI socket. Everything it makes on the machine it also removes.

mod containerd;
mod cri;
mod image;
mod kubelet;
mod leftovers;
mod pod;

pub use cri::Runtime;
pub use kubelet::{Ending, Kubelet, RunningPod};
pub use pod::{ContainerSpec, OwnHook, PodSpec};

use std::path::{Path, PathBuf};

/// Image of the victim, without a STOPSIGNAL.
pub const VICTIM_IMAGE: &str = "gracetrace.test/victim:1";
/// The same with `STOPSIGNAL SIGQUIT`.
pub const VICTIM_QUIT_IMAGE: &str = "gracetrace.test/victim-quit:1";
/// The sandbox's image.
pub const PAUSE_IMAGE: &str = "gracetrace.test/pause:1";

/// The node.
#[derive(Debug)]
pub struct Node {
    root: PathBuf,
    /// The kubelet's part.
    pub kubelet: Kubelet,
}

impl Node {
    /// Starts containerd, imports the images with `victim` in them, and remembers the teardown.
    pub fn start(victim: &Path) -> anyhow::Result<Self> {
        let lock = leftovers::lock()?;
        leftovers::sweep_earlier_runs()?;
        let root = leftovers::folder()?;
        crate::suite::at_end("the node's folder", {
            let root = root.clone();
            move || {
                let _held_until_here = lock;
                leftovers::remove(&root)
            }
        });
        let endpoint = containerd::start(&root)?;
        image::import(&root, &endpoint, victim)?;
        let kubelet = Kubelet::new(Runtime::connect(&endpoint)?, &root)?;
        crate::suite::at_end("the pods", kubelet.removal());
        Ok(Self { root, kubelet })
    }

    /// The CRI socket as gracetrace takes it.
    pub fn endpoint(&self) -> String {
        format!("unix://{}", containerd::socket(&self.root).display())
    }

    /// A folder for files of this run, gone at its end.
    pub fn scratch(&self) -> PathBuf {
        self.root.join("scratch")
    }
}
