//! `stop-signal-ignored`: the kernel discarded the stop signal, for PID 1 had no handler for it.

use super::{Fired, Rule, apps, evidence, init};
use crate::report::{Report, Severity, Stop, StopDisposition, StopResult, TimelineEvent};

pub(super) const RULE: Rule = Rule {
    id: "stop-signal-ignored",
    severity: Severity::Error,
    fires: "The kernel discarded the stop signal, because PID 1 had no handler for it or ignored it.",
    means: "PID 1 of a container is special: a signal that it has no handler for does nothing, not even what \
            it does to any other process. Nobody was told to stop, so the pod lives until SIGKILL: every stop \
            takes the whole grace period and cuts what is open.",
    advice: "Handle the signal in the program that runs as PID 1. If it cannot, put an init before it that \
             passes signals on:\n\n\
             \x20   ENTRYPOINT [\"tini\", \"--\", \"my-server\"]\n\n\
             What a process handles is in `SigCgt`, what it ignores in `SigIgn`: hexadecimal masks, in which \
             SIGTERM is 4000.\n\n\
             \x20   kubectl exec POD -- grep -E 'SigCgt|SigIgn' /proc/1/status",
    check,
};

fn check(report: &Report) -> Vec<Fired> {
    let mut fired = Vec::new();
    for container in apps(report) {
        let discarded = |stop: &&Stop| stop.result == StopResult::Ignored || stop.discarded_ms.is_some();
        let Some(stop) = container.stop.as_ref().filter(discarded) else {
            continue;
        };
        let init = init(report, container);
        let signal = &stop.signal;
        let summary = match stop.disposition {
            _ if stop.discarded_ms.is_some() && stop.delivered_ms.is_none() => {
                format!("{init} had {signal} blocked, and no handler for it when it let it in: the kernel discarded it")
            }
            _ if stop.discarded_ms.is_some() => format!(
                "the handler of {init} raised {signal} again to end the program: the kernel discarded that, as PID 1 is \
                 not ended by a default action"
            ),
            StopDisposition::Ignore => format!("{init} ignores {signal} (SIG_IGN): the kernel discarded it"),
            StopDisposition::Default => format!("{init} has no {signal} handler: the kernel discarded the signal"),
            StopDisposition::Handler | StopDisposition::Blocked | StopDisposition::Unknown => {
                format!("the kernel discarded {signal} for {init}; why is not known")
            }
        };
        let advice = format!(
            "Handle {signal} in the program that runs as PID 1 (in Node `process.on('{signal}', …)`). Run under an init that \
             forwards signals (tini, dumb-init) it at least ends at once, though it drains nothing; if PID 1 is a shell, \
             start the program with `exec`"
        );
        let evidence = evidence(report, container, &[TimelineEvent::StopSignalSent, TimelineEvent::StopSignalIgnored]);
        fired.push(Fired { container: container.name.clone(), summary, evidence, advice });
    }
    fired
}
