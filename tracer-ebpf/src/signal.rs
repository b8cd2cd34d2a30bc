//! Signals: which ones are worth a record, and which deliveries are waited for.

use crate::call::{Call, Spread};
use crate::emit::{Outcome, Reason, Urgency, emit};
use crate::kernel::{SIGTERM, Task, boot_ns, current_cgroup, current_tgid, read};
use crate::known::{Field, field};
use crate::place::Place;
use crate::process::{fill_actor, fill_process};
use crate::share::Room;
use crate::{learn, maps};
use tracer_ebpf::{SignalDelivered, SignalGenerated, handler};

const SIGHUP: u32 = 1;
const SIGINT: u32 = 2;
const SIGQUIT: u32 = 3;
const SIGILL: u32 = 4;
const SIGTRAP: u32 = 5;
const SIGABRT: u32 = 6;
const SIGBUS: u32 = 7;
const SIGFPE: u32 = 8;
const SIGKILL: u32 = 9;
const SIGUSR1: u32 = 10;
const SIGSEGV: u32 = 11;
const SIGUSR2: u32 = 12;
const SIGALRM: u32 = 14;
const SIGCHLD: u32 = 17;
const SIGCONT: u32 = 18;
const SIGURG: u32 = 23;
const SIGVTALRM: u32 = 26;
const SIGPROF: u32 = 27;
const SIGWINCH: u32 = 28;
const SIGIO: u32 = 29;
const SIGPWR: u32 = 30;
const SIGSYS: u32 = 31;
/// The first real-time signal a program can have of the C library (which keeps 32 and 33).
const SIGRTMIN: u32 = 34;

const SI_USER: i32 = 0;
const SI_QUEUE: i32 = -1;
const SI_TKILL: i32 = -6;
const SI_KERNEL: i32 = 0x80;

/// `TRACE_SIGNAL_DELIVERED`: it was queued.
const DELIVERED: u32 = 0;

/// Where a signal comes from, as far as its filter is concerned.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// A process that is not of the target's pod.
    Outside,
    /// The target's pod, or the kernel on behalf of one of its processes (a fault, a timer).
    Inside,
    /// The kernel, while somebody else was running.
    Kernel,
}

/// `signal_generate(int sig, struct kernel_siginfo *info, struct task_struct *t, int group, int result)`
#[inline(always)]
pub(crate) fn generated<P: Place>(ctx: &Call<P, impl Spread>) -> Outcome {
    let signal: u32 = ctx.arg(0);
    let target = Task(ctx.place(2));
    let cgroup = target.cgroup();
    if signal == SIGURG {
        learn::from_canary();
    }
    let Some(pod) = maps::known_pod_of(cgroup) else {
        return Outcome::Skipped(Reason::NotTraced);
    };
    let code = code::<P>(ctx.arg(1));
    let current = ctx.current();
    let sender_cgroup = current_cgroup(current);
    // a signal between two processes of one container, or to oneself, needs no second look-up
    let origin = origin(code, || sender_cgroup == cgroup || maps::is_of(sender_cgroup, pod));
    if !is_wanted(signal, origin, pod) {
        return Outcome::Skipped(Reason::Noise);
    }
    let result: u32 = ctx.arg(4);
    // any signal can be an image's STOPSIGNAL, so any that comes from outside begins the watch over sockets
    if origin == Origin::Outside {
        maps::stop(pod, boot_ns());
    }
    if result == DELIVERED && signal != SIGKILL && (origin == Origin::Outside || asks_to_stop(signal)) {
        maps::expect(target.tgid(), signal, target.untrusted().leader().start_ns());
    }
    let (room, urgency) = if signal == SIGKILL || origin == Origin::Outside {
        (Room::All, Urgency::Now)
    } else {
        (Room::LeftTo(pod), Urgency::Soon)
    };
    emit::<SignalGenerated>(ctx, cgroup, room, urgency, |record| {
        fill_process(&mut record.target, target);
        fill_actor(&mut record.sender, Task(current), sender_cgroup);
        record.signal = signal;
        record.code = code;
        record.group = ctx.arg(3);
        record.result = result;
        record.handler = kind_of(target.untrusted().handler(signal));
        record.blocked = u32::from(target.blocks(signal));
    })
}

/// `signal_deliver(int sig, struct kernel_siginfo *info, struct k_sigaction *ka)`
#[inline(always)]
pub(crate) fn delivered<P: Place>(ctx: &Call<P, impl Spread>) -> Outcome {
    let signal: u32 = ctx.arg(0);
    let tgid = current_tgid();
    let Some(start_ns) = maps::expected(tgid, signal) else {
        return Outcome::Skipped(Reason::NotTraced);
    };
    maps::seen(tgid, signal);
    let current = ctx.current();
    let task = Task(current).untrusted();
    let cgroup = current_cgroup(current);
    // the tgid may be somebody else's by now
    if task.leader().start_ns() != start_ns || maps::pod_of(cgroup).is_none() {
        return Outcome::Skipped(Reason::NotTraced);
    }
    emit::<SignalDelivered>(ctx, cgroup, Room::All, Urgency::Soon, |record| {
        fill_process(&mut record.process, task);
        record.signal = signal;
        record.handler = kind_of(ctx.place(2).read(field!(k_sigaction_handler)));
    })
}

/// `si_code`. `info` is a pointer unless it is 0 (`SEND_SIG_NOINFO`) or 1 (`SEND_SIG_PRIV`).
#[inline(always)]
fn code<P: Place>(info: u64) -> i32 {
    match info {
        0 => SI_USER,
        1 => SI_KERNEL,
        // what may be such a number is nothing to load from to every verifier, unless the program says so (6.18 takes it for a pointer, 6.12 and 7.3 do not)
        _ => match P::untrusted_siginfo(info) {
            Some(info) => info.read(field!(siginfo_code)),
            None => read(info, field!(siginfo_code).word()),
        },
    }
}

/// `current`, of whom `is_inside` tells whether it is of the target's pod, is the sender only if `si_code` says that a process sent it.
#[inline(always)]
fn origin(code: i32, is_inside: impl FnOnce() -> bool) -> Origin {
    if code != SI_USER && code != SI_QUEUE && code != SI_TKILL && code != SI_KERNEL {
        return Origin::Inside;
    }
    if is_inside() {
        Origin::Inside
    } else if code == SI_KERNEL {
        Origin::Kernel
    } else {
        Origin::Outside
    }
}

#[inline(always)]
fn is_wanted(signal: u32, origin: Origin, pod: u64) -> bool {
    if signal == SIGKILL {
        return true;
    }
    if signal == SIGCHLD {
        // a child's end has a code of its own (`CLD_EXITED` …) and is of the inside
        return origin == Origin::Outside;
    }
    match origin {
        Origin::Outside => true,
        Origin::Kernel => !is_chatter(signal),
        Origin::Inside => match signal {
            SIGHUP | SIGINT | SIGQUIT | SIGILL | SIGTRAP | SIGABRT | SIGBUS | SIGFPE | SIGSEGV | SIGTERM | SIGSYS => {
                true
            }
            _ => !is_chatter(signal) && maps::is_stopping(pod),
        },
    }
}

/// Timers, I/O notices, job control, and the C library's own: no end of anything.
#[inline(always)]
fn is_chatter(signal: u32) -> bool {
    matches!(signal, SIGURG | SIGALRM | SIGPROF | SIGVTALRM | SIGIO | SIGWINCH | SIGCONT | 32 | 33)
}

/// Signals that images and runtimes name as the stop signal.
#[inline(always)]
fn asks_to_stop(signal: u32) -> bool {
    matches!(signal, SIGTERM | SIGINT | SIGQUIT | SIGHUP | SIGUSR1 | SIGUSR2 | SIGWINCH | SIGPWR) || signal >= SIGRTMIN
}

/// `sa_handler` as the ABI tells it.
#[inline(always)]
fn kind_of(sa_handler: u64) -> u32 {
    match sa_handler {
        0 => handler::DEFAULT,
        1 => handler::IGNORE,
        _ => handler::FUNCTION,
    }
}
