//! One run of a hook's program, and the other program that makes up for it where it did not run.
//!
//! The kernel guards a program against recursion, by processor: while it runs there, it is passed over for anything else
//! that happens there. An interrupt in its middle is short. But from 7.0 on a *task* can be preempted in its
//! middle, and until that task runs again every other task of that processor is unseen, for milliseconds (the
//! kernel counts them as `recursion_misses`, of the whole node, so that nobody can tell whose they were). There
//! each hook has two programs: the second does what the first was not there to do.

use crate::kernel::setting;
use crate::maps;
use aya_ebpf::programs::RawTracePointContext;
use aya_ebpf::{Argument, EbpfContext};

/// A run of a program.
pub(crate) struct Call {
    pub(crate) ctx: RawTracePointContext,
    /// The hook's second program is running.
    second: bool,
}

impl Call {
    #[inline(always)]
    pub(crate) fn first(ctx: RawTracePointContext) -> Self {
        Self { ctx, second: false }
    }

    #[inline(always)]
    pub(crate) fn second(ctx: RawTracePointContext) -> Self {
        Self { ctx, second: true }
    }

    /// An argument of the tracepoint.
    #[inline(always)]
    pub(crate) fn arg<T: Argument>(&self, index: usize) -> T {
        self.ctx.arg(index)
    }

    /// Whether the record of this kind is for this program to write: the first one's always, and it leaves a
    /// mark; the second one's if there is no mark.
    ///
    /// The kernel calls both in a row from the same place with the arguments in the same place, on a stack that is
    /// nobody else's meanwhile: that place and what is in it tell the event. (A mark stays where the second program is
    /// passed over; it misleads only if the first one then misses the same thing in the same place.)
    #[inline(always)]
    pub(crate) fn is_due(&self, kind: u16) -> bool {
        if setting(|s| &s.preemptible) == 0 {
            return true;
        }
        let event = [self.ctx.as_ptr() as u64, self.arg::<u64>(0) ^ u64::from(kind) << 48];
        if self.second {
            return !maps::take_mark(&event);
        }
        maps::mark(&event);
        true
    }
}
