//! `-o jsonl`: one line a report, for files, pipes and log collectors.

use super::{Sink, json, write_whole};
use crate::report::Report;
use std::io::{self, Write};

/// Writes JSON Lines.
#[derive(Debug)]
pub struct JsonLines<W>(pub W);

impl<W: Write + Send> Sink for JsonLines<W> {
    fn report(&mut self, report: &Report) -> io::Result<()> {
        let mut text = json::escape(&serde_json::to_string(report)?);
        text.push('\n');
        write_whole(&mut self.0, &text)
    }
}
