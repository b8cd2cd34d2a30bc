//! What the probes learn from a canary: a `SIGURG`, gracetrace's own or anybody's, seen before user
//! space has written down the tick rate. (By default the signal is ignored, so it costs nobody anything.)

use crate::kernel::{Task, boot_ns, jiffies};
use crate::maps::{learn, learnt};
use crate::place::Far;
use tracer_ebpf::learnt;

/// How far up the host's init may be from a canary's sender.
const ANCESTORS: u32 = 64;

/// Takes the sample unless it is there.
#[inline(always)]
pub(crate) fn from_canary() {
    if learnt(learnt::HZ) != 0 {
        return;
    }
    let current = Task::<Far>::current();
    learn(learnt::JIFFIES, jiffies());
    learn(learnt::AT_NS, boot_ns());
    learn(learnt::OWN_NETNS, u64::from(current.netns()));
    let mut task = current;
    for _ in 0..ANCESTORS {
        if task.tgid() == 1 {
            learn(learnt::HOST_NETNS, u64::from(task.netns()));
            break;
        }
        task = task.leader().parent();
    }
}
