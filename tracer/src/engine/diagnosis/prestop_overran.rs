//! `prestop-overran`: the hook was still running when the grace period ended.

use super::{Fired, Rule, apps, evidence, span};
use crate::report::{Report, Severity, TimelineEvent};

pub(super) const RULE: Rule = Rule {
    id: "prestop-overran",
    severity: Severity::Error,
    fires: "The preStop hook was still running when the grace period ended.",
    means: "The hook counts against the grace period. The kubelet stopped waiting for it and sent the stop \
            signal; from then on the program has about two seconds until SIGKILL.",
    advice: "Give the hook an end of its own, well inside the grace period:\n\n\
             \x20   timeout 10 /opt/drain.sh\n\n\
             and raise `terminationGracePeriodSeconds` to what hook and drain take together.",
    check,
};

/// The kubelet stops waiting for the hook when the grace period is over, give or take its own pace.
const SLACK_MS: f64 = 250.0;

fn check(report: &Report) -> Vec<Fired> {
    let Some(grace) = report.pod.termination_grace_period_seconds else {
        return Vec::new();
    };
    let mut fired = Vec::new();
    for container in apps(report) {
        let (Some(hook), Some(stop)) = (&container.pre_stop, &container.stop) else {
            continue;
        };
        let Some(start) = hook.start_ms else { continue };
        let waited = stop.at_ms - start;
        let still_running = hook.end_ms.is_none_or(|end| end > stop.at_ms);
        if !still_running || waited < grace * 1000.0 - SLACK_MS {
            continue;
        }
        let summary =
            format!("the preStop hook was still running when {} came, {} after its start", stop.signal, span(waited));
        let advice =
            "Give the hook an end of its own well inside the grace period: what it used is gone for the stop signal"
                .to_owned();
        let evidence = evidence(report, container, &[TimelineEvent::PreStopStarted, TimelineEvent::StopSignalSent]);
        fired.push(Fired { container: container.name.clone(), summary, evidence, advice });
    }
    fired
}
