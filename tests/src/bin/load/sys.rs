//! The load's unsafe corner: a fork without anything around it, and signals to oneself.

use anyhow::{Context, ensure};
use rustix::process::{Signal, WaitOptions, getppid, kill_process, waitpid};
use rustix::thread::{CpuSet, sched_setaffinity};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// SIGTERM has come.
static TOLD: AtomicBool = AtomicBool::new(false);

extern "C" fn handler(_: libc::c_int) {
    TOLD.store(true, Ordering::Relaxed);
}

/// `CLOCK_BOOTTIME`, as the tracer has it.
pub(super) fn boot_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// Waits until somebody asks it to stop, and then does not.
pub(super) fn wait_for_term() {
    disposition(libc::SIGTERM, handler as extern "C" fn(libc::c_int) as libc::sighandler_t);
    while !TOLD.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A system call that is on nobody's hooks.
pub(super) fn untraced() {
    let _parent = getppid();
}

/// Runs on this CPU alone from here on.
pub(super) fn pin(cpu: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).context("can't pin to a CPU")
}

/// One signal to this process, which ignores it or has a handler.
pub(super) fn kill_self(handled: bool) -> anyhow::Result<()> {
    static HANDLED: AtomicBool = AtomicBool::new(true);
    if HANDLED.swap(handled, Ordering::Relaxed) != handled {
        let function = handler as extern "C" fn(libc::c_int) as libc::sighandler_t;
        disposition(libc::SIGTERM, if handled { function } else { libc::SIG_IGN });
    }
    kill_process(rustix::process::getpid(), Signal::TERM).context("kill")
}

fn disposition(signal: libc::c_int, what: libc::sighandler_t) {
    // SAFETY: the handler only stores to an atomic, which is async-signal-safe
    unsafe { libc::signal(signal, what) };
}

/// A child that ends at once.
pub(super) fn fork_and_wait() -> anyhow::Result<()> {
    // SAFETY: one thread, and the child does nothing but leave
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: always
        unsafe { libc::_exit(0) };
    }
    ensure!(child > 0, "fork failed");
    waitpid(rustix::process::Pid::from_raw(child), WaitOptions::empty()).context("waitpid")?;
    Ok(())
}

/// A child that does this and leaves; gives its pid.
pub(super) fn fork_and(work: impl FnOnce()) -> anyhow::Result<rustix::process::Pid> {
    // SAFETY: one thread, so the child may do whatever the parent may
    let child = unsafe { libc::fork() };
    if child == 0 {
        work();
        // SAFETY: always
        unsafe { libc::_exit(0) };
    }
    rustix::process::Pid::from_raw(child).filter(|_| child > 0).context("fork failed")
}
