//! `prestop-failed`: the hook ended with a non-zero status, or was killed while its container lived.

use super::{Fired, Rule, apps, evidence};
use crate::report::{Report, Severity, TimelineEvent};

pub(super) const RULE: Rule = Rule {
    id: "prestop-failed",
    severity: Severity::Warning,
    fires: "The preStop hook ended with a non-zero status, or a signal ended it.",
    means: "Kubernetes sends the stop signal all the same, so what the hook should have done may not be done; \
            only an event `FailedPreStopHook` tells of it. Often the image has no shell, or the hook needs a \
            file or a variable that is not there.",
    advice: "Run its command by hand in the container, and look for the event:\n\n\
             \x20   kubectl exec POD -c CONTAINER -- /opt/drain.sh; echo \"status $?\"\n\
             \x20   kubectl get events --field-selector reason=FailedPreStopHook\n\n\
             If it is only to wait, use the kind `sleep`, which needs nothing in the image.",
    check,
};

fn check(report: &Report) -> Vec<Fired> {
    let mut fired = Vec::new();
    for container in apps(report) {
        let Some(hook) = &container.pre_stop else {
            continue;
        };
        // one that the kubelet waited for no more is prestop-overran's, whatever became of it
        if container.stop.as_ref().is_some_and(|stop| hook.end_ms.is_none_or(|end| end > stop.at_ms)) {
            continue;
        }
        // it made the main process end, and went with its namespace
        let with_container = container.exit.as_ref().zip(hook.end_ms).is_some_and(|(exit, end)| end >= exit.at_ms);
        if with_container && hook.signal.as_deref() == Some("SIGKILL") {
            continue;
        }
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
