//! `-o text`: the report for somebody who has never seen one, at three in the morning.

mod axis;
mod connections;
mod containers;
mod findings;
mod header;
mod page;
mod rules;
mod timeline;

use super::{Sink, write_whole};
use crate::report::Report;
use page::Page;
pub use rules::rules;
use std::io::{self, Write};

/// Writes the full report as text, an empty line between two.
#[derive(Debug)]
pub struct Text<W> {
    out: W,
    width: usize,
    colour: bool,
    first: bool,
}

impl<W: Write> Text<W> {
    /// Into `out`, `width` columns wide (80 where that is not known, never below 60).
    pub fn new(out: W, width: usize, colour: bool) -> Self {
        Self { out, width, colour, first: true }
    }
}

impl<W: Write + Send> Sink for Text<W> {
    fn report(&mut self, report: &Report) -> io::Result<()> {
        let text = render(report, self.width, self.colour);
        let gap = if std::mem::take(&mut self.first) { "" } else { "\n" };
        write_whole(&mut self.out, &format!("{gap}{text}"))
    }
}

/// The whole report; ends with a newline, and has no control character but newlines and, where colour
/// is wanted, those of the colours.
pub fn render(report: &Report, width: usize, colour: bool) -> String {
    let mut page = Page::new(width, colour);
    header::draw(&mut page, report);
    axis::draw(&mut page, report);
    containers::draw(&mut page, report);
    connections::draw(&mut page, report);
    findings::draw(&mut page, report);
    timeline::draw(&mut page, report);
    page.finish()
}
