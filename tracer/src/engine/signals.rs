//! What a signal means to the end of a container: its stop signal, its kill, or one passed on inside.

use super::container::{Container, Forwarded, Sent, same};
use super::pod::Context;
use crate::input::{Actor, Disposition, Process, SignalResult, TraceScope};
use crate::signal::{SIGINT, SIGKILL, SIGQUIT, SIGTERM};
use std::borrow::Borrow;

/// `SI_KERNEL`: the kernel itself sent the signal.
const SI_KERNEL: i32 = 0x80;
/// `SI_USER` (`kill`), `SI_QUEUE` (`sigqueue`), `SI_TKILL` (`tgkill`): a process did. Any other code is the
/// kernel's (a timer, a fault), and whoever was running then is a bystander.
const BY_PROCESS: [i32; 3] = [0, -1, -6];
/// Forwarded signals told one by one.
const MAX_FORWARDED: usize = 64;

/// Whether a process sent it.
pub(super) fn by_process(code: i32) -> bool {
    BY_PROCESS.contains(&code)
}

/// Whether it is the kernel taking down a PID namespace whose PID 1 is leaving.
pub(super) fn is_teardown(code: i32, sender: &Actor) -> bool {
    code == SI_KERNEL && sender.exiting && sender.ns_tgid == 1
}

/// Takes a signal to a process of the container.
pub(super) fn signalled(
    container: &mut Container,
    context: &Context<'_>,
    target: &Process,
    sent: &Sent<&Actor>,
    group: bool,
    sender_in_pod: bool,
) {
    if sent.signal == SIGKILL {
        killed(container, target, sent, group);
        return;
    }
    let to_init = container.is_init(target);
    if to_init && !sender_in_pod && is_stop(context, container, sent) {
        if container.stop.is_some() {
            // what came before was somebody's signal that the program lived through, not its end
            container.begin_anew(sent.at);
        }
        container.begin(sent.at);
        container.stop = Some(sent.kept());
    }
    if container.stop.as_ref().is_none_or(|stop| stop.signal != sent.signal) {
        return;
    }
    container.signalled.insert(target.tgid);
    if sender_in_pod && !to_init && container.forwarded.len() < MAX_FORWARDED {
        let forwarded = Forwarded { at: sent.at, signal: sent.signal, from: sent.sender.clone(), to: target.clone() };
        container.forwarded.push(forwarded);
    }
}

fn killed(container: &mut Container, target: &Process, sent: &Sent<&Actor>, group: bool) {
    let to_init = container.is_init(target);
    let from_init = container.init.as_ref().is_some_and(|init| init.tgid == sent.sender.tgid);
    if sent.by_dying_init && !to_init {
        // a namespace nested in the container ends with its own PID 1, which is not the container's
        let nested = sent.sender.cgroup == container.cgroup && !from_init;
        // the kernel signals zombies as well: what has left by itself is not killed
        let alive = container.processes.get(target.tgid).is_some_and(|tracked| same(&tracked.process, target));
        if !nested && alive && container.ending.is_some() {
            container.killed_by_pid_namespace.insert(target.tgid);
        }
        return;
    }
    // a dying PID 1 kills its own other threads the same way; and inside its own namespace nobody can
    // kill it, the kernel ignores that
    let own_threads = sent.by_dying_init && from_init;
    if !to_init || own_threads || container.exit.is_some() || sent.result == SignalResult::Ignored {
        return;
    }
    container.begin(sent.at);
    // cgroup.kill signals each process by itself, kill() the group
    container.killed_by_cgroup |= !group && sent.code == 0;
    container.kill.get_or_insert_with(|| sent.kept());
}

/// Whether a signal from outside to PID 1 is the stop signal: the first that asks it to end, or the one that
/// was meant to, if a stranger's came before. A reload (SIGHUP, SIGUSR1 …) by somebody on the node is none.
fn is_stop(context: &Context<'_>, container: &Container, sent: &Sent<&Actor>) -> bool {
    let dying =
        sent.result == SignalResult::Ignored && matches!(sent.disposition, Disposition::Handler | Disposition::Blocked);
    if container.exit.is_some() || container.kill.is_some() || dying || !by_process(sent.code) {
        return false;
    }
    let meant = is_meant(context, container, sent);
    match &container.stop {
        Some(earlier) => meant && !is_meant(context, container, earlier),
        None => meant || matches!(sent.signal, SIGTERM | SIGINT | SIGQUIT),
    }
}

/// Whether it comes from who stops this container: gracetrace for its own command, the runtime otherwise.
fn is_meant<By: Borrow<Actor>>(context: &Context<'_>, container: &Container, sent: &Sent<By>) -> bool {
    let sender = sent.sender.borrow();
    match &context.session.scope {
        TraceScope::Command { stop_signal, .. } => {
            sender.tgid == context.session.tracer_tgid && sent.signal == *stop_signal
        }
        TraceScope::Node | TraceScope::Pod { .. } => {
            let id = container.id.as_deref();
            let declared = id.and_then(|id| context.facts.container(id)).and_then(|facts| facts.stop_signal);
            sent.is_runtimes() && declared.is_none_or(|declared| declared == sent.signal)
        }
    }
}
