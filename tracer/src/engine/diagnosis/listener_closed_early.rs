//! `listener-closed-early`: the listener closed before the last client came, while the process lived on.

use super::{Fired, Rule, apps, evidence, span};
use crate::report::{Report, Severity, TimelineEvent};

pub(super) const RULE: Rule = Rule {
    id: "listener-closed-early",
    severity: Severity::Warning,
    fires: "The listener closed before the last client came, and the process lived on.",
    means: "The program stops accepting at the stop signal. That is right once nobody is sent here any more, \
            and too early before: whoever came in between was refused.",
    advice: "Put the time that endpoints need before the stop signal, with a preStop hook:\n\n\
             \x20   lifecycle: {preStop: {sleep: {seconds: 10}}}\n\n\
             Or do it in the program: at the stop signal fail the readiness probe, go on accepting for some \
             seconds, then close the listener and drain.",
    check,
};

fn check(report: &Report) -> Vec<Fired> {
    let mut fired = Vec::new();
    for container in apps(report) {
        let (Some(closed), Some(refused)) = (container.listeners_closed_ms, container.connections.last_refused_ms)
        else {
            continue;
        };
        // a listener that went with its process was not closed too early: the process left too early
        let alive = container.exit.as_ref().is_none_or(|exit| exit.at_ms > closed);
        if refused <= closed || !alive {
            continue;
        }
        let after =
            container.stop.as_ref().map(|stop| format!("{} after {}, ", span(closed - stop.at_ms), stop.signal));
        let summary = format!(
            "the listener closed {}and the last client came {} later",
            after.unwrap_or_default(),
            span(refused - closed)
        );
        let advice =
            "Do not close the listener on the stop signal at once: go on accepting for as long as clients may still \
                      come (a preStop sleep does that without a change to the program), then close it and drain"
                .to_owned();
        let evidence = evidence(report, container, &[TimelineEvent::ListenerClosed, TimelineEvent::ConnectionsRefused]);
        fired.push(Fired { container: container.name.clone(), summary, evidence, advice });
    }
    fired
}
