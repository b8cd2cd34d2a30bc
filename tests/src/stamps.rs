//! The file that victims write their clock readings to, read from the outside.

use crate::clock::wait_until;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A file of stamps.
#[derive(Debug, Clone)]
pub struct StampFile(PathBuf);

/// One reading.
#[derive(Debug, Clone)]
pub struct Stamp {
    /// What happened: `ready`, `handler`, `listener-closed`, `exit` …
    pub name: String,
    /// When, in nanoseconds since boot.
    pub at_ns: u64,
    /// More: the port of a server that is ready.
    pub detail: String,
}

impl StampFile {
    /// A file that need not be there yet.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The one that its workers write theirs to.
    #[must_use]
    pub fn of_workers(&self) -> Self {
        let mut path = self.0.clone().into_os_string();
        path.push(".worker");
        Self(path.into())
    }

    /// Everything written so far.
    pub fn all(&self) -> Vec<Stamp> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().filter_map(parse).collect()
    }

    /// The first stamp of that name, which must be there.
    pub fn first(&self, name: &str) -> anyhow::Result<Stamp> {
        self.all()
            .into_iter()
            .find(|stamp| stamp.name == name)
            .ok_or_else(|| anyhow::anyhow!("the victim left no stamp {name:?}, only {:?}", self.all()))
    }

    /// Waits for the first stamp of that name.
    pub fn wait_for(&self, name: &str) -> anyhow::Result<Stamp> {
        wait_until(&format!("the victim's stamp {name:?}"), Duration::from_secs(20), || self.first(name).ok())
    }
}

fn parse(line: &str) -> Option<Stamp> {
    let mut words = line.splitn(3, ' ');
    let name = words.next()?.to_owned();
    let at_ns = words.next()?.parse().ok()?;
    Some(Stamp { name, at_ns, detail: words.next().unwrap_or_default().to_owned() })
}
