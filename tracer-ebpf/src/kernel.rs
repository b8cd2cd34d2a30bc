//! What is read of the kernel: its structs, as far as they matter here. An address is a number, never a reference; how it
//! is read, see [`Place`].

use crate::place::{Far, Place, Word};
use aya_ebpf::helpers::{self, generated};
use core::ffi::c_void;
use tracer_ebpf::{Offsets, Settings};

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
    stack_bytes: 0,
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

/// The integer at `base` + `offset`, read by the helper; zero if the field does not exist or cannot be read.
#[inline(always)]
pub(crate) fn read<T: Word>(base: u64, offset: u32) -> T {
    Far(base).read(offset)
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
        return Task::<Far>::current().cgroup();
    }
    // SAFETY: takes nothing
    unsafe { helpers::bpf_get_current_cgroup_id() }
}

/// Thread group id of `current`.
#[inline(always)]
pub(crate) fn current_tgid() -> u32 {
    (helpers::bpf_get_current_pid_tgid() >> 32) as u32
}

/// How far behind the beginning of a struct the element of an array is that it has at `array`. No array that matters ends behind
/// 64 KiB (PID namespaces are 32 deep, there are 64 signals), and the verifier must see that: the products of older ones have no bounds.
#[inline(always)]
fn element(array: u32, index: u32, size: u32) -> u64 {
    u64::from(array) + (u64::from(index) * u64::from(size) & 0xffff)
}

/// A `struct task_struct`.
#[derive(Clone, Copy)]
pub(crate) struct Task<P = Far>(pub(crate) P);

impl<P: Place> Task<P> {
    /// Who is running.
    #[inline(always)]
    pub(crate) fn current() -> Self {
        Self(P::current())
    }

    #[inline(always)]
    pub(crate) fn leader(self) -> Self {
        Self(self.0.follow(offset(|o| &o.task_group_leader)))
    }

    #[inline(always)]
    pub(crate) fn parent(self) -> Self {
        Self(self.0.follow(offset(|o| &o.task_real_parent)))
    }

    #[inline(always)]
    pub(crate) fn tgid(self) -> u32 {
        self.0.read(offset(|o| &o.task_tgid))
    }

    #[inline(always)]
    pub(crate) fn tid(self) -> u32 {
        self.0.read(offset(|o| &o.task_pid))
    }

    #[inline(always)]
    pub(crate) fn flags(self) -> u32 {
        self.0.read(offset(|o| &o.task_flags))
    }

    #[inline(always)]
    pub(crate) fn start_ns(self) -> u64 {
        self.0.read(offset(|o| &o.task_start_boottime))
    }

    #[inline(always)]
    pub(crate) fn exit_code(self) -> u32 {
        self.0.read(offset(|o| &o.task_exit_code))
    }

    /// Its name into a field of a record.
    ///
    /// # Safety
    ///
    /// `into` is aligned to 8 bytes.
    #[inline(always)]
    pub(crate) unsafe fn comm(self, into: &mut [u8; 16]) {
        // SAFETY: the caller's
        unsafe { self.0.read_field(into, offset(|o| &o.task_comm)) };
    }

    /// Whether its name is this, which is eight bytes with the NUL.
    #[inline(always)]
    pub(crate) fn is_called(self, name: &[u8; 8]) -> bool {
        self.0.read::<u64>(offset(|o| &o.task_comm)) == u64::from_ne_bytes(*name)
    }

    /// Id of its cgroup in the hierarchy that is watched; stays readable until the task is freed.
    #[inline(always)]
    pub(crate) fn cgroup(self) -> u64 {
        let set = self.0.follow(offset(|o| &o.task_cgroups));
        if !is_v1() {
            return Cgroup(set.follow(offset(|o| &o.css_set_dfl_cgrp))).id();
        }
        let state = set.follow(offset(|o| &o.css_set_subsys) + setting(|s| &s.subsys) * 8);
        Cgroup(state.follow(offset(|o| &o.css_cgroup))).id()
    }

    /// Its id in the innermost PID namespace it lives in.
    #[inline(always)]
    pub(crate) fn ns_tid(self) -> u32 {
        let pid = self.0.follow(offset(|o| &o.task_thread_pid));
        if pid.is_null() {
            return 0;
        }
        let level = pid.read(offset(|o| &o.pid_level));
        let (array, size, nr) = (offset(|o| &o.pid_numbers), offset(|o| &o.sizeof_upid), offset(|o| &o.upid_nr));
        // an array without a length (since 6.6): the verifier lets any of its elements be loaded, but must know which
        if offset(|o| &o.sizeof_pid) < array.saturating_add(size)
            && let Some(nr) = pid.read_one_of([array.saturating_add(nr), array.saturating_add(size + nr)], level)
        {
            return nr;
        }
        read(pid.pointer().wrapping_add(element(array, level, size)), nr)
    }

    /// Inode number of its network namespace; 0 if it has left it.
    #[inline(always)]
    pub(crate) fn netns(self) -> u32 {
        netns_inum(self.0.follow(offset(|o| &o.task_nsproxy)).follow(offset(|o| &o.nsproxy_net_ns)))
    }

    /// Whether it holds the signal back. While a task waits in `sigtimedwait` the kernel takes what it
    /// waits for out of `blocked` and keeps the mask in `real_blocked` (`do_sigtimedwait`); otherwise that is empty.
    #[inline(always)]
    pub(crate) fn blocks(self, signal: u32) -> bool {
        let blocked =
            self.0.read::<u64>(offset(|o| &o.task_blocked)) | self.0.read::<u64>(offset(|o| &o.task_real_blocked));
        blocked >> ((signal.wrapping_sub(1)) & 63) & 1 == 1
    }

    /// `sa_handler` for the signal: 0 default, 1 ignore, else a function.
    #[inline(always)]
    pub(crate) fn handler(self, signal: u32) -> u64 {
        let sighand = self.0.follow(offset(|o| &o.task_sighand));
        if sighand.is_null() {
            return 0;
        }
        let action = element(offset(|o| &o.sighand_action), signal.wrapping_sub(1), offset(|o| &o.sizeof_k_sigaction));
        // which of them is not known beforehand: no plain load
        read(sighand.pointer().wrapping_add(action), offset(|o| &o.k_sigaction_handler))
    }

    /// `signal_struct` of the process.
    #[inline(always)]
    pub(crate) fn signal(self) -> P {
        self.0.follow(offset(|o| &o.task_signal))
    }

    /// Where its command line begins and ends in its memory.
    #[inline(always)]
    pub(crate) fn arguments(self) -> (u64, u64) {
        let mm = self.0.follow(offset(|o| &o.task_mm));
        (mm.read(offset(|o| &o.mm_arg_start)), mm.read(offset(|o| &o.mm_arg_end)))
    }
}

impl<P: Place> Task<P> {
    /// Name of the file of the program it runs; of a script, its interpreter's.
    #[inline(always)]
    pub(crate) fn exe(self, into: &mut [u8; 16]) {
        let file = self.0.follow(offset(|o| &o.task_mm)).follow(offset(|o| &o.mm_exe_file));
        let dentry = file.follow(offset(|o| &o.file_dentry));
        let name: u64 = if dentry.is_null() { 0 } else { dentry.read(offset(|o| &o.dentry_name)) };
        into[0] = 0;
        read_string(into, name);
    }
}

/// A `struct cgroup`.
#[derive(Clone, Copy)]
pub(crate) struct Cgroup<P = Far>(pub(crate) P);

impl<P: Place> Cgroup<P> {
    #[inline(always)]
    fn node(self) -> P {
        self.0.follow(offset(|o| &o.cgroup_kn))
    }

    /// Its id: the inode number of its directory.
    #[inline(always)]
    pub(crate) fn id(self) -> u64 {
        self.node().read(offset(|o| &o.kernfs_node_id))
    }

    /// Address of its directory's name.
    #[inline(always)]
    pub(crate) fn name(self) -> u64 {
        self.node().read(offset(|o| &o.kernfs_node_name))
    }

    /// The one above it. (`self` is the first member of a cgroup, which the loader checks.)
    #[inline(always)]
    pub(crate) fn parent(self) -> Self {
        Self(self.0.follow(offset(|o| &o.cgroup_self_parent)))
    }

    /// Whether it is of the hierarchy that is watched: ids of others are another numbering.
    #[inline(always)]
    pub(crate) fn is_watched(self) -> bool {
        let root = self.0.follow(offset(|o| &o.cgroup_root));
        !root.is_null() && root.read::<u32>(offset(|o| &o.cgroup_root_hierarchy_id)) == setting(|s| &s.hierarchy_id)
    }
}

/// Inode number of a `struct net`.
#[inline(always)]
pub(crate) fn netns_inum(net: impl Place) -> u32 {
    if net.is_null() { 0 } else { net.read(offset(|o| &o.net_ns_inum)) }
}
