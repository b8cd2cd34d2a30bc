//! What the report could not see, and how it looked.

use super::{View, section};
use crate::sink::words::{self, count, moment};
use maud::{Markup, html};

pub(super) fn draw(view: &View<'_>) -> Markup {
    let report = view.report;
    let gaps = words::gaps(&report.completeness);
    let snapshot = report.connections.snapshot.as_ref().map(|look| {
        let (listeners, connections) = (count(look.listeners, "listener"), count(look.connections, "connection"));
        let (at, took) = (moment(look.at_ms), words::duration(look.took_ms));
        format!("The pod's sockets were looked at from {at} on, which took {took}: {listeners}, {connections}.")
    });
    let content = html! {
        p {
            @if !report.completeness.complete {
                b { "Incomplete." } " What is missing, and why:"
            } @else if gaps.is_empty() {
                "Complete: nothing was missed."
            } @else {
                "Nothing that happened was missed, but not everything can be known here:"
            }
        }
        @if !gaps.is_empty() {
            ul.counts { @for gap in &gaps { li { (gap) } } }
        }
        @if let Some(snapshot) = snapshot { p.more { (snapshot) } }
        p.more { "Moments are counted from the start of the ending, by a clock that never jumps. The report as data: "
            code { "gracetrace -o json" } " (" (report.api_version) ")." }
    };
    section(view, "completeness", "Completeness", &content)
}
