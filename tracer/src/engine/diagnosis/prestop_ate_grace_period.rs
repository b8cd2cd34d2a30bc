//! `prestop-ate-grace-period`: the preStop hook used over half of the grace period.

use super::{Fired, Rule, apps, evidence, span};
use crate::report::{Report, Severity, TimelineEvent};

pub(super) const RULE: Rule = Rule {
    id: "prestop-ate-grace-period",
    severity: Severity::Warning,
    fires: "The preStop hook took more than half of the grace period.",
    means: "The hook counts against the grace period. What it takes is missing for the drain, and a slow \
            drain then ends in SIGKILL.",
    advice: "Shorten the hook: until endpoints are gone, 5 to 15 s are usual. Or raise \
             `terminationGracePeriodSeconds` to what the hook and the longest request take together.",
    check,
};

fn check(report: &Report) -> Vec<Fired> {
    let Some(grace) = report.pod.termination_grace_period_seconds else {
        return Vec::new();
    };
    let mut fired = Vec::new();
    for container in apps(report) {
        let ended = container.pre_stop.as_ref().and_then(|hook| Some((hook.start_ms?, hook.end_ms?)));
        let Some((start, end)) = ended else {
            continue;
        };
        let took = end - start;
        let before_stop = container.stop.as_ref().is_none_or(|stop| end <= stop.at_ms);
        if took <= grace * 500.0 || !before_stop {
            continue;
        }
        let summary = format!("the preStop hook took {} of a grace period of {grace} s", span(took));
        let advice = format!(
            "Shorten the hook, or raise terminationGracePeriodSeconds to {:.0}: its time counts against the period",
            (took / 500.0).ceil()
        );
        let evidence = evidence(report, container, &[TimelineEvent::PreStopStarted, TimelineEvent::PreStopEnded]);
        fired.push(Fired { container: container.name.clone(), summary, evidence, advice });
    }
    fired
}
