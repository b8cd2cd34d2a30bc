//! `killed-by-other`: a fatal signal came from a process that is no part of the container runtime.

use super::{Fired, Rule, apps, evidence};
use crate::engine::runtime_names::acts_for_runtime;
use crate::report::{KillCause, Report, Sender, Severity, Stop, TimelineEvent, TriggerKind};

pub(super) const RULE: Rule = Rule {
    id: "killed-by-other",
    severity: Severity::Error,
    fires: "A signal that ended a container came from a process that is no part of the container runtime, or \
            through `cgroup.kill`.",
    means: "Kubernetes did not ask for this. Somebody on the node did: a person, an agent, an OOM daemon in \
            user space. The kubelet only sees that the container has ended, and starts it again.",
    advice: "Look for the sender that the finding names, and for its parent, which often says more:\n\n\
             \x20   ps -o pid,ppid,user,lstart,args -p PID\n\
             \x20   journalctl --since '15 min ago' | grep -iE 'oomd|earlyoom|killed'",
    check,
};

fn check(report: &Report) -> Vec<Fired> {
    let mut fired = Vec::new();
    for container in apps(report) {
        let kill = container.kill.as_ref().filter(|kill| match kill.cause {
            KillCause::External | KillCause::CgroupKill => true,
            KillCause::GracePeriodExpired
            | KillCause::NoGracePeriod
            | KillCause::Oom
            | KillCause::Cleanup
            | KillCause::PidNamespaceTeardown
            | KillCause::Unknown => false,
        });
        let strangers = |stop: &&Stop| !is_runtimes(&stop.sender) && !is_node_shutdowns(&stop.sender);
        let stop = container.stop.as_ref().filter(strangers);
        let stop = stop.filter(|_| report.trigger.kind == TriggerKind::External && !by_run(report));
        let (signal, sender) = match (kill, stop) {
            (Some(kill), _) => ("SIGKILL", kill.sender.as_ref()),
            (None, Some(stop)) => (stop.signal.as_str(), Some(&stop.sender)),
            (None, None) => continue,
        };
        let by = sender.map_or_else(
            || "an unknown process".to_owned(),
            |sender| format!("{} (pid {}, child of {})", sender.comm, sender.pid, sender.parent_comm),
        );
        let summary = format!("{signal} came from {by}, which is no part of the container runtime");
        let advice = "Find out who runs that process on the node: Kubernetes did not ask for this".to_owned();
        let evidence = evidence(report, container, &[TimelineEvent::StopSignalSent, TimelineEvent::KillSent]);
        fired.push(Fired { container: container.name.clone(), summary, evidence, advice });
    }
    fired
}

fn is_runtimes(sender: &Sender) -> bool {
    acts_for_runtime(&sender.comm, &sender.parent_comm)
}

fn is_node_shutdowns(sender: &Sender) -> bool {
    sender.pid == 1 && sender.comm == "systemd"
}

/// `gracetrace run` plays the kubelet's part: its signals are nobody else's.
fn by_run(report: &Report) -> bool {
    report.trigger.evidence.as_deref().is_some_and(|evidence| evidence.starts_with("gracetrace run"))
}
