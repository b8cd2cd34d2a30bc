//! `sidecar-exited-first`: a container that others talk through left before them.

use super::{Fired, Rule, count, evidence, span};
use crate::report::{Container, Report, Severity, TimelineEvent};

pub(super) const RULE: Rule = Rule {
    id: "sidecar-exited-first",
    severity: Severity::Warning,
    fires: "A container left while another one of the pod was still connected to it.",
    means: "A pod's containers get their stop signals at the same time. A proxy that is faster than the app \
            takes the app's connections with it, in the middle of the app's drain.",
    advice: "Run it as a sidecar, which Kubernetes (1.29 and later) stops only after the app containers:\n\n\
             \x20   initContainers:\n\
             \x20   - name: proxy\n\
             \x20     restartPolicy: Always\n\n\
             Or let it wait for the others: many proxies have a setting for it (in Istio \
             `EXIT_ON_ZERO_ACTIVE_CONNECTIONS`), else a preStop hook can.",
    check,
};

/// Closer together than this they left at once.
const TOGETHER_MS: f64 = 50.0;

fn check(report: &Report) -> Vec<Fired> {
    let named = |name: &Option<String>| report.containers.iter().find(|container| container.name == *name);
    let exit_ms = |container: &Container| container.exit.as_ref().map(|exit| exit.at_ms);
    let mut fired = Vec::new();
    for cut in &report.connections.left_first {
        let (Some(left), Some(stayed)) = (named(&cut.left), named(&cut.stayed)) else { continue };
        let (Some(left_at), Some(stayed_at)) = (exit_ms(left), exit_ms(stayed)) else { continue };
        if stayed_at - left_at < TOGETHER_MS {
            continue;
        }
        let other = stayed.name.as_deref().unwrap_or("another container");
        let summary = format!(
            "left {} before {other}, with {} between them",
            span(stayed_at - left_at),
            count(cut.connections, "open connection")
        );
        let advice = format!(
            "Let it outlive {other}: run it as a sidecar (an init container with `restartPolicy: Always`, which Kubernetes stops \
             last), or give it a preStop hook that waits for {other} to be gone"
        );
        let mut events = evidence(report, left, &[TimelineEvent::ContainerExited]);
        events.extend(evidence(report, stayed, &[TimelineEvent::ContainerExited]));
        fired.push(Fired { container: left.name.clone(), summary, evidence: events, advice });
    }
    fired
}
