//! Victims of the OOM killer.

use crate::call::Call;
use crate::emit::{Outcome, Reason, Urgency, emit};
use crate::kernel::Task;
use crate::known::setting;
use crate::maps;
use crate::process::fill_process;
use crate::share::Room;
use tracer_ebpf::OomVictim;

/// `mark_victim(struct task_struct *task, uid_t uid)`; before 6.9 and its backports `(int pid)`, from
/// which nothing can be read: the loader says so, and an OOM kill shows as a SIGKILL by the kernel only.
#[inline(always)]
pub(crate) fn victim(ctx: &Call) -> Outcome {
    if setting!(victim_is_task) == 0 {
        return Outcome::Skipped(Reason::Unsupported);
    }
    let task = Task(ctx.place(0));
    let cgroup = task.cgroup();
    if maps::pod_of(cgroup).is_none() {
        return Outcome::Skipped(Reason::NotTraced);
    }
    emit::<OomVictim>(ctx, cgroup, Room::All, Urgency::Now, |record| fill_process(&mut record.process, task))
}
