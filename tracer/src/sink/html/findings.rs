//! What was not graceful and what to change, the gravest first: this is what a reader acts on.

use super::{View, prose, section, timeline};
use crate::report::{Finding, Severity};
use crate::sink::words::moment;
use crate::sink::words::timeline::what;
use maud::{Markup, html};

/// Links to the timeline that a finding has at most.
const LINKS: usize = 6;

pub(super) fn draw(view: &View<'_>) -> Markup {
    let mut findings: Vec<&Finding> = view.report.findings.iter().collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let list = html! {
        @if findings.is_empty() {
            p.none { "None: no rule fired." }
        } @else {
            ol.findings {
                @for finding in findings { (draw_one(view, finding)) }
            }
        }
    };
    section(view, "findings", "Findings", &list)
}

fn draw_one(view: &View<'_>, finding: &Finding) -> Markup {
    let (class, mark, word) = match finding.severity {
        Severity::Error => ("bad", "✗", "error"),
        Severity::Warning => ("warning", "!", "warning"),
        Severity::Info => ("info", "i", "info"),
    };
    html! {
        li class=(class) {
            p.rule {
                span.severity { span aria-hidden="true" { (mark) " " } (word) }
                " " code { (finding.rule) }
                @if let Some(container) = &finding.container { span.where { " in " bdi { (container) } } }
            }
            h3 { (prose(&finding.summary)) }
            @if !finding.advice.is_empty() {
                p.advice { b { "What to change: " } (prose(&finding.advice)) }
            }
            (evidence(view, finding))
        }
    }
}

/// The moments it rests on, each a link to its row of the timeline.
fn evidence(view: &View<'_>, finding: &Finding) -> Markup {
    let entries = &view.report.timeline;
    let seen: Vec<usize> = finding
        .evidence
        .iter()
        .copied()
        .filter(|index| *index < entries.len() && timeline::is_shown(*index, entries.len()))
        .collect();
    let more = finding.evidence.len().saturating_sub(LINKS.min(seen.len()));
    html! {
        @if !seen.is_empty() {
            p.evidence {
                "Seen: "
                @for (place, index) in seen.iter().take(LINKS).enumerate() {
                    @if place > 0 { ", " }
                    a href={ "#" (view.entry(*index)) } {
                        (what(&entries[*index])) " at " (moment(entries[*index].at_ms))
                    }
                }
                @if more > 0 { " and " (more) " more" }
            }
        }
    }
}
