//! Where things are in this kernel: the words of `Offsets` and `Settings`, from its BTF.
//!
//! What a missing field costs is said here, once: the probes treat it as absent, reports say what they
//! cannot tell for it, and only what everything stands on makes the tracer give up.

use super::ProbeError;
use super::btf::Btf;
use crate::source::cgroupfs::Hierarchy;
use tracer_ebpf::{ABSENT, CPUS, OFFSET_SOURCES, Settings};

/// Fields that may be missing, by the beginning of their names, and what is not known without them.
/// Every other field is needed.
const OPTIONAL: &[(&str, &str)] = &[
    ("task_thread_pid", NO_INIT),
    ("pid_", NO_INIT),
    ("sizeof_pid", NO_INIT),
    ("sizeof_upid", NO_INIT),
    ("upid_", NO_INIT),
    ("task_sighand", NO_DISPOSITION),
    ("sighand_", NO_DISPOSITION),
    ("sizeof_k_sigaction", NO_DISPOSITION),
    ("k_sigaction_", NO_DISPOSITION),
    ("task_real_blocked", "whether a process waits for its stop signal in sigwait"),
    ("task_blocked", "whether a process blocks its stop signal"),
    ("task_nsproxy", NO_NETNS),
    ("nsproxy_", NO_NETNS),
    ("net_ns_inum", NO_NETNS),
    ("task_mm", NO_ARGV),
    ("mm_exe_file", NO_EXE),
    ("file_", NO_EXE),
    ("dentry_", NO_EXE),
    ("mm_", NO_ARGV),
    ("sock_cgroup", "which container a connection belongs to (only which pod)"),
    ("sock_", NO_CONNECTIONS),
    ("inet_sport", NO_CONNECTIONS),
    ("icsk_lrcvtime", NO_COUNTERS),
    ("tcp_snd_wl1", "who spoke last, within a tick of the kernel's clock"),
    ("tcp_snd_nxt", NO_OPENER),
    ("tcp_bytes_retrans", NO_OPENER),
    ("tcp_is_mptcp", "which connections are subflows of MPTCP"),
    ("tcp_", NO_COUNTERS),
    ("skb_", NO_REFUSED),
    ("net_device_net", NO_REFUSED),
];

const NO_INIT: &str = "which process is a container's init";
const NO_DISPOSITION: &str = "whether a process handles its stop signal";
const NO_NETNS: &str = "the pod of a connection by its network namespace";
const NO_ARGV: &str = "which process is the preStop hook";
const NO_EXE: &str = "which program a script is run by";
const NO_CONNECTIONS: &str = "connections";
const NO_COUNTERS: &str = "how much went through a connection";
const NO_OPENER: &str = "who opened connections that were there before, where no listener tells";
const NO_REFUSED: &str = "refused connections";

/// The lock under which tracepoints are since a task can be preempted in their programs (`include/linux/tracepoint.h`,
/// 7.0); before, preemption was off.
const PREEMPTIBLE: &str = "class_srcu_fast_notrace_t";

/// `THREAD_SIZE` on x86-64 (`arch/x86/include/asm/page_64_types.h`).
const X86_STACK_BYTES: u32 = 16 << 10;

/// The words of `Offsets`, in order, and what is lost for want of some.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) words: Vec<u32>,
    pub(super) limits: Vec<String>,
}

/// Looks up every field the probes read.
pub(super) fn resolve(btf: &Btf<'_>) -> Result<Resolved, ProbeError> {
    // the probes take the address of a cgroup's `self` for the cgroup's
    if btf.member("cgroup", "self").map(|member| member.offset) != Some(0) {
        return Err(ProbeError::MissingField { structure: "cgroup", member: "self" });
    }
    let mut resolved = Resolved { words: Vec::with_capacity(OFFSET_SOURCES.len()), limits: Vec::new() };
    for &(field, structure, member) in OFFSET_SOURCES {
        let word = word(btf, field, structure, member);
        if word.is_none() {
            let lost = OPTIONAL.iter().find(|(prefix, _)| field.starts_with(prefix)).map(|(_, lost)| *lost);
            let lost = lost.ok_or(ProbeError::MissingField { structure, member })?;
            resolved.limits.push(format!("not known: {lost} (this kernel's BTF has no {structure}.{member})"));
        }
        resolved.words.push(word.unwrap_or(ABSENT));
    }
    Ok(resolved)
}

fn word(btf: &Btf<'_>, field: &str, structure: &str, member: &str) -> Option<u32> {
    if member.is_empty() {
        return btf.size_of(structure);
    }
    let found = btf.member(structure, member)?;
    // before 5.15 the cgroup of a socket shares its place with two numbers, and the pointer is tagged
    (field != "sock_cgroup" || found.is_pointer).then_some(found.offset)
}

/// Whether attempts to connect to a closed port can be seen, and who tells of them.
pub(super) fn sees_refused(settings: &Settings, offsets: &[u32]) -> bool {
    let is_there = |name| {
        let index = OFFSET_SOURCES.iter().position(|(field, ..)| *field == name);
        index.and_then(|index| offsets.get(index)).is_some_and(|word| *word != ABSENT)
    };
    let packets = ["skb_dev", "skb_head", "skb_network_header", "skb_transport_header", "net_device_net"];
    (settings.reset_has_reason != 0 || settings.drop_reason_no_socket != 0) && packets.into_iter().all(is_there)
}

/// The words of `Settings`, in order.
pub(super) fn settings_words(settings: &Settings) -> [u32; size_of::<Settings>() / 4] {
    let Settings {
        exit_has_group_dead,
        reset_has_reason,
        victim_is_task,
        follow_new_pods,
        wakeup_bytes,
        drop_reason_no_socket,
        preemptible,
        hierarchy_id,
        subsys,
        stack_bytes,
        rdonly_cast,
        task_type,
        siginfo_type,
    } = *settings;
    [
        exit_has_group_dead,
        reset_has_reason,
        victim_is_task,
        follow_new_pods,
        wakeup_bytes,
        drop_reason_no_socket,
        preemptible,
        hierarchy_id,
        subsys,
        stack_bytes,
        rdonly_cast,
        task_type,
        siginfo_type,
    ]
}

/// Which variants of its tracepoints this kernel has.
pub(super) fn settings(
    btf: &Btf<'_>,
    hierarchy: Hierarchy,
    follow_new_pods: bool,
    wakeup_bytes: u32,
    last_cpu: Option<u32>,
) -> Result<Settings, ProbeError> {
    let (hierarchy_id, subsys) = match hierarchy {
        Hierarchy::V2 => (0, 0),
        Hierarchy::V1 { controller, id } => {
            // its place in /proc/cgroups is another number
            let member = controller.subsys_id();
            let missing = || ProbeError::MissingField { structure: "cgroup_subsys_id", member };
            (id, btf.enum_value("cgroup_subsys_id", member).ok_or_else(missing)?)
        }
    };
    let count = |name| btf.tracepoint(name).map_or(0, |arguments| arguments.count);
    let reset_has_reason = count("tcp_send_reset") >= 3;
    let drop_reason =
        if count("kfree_skb") >= 3 { btf.enum_value("skb_drop_reason", "SKB_DROP_REASON_NO_SOCKET") } else { None };
    Ok(Settings {
        exit_has_group_dead: u32::from(count("sched_process_exit") >= 2),
        reset_has_reason: u32::from(reset_has_reason),
        victim_is_task: u32::from(btf.tracepoint("mark_victim").is_some_and(|arguments| arguments.first_is_pointer)),
        follow_new_pods: u32::from(follow_new_pods),
        wakeup_bytes,
        drop_reason_no_socket: drop_reason.filter(|_| !reset_has_reason).unwrap_or(0),
        preemptible: u32::from(btf.has_typedef(PREEMPTIBLE)),
        hierarchy_id,
        subsys,
        stack_bytes: if last_cpu.is_some_and(|last| last < CPUS) { stack_bytes(btf) } else { 0 },
        rdonly_cast: btf.function("bpf_rdonly_cast").unwrap_or(0),
        task_type: btf.structure("task_struct").unwrap_or(0),
        siginfo_type: btf.structure("kernel_siginfo").unwrap_or(0),
    })
}

/// Bytes of a task's stack where interrupts have a stack of their own and nothing else comes between a hook's two programs; else 0.
fn stack_bytes(btf: &Btf<'_>) -> u32 {
    // of other processors it is not known, nor always true; with KASAN (`kasan_depth`) a stack is larger
    let is_known = cfg!(target_arch = "x86_64") && btf.member("task_struct", "kasan_depth").is_none();
    if is_known && !btf.has_typedef(PREEMPTIBLE) { X86_STACK_BYTES } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::probe::btf::VMLINUX;

    #[test]
    fn every_word_has_a_source() {
        assert_eq!(OFFSET_SOURCES.len() * 4, size_of::<tracer_ebpf::Offsets>());
    }

    #[test]
    fn every_optional_prefix_is_of_some_field() {
        for (prefix, _) in OPTIONAL {
            assert!(OFFSET_SOURCES.iter().any(|(field, ..)| field.starts_with(prefix)), "{prefix}");
        }
    }

    #[test]
    fn finds_everything_in_the_running_kernel() {
        let bytes = std::fs::read(VMLINUX).expect("a kernel with BTF");
        let btf = Btf::parse(&bytes).expect("BTF");
        let resolved = resolve(&btf).expect("offsets");
        assert_eq!(resolved.limits, Vec::<String>::new());
        assert!(resolved.words.iter().all(|word| *word < 1 << 16), "{:?}", resolved.words);
        let settings = settings(&btf, Hierarchy::V2, true, 1 << 20, Some(1)).expect("settings");
        let of_stack = stack_bytes(&btf);
        for (last_cpu, told) in [(Some(CPUS - 1), of_stack), (Some(CPUS), 0), (None, 0)] {
            let further = super::settings(&btf, Hierarchy::V2, true, 1 << 20, last_cpu).expect("settings");
            assert_eq!(further.stack_bytes, told, "what is kept for each CPU has room for so many: {last_cpu:?}");
        }
        // of these two every kernel has a type
        assert!(settings.task_type != 0 && settings.siginfo_type != 0, "{settings:?}");
    }
}
