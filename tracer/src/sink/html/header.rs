//! The top of a report: the outcome and what it means, the four figures people ask for first, and who,
//! when and why.

use super::{View, facts};
use crate::report::{ConnectionCounts, Report, Severity};
use crate::sink::words::ending::{self, Tone};
use crate::sink::words::{self, UNKNOWN, count};
use maud::{Markup, html};

/// Labels that are shown.
const LABELS: usize = 24;

pub(super) fn draw(view: &View<'_>) -> Markup {
    let report = view.report;
    html! {
        header.top {
            p.kicker {
                span class={ "outcome " (class(report)) } {
                    span aria-hidden="true" { (mark(report)) " " }
                    (words::outcome(report.outcome))
                }
                @if !report.completeness.complete {
                    a.tag href={ "#" (view.id("completeness")) } { "incomplete" }
                }
            }
            h1 id=(view.id("title")) { bdi { (ending::who(report)) } }
            p.lead { (ending::sentence(report)) }
            (figures(report))
            (details(report))
        }
    }
}

fn class(report: &Report) -> &'static str {
    match ending::tone(report.outcome) {
        Tone::Good => "good",
        Tone::Warning => "warning",
        Tone::Bad => "bad",
    }
}

fn mark(report: &Report) -> &'static str {
    match ending::tone(report.outcome) {
        Tone::Good => "✓",
        Tone::Warning => "!",
        Tone::Bad => "✗",
    }
}

fn figures(report: &Report) -> Markup {
    let figure = |label: &str, (value, more): (String, Markup)| {
        html! { div { dt { (label) } dd { span.value { (value) } " " (more) } } }
    };
    html! {
        dl.figures {
            (figure("Stop signal to last exit", stop_to_exit(report)))
            (figure("Grace period used", grace(report)))
            (figure("Connections cut off", cut(&report.connections.counts)))
            (figure("Findings", findings(report)))
        }
    }
}

fn stop_to_exit(report: &Report) -> (String, Markup) {
    let stopped = report.containers.iter().any(|container| container.stop.is_some());
    let value = match report.stop_to_exit_ms {
        Some(ms) => words::duration(ms),
        None if stopped => UNKNOWN.to_owned(),
        None => "–".to_owned(),
    };
    let more = if stopped { "" } else { "no stop signal was seen; " };
    (value, html! { span.more { (more) (words::duration(report.duration_ms)) " from the beginning to the end" } })
}

fn grace(report: &Report) -> (String, Markup) {
    let Some(seconds) = report.pod.termination_grace_period_seconds else {
        return (UNKNOWN.to_owned(), html! { span.more { "the grace period is not known" } });
    };
    let of = format!("of {}{}", words::chosen(seconds * 1e3), ending::grace_source(&report.pod));
    match report.grace_period_used_ratio.filter(|ratio| ratio.is_finite()) {
        Some(ratio) => (format!("{:.1} %", ratio * 100.0), html! { span.more { (of) } (meter(ratio)) }),
        None => ("–".to_owned(), html! { span.more { (of) } }),
    }
}

/// A bar that is full when the grace period is.
fn meter(ratio: f64) -> Markup {
    let width = format!("{:.1}%", (ratio * 100.0).clamp(0.5, 100.0));
    let class = if ratio > 1.0 {
        "over"
    } else if ratio > 0.8 {
        "near"
    } else {
        "within"
    };
    html! {
        svg.meter aria-hidden="true" width="100%" height="6" {
            rect.all width="100%" height="6" rx="3" {}
            rect class=(class) width=(width) height="6" rx="3" {}
        }
    }
}

fn cut(counts: &ConnectionCounts) -> (String, Markup) {
    let cut = counts.dropped_by_kill.saturating_add(counts.closed_at_exit);
    let work = match counts.in_flight {
        _ if cut == 0 => None,
        0 => Some("none with a request in flight".to_owned()),
        some => Some(format!("{some} with a request in flight")),
    };
    let closed = (counts.closed_gracefully > 0).then(|| format!("{} closed gracefully", counts.closed_gracefully));
    let open = counts.open_at_stop.map(|open| format!("{open} open at the beginning"));
    let more: Vec<String> = work.into_iter().chain(closed).chain(open).collect();
    let value = match (cut, counts.open_at_stop) {
        (0, None) => UNKNOWN.to_owned(),
        (0, Some(_)) => "none".to_owned(),
        (some, _) => some.to_string(),
    };
    (value, html! { span.more { (more.join(", ")) } })
}

fn findings(report: &Report) -> (String, Markup) {
    let number = |severity| report.findings.iter().filter(|finding| finding.severity == severity).count() as u64;
    let parts = [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Info, "remark")]
        .map(|(severity, word)| (number(severity), word));
    let mut parts = parts.into_iter().filter(|(number, _)| *number > 0).map(|(number, word)| count(number, word));
    let value = parts.next().unwrap_or_else(|| "none".to_owned());
    (value, html! { span.more { (parts.collect::<Vec<_>>().join(", ")) } })
}

fn details(report: &Report) -> Markup {
    let pod = &report.pod;
    let about = ending::about(pod);
    let what = if ending::what(pod) == "pod" { "Pod" } else { "Command" };
    let labels = pod.labels.iter().flatten();
    let more = labels.clone().count().saturating_sub(LABELS);
    let chips = html! {
        @for (name, value) in labels.take(LABELS) { span.chip { (name) "=" (value) } " " }
        @if more > 0 { "and " (more) " more" }
    };
    facts(&[
        ("Trigger", Some(html! { (ending::trigger(report)) })),
        ("Started", Some(html! { (started(&report.start_time)) })),
        (what, Some(html! { (about) }).filter(|_| !about.is_empty())),
        ("uid", pod.uid.as_ref().filter(|_| pod.name.is_some()).map(|uid| html! { code { (uid) } })),
        ("Labels", pod.labels.as_ref().filter(|labels| !labels.is_empty()).map(|_| chips)),
    ])
}

/// As people write it, to the millisecond; the machine's form stands behind it.
fn started(time: &str) -> Markup {
    let at: Option<jiff::Timestamp> = time.parse().ok();
    html! {
        @if let Some(at) = at { time datetime=(time) { (at.strftime("%Y-%m-%d %H:%M:%S%.3f UTC")) } } @else { (time) }
    }
}
