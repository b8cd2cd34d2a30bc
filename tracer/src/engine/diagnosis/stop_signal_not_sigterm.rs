//! `stop-signal-not-sigterm`: STOPSIGNAL or lifecycle.stopSignal changed the signal.

use super::{Fired, Rule, apps, evidence};
use crate::report::{Report, Severity, StopDisposition, TimelineEvent};

pub(super) const RULE: Rule = Rule {
    id: "stop-signal-not-sigterm",
    severity: Severity::Info,
    fires: "The stop signal is another one than SIGTERM.",
    means: "The image has a `STOPSIGNAL`, or the pod a `lifecycle.stopSignal`. That is right for programs \
            that stop gracefully on another signal (nginx on SIGQUIT, Apache httpd on SIGWINCH, systemd on \
            SIGRTMIN+3), and a mistake where it was taken over from another image.",
    advice: "Nothing, if it is the program's own signal for a graceful stop. Where it comes from:\n\n\
             \x20   skopeo inspect --config docker://IMAGE | jq .config.StopSignal\n\
             \x20   kubectl get pod POD -o jsonpath='{.spec.containers[*].lifecycle.stopSignal}'",
    check,
};

fn check(report: &Report) -> Vec<Fired> {
    let mut fired = Vec::new();
    for container in apps(report) {
        let Some(stop) = container.stop.as_ref().filter(|stop| stop.signal != "SIGTERM") else {
            continue;
        };
        let signal = &stop.signal;
        let meets = match stop.disposition {
            StopDisposition::Handler => "the program handles it",
            StopDisposition::Blocked => "the program fetches it with sigwait or signalfd",
            StopDisposition::Ignore => "the program ignores it",
            StopDisposition::Default => "the program has no handler for it",
            StopDisposition::Unknown => "what the program does with it is not known",
        };
        let summary = format!("the stop signal is {signal}, not SIGTERM; {meets}");
        let advice = format!(
            "Nothing to change if {signal} is the program's own signal for a graceful stop; \
             it comes from STOPSIGNAL in the image or from lifecycle.stopSignal"
        );
        let evidence = evidence(report, container, &[TimelineEvent::StopSignalSent]);
        fired.push(Fired { container: container.name.clone(), summary, evidence, advice });
    }
    fired
}
