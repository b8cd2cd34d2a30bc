//! `oom-killed`: the kernel's OOM killer chose a process of the pod.

use super::{Fired, Rule, apps, evidence};
use crate::report::{Report, Severity, TimelineEntry, TimelineEvent};

pub(super) const RULE: Rule = Rule {
    id: "oom-killed",
    severity: Severity::Error,
    fires: "The kernel's OOM killer chose a process of the pod.",
    means: "A container reached its memory limit, or the node ran out of memory. The victim got SIGKILL: no \
            handler ran, and its connections were cut. If it was the main process, the container ended with \
            it; otherwise the container may live on without a part of itself.",
    advice: "Compare what the container uses with its limit, then raise `resources.limits.memory` or find \
             what grows. Files on volumes of `medium: Memory` count as well:\n\n\
             \x20   kubectl top pod POD --containers\n\
             \x20   kubectl get pod POD -o jsonpath='{.spec.containers[*].resources.limits.memory}'\n\n\
             Keep a runtime that sizes its own heap below the limit: `-XX:MaxRAMPercentage=75`, `GOMEMLIMIT`, \
             `--max-old-space-size`.",
    check,
};

fn check(report: &Report) -> Vec<Fired> {
    let mut fired = Vec::new();
    for container in apps(report) {
        let evidence = evidence(report, container, &[TimelineEvent::OomVictim]);
        let victims = || evidence.iter().filter_map(|index| report.timeline.get(*index));
        let is_main = |victim: &&TimelineEntry| victim.pid.is_some() && victim.pid == container.init_pid;
        // `memory.oom.group` takes all of the container, and the main process is what matters then
        let Some(victim) = victims().find(is_main).or_else(|| victims().next()) else {
            continue;
        };
        let comm = victim.comm.as_deref().unwrap_or("a process");
        let pid = victim.pid.map_or_else(String::new, |pid| format!(" (pid {pid})"));
        let which = if is_main(&victim) { "the main process" } else { "not the main process" };
        let others = match evidence.len() - 1 {
            0 => String::new(),
            1 => ", and one more process".to_owned(),
            more => format!(", and {more} more processes"),
        };
        let summary = format!("the OOM killer chose {comm}{pid}, {which}{others}");
        let advice =
            "Raise the container's memory limit, or find what grew: the exit was not the program's own".to_owned();
        fired.push(Fired { container: container.name.clone(), summary, evidence, advice });
    }
    fired
}
