//! `prestop-failed`: the hook ended with a non-zero status, or was killed while its container lived.

use super::{Fired, Rule, apps, evidence};
use crate::report::{Report, Severity, TimelineEvent};

pub(super) const RULE: Rule = Rule { id: "prestop-failed", severity: Severity::Warning, check };

fn check(report: &Report) -> Vec<Fired> {
    let mut fired = Vec::new();
    for container in apps(report) {
        let Some(hook) = &container.pre_stop else {
            continue;
        };
        let how = match (hook.exit_code, &hook.signal) {
            (Some(code), _) if code != 0 => format!("ended with status {code}"),
            // cut down with its container: that is prestop-overran
            (None, Some(signal)) if container.kill.is_none() => format!("was ended by {signal}"),
            _ => continue,
        };
        let summary = format!("the preStop hook {how}");
        let advice = "Run the hook's command by hand in the container; Kubernetes goes on with the stop signal whatever it returns"
            .to_owned();
        let evidence = evidence(report, container, &[TimelineEvent::PreStopStarted, TimelineEvent::PreStopEnded]);
        fired.push(Fired { container: container.name.clone(), summary, evidence, advice });
    }
    fired
}
