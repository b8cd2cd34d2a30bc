//! The victim's unsafe corner: signal handlers, signal masks, an inherited descriptor and a true
//! segmentation fault.

use rustix::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

/// When the handler ran first, in nanoseconds since boot; 0 if it has not.
static HANDLED_AT: AtomicU64 = AtomicU64::new(0);
/// The end of the pipe that the handler writes to.
static WAKE: AtomicI32 = AtomicI32::new(-1);

/// `CLOCK_BOOTTIME`, as the tracer's records have it.
pub(crate) fn boot_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// When the signal handler was entered.
pub(crate) fn handled_at() -> u64 {
    HANDLED_AT.load(Ordering::SeqCst)
}

/// Installs a handler for `signal`; the returned end of a pipe becomes readable when it has run.
pub(crate) fn on_signal(signal: libc::c_int) -> &'static OwnedFd {
    /// Both ends, open for as long as the process lives.
    static PIPE: OnceLock<(OwnedFd, OwnedFd)> = OnceLock::new();
    let (reader, writer) = PIPE.get_or_init(|| rustix::pipe::pipe().expect("a pipe"));
    WAKE.store(std::os::fd::AsRawFd::as_raw_fd(&writer.as_fd()), Ordering::SeqCst);
    // SAFETY: an all-zero sigaction is a valid one: no flags, empty mask, SIG_DFL.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as extern "C" fn(libc::c_int) as libc::sighandler_t;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: `action` is initialised and the handler only does what is async-signal-safe.
    let failed = unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
    assert_eq!(failed, 0, "sigaction");
    reader
}

extern "C" fn handler(_: libc::c_int) {
    let now = boot_ns();
    let _first = HANDLED_AT.compare_exchange(0, now, Ordering::SeqCst, Ordering::SeqCst);
    // SAFETY: write(2) is async-signal-safe, the byte outlives the call, the pipe is never closed.
    unsafe { libc::write(WAKE.load(Ordering::SeqCst), (&raw const b"!"[0]).cast(), 1) };
}

/// What is started from now on is in a PID namespace below this process's own, the first one as its PID 1.
pub(crate) fn nest_children() {
    // SAFETY: takes a number, and changes nothing that this process sees
    let failed = unsafe { libc::unshare(libc::CLONE_NEWPID) };
    assert_eq!(failed, 0, "unshare");
}

/// Blocks `signals` in this thread, and so in all it starts later; [`wait_for`] fetches them.
pub(crate) fn block(signals: &[libc::c_int]) -> libc::sigset_t {
    // SAFETY: sigset_t is plain data, made whole by sigemptyset below.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is ours and writable.
    unsafe { libc::sigemptyset(&raw mut set) };
    for signal in signals {
        // SAFETY: `set` was initialised above.
        unsafe { libc::sigaddset(&raw mut set, *signal) };
    }
    // SAFETY: both pointers are valid or null where the call allows it.
    let failed = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
    assert_eq!(failed, 0, "pthread_sigmask");
    set
}

/// Lets `command` start with nothing blocked, whatever this thread blocks.
pub(crate) fn unblock_in_child(command: &mut std::process::Command) {
    let unblock = || {
        // SAFETY: sigset_t is plain data, made whole by sigemptyset below.
        let mut none: libc::sigset_t = unsafe { std::mem::zeroed() };
        // SAFETY: `none` is ours and writable.
        unsafe { libc::sigemptyset(&raw mut none) };
        // SAFETY: `none` is initialised; the child has only this thread.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()) };
        Ok(())
    };
    // SAFETY: the closure only makes async-signal-safe calls and allocates nothing.
    unsafe { std::os::unix::process::CommandExt::pre_exec(command, unblock) };
}

/// Waits in `sigwait` for one of the blocked signals.
pub(crate) fn wait_for(set: &libc::sigset_t) -> libc::c_int {
    let mut signal = 0;
    // SAFETY: `set` is initialised, `signal` writable.
    let failed = unsafe { libc::sigwait(set, &raw mut signal) };
    assert_eq!(failed, 0, "sigwait");
    signal
}

/// Takes over a descriptor that the process was started with.
pub(crate) fn adopt(number: i32) -> OwnedFd {
    // SAFETY: whoever started us left it open for us, and nothing else here knows of it.
    unsafe { std::os::fd::FromRawFd::from_raw_fd(number) }
}

/// As many descriptors as it may have.
pub(crate) fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _kept_as_it_is = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// A fault of its own making, at an address that is never mapped.
pub(crate) fn segv() -> ! {
    // SAFETY: none: the fault is what this program is asked for.
    unsafe { std::ptr::without_provenance_mut::<u8>(8).write_volatile(1) };
    std::process::abort()
}

/// Does `what` in another thread; the process's first one says `leaving` after a moment and leaves for good.
pub(crate) fn without_leader(what: impl FnOnce() + Send, leaving: impl FnOnce()) {
    std::thread::scope(|scope| {
        scope.spawn(what);
        // the command line goes with the first thread, and by that the harness finds the process
        std::thread::sleep(std::time::Duration::from_millis(100));
        leaving();
        // SAFETY: exit(2) ends this thread alone; its stack stays mapped, so what the other one borrows stays valid.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    });
}
