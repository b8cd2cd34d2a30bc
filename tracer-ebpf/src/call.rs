//! One run of a hook's program, and the other program that makes up for it where it did not run.
//!
//! The kernel guards a program against recursion, by processor: while it runs there, it is passed over for anything else
//! that happens there. For most hooks that is nothing, but a socket changes its state in processes and in the interrupts
//! that break in on them. And from 7.0 on a *task* can be preempted in the middle of any program: until it runs again every
//! other task of that processor is unseen, for milliseconds. (The kernel counts these as `recursion_misses`, of the whole
//! node, so that nobody can tell whose they were.) So the hooks of sockets have two programs everywhere, and from 7.0 on each hook
//! has: the second does what the first was not there to do.
//!
//! How it knows: where only interrupts come between the two, and have a stack of their own, by what the first one has begun with last;
//! where a task may be preempted between them, by [`marks`] of what was written.

use crate::known::{field, setting};
use crate::marks;
use crate::place::{Far, Near, Place};
use aya_ebpf::programs::RawTracePointContext;
use aya_ebpf::{Argument, EbpfContext};
use core::arch::asm;
use core::ffi::c_void;
use core::marker::PhantomData;
use tracer_ebpf::{nests, slot};

/// A tracepoint, as it is told from others here.
#[derive(Clone, Copy)]
pub(crate) struct HookId {
    slot: u32,
    /// What it tells of happens in interrupts as well as in processes.
    nests: bool,
}

impl HookId {
    pub(crate) const fn of(name: &str) -> Self {
        Self { slot: slot(name), nests: nests(name) }
    }
}

/// What of a tracepoint's first argument may be reckoned with, to spread events over slots: nothing may with a typed pointer itself.
pub(crate) trait Spread {
    fn spread(argument: u64) -> u64;
}

/// All of it: a number, or an address that is one to the verifier.
pub(crate) struct ByAddress;

/// The ports of a socket.
pub(crate) struct ByPorts;

/// Nothing of a task, which is the one that is running.
pub(crate) struct ByTask;

impl Spread for ByAddress {
    #[inline(always)]
    fn spread(argument: u64) -> u64 {
        argument >> 6 ^ argument >> 12
    }
}

impl Spread for ByPorts {
    #[inline(always)]
    fn spread(argument: u64) -> u64 {
        // both of them
        u64::from(Near::of(argument).read::<u32>(field!(sock_dport)))
    }
}

impl Spread for ByTask {
    #[inline(always)]
    fn spread(_argument: u64) -> u64 {
        0
    }
}

/// A run of a program, whose pointers are places to be read as `P`.
pub(crate) struct Call<P = Far, S = ByAddress> {
    /// That of a `tp_btf` program is made the same way.
    pub(crate) ctx: RawTracePointContext,
    hook: HookId,
    /// The hook's second program is running.
    second: bool,
    kind: PhantomData<(P, S)>,
}

impl<P: Place, S: Spread> Call<P, S> {
    #[inline(always)]
    pub(crate) fn first(ctx: *mut c_void, hook: HookId) -> Self {
        Self { ctx: RawTracePointContext::new(ctx), hook, second: false, kind: PhantomData }
    }

    #[inline(always)]
    pub(crate) fn second(ctx: *mut c_void, hook: HookId) -> Self {
        Self { second: true, ..Self::first(ctx, hook) }
    }

    /// Where an argument points to.
    #[inline(always)]
    pub(crate) fn place(&self, index: usize) -> P {
        P::of(self.arg(index))
    }

    /// An argument of the tracepoint.
    #[inline(always)]
    pub(crate) fn arg<T: Argument>(&self, index: usize) -> T {
        self.ctx.arg(index)
    }

    /// A number among them, read once more: what was found out of it before the verifier does not know any more then, and so it goes through
    /// what follows once and not for each way to get there.
    #[inline(always)]
    pub(crate) fn arg_anew(&self, index: usize) -> u64 {
        // SAFETY: the arguments are words, as many as the hook's programs ask for
        unsafe { self.ctx.as_ptr().cast::<u64>().add(index).read_volatile() }
    }

    /// Who is running.
    #[inline(always)]
    pub(crate) fn current(&self) -> P {
        P::current()
    }

    /// The first program has begun.
    #[inline(always)]
    pub(crate) fn begin(&self) {
        if is_told_by_stack() {
            if self.hook.nests {
                marks::begin_at(self.hook.slot, self.event());
            }
        } else if self.is_doubled() {
            let (spread, event) = self.who_and_what();
            marks::begin(spread, event);
        }
    }

    /// Whether the first program, as nearly always, has run for this a moment ago: then all is done. If not it was passed over,
    /// which is counted. (Where it is no longer known, the marks decide what is written.)
    ///
    /// Nothing of the same hook comes between the two in an interrupt, so what was begun with last is this. (Softirqs do not break in on each other, and a
    /// hard interrupt has to leave the packets that it frees to them: `dev_kfree_skb_irq`.) Into a process an interrupt may have broken, which
    /// begins with something else; but a process's first program is never passed over, for nothing goes on below it.
    #[inline(always)]
    pub(crate) fn has_just_been_seen(&self) -> bool {
        let seen = if is_told_by_stack() {
            marks::take_begun_at(self.hook.slot, self.event()) || !self.is_in_interrupt()
        } else {
            let (spread, event) = self.who_and_what();
            marks::take_begun(spread, event)
        };
        if !seen {
            marks::made_up(self.hook.slot);
        }
        seen
    }

    /// Whether the record of this kind is for this program to write: the first one's always, and it leaves a
    /// mark; the second one's if there is no mark.
    ///
    /// The kernel calls both in a row from the same place with the arguments in the same place, on a stack that is
    /// nobody else's meanwhile: that place and what is in it tell the event. (A mark stays where the second program is passed over; it misleads only if the first one then misses the same thing in
    /// the same place.)
    #[inline(always)]
    pub(crate) fn is_due(&self, kind: u16) -> bool {
        if is_told_by_stack() || !self.is_doubled() {
            return true;
        }
        let event = [self.ctx.as_ptr() as u64, self.arg(0), u64::from(kind)];
        if self.second {
            return !marks::take_mark(&event);
        }
        marks::mark(&event);
        true
    }

    #[inline(always)]
    fn is_doubled(&self) -> bool {
        self.hook.nests || setting!(preemptible) != 0
    }

    /// Whether it is an interrupt that calls, which may have broken in on a process: those have a stack of their own.
    #[inline(always)]
    fn is_in_interrupt(&self) -> bool {
        let stack = self.current().read::<u64>(field!(task_stack));
        let end = stack + setting!(stack_bytes);
        let outside: u64;
        // SAFETY: compares numbers. In assembly, because the verifier has the address of the arguments compared and nothing else
        // done with it, and the compiler would subtract.
        unsafe {
            asm!(
                "{outside} = 1",
                "if {place} < {stack} goto +2",
                "if {place} >= {end} goto +1",
                "{outside} = 0",
                outside = out(reg) outside,
                place = in(reg) self.ctx.as_ptr(),
                stack = in(reg) stack,
                end = in(reg) end,
                options(pure, nomem, nostack),
            );
        }
        outside != 0
    }

    /// Enough to tell an event from the one before it.
    #[inline(always)]
    fn event(&self) -> [u64; 2] {
        [self.arg(0), self.arg(1)]
    }

    /// Enough to tell what is going on now from what breaks in on it: the same task is `current` then, and a socket in its hands
    /// is left alone. (The verifier would not have the place compared.) And a number to spread such by.
    #[inline(always)]
    fn who_and_what(&self) -> (u64, [u64; 2]) {
        let (who, what) = (Far::current().0, self.arg(0));
        let slot = u64::from(self.hook.slot);
        (who >> 7 ^ S::spread(what) ^ slot, [who ^ slot << 56, what])
    }
}

/// Where it is so a hook's two programs know exactly whether both were called for an event, and need no marks.
#[inline(always)]
fn is_told_by_stack() -> bool {
    setting!(stack_bytes) != 0
}
