//! The victim's own clock readings: the truth that the tracer's latencies are compared with.

use crate::sys;
use std::fs::File;
use std::io::Write;
use std::sync::Arc;

/// Where the readings go; nowhere by default.
#[derive(Clone, Default)]
pub(crate) struct Stamps(Option<Arc<(File, String)>>);

impl Stamps {
    pub(crate) fn to_file(path: &str) -> Self {
        match File::options().create(true).append(true).open(path) {
            Ok(file) => Self(Some(Arc::new((file, path.to_owned())))),
            Err(error) => crate::usage(&format!("cannot write stamps to {path}: {error}")),
        }
    }

    /// The file's path; empty without one.
    pub(crate) fn path(&self) -> &str {
        self.0.as_ref().map_or("", |inner| &inner.1)
    }

    /// "This happens now."
    pub(crate) fn now(&self, name: &str, detail: &str) {
        self.at(name, sys::boot_ns(), detail);
    }

    /// "This happened at `ns`." One write a line, so that several processes can share the file.
    pub(crate) fn at(&self, name: &str, ns: u64, detail: &str) {
        if let Some(mut file) = self.0.as_ref().map(|inner| &inner.0) {
            // a stamp that cannot be written is missed by the harness, which fails for it
            drop(file.write_all(format!("{name} {ns} {detail}\n").as_bytes()));
        }
    }
}
