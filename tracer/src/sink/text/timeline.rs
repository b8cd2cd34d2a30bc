//! What happened, in order, each moment since the start.

use super::page::{Ink, Page, fit, width_of};
use crate::report::{Report, TimelineEvent};
use crate::sink::words::ending::Tone;
use crate::sink::words::moment;
use crate::sink::words::timeline::{sentence, tone};

/// How much of a longer timeline is shown: its beginning and its end. The JSON has it all.
const FIRST: usize = 40;
const LAST: usize = 20;
/// Widest name of a container.
const NAME_COLUMNS: usize = 16;

pub(super) fn draw(page: &mut Page, report: &Report) {
    page.heading("Timeline");
    if report.timeline.is_empty() {
        page.line(&[(Ink::Plain, "  nothing was seen")]);
    }
    let several = report.containers.len() > 1;
    let names = report.timeline.iter().filter_map(|entry| entry.container.as_deref()).filter(|_| several);
    let name_columns = names.map(width_of).max().unwrap_or(0).min(NAME_COLUMNS);
    let moment_columns = report.timeline.iter().map(|entry| moment(entry.at_ms).len()).max().unwrap_or(0);
    let total = report.timeline.len();
    let omitted = total.saturating_sub(FIRST + LAST);
    for (index, entry) in report.timeline.iter().enumerate() {
        if omitted > 0 && index == FIRST {
            page.line(&[(Ink::Faint, &format!("  … {omitted} more …"))]);
        }
        if omitted > 0 && (FIRST..FIRST + omitted).contains(&index) {
            continue;
        }
        let at = format!("  {:>moment_columns$}  ", moment(entry.at_ms));
        let name = match &entry.container {
            _ if name_columns == 0 => String::new(),
            Some(name) => fit(name, name_columns) + "  ",
            None => " ".repeat(name_columns + 2),
        };
        page.hanging(&[(Ink::Faint, &at), (Ink::Plain, &name)], ink(entry.event), &sentence(entry));
    }
}

fn ink(event: TimelineEvent) -> Ink {
    match tone(event) {
        Some(Tone::Bad) => Ink::Bad,
        Some(Tone::Warning) => Ink::Warning,
        Some(Tone::Good) | None => Ink::Plain,
    }
}
