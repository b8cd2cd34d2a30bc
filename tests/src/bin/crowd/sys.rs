//! The crowd's unsafe corner: a process that is PID 1 and in a cgroup of its own before it becomes its program, as a
//! container runtime has it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

/// Starts it as PID 1 of a new namespace, in the cgroup whose `cgroup.procs` is `door`.
pub(crate) fn spawn(command: &mut Command, door: File) -> io::Result<Child> {
    let home = File::open("/proc/self/ns/pid")?;
    let enter = move || rustix::io::write(&door, b"0").map(|_| ()).map_err(io::Error::from);
    // SAFETY: between fork and exec the closure makes one system call on a descriptor that it owns; it allocates nothing.
    unsafe { command.pre_exec(enter) };
    // SAFETY: only the PID namespace of future children is unshared, not the table of file descriptors.
    unsafe { unshare_unsafe(UnshareFlags::NEWPID) }?;
    let child = command.spawn();
    // the next one's namespace is no child of this one's
    move_into_link_name_space(home.as_fd(), Some(LinkNameSpaceType::ProcessID))?;
    child
}

/// Raises the limit of descriptors as far as it goes; how many that is. (More than its hard limit even root may not have without
/// `CAP_SYS_RESOURCE`.)
pub(crate) fn raise_descriptor_limit() -> anyhow::Result<u64> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(maximum.unwrap_or(u64::MAX))
}

/// A container runtime is known by its name.
pub(crate) fn call_oneself_runc() -> anyhow::Result<()> {
    Ok(rustix::thread::set_name(c"runc")?)
}
