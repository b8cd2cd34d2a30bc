//! Where reports go: one trait, one small file a format. A sink draws a [`Report`] and concludes nothing.

use crate::report::Report;
use std::io;

/// Writes reports in one format.
pub trait Sink: Send {
    /// Writes one report, whole, and flushes it.
    fn report(&mut self, report: &Report) -> io::Result<()>;
}
