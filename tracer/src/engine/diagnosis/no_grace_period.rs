//! `no-grace-period`: the pod was given no time, or at most a second.

use super::{Fired, Rule, apps, evidence};
use crate::report::{KillCause, MetadataSource, Report, Severity, TimelineEvent};

pub(super) const RULE: Rule = Rule {
    id: "no-grace-period",
    severity: Severity::Warning,
    fires: "The grace period was at most 1 s, or the runtime sent SIGKILL without a stop signal before it.",
    means: "That is no time to finish anything. It comes from `kubectl delete --force` or `--grace-period=0`, \
            or from `terminationGracePeriodSeconds` in the pod.",
    advice: "Delete without `--force` and `--grace-period=0`, and give the pod what a drain needs; the \
             default is 30:\n\n\
             \x20   kubectl get pod POD -o jsonpath='{.spec.terminationGracePeriodSeconds}'",
    check,
};

fn check(report: &Report) -> Vec<Fired> {
    let short = report.pod.termination_grace_period_seconds.filter(|grace| *grace <= 1.0);
    let mut fired = Vec::new();
    for container in apps(report) {
        let killed = container.kill.as_ref().is_some_and(|kill| kill.cause == KillCause::NoGracePeriod);
        let summary = match short {
            _ if killed => "SIGKILL came at once, without a stop signal before it".to_owned(),
            Some(grace) if container.stop.is_some() => format!("the grace period is {grace} s"),
            Some(_) | None => continue,
        };
        let advice = match report.pod.metadata_source {
            MetadataSource::Command => "Give --grace-period what a drain needs",
            MetadataSource::Kubernetes | MetadataSource::Cri | MetadataSource::Cgroup => {
                "Delete without --force and --grace-period=0, and set terminationGracePeriodSeconds to what a drain needs"
            }
        };
        let evidence = evidence(report, container, &[TimelineEvent::StopSignalSent, TimelineEvent::KillSent]);
        fired.push(Fired { container: container.name.clone(), summary, evidence, advice: advice.to_owned() });
    }
    fired
}
