//! `incomplete`: events were lost, or the start or the end was not seen.

use super::{Fired, Rule, count};
use crate::report::{Report, Severity, TimelineEvent};

pub(super) const RULE: Rule = Rule {
    id: "incomplete",
    severity: Severity::Warning,
    fires: "Events were lost, or the ending was not seen from its beginning to its end.",
    means: "The report is true as far as it goes, and not the whole: counts are lower bounds, and what is \
            missing can make no rule fire.",
    advice: "If events were lost, give what the kernel has seen more room:\n\n\
             \x20   gracetrace --ring-buffer-size 64MiB\n\n\
             If the beginning was not seen, start gracetrace before the pod is stopped: as a daemon it has \
             seen every pod from its start. If tracing ended too early, let gracetrace run until the pod has gone.",
    check,
};

fn check(report: &Report) -> Vec<Fired> {
    let completeness = &report.completeness;
    if completeness.complete {
        return Vec::new();
    }
    let summary = match (completeness.events_lost, completeness.start_seen) {
        (0, true) => completeness.reasons.first().cloned().unwrap_or_else(|| "not everything was seen".to_owned()),
        (0, false) => "the beginning was not seen: tracing began too late, or the process was not known".to_owned(),
        (lost, _) => format!("{} of the kernel side lost: counts may be too low", count(lost, "record")),
    };
    let advice = match (completeness.events_lost, completeness.start_seen) {
        (0, true) => {
            "Let gracetrace run until the pod has gone; until then take every count in this report for a lower bound"
        }
        (0, false) => "Start gracetrace before the pod is stopped",
        _ => {
            "Give the ring more room with --ring-buffer-size; until then take every count in this report for a lower bound"
        }
    };
    let entries = report.timeline.iter().enumerate();
    let lost = entries.filter(|(_, entry)| entry.event == TimelineEvent::EventsLost).map(|(index, _)| index);
    vec![Fired { container: None, summary, evidence: lost.collect(), advice: advice.to_owned() }]
}
