//! Concludes from the facts of a container: outcome, cause of the kill, grace period, trigger.

use super::container::{Container, Sent};
use super::facts::Facts;
use super::hook;
use super::pod::Pod;
use super::runtime_names::{is_kubelet, is_systemd};
use super::signals::by_process;
use crate::input::{BootNs, Process, Session, TraceScope};
use crate::report::{GracePeriodSource, KillCause, Outcome, Trigger, TriggerKind};
use crate::signal;

/// The kubelet takes whole seconds of a preStop hook off the grace period, cutting fractions: a kill
/// may come this much before the period is over, counted from the hook's start.
const TRUNCATION_MS: f64 = 1_500.0;
/// A runtime's timer fires this soon after a whole second.
const TIMER_SLACK_MS: f64 = 250.0;
/// An OOM victim other than init counts as the cause of an end that follows this soon.
const OOM_CONSEQUENCE_MS: f64 = 1_000.0;

/// The grace period and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Grace {
    pub ms: f64,
    pub source: GracePeriodSource,
}

/// When the container's end began: its preStop hook, its stop signal, the kill, or the exit itself.
pub(super) fn began(pod: &Pod, container: &Container, facts: &Facts) -> Option<BootNs> {
    let pre_stop = hook::of(container, facts, pod.kubelet_call.as_ref()).and_then(|hook| hook.start);
    let sent = [&container.stop, &container.kill].into_iter().flatten().map(|sent| sent.at);
    let exit = container.exit.map(|(at, _)| at);
    pre_stop.into_iter().chain(sent).chain(exit).chain(container.emptied).min()
}

/// The grace period as far as it can be known.
#[expect(clippy::cast_precision_loss, reason = "grace periods are far below 2^53 milliseconds")]
pub(super) fn grace(pod: &Pod, container: &Container, facts: &Facts, session: &Session) -> Option<Grace> {
    let from_pod = pod.uid.as_deref().and_then(|uid| facts.pod(uid)).and_then(|pod| pod.grace_ms);
    let annotated = container.id.as_deref().and_then(|id| facts.container(id)).and_then(|facts| facts.grace_ms);
    let told = [
        (from_pod, GracePeriodSource::Pod),
        (annotated, GracePeriodSource::Annotations),
        (session.default_grace_ms, GracePeriodSource::Flag),
    ];
    let told = told.into_iter().find_map(|(ms, source)| ms.map(|ms| Grace { ms: ms as f64, source }));
    told.or_else(|| {
        let (stop, kill) = (container.stop.as_ref()?, container.kill.as_ref()?);
        let elapsed = kill.at.ms_since(stop.at);
        (kill.is_runtimes() && on_a_whole_second(elapsed))
            .then(|| Grace { ms: (elapsed / 1000.0).floor() * 1000.0, source: GracePeriodSource::Inferred })
    })
}

/// Why SIGKILL was sent to init.
pub(super) fn kill_cause(
    container: &Container,
    kill: &Sent,
    grace: Option<Grace>,
    began: BootNs,
    session: &Session,
) -> KillCause {
    if kill.by_dying_init {
        return KillCause::PidNamespaceTeardown;
    }
    if !by_process(kill.code) {
        return if is_oom_killers(container, kill) { KillCause::Oom } else { KillCause::Unknown };
    }
    if is_kubelet(&kill.sender.comm) && kill.is_runtimes() {
        return KillCause::Cleanup;
    }
    let ours = matches!(session.scope, TraceScope::Command { .. }) && kill.sender.tgid == session.tracer_tgid;
    if !ours && !kill.is_runtimes() {
        return if container.killed_by_cgroup { KillCause::CgroupKill } else { KillCause::External };
    }
    let Some(stop) = &container.stop else {
        let blind = !ours && may_have_been_stopped_before(container, grace, session);
        return if blind { KillCause::Unknown } else { KillCause::NoGracePeriod };
    };
    if ours {
        // gracetrace's own timer is never early: sooner, somebody has insisted
        let over = grace.is_some_and(|grace| kill.at.ms_since(stop.at) >= grace.ms);
        return if over { KillCause::GracePeriodExpired } else { KillCause::Cleanup };
    }
    let used_up = grace.is_some_and(|grace| kill.at.ms_since(began) >= grace.ms - TRUNCATION_MS.min(grace.ms / 2.0));
    // a period shortened when the pod was deleted is known only by the runtime's timer
    if used_up || on_a_whole_second(kill.at.ms_since(stop.at)) {
        KillCause::GracePeriodExpired
    } else {
        KillCause::Cleanup
    }
}

/// Whether the OOM killer sent it: it sends first and says afterwards whom it chose, and may be kept waiting in between.
fn is_oom_killers(container: &Container, kill: &Sent) -> bool {
    !by_process(kill.code) && container.oom_victims.iter().any(|(_, victim)| container.is_init(victim))
}

/// Processes the OOM killer chose that have to do with the end: its init, or another one shortly before the
/// exit and not before a stop signal that came in between.
pub(super) fn oom_victims(container: &Container) -> impl Iterator<Item = &(BootNs, Process)> {
    let exit = container.exit.map(|(at, _)| at);
    let stop = container.stop.as_ref().map(|stop| stop.at);
    container.oom_victims.iter().filter(move |(at, victim)| {
        let after_stop = stop.is_none_or(|stop| *at >= stop);
        let near = exit.is_none_or(|exit| exit.ms_since(*at) < OOM_CONSEQUENCE_MS);
        container.is_init(victim) || (after_stop && near)
    })
}

/// Grace period that is assumed where none is known: Kubernetes' default.
const USUAL_GRACE_MS: f64 = 30_000.0;

/// Whether a stop signal may have come before tracing began: the container was there already, and ended, or was killed by its runtime, within
/// its grace period of that moment.
pub(super) fn may_have_been_stopped_before(container: &Container, grace: Option<Grace>, session: &Session) -> bool {
    let limit = grace.map_or(USUAL_GRACE_MS, |grace| grace.ms) + TIMER_SLACK_MS;
    let at = match &container.kill {
        Some(kill) if kill.is_runtimes() && by_process(kill.code) => Some(kill.at),
        Some(_) => None,
        None => container.exit.map(|(at, _)| at),
    };
    container.adopted && container.stop.is_none() && at.is_some_and(|at| at.ms_since(session.started_at) < limit)
}

/// How the container ended. `blind`: a stop signal may have come before tracing began.
pub(super) fn outcome(container: &Container, blind: bool) -> Outcome {
    let Some((exit_at, status)) = container.exit else {
        return Outcome::Unknown;
    };
    if oom_victims(container).any(|(at, victim)| container.is_init(victim) || (*at < exit_at && status.0 != 0)) {
        return Outcome::OomKilled;
    }
    if status.signal() == Some(signal::SIGKILL) {
        return if container.kill.is_some() { Outcome::ForceKilled } else { Outcome::Unknown };
    }
    match (&container.stop, status.code(), status.signal()) {
        // its handler ran and then raised the signal again, as programs do to show what ended them
        (Some(stop), None, Some(fatal)) if fatal == stop.signal && container.delivered.is_some() => Outcome::Graceful,
        (Some(stop), None, Some(fatal)) if fatal == stop.signal => Outcome::Terminated,
        (Some(stop), Some(code), _) if code == 0 || code == 128 + stop.signal => Outcome::Graceful,
        (Some(_), _, _) => Outcome::Failed,
        // what a program leaves with that was told to stop, or that has come to its own end
        (None, Some(0 | 129 | 130 | 131 | 143), _) if blind => Outcome::Unknown,
        (None, Some(0), _) => Outcome::Completed,
        (None, _, _) => Outcome::Crashed,
    }
}

/// How a pod ended whose app containers ended so: the worst of them.
pub(super) fn worst(outcomes: impl IntoIterator<Item = Outcome>) -> Outcome {
    outcomes.into_iter().max_by_key(|outcome| rank(*outcome)).unwrap_or(Outcome::Unknown)
}

fn rank(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Completed => 0,
        Outcome::Graceful => 1,
        Outcome::Terminated => 2,
        Outcome::Failed => 3,
        Outcome::Unknown => 4,
        Outcome::Crashed => 5,
        Outcome::ForceKilled => 6,
        Outcome::OomKilled => 7,
    }
}

/// What set the end off, as far as a node can know.
pub(super) fn trigger(
    pod: &Pod,
    containers: &[&Container],
    facts: &Facts,
    session: &Session,
    outcome: Outcome,
) -> Trigger {
    let of = |kind, evidence: String| Trigger { kind, evidence: Some(evidence) };
    if let Some((_, reason)) = &pod.stop_requested {
        return of(TriggerKind::External, format!("gracetrace run: {reason}"));
    }
    let first = containers
        .iter()
        .flat_map(|container| {
            let kill = container.kill.as_ref().filter(|kill| !is_oom_killers(container, kill));
            [container.stop.as_ref(), kill]
        })
        .flatten()
        .filter(|sent| !sent.by_dying_init)
        .min_by_key(|sent| sent.at);
    let oom = containers.iter().flat_map(|container| oom_victims(container)).min_by_key(|(at, _)| *at);
    if let Some((at, victim)) = oom
        && first.is_none_or(|sent| sent.at.0 + 1_000_000 >= at.0)
    {
        return of(TriggerKind::Oom, format!("the OOM killer chose {} ({})", victim.comm, victim.tgid));
    }
    match first {
        Some(sent) if is_systemd(&sent.sender) => {
            of(TriggerKind::NodeShutdown, format!("{} from systemd (1)", signal::name(sent.signal)))
        }
        Some(sent) if sent.is_runtimes() => of(
            TriggerKind::Unknown,
            format!(
                "{} from the container runtime; why is known to the Kubernetes API alone",
                signal::name(sent.signal)
            ),
        ),
        Some(sent) if sent.sender.tgid == session.tracer_tgid => {
            of(TriggerKind::External, format!("gracetrace run: {}", signal::name(sent.signal)))
        }
        Some(sent) => {
            let Sent { sender, signal: number, .. } = sent;
            of(TriggerKind::External, format!("{} from {} ({})", signal::name(*number), sender.comm, sender.tgid))
        }
        None if outcome == Outcome::Unknown && containers.iter().any(|container| container.adopted) => {
            of(TriggerKind::Unknown, "no stop signal was seen, but it may have come before tracing began".to_owned())
        }
        None if containers.iter().any(|container| hook::of(container, facts, pod.kubelet_call.as_ref()).is_some()) => of(
            TriggerKind::Unknown,
            "the main process ended during its preStop hook; why it was to stop is known to the Kubernetes API alone"
                .to_owned(),
        ),
        None if containers.iter().any(|container| container.exit.is_some()) => {
            of(TriggerKind::ContainerExit, "the main process ended before any stop signal".to_owned())
        }
        None => Trigger { kind: TriggerKind::Unknown, evidence: None },
    }
}

/// Whether a time is what a timer of whole seconds gives.
fn on_a_whole_second(ms: f64) -> bool {
    ms >= 1_000.0 - 1.0 && (ms + 1.0) % 1_000.0 <= TIMER_SLACK_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_of_whole_seconds() {
        for (ms, yes) in
            [(999.5, true), (1003.0, true), (30_012.4, true), (1400.0, false), (400.0, false), (0.3, false)]
        {
            assert_eq!(on_a_whole_second(ms), yes, "{ms}");
        }
    }

    #[test]
    fn the_worst_outcome_is_the_pods() {
        assert_eq!(worst([Outcome::Graceful, Outcome::ForceKilled]), Outcome::ForceKilled);
        assert_eq!(worst([Outcome::Completed, Outcome::Graceful]), Outcome::Graceful);
        assert_eq!(worst([]), Outcome::Unknown);
    }
}
