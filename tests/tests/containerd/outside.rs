//! Programs of the node beside its pods: the victim under another name, ended with the value.

use gracetrace_tests::node::Node;
use gracetrace_tests::stamps::StampFile;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A program that runs on the node.
pub(crate) struct Outside {
    child: Child,
    pub(crate) stamps: StampFile,
}

impl Outside {
    /// Starts the victim as a program called `name`, with these arguments.
    pub(crate) fn start(node: &Node, name: &str, args: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix(name).tempdir_in(node.scratch())?.keep();
        let (program, stamps) = (folder.join(name), folder.join("stamps"));
        std::fs::copy(Path::new(env!("CARGO_BIN_EXE_victim")), &program)?;
        let mut command = Command::new(program);
        command.arg("--stamps").arg(&stamps).args(args).stdin(Stdio::null());
        Ok(Self { child: command.spawn()?, stamps: StampFile::at(&stamps) })
    }

    /// Waits for its end and tells how often it left a stamp of each of these names.
    pub(crate) fn counts<const N: usize>(mut self, names: [&str; N]) -> anyhow::Result<[usize; N]> {
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "a program outside ended with {status}");
        let all = self.stamps.all();
        Ok(names.map(|name| all.iter().filter(|stamp| stamp.name == name).count()))
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _gone = self.child.kill();
        }
        let _reaped = self.child.wait();
    }
}
