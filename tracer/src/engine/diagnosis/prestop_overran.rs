//! `prestop-overran`: the hook was still running when the kubelet gave up waiting for it.

use super::{Fired, Rule, apps, evidence, span};
use crate::report::{Report, Severity, TimelineEvent};

pub(super) const RULE: Rule = Rule {
    id: "prestop-overran",
    severity: Severity::Error,
    fires: "The preStop hook was still running when the stop signal came.",
    means: "The hook counts against the grace period. The kubelet waits for it until that is over, or the shorter \
            one of an eviction or a second deletion, and then sends the stop signal; from then on the program has \
            about two seconds until SIGKILL.",
    advice: "Give the hook an end of its own, well inside the grace period:\n\n\
             \x20   timeout 10 /opt/drain.sh\n\n\
             and raise `terminationGracePeriodSeconds` to what hook and drain take together.",
    check,
};

fn check(report: &Report) -> Vec<Fired> {
    let mut fired = Vec::new();
    for container in apps(report) {
        let (Some(hook), Some(stop)) = (&container.pre_stop, &container.stop) else {
            continue;
        };
        let Some(start) = hook.start_ms else { continue };
        let waited = stop.at_ms - start;
        let still_running = hook.end_ms.is_none_or(|end| end > stop.at_ms);
        // how long the runtime took to start the hook counts too and is not seen, so the grace period is no measure
        if !still_running {
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
