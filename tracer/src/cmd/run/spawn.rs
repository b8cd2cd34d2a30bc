//! Starts the command inside its cgroup: the one place where code runs between fork and exec.

use rustix::process::Signal;
use rustix::thread::UnshareFlags;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// Starts `words` in the cgroup whose `cgroup.procs` is `door`, in a process group of its own, so that
/// Ctrl-C reaches gracetrace alone. With `pid_namespace` it is PID 1 of a new one.
pub(super) fn spawn(words: &[OsString], door: File, pid_namespace: bool) -> io::Result<Child> {
    let (program, arguments) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    command.args(arguments).process_group(0);
    // stdout is for reports
    command.stdout(Stdio::from(io::stderr()));
    if io::stdin().is_terminal() {
        // a group in the background that reads from the terminal is stopped (SIGTTIN)
        command.stdin(Stdio::null());
    }
    enter(&mut command, door);
    if !pid_namespace {
        return command.spawn();
    }
    // from here on the thread's children belong to the new namespace, and it can have no more threads;
    // so it is one that ends at once
    let thread = std::thread::Builder::new().name("pid-namespace".to_owned()).spawn(move || {
        new_pid_namespace()?;
        command.spawn()
    })?;
    thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that starts the command has failed")))
}

/// Lets the child enter the cgroup before it becomes the command, so that the start is seen.
fn enter(command: &mut Command, door: File) {
    let enter = move || rustix::io::write(&door, b"0").map(|_| ()).map_err(io::Error::from);
    // SAFETY: between fork and exec the closure makes one system call on a file descriptor that it owns;
    // it allocates nothing, takes no lock and cannot panic (an `Errno` becomes an `io::Error` in place).
    unsafe {
        command.pre_exec(enter);
    }
}

fn new_pid_namespace() -> io::Result<()> {
    // SAFETY: only the PID namespace of future children is unshared, not the table of file descriptors,
    // which is what makes the call dangerous.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWPID) }.map_err(|error| {
        io::Error::new(
            io::Error::from(error).kind(),
            format!("no PID namespace can be made ({error}); run gracetrace as root"),
        )
    })
}

/// The signal of this number, real-time ones included.
pub(super) fn signal(number: i32) -> Option<Signal> {
    if let Some(named) = Signal::from_named_raw(number) {
        return Some(named);
    }
    (crate::signal::SIGRTMIN..=crate::signal::SIGRTMAX).contains(&number).then(|| {
        // SAFETY: in the range of the real-time signals that the C libraries leave to programs.
        unsafe { Signal::from_raw_unchecked(number) }
    })
}
