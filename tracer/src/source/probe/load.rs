//! From nothing to attached probes: BTF, globals, maps, programs, canary.

use super::btf::{Btf, VMLINUX};
use super::losses::Told;
use super::passed_over::Guarded;
use super::presence::Presence;
use super::programs::{self, NEAR, NEAR_HOOKS, Wanted};
use super::ring_map::RingMap;
use super::targets::{Stopping, Targets};
use super::{Maps, ProbeError, ProbeOptions, ProbeStatus, Probes, offsets, ring, sum, ticks, words};
use crate::input::Sees;
use crate::source::cgroupfs::Hierarchy;
use crate::source::sockets;
use aya::{Ebpf, EbpfLoader, Endianness};
use std::fs;
use std::os::fd::AsFd;
use std::thread::{self, JoinHandle};
use tracer_ebpf::filter::{CGROUP_SLOTS, CgroupSlot, NodeSlot, POD_SLOTS, PodSlot};
use tracer_ebpf::{Settings, nests};

/// The kernel side, built for `bpfel-unknown-none` (see `build.rs`).
pub(super) static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("GRACETRACE_PROBES"));

/// `Level::Trace` of aya-log, which counts from `Error` = 1; 0 lets the verifier cut all logging out.
const LOG_EVERYTHING: u8 = 5;
const LOG_NOTHING: u8 = 0;

/// The largest page that Linux has on any machine: a ring is to be a multiple of it.
const PAGE: u32 = 64 << 10;
const SMALLEST_RING: u32 = PAGE;
const LARGEST_RING: u32 = 1 << 30;

const POSSIBLE_CPUS: &str = "/sys/devices/system/cpu/possible";

/// What a socket's own cgroup tells on v2 alone.
const V1_LIMIT: &str = "not seen: which container a connection belongs to, and connections in the node's own network namespace (with cgroup v1 a socket has no cgroup)";

/// A tracepoint: the program of the same name is attached to it.
struct Hook {
    name: &'static str,
    /// What is not seen without it.
    lost: &'static str,
    /// Without it there is nothing to tell.
    is_essential: bool,
}

/// In the order of attachment: what makes cgroups followed comes last, when everything else watches.
const HOOKS: [Hook; 13] = [
    Hook { name: "signal_generate", lost: "signals", is_essential: true },
    Hook { name: "signal_deliver", lost: "when a signal reaches its handler", is_essential: false },
    Hook { name: "sched_process_fork", lost: "new processes", is_essential: true },
    Hook { name: "sched_process_exec", lost: "new programs", is_essential: true },
    Hook { name: "sched_process_exit", lost: "how processes end", is_essential: true },
    Hook { name: "mark_victim", lost: "victims of the OOM killer", is_essential: false },
    Hook { name: "inet_sock_set_state", lost: "connections", is_essential: false },
    Hook { name: "tcp_send_reset", lost: "connections reset by the pod", is_essential: false },
    Hook { name: "kfree_skb", lost: "refused connections", is_essential: false },
    Hook { name: "cgroup_notify_populated", lost: "when a container's last process is gone", is_essential: false },
    Hook { name: "cgroup_rmdir", lost: "when a container's cgroup is removed", is_essential: false },
    Hook { name: "cgroup_release", lost: "when a cgroup's id is free again", is_essential: false },
    Hook { name: "cgroup_mkdir", lost: "new containers", is_essential: true },
];

/// Loads and attaches everything.
pub(super) fn load(options: &ProbeOptions) -> Result<Probes, ProbeError> {
    let loader = Loader::begin();
    let types = fs::read(VMLINUX).map_err(ProbeError::NoBtf)?;
    let btf = Btf::parse(&types)?;
    let ring_bytes = ring_size(options.ring_bytes);
    let settings = offsets::settings(&btf, options.hierarchy, options.follow_new_pods, ring_bytes / 8, last_cpu())?;
    let offsets = offsets::resolve(&btf)?;
    let mut limits = offsets.limits;
    if matches!(options.hierarchy, Hierarchy::V1 { .. }) {
        limits.push(V1_LIMIT.to_owned());
    }
    let refused = offsets::sees_refused(&settings, &offsets.words);
    let mut sees = Sees { connections: true, refused, on_host_network: options.hierarchy == Hierarchy::V2 };

    let words: Vec<u32> = offsets.words.iter().copied().chain(offsets::settings_words(&settings)).collect();
    let known = words::set(OBJECT, &words)?;
    let near = if known.is_in_reach { kernel_types(&btf)? } else { None };
    let mut ebpf = load_object(loader, options, &known.object, ring_bytes)?;
    let is_there = |hook: &&Hook| is_wanted(hook.name, &settings) && btf.tracepoint(hook.name).is_some();
    let is_doubled = |hook| settings.preemptible != 0 || nests(hook);
    let wanted: Vec<Wanted> = HOOKS
        .iter()
        .filter(is_there)
        .map(|hook| Wanted { hook: hook.name, is_doubled: is_doubled(hook.name) })
        .collect();
    let programs = programs::load(&mut ebpf, near.as_ref(), &wanted)?;
    let mut status = Vec::with_capacity(HOOKS.len());
    let mut guarded = Vec::with_capacity(HOOKS.len());
    for hook in HOOKS.iter().filter(|hook| is_wanted(hook.name, &settings)) {
        let own = programs.get(hook.name).map_or(&[] as &[_], Vec::as_slice);
        let is_there = !own.is_empty() && programs::attach(&mut ebpf, own, hook.name)?;
        let first = own.first().map(String::as_str).filter(|_| is_there);
        guarded.extend(first.and_then(|program| Guarded::of(&ebpf, hook.name, program)));
        if !is_there {
            if hook.is_essential {
                return Err(ProbeError::MissingTracepoint { name: hook.name, lost: hook.lost });
            }
            limits.push(format!("not seen: {} (this kernel has no tracepoint {})", hook.lost, hook.name));
            match hook.name {
                "inet_sock_set_state" => (sees.connections, sees.refused) = (false, false),
                "tcp_send_reset" => sees.refused &= settings.drop_reason_no_socket != 0,
                "kfree_skb" => sees.refused = false,
                _ => {}
            }
        }
        let lacks = if is_there { variant_limits(hook.name, &settings) } else { Vec::new() };
        let note = match (is_there, lacks.is_empty()) {
            (false, _) => format!("without it not seen: {}", hook.lost),
            (true, false) => lacks.join("; "),
            (true, true) => [variant(hook.name, &settings), reading(hook.name, first)]
                .into_iter()
                .filter(|text| !text.is_empty())
                .collect::<Vec<_>>()
                .join(", "),
        };
        limits.extend(lacks.into_iter().map(str::to_owned));
        status.push(ProbeStatus { name: hook.name, attached: is_there, note });
    }
    drop(btf);
    drop(types);

    let logger = if options.kernel_log { ring::kernel_log(&mut ebpf) } else { None };
    let maps = take_maps(&mut ebpf)?;
    // what a hook's first program was passed over for before its second one was there is nobody's loss yet
    for hook in &mut guarded {
        let _before = hook.take(|slot| sum(&maps.made_up, slot));
    }
    let calibration = ticks::Calibration::start(take(&mut ebpf, "LEARNT")?);
    limits.extend(calibration.limits());
    let host_netns = calibration.host_netns();
    let own_netns = sockets::netns_of(std::process::id());
    let reader = Some(ring::Reader::new(map_ring(&mut ebpf, ring_bytes)?, logger, calibration));
    Ok(Probes {
        ebpf: Some(ebpf),
        maps,
        reader,
        status,
        limits,
        sees,
        host_netns,
        own_netns,
        guarded,
        passed_over: Vec::new(),
        told: Told::default(),
    })
}

/// aya's loader in the making: it reads all the kernel's types as well, asked or not, which takes longer than what
/// [`load`] needs of them, so a thread does it meanwhile.
struct Loader(Option<JoinHandle<EbpfLoader<'static>>>);

impl Loader {
    fn begin() -> Self {
        // without a thread it is made when it is needed
        Self(thread::Builder::new().name("types".to_owned()).spawn(EbpfLoader::new).ok())
    }

    fn finish(self) -> EbpfLoader<'static> {
        self.0.and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

fn load_object(loader: Loader, options: &ProbeOptions, object: &[u8], ring_bytes: u32) -> Result<Ebpf, ProbeError> {
    let log_level = if options.kernel_log { LOG_EVERYTHING } else { LOG_NOTHING };
    let mut loader = loader.finish();
    // no program refers to the kernel's types, so aya need not match them
    loader.btf(None);
    loader.override_global("AYA_LOG_LEVEL", &log_level, false);
    loader.map_max_entries("EVENTS", ring_bytes);
    if !options.kernel_log {
        loader.map_max_entries("AYA_LOGS", PAGE);
    }
    loader.load(object).map_err(|error| ProbeError::from_system("create the probes' maps", &error))
}

/// As much of the kernel's types as aya needs for programs that are told types; none where the kernel lets those not know `current`'s
/// (`bpf_get_current_task_btf`, 5.11) or not go from a socket to a TCP socket.
fn kernel_types(btf: &Btf<'_>) -> Result<Option<aya::Btf>, ProbeError> {
    if !["bpf_get_current_task_btf", "bpf_skc_to_tcp_sock"].into_iter().all(|helper| btf.function(helper).is_some()) {
        return Ok(None);
    }
    let types = aya::Btf::parse(&btf.of_tracepoints(&NEAR_HOOKS), Endianness::default());
    types.map(Some).map_err(|error| ProbeError::from_system("name the types of tracepoints", &error))
}

/// Whether a hook is of use here: packets that are thrown away tell of refused connections only where nothing better does.
fn is_wanted(name: &str, settings: &Settings) -> bool {
    name != "kfree_skb" || settings.drop_reason_no_socket != 0
}

/// What a variant of a tracepoint cannot tell.
fn variant_limits(name: &str, settings: &Settings) -> Vec<&'static str> {
    let mut limits = Vec::new();
    if name == "mark_victim" && settings.victim_is_task == 0 {
        limits.push("not seen: victims of the OOM killer (this kernel's mark_victim tells a pid only); they show as a SIGKILL from the kernel");
    }
    if name == "tcp_send_reset" && settings.reset_has_reason == 0 {
        limits.push("not seen: RSTs for what comes after a connection was closed in good order (this kernel's tcp_send_reset tells of none without a full socket)");
        if settings.drop_reason_no_socket == 0 {
            limits.push("not seen: refused connections (this kernel's tcp_send_reset tells of none, and its kfree_skb gives no reason)");
        }
    }
    limits
}

/// Which variant it is, where there are several and nothing is lost.
fn variant(name: &str, settings: &Settings) -> &'static str {
    match name {
        "sched_process_exit" if settings.exit_has_group_dead == 1 => "tells the last thread (group_dead)",
        "sched_process_exit" => "last thread by signal->live",
        "tcp_send_reset" if settings.reset_has_reason == 1 => {
            "tells the reason (sk_rst_reason) and refused connections"
        }
        "kfree_skb" => "tells refused connections (skb_drop_reason)",
        "mark_victim" => "tells the task",
        _ => "",
    }
}

/// How a hook's programs read, where there are two ways.
fn reading(name: &str, first: Option<&str>) -> &'static str {
    match first {
        Some(program) if program.ends_with(NEAR) => "by plain loads (tp_btf)",
        Some(_) if NEAR_HOOKS.contains(&name) => "by helpers",
        _ => "",
    }
}

fn take_maps(ebpf: &mut Ebpf) -> Result<Maps, ProbeError> {
    Ok(Maps {
        targets: Targets::new(take(ebpf, "TARGETS")?, presence::<CgroupSlot>(ebpf, "CGROUP_FILTER", CGROUP_SLOTS)?),
        stopping: Stopping::new(
            take(ebpf, "STOPPING")?,
            presence::<PodSlot>(ebpf, "POD_FILTER", POD_SLOTS)?,
            presence::<NodeSlot>(ebpf, "NODE_FILTER", 1)?,
        ),
        netns: take(ebpf, "NETNS")?,
        kubelet_calls: take(ebpf, "KUBELET_CALLS")?,
        generated: take(ebpf, "GENERATED")?,
        dropped: take(ebpf, "DROPPED")?,
        shares: take(ebpf, "SHARES")?,
        made_up: take(ebpf, "MADE_UP")?,
    })
}

/// A map of so many slots, in our memory as well.
fn presence<S>(ebpf: &mut Ebpf, name: &'static str, slots: u32) -> Result<Presence, ProbeError> {
    let Some(aya::maps::Map::Array(map)) = ebpf.take_map(name) else { return Err(ProbeError::broken(name)) };
    let mapped = Presence::new(map, slots as usize * size_of::<S>());
    mapped.map_err(|error| ProbeError::from_system(format!("map {name}"), &error))
}

fn map_ring(ebpf: &mut Ebpf, ring_bytes: u32) -> Result<RingMap, ProbeError> {
    let Some(aya::maps::Map::RingBuf(map)) = ebpf.take_map("EVENTS") else { return Err(ProbeError::broken("EVENTS")) };
    let fd = map.fd().as_fd().try_clone_to_owned();
    let ring = fd.and_then(|fd| RingMap::new(fd, ring_bytes as usize));
    ring.map_err(|error| ProbeError::from_system("map the ring buffer", &error))
}

fn take<M: TryFrom<aya::maps::Map, Error = aya::maps::MapError>>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<M, ProbeError> {
    let map = ebpf.take_map(name).ok_or_else(|| ProbeError::broken(name))?;
    map.try_into().map_err(|error| ProbeError::from_system(format!("use map {name}"), &error))
}

/// The highest number that a CPU may have.
fn last_cpu() -> Option<u32> {
    last_of(&fs::read_to_string(POSSIBLE_CPUS).ok()?)
}

/// Of ranges, as the kernel prints them.
fn last_of(ranges: &str) -> Option<u32> {
    ranges.trim().rsplit([',', '-']).next()?.parse().ok()
}

/// A power of two of pages, as the kernel wants it.
fn ring_size(wanted: u32) -> u32 {
    wanted.clamp(SMALLEST_RING, LARGEST_RING).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::super::programs::AGAIN;
    use super::*;
    use object::{Object, ObjectSection};
    use std::collections::BTreeSet;

    #[test]
    fn knows_the_last_cpu() {
        let cases =
            [("0\n", Some(0)), ("0-1\n", Some(1)), ("0-3,8-1023\n", Some(1023)), ("0,2\n", Some(2)), ("\n", None)];
        for (ranges, last) in cases {
            assert_eq!(last_of(ranges), last, "{ranges:?}");
        }
        assert!(last_cpu().is_some(), "this machine has CPUs");
    }

    #[test]
    fn rounds_the_ring_up() {
        let cases = [(0, SMALLEST_RING), (70_000, 128 << 10), (1 << 20, 1 << 20), (u32::MAX, LARGEST_RING)];
        for (wanted, size) in cases {
            assert_eq!(ring_size(wanted), size);
            assert!(size.is_multiple_of(PAGE));
        }
    }

    #[test]
    fn each_hook_has_a_program_in_the_object_and_each_program_a_hook() {
        let by_helper = HOOKS.iter().flat_map(|hook| [hook.name.to_owned(), format!("{}{AGAIN}", hook.name)]);
        assert_eq!(sections("raw_tp/"), by_helper.collect());
        assert_eq!(sections("tp_btf/"), NEAR_HOOKS.map(str::to_owned).into());
    }

    #[test]
    fn the_object_has_types_and_nothing_for_debuggers() {
        let object = object::File::parse(OBJECT).expect("an object");
        let has = |name| object.section_by_name(name).is_some();
        assert!([".BTF", ".BTF.ext", "maps", "license"].into_iter().all(has));
        let for_debuggers = object.sections().any(|section| section.name().is_ok_and(|name| name.contains("debug")));
        assert!(!for_debuggers);
    }

    /// What follows `kind` in the names of the object's sections.
    fn sections(kind: &str) -> BTreeSet<String> {
        let names = OBJECT.split(|byte| *byte == 0).filter_map(|text| std::str::from_utf8(text).ok());
        names.filter_map(|name| name.strip_prefix(kind).map(str::to_owned)).collect()
    }
}
