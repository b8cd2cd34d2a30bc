//! Cgroups: children of a traced one are traced from their first moment on, and so is a new pod.

use crate::call::Call;
use crate::emit::{Outcome, Reason, Urgency, emit};
use crate::kernel::{Cgroup, read_string};
use crate::known::setting;
use crate::maps::{self, Scratch};
use crate::share::Room;
use tracer_ebpf::{cgroup_operation, kind};

/// How far into a name `pod` is looked for: `kubelet-kubepods-besteffort-pod` has 31 bytes.
const SEARCHED: usize = 120;
/// Length of a uid without dashes, as static pods have it; others are longer.
const UID: usize = 32;

/// `cgroup_mkdir(struct cgroup *cgrp, const char *path)`
#[inline(always)]
pub(crate) fn made(ctx: &Call) -> Outcome {
    let cgroup = Cgroup(ctx.place(0));
    if !cgroup.is_watched() {
        return Outcome::Skipped(Reason::OtherHierarchy);
    }
    let id = cgroup.id();
    let pod = match maps::pod_of(cgroup.parent().id()) {
        Some(pod) => pod,
        None if setting!(follow_new_pods) != 0 && is_pods(cgroup.name()) => id,
        None => return Outcome::Skipped(Reason::NotTraced),
    };
    if !maps::track(id, pod) {
        aya_log_ebpf::warn!(&ctx.ctx, "no room to trace cgroup {} of pod {}", id, pod);
        return Outcome::Dropped(kind::CGROUP);
    }
    emit_cgroup(ctx, cgroup, id, pod, cgroup_operation::MADE, ctx.arg(1))
}

/// `cgroup_rmdir(struct cgroup *cgrp, const char *path)`
#[inline(always)]
pub(crate) fn removed(ctx: &Call) -> Outcome {
    report(ctx, cgroup_operation::REMOVED, ctx.arg(1))
}

/// `cgroup_notify_populated(struct cgroup *cgrp, const char *path, int val)`
#[inline(always)]
pub(crate) fn populated(ctx: &Call) -> Outcome {
    if ctx.arg::<i32>(2) != 0 {
        return Outcome::Skipped(Reason::Noise);
    }
    report(ctx, cgroup_operation::EMPTIED, 0)
}

/// `cgroup_release(struct cgroup *cgrp, const char *path)`
#[inline(always)]
pub(crate) fn released(ctx: &Call) -> Outcome {
    let cgroup = Cgroup(ctx.place(0));
    if !cgroup.is_watched() {
        return Outcome::Skipped(Reason::OtherHierarchy);
    }
    let id = cgroup.id();
    match maps::pod_of(id) {
        Some(pod) => {
            maps::untrack(id, pod);
            Outcome::Skipped(Reason::Noted)
        }
        None => Outcome::Skipped(Reason::NotTraced),
    }
}

#[inline(always)]
fn report(ctx: &Call, operation: u32, path: u64) -> Outcome {
    let cgroup = Cgroup(ctx.place(0));
    if !cgroup.is_watched() {
        return Outcome::Skipped(Reason::OtherHierarchy);
    }
    let id = cgroup.id();
    match maps::pod_of(id) {
        Some(pod) => emit_cgroup(ctx, cgroup, id, pod, operation, path),
        None => Outcome::Skipped(Reason::NotTraced),
    }
}

/// The path is the kernel's one buffer for this, valid while the tracepoint runs.
#[inline(always)]
fn emit_cgroup(ctx: &Call, cgroup: Cgroup, id: u64, pod: u64, operation: u32, path: u64) -> Outcome {
    emit::<tracer_ebpf::Cgroup>(ctx, id, Room::All, Urgency::Now, |record| {
        record.parent = cgroup.parent().id();
        record.pod = pod;
        record.operation = operation;
        record.path_len = if path == 0 { 0 } else { read_string(&mut record.path, path) };
    })
}

/// Whether a cgroup's name is a pod's: `pod` at its beginning or after a dash, and a uid after it.
/// (`kubepods-burstable-pod0a1b….slice`, `pod0a1b…`; user space parses it again, in full.)
#[inline(always)]
fn is_pods(name: u64) -> bool {
    let Some(scratch) = maps::scratch() else {
        return false;
    };
    let length = read_string(&mut scratch.name, name) as usize;
    scratch.set_mark(0);
    for at in 0..SEARCHED {
        if at + UID >= length {
            break;
        }
        let begins = at == 0 || scratch.name[at - 1] == b'-';
        if begins && scratch.name[at] == b'p' && scratch.name[at + 1] == b'o' && scratch.name[at + 2] == b'd' {
            scratch.set_mark(at as u32 + 3);
        }
    }
    has_uid(scratch)
}

#[inline(always)]
fn has_uid(scratch: &Scratch) -> bool {
    let begin = (scratch.mark() & 127) as usize;
    for at in 0..UID {
        if !matches!(scratch.name[begin + at], b'0'..=b'9' | b'a'..=b'f' | b'-' | b'_') {
            return false;
        }
    }
    begin != 0
}
