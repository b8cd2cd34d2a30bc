//! What is read of the kernel: its structs, as far as they matter here. An address is a number, never a reference; how it
//! is read, see [`Place`].

use crate::known::{Field, field, setting};
use crate::place::{Far, Place};
use crate::plain_load::Word;
use aya_ebpf::helpers::{self, generated};
use core::ffi::c_void;

/// The stop signal, unless an image names another.
pub(crate) const SIGTERM: u32 = 15;

/// The integer at `base` + `offset`, read by the helper; zero if the field does not exist or cannot be read.
#[inline(always)]
pub(crate) fn read<T: Word>(base: u64, offset: u64) -> T {
    Far(base).read_at(offset)
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

/// Whether cgroups of a v1 hierarchy are watched, and not v2's.
#[inline(always)]
pub(crate) fn is_v1() -> bool {
    setting!(hierarchy_id) != 0
}

/// Id of the cgroup of who is running, in the hierarchy that is watched. `current` must be that task: the helper asks for no other.
#[inline(always)]
pub(crate) fn current_cgroup<P: Place>(current: P) -> u64 {
    if P::IS_LOADED || is_v1() {
        return Task(current).untrusted().cgroup();
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
fn element(array: u64, index: u32, size: u64) -> u64 {
    array + (u64::from(index) * size & 0xffff)
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

    /// The same, where the verifier vouches for nothing: see [`Place`].
    #[inline(always)]
    pub(crate) fn untrusted(self) -> Task<P::Untrusted> {
        Task(self.0.untrusted_task())
    }

    #[inline(always)]
    pub(crate) fn leader(self) -> Self {
        Self(self.0.follow(field!(task_group_leader)))
    }

    #[inline(always)]
    pub(crate) fn parent(self) -> Self {
        Self(self.0.follow(field!(task_real_parent)))
    }

    #[inline(always)]
    pub(crate) fn tgid(self) -> u32 {
        self.0.read(field!(task_tgid))
    }

    #[inline(always)]
    pub(crate) fn tid(self) -> u32 {
        self.0.read(field!(task_pid))
    }

    #[inline(always)]
    pub(crate) fn flags(self) -> u32 {
        self.0.read(field!(task_flags))
    }

    #[inline(always)]
    pub(crate) fn start_ns(self) -> u64 {
        self.0.read(field!(task_start_boottime))
    }

    #[inline(always)]
    pub(crate) fn exit_code(self) -> u32 {
        self.0.read(field!(task_exit_code))
    }

    /// Its name into a field of a record.
    ///
    /// # Safety
    ///
    /// `into` is aligned to 8 bytes.
    #[inline(always)]
    pub(crate) unsafe fn comm(self, into: &mut [u8; 16]) {
        // SAFETY: the caller's
        unsafe { self.0.read_field(into, field!(task_comm)) };
    }

    /// Whether its name is this, which is eight bytes with the NUL.
    #[inline(always)]
    pub(crate) fn is_called(self, name: &[u8; 8]) -> bool {
        self.0.read::<u64>(field!(task_comm)) == u64::from_ne_bytes(*name)
    }

    /// Id of its cgroup in the hierarchy that is watched; stays readable until the task is freed.
    #[inline(always)]
    pub(crate) fn cgroup(self) -> u64 {
        let set = self.0.follow(field!(task_cgroups));
        if !is_v1() {
            return Cgroup(set.follow(field!(css_set_dfl_cgrp))).id();
        }
        let state = set.follow_at(field!(css_set_subsys).word() + setting!(subsys) * 8);
        Cgroup(state.follow(field!(css_cgroup))).id()
    }

    /// Its id in the innermost PID namespace it lives in.
    #[inline(always)]
    pub(crate) fn ns_tid(self) -> u32 {
        let pid = self.0.follow(field!(task_thread_pid));
        if pid.is_null() {
            return 0;
        }
        let level = pid.read(field!(pid_level));
        let (array, size, nr) = (field!(pid_numbers).word(), field!(sizeof_upid).word(), field!(upid_nr).word());
        // an array without a length (since 6.6): the verifier lets any of its elements be loaded, but must know which
        if field!(sizeof_pid).word() < array + size
            && let Some(nr) = pid.read_one_of([array + nr, array + size + nr], level)
        {
            return nr;
        }
        read(pid.pointer().wrapping_add(element(array, level, size)), nr)
    }

    /// Inode number of its network namespace; 0 if it has left it.
    #[inline(always)]
    pub(crate) fn netns(self) -> u32 {
        netns_inum(self.0.follow(field!(task_nsproxy)).follow(field!(nsproxy_net_ns)))
    }

    /// Whether it holds the signal back. While a task waits in `sigtimedwait` the kernel takes what it
    /// waits for out of `blocked` and keeps the mask in `real_blocked` (`do_sigtimedwait`); otherwise that is empty.
    #[inline(always)]
    pub(crate) fn blocks(self, signal: u32) -> bool {
        let blocked = self.0.read::<u64>(field!(task_blocked)) | self.0.read::<u64>(field!(task_real_blocked));
        blocked >> ((signal.wrapping_sub(1)) & 63) & 1 == 1
    }

    /// `sa_handler` for the signal: 0 default, 1 ignore, else a function.
    #[inline(always)]
    pub(crate) fn handler(self, signal: u32) -> u64 {
        let sighand = self.0.follow(field!(task_sighand));
        if sighand.is_null() {
            return 0;
        }
        let (array, size) = (field!(sighand_action).word(), field!(sizeof_k_sigaction).word());
        // the stop signal of nearly every image
        if signal == SIGTERM && field!(sighand_action).is_there() {
            return sighand.read_at(array + u64::from(SIGTERM - 1) * size + field!(k_sigaction_handler).word());
        }
        let action = element(array, signal.wrapping_sub(1), size);
        // which of them is not known beforehand: no plain load
        read(sighand.pointer().wrapping_add(action), field!(k_sigaction_handler).word())
    }

    /// `signal_struct` of the process.
    #[inline(always)]
    pub(crate) fn signal(self) -> P {
        self.0.follow(field!(task_signal))
    }

    /// Where its command line begins and ends in its memory.
    #[inline(always)]
    pub(crate) fn arguments(self) -> (u64, u64) {
        let mm = self.0.follow(field!(task_mm));
        (mm.read(field!(mm_arg_start)), mm.read(field!(mm_arg_end)))
    }
}

impl<P: Place> Task<P> {
    /// Name of the file of the program it runs; of a script, its interpreter's.
    #[inline(always)]
    pub(crate) fn exe(self, into: &mut [u8; 16]) {
        let file = self.0.follow(field!(task_mm)).follow(field!(mm_exe_file));
        let dentry = file.follow(field!(file_dentry));
        let name: u64 = if dentry.is_null() { 0 } else { dentry.read(field!(dentry_name)) };
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
        self.0.follow(field!(cgroup_kn))
    }

    /// Its id: the inode number of its directory.
    #[inline(always)]
    pub(crate) fn id(self) -> u64 {
        self.node().read(field!(kernfs_node_id))
    }

    /// Address of its directory's name.
    #[inline(always)]
    pub(crate) fn name(self) -> u64 {
        self.node().read(field!(kernfs_node_name))
    }

    /// The one above it. (`self` is the first member of a cgroup, which the loader checks.)
    #[inline(always)]
    pub(crate) fn parent(self) -> Self {
        Self(self.0.follow(field!(cgroup_self_parent)))
    }

    /// Whether it is of the hierarchy that is watched: ids of others are another numbering.
    #[inline(always)]
    pub(crate) fn is_watched(self) -> bool {
        let root = self.0.follow(field!(cgroup_root));
        !root.is_null() && u64::from(root.read::<u32>(field!(cgroup_root_hierarchy_id))) == setting!(hierarchy_id)
    }
}

/// Inode number of a `struct net`.
#[inline(always)]
pub(crate) fn netns_inum(net: impl Place) -> u32 {
    if net.is_null() { 0 } else { net.read(field!(net_ns_inum)) }
}
