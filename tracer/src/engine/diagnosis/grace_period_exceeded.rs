//! `grace-period-exceeded`: SIGKILL came because the grace period ran out.

use super::{Fired, Rule, apps, evidence, init, span};
use crate::report::{KillCause, Report, Severity, TimelineEvent};

pub(super) const RULE: Rule = Rule { id: "grace-period-exceeded", severity: Severity::Error, check };

fn check(report: &Report) -> Vec<Fired> {
    let mut fired = Vec::new();
    for container in apps(report) {
        let expired = |kill: &&crate::report::Kill| kill.cause == KillCause::GracePeriodExpired;
        let (Some(kill), Some(stop)) = (container.kill.as_ref().filter(expired), container.stop.as_ref()) else {
            continue;
        };
        let init = init(report, container);
        let after = span(kill.at_ms - stop.at_ms);
        let summary = format!("{init} was still running {after} after {}, and was killed", stop.signal);
        let advice = match report.pod.termination_grace_period_seconds {
            Some(grace) => format!(
                "Find what keeps it from leaving, or raise terminationGracePeriodSeconds above {grace} s: \
                 how much longer it needed cannot be seen, for it was cut off"
            ),
            None => "Find what keeps it from leaving, or raise terminationGracePeriodSeconds".to_owned(),
        };
        let evidence = evidence(report, container, &[TimelineEvent::StopSignalSent, TimelineEvent::KillSent]);
        fired.push(Fired { container: container.name.clone(), summary, evidence, advice });
    }
    fired
}
