//! The life of processes: made, given another program, gone.

use crate::call::{Call, Spread};
use crate::emit::{Outcome, Reason, Urgency, emit};
use crate::kernel::{Task, boot_ns, current_cgroup, read_user};
use crate::known::{field, setting};
use crate::maps;
use crate::place::Place;
use crate::share::Room;
use tracer_ebpf::{Actor, Caller, Process, ProcessExecuted, ProcessExited, ProcessForked};

/// `SIGNAL_GROUP_EXIT`: `group_exit_code` is the process's status.
const SIGNAL_GROUP_EXIT: u32 = 4;

/// `sched_process_fork(struct task_struct *parent, struct task_struct *child)`
#[inline(always)]
pub(crate) fn forked<P: Place>(ctx: &Call<P, impl Spread>) -> Outcome {
    let child = Task(ctx.place(1));
    let cgroup = child.cgroup();
    let Some(pod) = maps::pod_of(cgroup) else {
        return Outcome::Skipped(Reason::NotTraced);
    };
    if child.tid() != child.tgid() {
        return Outcome::Skipped(Reason::Noise);
    }
    let room = Room::LeftTo(pod);
    emit::<ProcessForked>(ctx, cgroup, room, Urgency::Soon, |record| {
        fill_process(&mut record.child, child.untrusted());
    })
}

/// `sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`
#[inline(always)]
pub(crate) fn executed<P: Place>(ctx: &Call<P, impl Spread>) -> Outcome {
    // it is the one that is running
    let cgroup = current_cgroup(ctx.place(0));
    let Some(pod) = maps::pod_of(cgroup) else {
        return Outcome::Skipped(Reason::NotTraced);
    };
    let task = Task(ctx.place(0)).untrusted();
    let parent = task.parent();
    let parent_cgroup = parent.cgroup();
    // nearly always the parent is of the same container, which needs no look-up
    let from_outside = parent_cgroup != cgroup && !maps::is_of(parent_cgroup, pod);
    let netns = task.netns();
    maps::own_netns(netns, pod);
    let is_containers_first = from_outside && task.ns_tid() == 1;
    // what a runtime starts (a container, a hook) is none of the pod's making, and with a container's first program the report about the
    // one before it is due
    let room = if from_outside { Room::All } else { Room::LeftTo(pod) };
    let urgency = if is_containers_first { Urgency::Now } else { Urgency::Soon };
    emit::<ProcessExecuted>(ctx, cgroup, room, urgency, |record| {
        fill_process(&mut record.process, task);
        fill_actor(&mut record.parent, parent, parent_cgroup);
        record.netns = netns;
        task.exe(&mut record.exe);
        record.argv_len = 0;
        if from_outside {
            let (start, end) = task.arguments();
            let length = end.wrapping_sub(start);
            if read_user(&mut record.argv, start, length) {
                record.argv_len = if length > u64::from(u32::MAX) { u32::MAX } else { length as u32 };
            }
        }
    })
}

/// `sched_process_exit(struct task_struct *p)`, from 6.16 on `(p, bool group_dead)`
#[inline(always)]
pub(crate) fn exited<P: Place>(ctx: &Call<P, impl Spread>) -> Outcome {
    // it is the one that is running
    let cgroup = current_cgroup(ctx.place(0));
    let Some(pod) = maps::pod_of(cgroup) else {
        return Outcome::Skipped(Reason::NotTraced);
    };
    let task = Task(ctx.place(0));
    let leader = task.leader();
    let signal = task.signal();
    // the argument is read in this function, behind the setting: the verifier cuts the read off where
    // the kernel has no such argument (reading it would make the attachment fail)
    let last = if setting!(exit_has_group_dead) != 0 {
        ctx.arg::<u64>(1) & 0xff != 0
    } else {
        signal.read::<u32>(field!(signal_live)) == 0 && maps::first_to_exit(leader.tgid(), leader.start_ns())
    };
    if !last {
        return Outcome::Skipped(Reason::NotLast);
    }
    let is_init = leader.ns_tid() == 1;
    // a command of `gracetrace run` is in the cgroup that is traced itself, and need not be PID 1 of anything
    if is_init || cgroup == pod && !maps::is_of(leader.parent().cgroup(), pod) {
        maps::stop(pod, boot_ns());
    }
    let (room, urgency) = if is_init { (Room::All, Urgency::Now) } else { (Room::LeftTo(pod), Urgency::Soon) };
    emit::<ProcessExited>(ctx, cgroup, room, urgency, |record| {
        fill_process(&mut record.process, task);
        let as_group = signal.read::<u32>(field!(signal_flags)) & SIGNAL_GROUP_EXIT != 0;
        // before 5.19 a last thread that simply ends does not set the group's code; the leader's counts then
        record.status = if as_group { signal.read(field!(signal_group_exit_code)) } else { leader.exit_code() };
        record.netns = task.untrusted().netns();
    })
}

/// Who a task is: the process by its leader, the thread by itself.
#[inline(always)]
pub(crate) fn fill_process(process: &mut Process, task: Task<impl Place>) {
    let leader = task.leader();
    process.tgid = task.tgid();
    process.tid = task.tid();
    process.start_ns = leader.start_ns();
    process.parent_tgid = leader.parent().tgid();
    // SAFETY: in a record, behind whole words
    unsafe { leader.comm(&mut process.comm) };
    // last: there are several ways through it, and the verifier would go each of the pointers above once for each
    process.ns_tgid = leader.ns_tid();
}

/// Who a task is, as the cause of something; and who its parent is, because `runc` itself is gone
/// before anybody could ask.
#[inline(always)]
pub(crate) fn fill_actor(actor: &mut Actor, task: Task<impl Place>, cgroup: u64) {
    let leader = task.leader();
    let parent = leader.parent();
    actor.tgid = task.tgid();
    actor.parent_tgid = parent.tgid();
    actor.cgroup = cgroup;
    // SAFETY: in a record, behind whole words
    unsafe {
        leader.comm(&mut actor.comm);
        parent.leader().comm(&mut actor.parent_comm);
    }
    actor.task_flags = task.flags();
    actor.ns_tgid = leader.ns_tid();
}

/// Who a task is, where only that matters.
#[inline(always)]
pub(crate) fn fill_caller(caller: &mut Caller, task: Task<impl Place>, cgroup: u64) {
    caller.cgroup = cgroup;
    caller.tgid = task.tgid();
    caller.task_flags = task.flags();
    // SAFETY: in a record, behind whole words
    unsafe { task.leader().comm(&mut caller.comm) };
}
