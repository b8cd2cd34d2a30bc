//! Where reports go: one trait, one small file a format. A sink draws a [`Report`] and concludes nothing.
//!
//! Text in a report was cleaned where it entered; each sink still makes sure of it in its own way, so
//! that no name can ever steer a terminal or break a line.

pub mod html;
pub mod json;
pub mod jsonl;
pub mod line;
pub mod mending;
#[cfg(test)]
mod sample;
pub mod schema;
#[cfg(test)]
mod tests;
pub mod text;
mod words;

use crate::report::Report;
use std::io::{self, Write};

/// Writes reports in one format.
pub trait Sink: Send {
    /// Writes one report, whole, and flushes it.
    fn report(&mut self, report: &Report) -> io::Result<()>;
}

/// One write for one report: a reader of a pipe or a file finds whole reports or none.
fn write_whole(out: &mut impl Write, text: &str) -> io::Result<()> {
    out.write_all(text.as_bytes())?;
    out.flush()
}
