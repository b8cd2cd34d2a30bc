//! Every read of kernel memory. An address is a number here, never a reference: what stands behind it
//! is read by a helper that survives a wrong address and gives zero.

use aya_ebpf::helpers::{self, generated};
use core::ffi::c_void;
use tracer_ebpf::{ABSENT, Offsets, Settings};

/// Where things are; overridden by the loader.
#[unsafe(no_mangle)]
static OFFSETS: Offsets = Offsets::NONE;

/// What differs here; overridden by the loader.
#[unsafe(no_mangle)]
static SETTINGS: Settings = Settings {
    exit_has_group_dead: 0,
    reset_has_reason: 0,
    victim_is_task: 0,
    follow_new_pods: 0,
    wakeup_bytes: 0,
    drop_reason_no_socket: 0,
    preemptible: 0,
    hierarchy_id: 0,
    subsys: 0,
    reserved: 0,
};

/// One word of [`OFFSETS`]; the struct itself (250 bytes) must not come to the stack.
#[inline(always)]
pub(crate) fn offset(word: impl FnOnce(&Offsets) -> &u32) -> u32 {
    // SAFETY: a reference to a static is valid; volatile, because the loader changes what the compiler saw
    unsafe { core::ptr::read_volatile(word(&OFFSETS)) }
}

/// One word of [`SETTINGS`].
#[inline(always)]
pub(crate) fn setting(word: impl FnOnce(&Settings) -> &u32) -> u32 {
    // SAFETY: as above
    unsafe { core::ptr::read_volatile(word(&SETTINGS)) }
}

/// An integer as the kernel keeps it.
pub(crate) trait Word: Copy {
    const ZERO: Self;
}

macro_rules! word {
    ($($integer:ty),*) => { $(impl Word for $integer { const ZERO: Self = 0; })* };
}

word!(u8, u16, u32, u64, i32);

/// The integer at `base` + `offset`; zero if the field does not exist or cannot be read.
#[inline(always)]
pub(crate) fn read<T: Word>(base: u64, offset: u32) -> T {
    let mut value = T::ZERO;
    if offset != ABSENT {
        let source = base.wrapping_add(u64::from(offset)) as *const c_void;
        // SAFETY: the destination is a local of that size; the source may be anything. A failed read
        // leaves zeroes.
        unsafe { generated::bpf_probe_read_kernel((&raw mut value).cast(), size_of::<T>() as u32, source) };
    }
    value
}

/// The bytes at `base` + `offset`; zeroes if they cannot be read.
#[inline(always)]
pub(crate) fn read_bytes<const N: usize>(into: &mut [u8; N], base: u64, offset: u32) {
    let source = if offset == ABSENT { 0 } else { base.wrapping_add(u64::from(offset)) };
    // SAFETY: the destination is that long; the source may be anything
    unsafe { generated::bpf_probe_read_kernel(into.as_mut_ptr().cast(), N as u32, source as *const c_void) };
}

/// A string of the kernel's at `address`; how many bytes it has, without the NUL.
#[inline(always)]
pub(crate) fn read_string<const N: usize>(into: &mut [u8; N], address: u64) -> u32 {
    // SAFETY: the destination is that long; the source may be anything
    let read =
        unsafe { generated::bpf_probe_read_kernel_str(into.as_mut_ptr().cast(), N as u32, address as *const c_void) };
    if read > 0 { read as u32 - 1 } else { 0 }
}

/// `length` bytes at most of the current process's memory; false if they cannot be read without waiting.
#[inline(always)]
pub(crate) fn read_user<const N: usize>(into: &mut [u8; N], address: u64, length: u64) -> bool {
    let length = if length > N as u64 { N as u64 } else { length };
    // SAFETY: the destination is at least that long; the source may be anything
    let failed =
        unsafe { generated::bpf_probe_read_user(into.as_mut_ptr().cast(), length as u32, address as *const c_void) };
    failed == 0
}

/// Nanoseconds since boot, suspend included.
#[inline(always)]
pub(crate) fn boot_ns() -> u64 {
    // SAFETY: takes nothing
    unsafe { helpers::bpf_ktime_get_boot_ns() }
}

/// `jiffies_64`.
#[inline(always)]
pub(crate) fn jiffies() -> u64 {
    // SAFETY: takes nothing
    unsafe { helpers::bpf_jiffies64() }
}

/// The CPU this runs on.
#[inline(always)]
pub(crate) fn cpu() -> u32 {
    // SAFETY: takes nothing
    unsafe { helpers::bpf_get_smp_processor_id() }
}

/// Whether cgroups of a v1 hierarchy are watched, and not v2's.
#[inline(always)]
pub(crate) fn is_v1() -> bool {
    setting(|s| &s.hierarchy_id) != 0
}

/// Id of the cgroup of `current` in the hierarchy that is watched.
#[inline(always)]
pub(crate) fn current_cgroup() -> u64 {
    if is_v1() {
        return Task::current().cgroup();
    }
    // SAFETY: takes nothing
    unsafe { helpers::bpf_get_current_cgroup_id() }
}

/// Thread group id of `current`.
#[inline(always)]
pub(crate) fn current_tgid() -> u32 {
    (helpers::bpf_get_current_pid_tgid() >> 32) as u32
}

/// A `struct task_struct`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Task(pub(crate) u64);

impl Task {
    /// Who is running.
    #[inline(always)]
    pub(crate) fn current() -> Self {
        // SAFETY: takes nothing
        Self(unsafe { helpers::bpf_get_current_task() })
    }

    #[inline(always)]
    pub(crate) fn leader(self) -> Self {
        Self(read(self.0, offset(|o| &o.task_group_leader)))
    }

    #[inline(always)]
    pub(crate) fn parent(self) -> Self {
        Self(read(self.0, offset(|o| &o.task_real_parent)))
    }

    #[inline(always)]
    pub(crate) fn tgid(self) -> u32 {
        read(self.0, offset(|o| &o.task_tgid))
    }

    #[inline(always)]
    pub(crate) fn tid(self) -> u32 {
        read(self.0, offset(|o| &o.task_pid))
    }

    #[inline(always)]
    pub(crate) fn flags(self) -> u32 {
        read(self.0, offset(|o| &o.task_flags))
    }

    #[inline(always)]
    pub(crate) fn start_ns(self) -> u64 {
        read(self.0, offset(|o| &o.task_start_boottime))
    }

    #[inline(always)]
    pub(crate) fn exit_code(self) -> u32 {
        read(self.0, offset(|o| &o.task_exit_code))
    }

    #[inline(always)]
    pub(crate) fn comm(self, into: &mut [u8; 16]) {
        read_bytes(into, self.0, offset(|o| &o.task_comm));
    }

    /// Id of its cgroup in the hierarchy that is watched; stays readable until the task is freed.
    #[inline(always)]
    pub(crate) fn cgroup(self) -> u64 {
        let set: u64 = read(self.0, offset(|o| &o.task_cgroups));
        if !is_v1() {
            return Cgroup(read(set, offset(|o| &o.css_set_dfl_cgrp))).id();
        }
        let slot = u64::from(offset(|o| &o.css_set_subsys)) + u64::from(setting(|s| &s.subsys)) * 8;
        let state: u64 = read(set.wrapping_add(slot), 0);
        Cgroup(read(state, offset(|o| &o.css_cgroup))).id()
    }

    /// Its id in the innermost PID namespace it lives in.
    #[inline(always)]
    pub(crate) fn ns_tid(self) -> u32 {
        let pid: u64 = read(self.0, offset(|o| &o.task_thread_pid));
        let level: u32 = read(pid, offset(|o| &o.pid_level));
        let upid = u64::from(offset(|o| &o.pid_numbers)) + u64::from(level) * u64::from(offset(|o| &o.sizeof_upid));
        read(pid.wrapping_add(upid), offset(|o| &o.upid_nr))
    }

    /// Inode number of its network namespace; 0 if it has left it.
    #[inline(always)]
    pub(crate) fn netns(self) -> u32 {
        let proxy: u64 = read(self.0, offset(|o| &o.task_nsproxy));
        netns_inum(read(proxy, offset(|o| &o.nsproxy_net_ns)))
    }

    /// Whether it holds the signal back. While a task waits in `sigtimedwait` the kernel takes what it
    /// waits for out of `blocked` and keeps the mask in `real_blocked` (`do_sigtimedwait`); otherwise that is empty.
    #[inline(always)]
    pub(crate) fn blocks(self, signal: u32) -> bool {
        let blocked =
            read::<u64>(self.0, offset(|o| &o.task_blocked)) | read::<u64>(self.0, offset(|o| &o.task_real_blocked));
        blocked >> ((signal.wrapping_sub(1)) & 63) & 1 == 1
    }

    /// `sa_handler` for the signal: 0 default, 1 ignore, else a function.
    #[inline(always)]
    pub(crate) fn handler(self, signal: u32) -> u64 {
        let sighand: u64 = read(self.0, offset(|o| &o.task_sighand));
        let action = u64::from(offset(|o| &o.sighand_action))
            + u64::from(signal.wrapping_sub(1)) * u64::from(offset(|o| &o.sizeof_k_sigaction));
        read(sighand.wrapping_add(action), offset(|o| &o.k_sigaction_handler))
    }

    /// `signal_struct` of the process.
    #[inline(always)]
    pub(crate) fn signal(self) -> u64 {
        read(self.0, offset(|o| &o.task_signal))
    }

    /// Where its command line begins and ends in its memory.
    #[inline(always)]
    pub(crate) fn arguments(self) -> (u64, u64) {
        let mm: u64 = read(self.0, offset(|o| &o.task_mm));
        (read(mm, offset(|o| &o.mm_arg_start)), read(mm, offset(|o| &o.mm_arg_end)))
    }
}

impl Task {
    /// Name of the file of the program it runs; of a script, its interpreter's.
    #[inline(always)]
    pub(crate) fn exe(self, into: &mut [u8; 16]) {
        let mm: u64 = read(self.0, offset(|o| &o.task_mm));
        let file: u64 = read(mm, offset(|o| &o.mm_exe_file));
        let dentry: u64 = read(file, offset(|o| &o.file_dentry));
        let name: u64 = if dentry == 0 { 0 } else { read(dentry, offset(|o| &o.dentry_name)) };
        into[0] = 0;
        read_string(into, name);
    }
}

/// A `struct cgroup`.
#[derive(Clone, Copy)]
pub(crate) struct Cgroup(pub(crate) u64);

impl Cgroup {
    #[inline(always)]
    fn node(self) -> u64 {
        read(self.0, offset(|o| &o.cgroup_kn))
    }

    /// Its id: the inode number of its directory.
    #[inline(always)]
    pub(crate) fn id(self) -> u64 {
        read(self.node(), offset(|o| &o.kernfs_node_id))
    }

    /// Address of its directory's name.
    #[inline(always)]
    pub(crate) fn name(self) -> u64 {
        read(self.node(), offset(|o| &o.kernfs_node_name))
    }

    /// The one above it. (`self` is the first member of a cgroup, which the loader checks.)
    #[inline(always)]
    pub(crate) fn parent(self) -> Self {
        Self(read(self.0, offset(|o| &o.cgroup_self_parent)))
    }

    /// Whether it is of the hierarchy that is watched: ids of others are another numbering.
    #[inline(always)]
    pub(crate) fn is_watched(self) -> bool {
        let root: u64 = read(self.0, offset(|o| &o.cgroup_root));
        root != 0 && read::<u32>(root, offset(|o| &o.cgroup_root_hierarchy_id)) == setting(|s| &s.hierarchy_id)
    }
}

/// Inode number of a `struct net`.
#[inline(always)]
pub(crate) fn netns_inum(net: u64) -> u32 {
    if net == 0 { 0 } else { read(net, offset(|o| &o.net_ns_inum)) }
}
