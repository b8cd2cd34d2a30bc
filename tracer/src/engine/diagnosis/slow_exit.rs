//! `slow-exit`: the exit took over 80 % of the grace period, and yet was in time.

use super::{Fired, Rule, apps, evidence, span};
use crate::report::{Outcome, Report, Severity, TimelineEvent};

pub(super) const RULE: Rule = Rule {
    id: "slow-exit",
    severity: Severity::Warning,
    fires: "The exit took more than 80 % of the grace period, and yet was in time.",
    means: "It went well this time. Under load, or with one request that takes longer, it will end in \
            SIGKILL.",
    advice: "Find what the time goes into: in the timeline, what lies between the last connection's end and \
             the exit. Usual causes are a keep-alive timeout that is waited out, background work that does \
             not hear of the stop, and threads that are joined without a bound. Or raise \
             `terminationGracePeriodSeconds`.",
    check,
};

/// Share of the grace period from which on an exit is slow.
const SLOW: f64 = 0.8;

fn check(report: &Report) -> Vec<Fired> {
    let by_itself = match report.outcome {
        Outcome::Graceful | Outcome::Terminated | Outcome::Failed => true,
        Outcome::ForceKilled | Outcome::OomKilled | Outcome::Crashed | Outcome::Completed | Outcome::Unknown => false,
    };
    let used = report.grace_period_used_ratio.filter(|used| by_itself && *used > SLOW);
    let last = apps(report).max_by(|a, b| exit_ms(a).total_cmp(&exit_ms(b)));
    let (Some(used), Some(grace), Some(last)) = (used, report.pod.termination_grace_period_seconds, last) else {
        return Vec::new();
    };
    let took = span(exit_ms(last));
    let summary = format!("the exit took {took}, {:.0} % of the grace period of {grace} s", used * 100.0);
    let advice = format!(
        "Make the exit faster, or give it room: a grace period of {:.0} s would leave half of it unused",
        used * grace * 2.0
    );
    let evidence = evidence(report, last, &[TimelineEvent::StopSignalSent, TimelineEvent::ContainerExited]);
    vec![Fired { container: last.name.clone(), summary, evidence, advice }]
}

fn exit_ms(container: &crate::report::Container) -> f64 {
    container.exit.as_ref().map_or(0.0, |exit| exit.at_ms)
}
