//! The maps, each with what fills it, what empties it and what bounds it.

use crate::presence::{Count, OfCgroup, OfPod, all_stopping, put};
use aya_ebpf::bindings::{BPF_ANY, BPF_F_NO_PREALLOC, BPF_NOEXIST};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf};
use tracer_ebpf::{KubeletCall, Share, Target, filter, kind, learnt};

/// Records for user space; the loader sets the size.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// Cgroup id → the pod it belongs to. Filled by user space and by `cgroup_mkdir`, emptied by
/// `cgroup_release` and user space.
#[map]
static TARGETS: HashMap<u64, Target> = HashMap::with_max_entries(65536, BPF_F_NO_PREALLOC);

/// Pod → when it was last seen to be stopped. Only such pods have their sockets reported. User space takes
/// out those whose signal turned out to mean something else.
/// Preallocated: it is filled under a `siglock`, where old kernels must not be asked for memory.
#[map]
static STOPPING: HashMap<u64, u64> = HashMap::with_max_entries(4096, 0);

/// Inode number of a network namespace → pod. Filled when a container starts a program.
#[map]
static NETNS: HashMap<u32, u64> = HashMap::with_max_entries(8192, 0);

/// Network namespace, port and address → where traced pods listened last. Filled when a listener of a traced pod
/// closes, emptied when anybody listens there again; what is left of pods that are gone is overwritten.
#[map]
static CLOSED_PORTS: LruHashMap<Door, ClosedPort> = LruHashMap::with_max_entries(16384, 0);

/// Where somebody listens or tries to connect: network namespace and port, and the address.
type Door = [u64; 3];

/// An IPv6 address as it lies in memory, or an IPv4 one as IPv6 has it.
pub(crate) type Address = [u64; 2];

/// Pod → the connection that the kubelet made to it last, while it was healthy.
#[map]
static KUBELET_CALLS: LruHashMap<u64, KubeletCall> = LruHashMap::with_max_entries(4096, 0);

/// tgid and signal → start time of the process: deliveries that are waited for.
#[map]
static EXPECTED: LruHashMap<u64, u64> = LruHashMap::with_max_entries(8192, 0);

/// Processes whose exit is reported, by tgid and start time: only where the kernel does not say which
/// thread is the last one.
#[map]
static EXITED: LruHashMap<[u64; 2], u32> = LruHashMap::with_max_entries(8192, 0);

/// What was learnt from a canary; see [`learnt`].
#[map]
static LEARNT: Array<u64> = Array::with_max_entries(learnt::COUNT, 0);

/// Records by kind that there was a reason to write.
#[map]
pub(crate) static GENERATED: PerCpuArray<u64> = PerCpuArray::with_max_entries(kind::COUNT as u32, 0);

/// Of these, the ones there was no room for.
#[map]
pub(crate) static DROPPED: PerCpuArray<u64> = PerCpuArray::with_max_entries(kind::COUNT as u32, 0);

/// Pod → what it has written while the ring was filling up, and what was refused to it. User space reads it after a
/// loss; the entry of a pod that has not written under pressure for long is overwritten. LRU maps are preallocated: this
/// one is filled under a `siglock` as well.
#[map]
static SHARES: LruHashMap<u64, Share> = LruHashMap::with_max_entries(4096, 0);

/// Copies a value out of a map at once.
macro_rules! copied {
    ($map:expr, $key:expr) => {
        // SAFETY: the value is one aligned word, copied at once. An entry that is replaced or reused
        // meanwhile yields another word that stood there, never a torn one; deliveries compare it with
        // the process's start time, and a namespace changes hands only after its pod is gone.
        unsafe { $map.get($key) }.copied()
    };
}

/// The pod a cgroup belongs to, if it is traced.
#[inline(always)]
pub(crate) fn pod_of(cgroup: u64) -> Option<u64> {
    looked_up(OfCgroup::new(cgroup)?, cgroup)
}

#[inline(always)]
fn looked_up(known: OfCgroup, cgroup: u64) -> Option<u64> {
    if known.targets().is_any() { copied!(TARGETS, &cgroup).map(|target| target.pod) } else { None }
}

/// The same where it is asked for what a healthy pod does all the time: by a look-up once, and then without.
#[inline(always)]
pub(crate) fn known_pod_of(cgroup: u64) -> Option<u64> {
    let known = OfCgroup::new(cgroup)?;
    let taken_out = known.taken_out();
    if let Some(pod) = known.known_pod(taken_out) {
        return Some(pod);
    }
    let pod = looked_up(known, cgroup)?;
    known.know(pod, taken_out);
    Some(pod)
}

/// Whether a cgroup is one of this pod's. Never compare [`pod_of`] with `Some` for it: the compiler compares what is not there too, and the
/// verifier refuses a register that nobody has written.
#[inline(always)]
pub(crate) fn is_of(cgroup: u64, pod: u64) -> bool {
    // no cgroup has the id 0
    pod_of(cgroup).unwrap_or(0) == pod
}

/// Trace a cgroup; false if the map is full.
#[inline(always)]
pub(crate) fn track(cgroup: u64, pod: u64) -> bool {
    OfCgroup::new(cgroup).is_some_and(|known| {
        put([known.targets()], |flag| TARGETS.insert(&cgroup, &Target { pod }, u64::from(flag)).is_ok())
    })
}

/// The cgroup's id is free; if it was a pod's own, the pod is gone.
#[inline(always)]
pub(crate) fn untrack(cgroup: u64, pod: u64) {
    if TARGETS.remove(&cgroup).is_ok()
        && let Some(known) = OfCgroup::new(cgroup)
    {
        known.targets().gone();
    }
    if cgroup == pod {
        no_more(pod);
        if KUBELET_CALLS.remove(&pod).is_ok()
            && let Some(known) = OfPod::new(pod)
        {
            known.called().gone();
        }
    }
}

/// Whether the pod is being stopped.
#[inline(always)]
pub(crate) fn is_stopping(pod: u64) -> bool {
    let Some(known) = OfPod::new(pod) else {
        return false;
    };
    let stopping = known.stopping();
    if filter::stops(stopping) == 0 {
        return false;
    }
    if known.is_known_to_stop(stopping) {
        return true;
    }
    let is_there = STOPPING.get_ptr(&pod).is_some();
    if is_there {
        known.know_to_stop(stopping);
    }
    is_there
}

/// Whether any pod of the node is.
#[inline(always)]
pub(crate) fn is_any_stopping() -> bool {
    all_stopping().is_none_or(Count::is_any)
}

/// What a pod has written of late; none if the map takes no more at the moment.
#[inline(always)]
pub(crate) fn share_of(pod: u64) -> Option<&'static mut Share> {
    if SHARES.get_ptr_mut(&pod).is_none() {
        let _ = SHARES.insert(&pod, &Share { spent: 0, refused: [0; kind::COUNT] }, u64::from(BPF_NOEXIST));
    }
    // SAFETY: the entry stays readable, and it is read and written by whole words only
    SHARES.get_ptr_mut(&pod).map(|share| unsafe { &mut *share })
}

/// The pod is being stopped. The last time counts: it tells user space that nothing has come since.
#[inline(always)]
pub(crate) fn stop(pod: u64, now_ns: u64) {
    if let Some(known) = OfPod::new(pod)
        && let Some(all) = all_stopping()
    {
        put([known.stops(), all], |flag| STOPPING.insert(&pod, &now_ns, u64::from(flag)).is_ok());
    }
}

/// It is not any more: it has gone. (Whether a pod goes on user space finds out, which knows what else of it is ending.)
#[inline(always)]
fn no_more(pod: u64) {
    if STOPPING.remove(&pod).is_ok()
        && let Some(known) = OfPod::new(pod)
        && let Some(all) = all_stopping()
    {
        known.let_be();
        all.gone();
    }
}

/// The pod that owns a network namespace. The host's is no pod's, and nearly every socket that has no cgroup is there.
#[inline(always)]
pub(crate) fn pod_of_netns(inum: u32) -> Option<u64> {
    if u64::from(inum) == learnt(learnt::HOST_NETNS) { None } else { copied!(NETNS, &inum) }
}

/// A program of this pod runs in this network namespace. Nothing until the host's own is known:
/// better no pod by its namespace than the host's connections as a pod's.
#[inline(always)]
pub(crate) fn own_netns(inum: u32, pod: u64) {
    if !is_shared_netns(inum) && pod_of_netns(inum) != Some(pod) {
        let _ = NETNS.insert(&inum, &pod, u64::from(BPF_ANY));
    }
}

/// Whether others than a pod live in this network namespace, or may: until the host's own is known, in any.
#[inline(always)]
pub(crate) fn is_shared_netns(inum: u32) -> bool {
    let host = learnt(learnt::HOST_NETNS);
    inum == 0 || host == 0 || u64::from(inum) == host || u64::from(inum) == learnt(learnt::OWN_NETNS)
}

/// Whose listener it was that closed.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct ClosedPort {
    pub(crate) pod: u64,
    /// The listener's cgroup, 0 if unknown.
    pub(crate) cgroup: u64,
    /// When it closed (boot clock).
    pub(crate) at_ns: u64,
}

/// A listener of a traced pod has closed.
#[inline(always)]
pub(crate) fn port_closed(netns: u32, port: u16, address: Address, whose: ClosedPort) {
    let _ = CLOSED_PORTS.insert(&door(netns, port, address), &whose, u64::from(BPF_ANY));
}

/// Somebody listens.
#[inline(always)]
pub(crate) fn port_opened(netns: u32, port: u16, address: Address) {
    let _ = CLOSED_PORTS.remove(&door(netns, port, address));
}

/// Whose listener closed there last, on this address or on any, of the pods that are being stopped: nobody listens, or there would be a
/// socket. (In a namespace that pods share, one that was stopped before may have had the very address.)
#[inline(always)]
pub(crate) fn closed_port(netns: u32, port: u16, address: Address) -> Option<ClosedPort> {
    let [space, high, low] = door(netns, port, address);
    let is_v4 = high == 0 && low as u32 == V4_MARK;
    // for IPv4 on any address of it, or of both; twice the same where there is but one
    let any_v4 = if is_v4 { u64::from(V4_MARK) } else { 0 };
    let mut last = None;
    for door in [[space, high, low], [space, 0, any_v4], [space, 0, 0]] {
        let is_later = |whose: &ClosedPort| last.is_none_or(|last: ClosedPort| last.at_ns < whose.at_ns);
        last = closed_at(&door).filter(|whose| is_later(whose) && is_stopping(whose.pod)).or(last);
    }
    last
}

#[inline(always)]
fn closed_at(door: &Door) -> Option<ClosedPort> {
    // SAFETY: aligned words; an entry that is replaced meanwhile may mix the pods of two listeners of
    // one door, of which the later one is gone from here a moment afterwards
    unsafe { CLOSED_PORTS.get(door) }.copied()
}

/// The middle of `::ffff:a.b.c.d`, as it lies in memory.
const V4_MARK: u32 = 0xffff_0000;

#[inline(always)]
fn door(netns: u32, port: u16, [high, low]: Address) -> Door {
    [u64::from(netns) << 32 | u64::from(port), high, low]
}

/// An IPv4 address as IPv6 has it.
#[inline(always)]
pub(crate) fn mapped(address: u32) -> Address {
    [0, u64::from(address) << 32 | u64::from(V4_MARK)]
}

/// The kubelet has connected to a healthy pod.
#[inline(always)]
pub(crate) fn kubelet_came(pod: u64, call: KubeletCall) {
    if let Some(known) = OfPod::new(pod) {
        put([known.called()], |flag| KUBELET_CALLS.insert(&pod, &call, u64::from(flag)).is_ok());
    }
}

/// A healthy pod has closed a connection, which may be the kubelet's.
#[inline(always)]
pub(crate) fn kubelet_may_be_gone(pod: u64, sock: u64, now_ns: impl FnOnce() -> u64) {
    // SAFETY: aligned words of an entry that stays readable; one that is replaced meanwhile is another call's
    if OfPod::new(pod).is_some_and(|known| known.called().is_any())
        && let Some(call) = KUBELET_CALLS.get_ptr_mut(&pod).map(|call| unsafe { &mut *call })
        && call.sock == sock
        && call.closed_ns == 0
    {
        call.closed_ns = now_ns();
    }
}

/// A delivery of this signal to this process is wanted.
#[inline(always)]
pub(crate) fn expect(tgid: u32, signal: u32, start_ns: u64) {
    let _ = EXPECTED.insert(&delivery(tgid, signal), &start_ns, u64::from(BPF_ANY));
}

/// Start time of the process the delivery is wanted for, which tells a reused tgid.
#[inline(always)]
pub(crate) fn expected(tgid: u32, signal: u32) -> Option<u64> {
    copied!(EXPECTED, &delivery(tgid, signal))
}

/// Once is enough.
#[inline(always)]
pub(crate) fn seen(tgid: u32, signal: u32) {
    let _ = EXPECTED.remove(&delivery(tgid, signal));
}

#[inline(always)]
fn delivery(tgid: u32, signal: u32) -> u64 {
    u64::from(tgid) << 32 | u64::from(signal)
}

/// True for the first caller only: two last threads may both find nobody else alive.
#[inline(always)]
pub(crate) fn first_to_exit(tgid: u32, start_ns: u64) -> bool {
    EXITED.insert(&[u64::from(tgid), start_ns], &1, u64::from(BPF_NOEXIST)).is_ok()
}

/// One thing that was learnt, 0 if it was not.
#[inline(always)]
pub(crate) fn learnt(slot: u32) -> u64 {
    LEARNT.get(slot).copied().unwrap_or(0)
}

/// Remember it.
#[inline(always)]
pub(crate) fn learn(slot: u32, value: u64) {
    let _ = LEARNT.set(slot, &value, u64::from(BPF_ANY));
}

/// Room for a cgroup's name, which the stack has not; used with IRQs off only, so never by two at once.
#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

/// See [`scratch`].
pub(crate) struct Scratch {
    /// Longest name a cgroup of a pod has is 100 bytes; cut there, it is no pod's.
    pub(crate) name: [u8; 192],
    mark: u32,
}

impl Scratch {
    /// Keeps a position in memory: in a register, the verifier would follow each value it can have
    /// through all that comes after.
    #[inline(always)]
    pub(crate) fn set_mark(&mut self, at: u32) {
        // SAFETY: a reference is a valid pointer
        unsafe { core::ptr::write_volatile(&raw mut self.mark, at) }
    }

    /// The position kept last.
    #[inline(always)]
    pub(crate) fn mark(&self) -> u32 {
        // SAFETY: a reference is a valid pointer
        unsafe { core::ptr::read_volatile(&raw const self.mark) }
    }
}

/// This CPU's scratch memory.
#[inline(always)]
pub(crate) fn scratch() -> Option<&'static mut Scratch> {
    // SAFETY: the map lives as long as the program, the slot is this CPU's, and only `cgroup_mkdir`
    // uses it, under a spinlock with IRQs off; every bit pattern is a value
    SCRATCH.get_ptr_mut(0).map(|scratch| unsafe { &mut *scratch })
}
