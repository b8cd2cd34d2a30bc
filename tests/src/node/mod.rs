//! A node of our own: a real containerd with its own root, state, socket and network, and the
//! kubelet's part played over its CRI socket. Everything it makes on the machine it also removes.

mod containerd;
mod cri;
mod debian;
mod image;
mod kind;
mod kubelet;
mod leftovers;
mod pod;

pub use cri::Runtime;
pub use debian::Packages;
pub use image::Image;
pub use kind::{Driver, Kind, kind};
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
        let kind = kind::choose()?;
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
        let endpoint = containerd::start(&root, kind)?;
        image::import(&root, &endpoint, victim)?;
        let kubelet = Kubelet::new(Runtime::connect(&endpoint)?, &root)?;
        crate::suite::at_end("the pods", kubelet.removal());
        Ok(Self { root, kubelet })
    }

    /// The CRI socket as gracetrace takes it.
    pub fn endpoint(&self) -> String {
        format!("unix://{}", containerd::socket(&self.root).display())
    }

    /// Imports images made of Debian packages and, on top of these, of the files in `folder`, which become root's.
    pub fn import(&self, packages: &Packages, folder: &Path, images: &[Image]) -> anyhow::Result<()> {
        let archive = self.root.join("image");
        std::fs::create_dir_all(&archive)?;
        let own = self.root.join("own.tar");
        image::pack(folder, &own)?;
        let layers = [packages.layer(&self.root.join("debian"))?, own];
        image::load(&containerd::socket(&self.root), &archive, &layers, images)?;
        Ok(std::fs::remove_dir_all(&archive)?)
    }

    /// A folder for files of this run, gone at its end.
    pub fn scratch(&self) -> PathBuf {
        self.root.join("scratch")
    }
}
