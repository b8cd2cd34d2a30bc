//! What happened, in order; findings link to these rows.

use super::{View, section};
use crate::report::{TimelineEntry, TimelineEvent};
use crate::sink::words::ending::Tone;
use crate::sink::words::moment;
use crate::sink::words::timeline::{detail, process, tone, what};
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

/// How much of a longer timeline is shown: its beginning and its end. The JSON has it all.
const FIRST: usize = 300;
const LAST: usize = 100;

pub(super) fn draw(view: &View<'_>) -> Markup {
    let entries = &view.report.timeline;
    let content = html! {
        @if entries.is_empty() { p.none { "Nothing was seen." } } @else { (table(view, entries)) }
    };
    section(view, "timeline", "Timeline", &content)
}

/// Whether the entry is shown, and can be linked to.
pub(super) fn is_shown(index: usize, total: usize) -> bool {
    index < FIRST || index + LAST >= total
}

fn table(view: &View<'_>, entries: &[TimelineEntry]) -> Markup {
    let several = view.report.containers.len() > 1;
    let start: Option<Timestamp> = view.report.start_time.parse().ok();
    let columns = 2 + usize::from(several) + usize::from(start.is_some());
    let omitted = entries.len().saturating_sub(FIRST + LAST);
    html! {
        table {
            thead {
                tr {
                    th.number scope="col" { "When" }
                    @if start.is_some() { th.clock scope="col" { "Clock (UTC)" } }
                    @if several { th scope="col" { "Container" } }
                    th scope="col" { "What" }
                }
            }
            tbody {
                @for (index, entry) in entries.iter().enumerate() {
                    @if omitted > 0 && index == FIRST {
                        tr { td.more colspan=(columns) { "… " (omitted) " more, which the JSON has …" } }
                    }
                    @if is_shown(index, entries.len()) {
                        tr id=(view.entry(index)) class=(class(entry.event)) {
                            td.number { (moment(entry.at_ms)) }
                            @if let Some(start) = start { td.clock { (clock(start, entry.at_ms)) } }
                            @if several { td { (entry.container.as_deref().unwrap_or_default()) } }
                            td { (sentence(entry)) }
                        }
                    }
                }
            }
        }
    }
}

fn sentence(entry: &TimelineEntry) -> Markup {
    html! {
        span.what { (what(entry)) }
        @if let Some(process) = process(entry) { " " span.process { (process) } }
        @if let Some(detail) = detail(entry) { " " span.detail { (detail) } }
    }
}

fn clock(start: Timestamp, at_ms: f64) -> String {
    let after = SignedDuration::try_from_secs_f64(at_ms / 1e3).ok();
    let at = after.and_then(|after| start.checked_add(after).ok());
    at.map(|at| at.strftime("%H:%M:%S%.3f").to_string()).unwrap_or_default()
}

fn class(event: TimelineEvent) -> &'static str {
    match tone(event) {
        Some(Tone::Bad) => "bad",
        Some(Tone::Warning) => "warning",
        Some(Tone::Good) | None => "plain",
    }
}
