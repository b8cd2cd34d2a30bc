//! The daemon's form on a terminal: one line a report.

use super::words::ending::{self, Tone};
use super::words::{self, UNKNOWN, count};
use super::{Sink, write_whole};
use crate::report::{Outcome, Report};
use crate::text;
use std::io::{self, Write};

/// Writes one line a report.
#[derive(Debug)]
pub struct Line<W> {
    out: W,
    colour: bool,
}

impl<W: Write> Line<W> {
    /// Into `out`, the outcome in colour if that is wanted.
    pub fn new(out: W, colour: bool) -> Self {
        Self { out, colour }
    }
}

impl<W: Write + Send> Sink for Line<W> {
    fn report(&mut self, report: &Report) -> io::Result<()> {
        write_whole(&mut self.out, &render(report, self.colour))
    }
}

fn render(report: &Report, colour: bool) -> String {
    let who = match words::container(report) {
        Some(container) => format!("{} [{container}]", words::pod(&report.pod)),
        None => words::pod(&report.pod),
    };
    let outcome = words::outcome(report.outcome);
    let (before, after) = if colour { (paint(report.outcome), "\u{1b}[0m") } else { ("", "") };
    let mut parts = vec![match report.stop_to_exit_ms {
        Some(ms) => format!("stop to exit {}", words::duration(ms)),
        None => format!("stop to exit {UNKNOWN}"),
    }];
    let connections = &report.connections.counts;
    parts.push(format!("{} dropped, {} closed", connections.dropped_by_kill, connections.closed_gracefully));
    if connections.closed_at_exit > 0 {
        parts.push(format!("{} closed by the exit", connections.closed_at_exit));
    }
    parts.push(count(report.findings.len() as u64, "finding"));
    if !report.completeness.complete {
        parts.push("incomplete".to_owned());
    }
    let time = text::clean(&seconds(&report.start_time));
    format!("{time}  {who}  {before}{outcome}{after}  {}\n", parts.join("  "))
}

/// Without the fraction, which nobody reads in a list.
fn seconds(time: &str) -> String {
    match time.split_once('.') {
        Some((whole, fraction)) => whole.to_owned() + fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => time.to_owned(),
    }
}

fn paint(outcome: Outcome) -> &'static str {
    match ending::tone(outcome) {
        Tone::Good => "\u{1b}[32m",
        Tone::Warning => "\u{1b}[33m",
        Tone::Bad => "\u{1b}[1;31m",
    }
}
