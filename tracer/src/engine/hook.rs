//! The preStop hook of a container's end: which program it was, or what its declaration tells of it.

use super::container::{Container, RuntimeExec, Tracked};
use super::facts::Facts;
use super::pod::is_pre_stop;
use crate::input::{BootNs, FactSource, KubeletCall, PreStop, WaitStatus};
use crate::report::{HookEvidence, PreStopKind};

/// The kubelet sends the stop signal this soon after a hook has ended.
const THEN_STOP_MS: f64 = 250.0;
/// Nor does a runtime that is kept busy take longer than this to send it.
const STOP_MS: f64 = 10_000.0;

/// A hook that ran, as far as it is known.
#[derive(Clone, Debug)]
pub(super) struct Hook {
    pub kind: PreStopKind,
    pub known_by: HookEvidence,
    /// `None` if it is not known when.
    pub start: Option<BootNs>,
    pub end: Option<BootNs>,
    pub status: Option<WaitStatus>,
    /// The program, if it was one.
    pub process: Option<(u32, String)>,
}

/// The hook that belongs to the container's end. `call`: what the kubelet had last to do with the pod.
pub(super) fn of(container: &Container, facts: &Facts, call: Option<&KubeletCall>) -> Option<Hook> {
    let known = container.id.as_deref().and_then(|id| facts.container(id));
    let declared = known.and_then(|facts| facts.pre_stop.as_ref());
    match (declared, known.map(|facts| facts.source)) {
        (Some(PreStop::Exec { .. }), _) => {
            let is_it = |exec: &RuntimeExec, comm: &str| {
                exec.argv.as_ref().is_some_and(|argv| is_pre_stop(facts, container, argv, comm))
            };
            Some(exec_hook(last_before_stop(container, is_it)?, HookEvidence::Arguments))
        }
        (Some(PreStop::HttpGet { port }), _) => {
            let stop = stopped_by_runtime(container)?;
            let call = call.filter(|call| port.is_none_or(|port| port == call.port));
            Some(match call.and_then(|call| called_before(stop, call)) {
                Some((start, end)) => Hook {
                    known_by: HookEvidence::Timing,
                    ..declared_hook(PreStopKind::HttpGet, Some(start), Some(end))
                },
                None => declared_hook(PreStopKind::HttpGet, None, None),
            })
        }
        (Some(PreStop::Sleep { ms }), _) => {
            let end = stopped_by_runtime(container)?;
            let start = BootNs(end.0.saturating_sub(ms.saturating_mul(1_000_000)));
            Some(declared_hook(PreStopKind::Sleep, Some(start), Some(end)))
        }
        (None, Some(FactSource::Kubernetes | FactSource::Cri)) => None,
        // nobody tells whether there is one: what a runtime ran here until just before the stop signal
        (None, Some(FactSource::Cgroup) | None) => {
            let stop = stopped_by_runtime(container)?;
            let execs = container.runtime_execs();
            let then_stop =
                |exec: &RuntimeExec| exec.exit.is_some_and(|(at, _)| at <= stop && stop.ms_since(at) < THEN_STOP_MS);
            let found = execs.into_iter().find(|(exec, _)| exec.at < stop && then_stop(exec))?;
            Some(exec_hook(found, HookEvidence::Timing))
        }
    }
}

fn last_before_stop(
    container: &Container,
    is_it: impl Fn(&RuntimeExec, &str) -> bool,
) -> Option<(&RuntimeExec, &Tracked)> {
    let limit = [&container.stop, &container.kill].into_iter().flatten().map(|sent| sent.at).min();
    let limit = limit.or(container.exit.map(|(at, _)| at))?;
    // what had ended long before was somebody's who ran the same by hand
    let is_near = |exec: &RuntimeExec| exec.exit.is_none_or(|(at, _)| at >= limit || limit.ms_since(at) < STOP_MS);
    let is_it = |exec: &RuntimeExec, tracked: &Tracked| is_it(exec, &tracked.process.comm);
    container
        .runtime_execs()
        .into_iter()
        .rfind(|(exec, tracked)| exec.at <= limit && is_near(exec) && is_it(exec, tracked))
}

/// When the kubelet, through the runtime, sent the stop signal: only then did a hook run before.
fn stopped_by_runtime(container: &Container) -> Option<BootNs> {
    container.stop.as_ref().filter(|stop| stop.is_runtimes()).map(|stop| stop.at)
}

/// The kubelet's last connection, if the stop signal followed its end, or it was open then: a probe's would have been
/// closed long before, but for chance.
fn called_before(stop: BootNs, call: &KubeletCall) -> Option<(BootNs, BootNs)> {
    let end = call.closed.filter(|closed| *closed <= stop).unwrap_or(stop);
    (call.opened < stop && stop.ms_since(end) < THEN_STOP_MS).then_some((call.opened, end))
}

fn exec_hook((exec, tracked): (&RuntimeExec, &Tracked), known_by: HookEvidence) -> Hook {
    Hook {
        kind: PreStopKind::Exec,
        known_by,
        start: Some(exec.at),
        end: exec.exit.map(|(at, _)| at),
        status: exec.exit.map(|(_, status)| status),
        process: Some((tracked.process.tgid, tracked.process.comm.to_string())),
    }
}

fn declared_hook(kind: PreStopKind, start: Option<BootNs>, end: Option<BootNs>) -> Hook {
    Hook { kind, known_by: HookEvidence::Declaration, start, end, status: None, process: None }
}
