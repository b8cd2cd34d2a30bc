//! The floor's unsafe corner: `bpf(2)` itself. A library would want a compiled object, and the program is two instructions.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// `enum bpf_cmd`.
const PROG_LOAD: libc::c_int = 5;
const RAW_TRACEPOINT_OPEN: libc::c_int = 17;
/// `enum bpf_prog_type`.
const RAW_TRACEPOINT: u32 = 17;
/// `r0 = 0; exit`, as `struct bpf_insn` has them.
const RETURN: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 0, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];

/// The head of `union bpf_attr` for `BPF_PROG_LOAD`; the kernel takes the rest for 0.
#[repr(C)]
struct Load {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

/// The same for `BPF_RAW_TRACEPOINT_OPEN`.
#[repr(C)]
struct Open {
    name: u64,
    program: u32,
    padding: u32,
}

/// Loads the program and attaches it; it is there until the descriptor is closed.
pub(super) fn attach(hook: &str) -> io::Result<OwnedFd> {
    let (hook, license) = (CString::new(hook)?, c"Dual MIT/GPL");
    let mut load = Load {
        kind: RAW_TRACEPOINT,
        instruction_count: 2,
        instructions: RETURN.as_ptr().addr() as u64,
        license: license.as_ptr().addr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
        name: [0; 16],
    };
    for (to, from) in load.name[..15].iter_mut().zip(hook.as_bytes()) {
        *to = *from;
    }
    let program = bpf(PROG_LOAD, &load)?;
    let open = Open { name: hook.as_ptr().addr() as u64, program: program.as_raw_fd().cast_unsigned(), padding: 0 };
    bpf(RAW_TRACEPOINT_OPEN, &open)
}

/// A command that gives a descriptor.
fn bpf<A>(command: libc::c_int, attributes: &A) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads as many bytes as it is told, and what they point to outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<A>()) };
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given it, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
