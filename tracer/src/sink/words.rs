//! The words that the formats for people share: durations, plurals, names, outcomes, gaps, and below them
//! whole sentences about each part of a report.

pub(super) mod connections;
pub(super) mod container;
pub(super) mod ending;
pub(super) mod ticks;
pub(super) mod timeline;

use crate::report::{Completeness, Outcome, Pod, Report, Scope};
use crate::text;

/// `2.5 ms`, `812 ms`, `3.1 s`, `142 s`.
pub(super) fn duration(ms: f64) -> String {
    if !ms.is_finite() {
        return UNKNOWN.to_owned();
    }
    let size = ms.abs();
    // bounds are where rounding would carry into the next form: 999.5 ms is 1.0 s
    if size < 0.0005 {
        "0 ms".to_owned()
    } else if size < 0.05 {
        format!("{:.0} µs", ms * 1e3)
    } else if size < 9.95 {
        format!("{ms:.1} ms")
    } else if size < 999.5 {
        format!("{ms:.0} ms")
    } else if size < 99_950.0 {
        format!("{:.1} s", ms / 1e3)
    } else {
        format!("{:.0} s", ms / 1e3)
    }
}

/// `30 s` for a length that people chose: no needless decimals.
pub(super) fn chosen(ms: f64) -> String {
    if ms.is_finite() && ms.abs() >= 1000.0 && ms % 1000.0 == 0.0 { format!("{:.0} s", ms / 1e3) } else { duration(ms) }
}

/// `+30.011 s`: a moment, since the start.
pub(super) fn moment(ms: f64) -> String {
    if ms.is_finite() { format!("{:+.3} s", (ms + 0.0) / 1e3) } else { UNKNOWN.to_owned() }
}

/// What is said of what nobody knows.
pub(super) const UNKNOWN: &str = "unknown";

/// `1 connection`, `2 connections`.
pub(super) fn count(number: u64, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// `shop/web`, or what else names the pod.
pub(super) fn pod(pod: &Pod) -> String {
    let name = match (&pod.namespace, &pod.name, &pod.uid) {
        (Some(namespace), Some(name), _) => format!("{namespace}/{name}"),
        (None, Some(name), _) => name.clone(),
        (_, None, Some(uid)) => format!("uid {uid}"),
        (_, None, None) => "(name unknown)".to_owned(),
    };
    text::clean(&name)
}

/// The container a report is about, if it is about one.
pub(super) fn container(report: &Report) -> Option<String> {
    match report.scope {
        Scope::Pod => None,
        Scope::Container => {
            let name = report.containers.first().and_then(|container| container.name.as_deref());
            Some(text::clean(name.unwrap_or(UNKNOWN)))
        }
    }
}

/// The vocabulary's word.
pub(super) fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Graceful => "Graceful",
        Outcome::Terminated => "Terminated",
        Outcome::Failed => "Failed",
        Outcome::ForceKilled => "ForceKilled",
        Outcome::OomKilled => "OOMKilled",
        Outcome::Crashed => "Crashed",
        Outcome::Completed => "Completed",
        Outcome::Unknown => "Unknown",
    }
}

/// What the report could not see; nothing if nothing was missed.
pub(super) fn gaps(completeness: &Completeness) -> Vec<String> {
    let Completeness { complete, events_lost, start_seen, reasons } = completeness;
    let mut gaps = reasons.clone();
    if !start_seen {
        gaps.push("the beginning was not seen: the ending had begun before tracing did".to_owned());
    }
    if *events_lost > 0 {
        gaps.push(format!("{} lost while this went on", count(*events_lost, "record")));
    }
    if gaps.is_empty() && !complete {
        gaps.push("what is missing is not known".to_owned());
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_fit_the_size() {
        let cases = [
            (0.0, "0 ms"),
            (0.0001, "0 ms"),
            (0.04, "40 µs"),
            (2.52, "2.5 ms"),
            (9.96, "10 ms"),
            (999.4, "999 ms"),
            (999.6, "1.0 s"),
            (30093.2, "30.1 s"),
            (99_949.0, "99.9 s"),
            (3_600_000.0, "3600 s"),
            (-2.5, "-2.5 ms"),
            (f64::NAN, "unknown"),
        ];
        for (ms, text) in cases {
            assert_eq!(duration(ms), text);
        }
        assert_eq!((chosen(30_000.0), chosen(1500.0)), ("30 s".to_owned(), "1.5 s".to_owned()));
        assert_eq!((moment(-0.0), moment(30011.4)), ("+0.000 s".to_owned(), "+30.011 s".to_owned()));
        assert_eq!((count(1, "finding"), count(0, "finding")), ("1 finding".to_owned(), "0 findings".to_owned()));
    }
}
