//! TCP sockets of pods that are being stopped, and of dying processes.

use crate::call::{Call, Spread};
use crate::counters::{fill_counters, has_counters, never_wrote, no_counters, opener, unacked};
use crate::emit::{Outcome, Reason, Urgency, emit};
use crate::kernel::{Cgroup, Task, boot_ns, current_cgroup, is_v1, netns_inum};
use crate::known::{field, setting};
use crate::maps;
use crate::place::{Far, Place, SocketPlace, set_field};
use crate::process::fill_caller;
use crate::refused::{in_first_four, refused};
use crate::share::Room;
use tracer_ebpf::{KubeletCall, PF_EXITING, Socket, SocketAfterClose, SocketReset, SocketState, socket_flag};

const AF_INET6: u16 = 10;
// as wide as a tracepoint's arguments: of a part of one the compiler would cut off the rest, each time that it is looked at
const TCP_ESTABLISHED: u64 = 1;
const TCP_SYN_SENT: u64 = 2;
const TCP_SYN_RECV: u64 = 3;
const TCP_FIN_WAIT1: u64 = 4;
const TCP_FIN_WAIT2: u64 = 5;
const TCP_TIME_WAIT: u64 = 6;
const TCP_CLOSE: u64 = 7;
const TCP_CLOSE_WAIT: u64 = 8;
const TCP_LAST_ACK: u64 = 9;
const TCP_LISTEN: u64 = 10;
const TCP_CLOSING: u64 = 11;
const TCP_NEW_SYN_RECV: u64 = 12;
const SHUTDOWN_MASK: u8 = 3;
/// Id of a hierarchy's root: what a socket has whose maker's cgroup is not known, on a v1 node every one.
const ROOT_CGROUP: u64 = 1;

/// How the owner of a socket was found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// By the cgroup of the task that made it (a listener hands its own down).
    Cgroup,
    /// By its network namespace: on a v1 node every socket is the root cgroup's.
    Netns,
    /// By who does with it what only an owner can do: it was made outside the pod and handed in.
    Current,
}

/// Whose socket it is.
#[derive(Clone, Copy)]
struct Owner {
    pod: u64,
    /// The socket's own cgroup, 0 if that is none of the pod's.
    cgroup: u64,
    by: By,
}

/// `inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)`
#[inline(always)]
pub(crate) fn state_set<P: SocketPlace>(ctx: &Call<P, impl Spread>) -> Outcome {
    if let Some(reason) = tells_nothing(ctx) {
        return Outcome::Skipped(reason);
    }
    let sock = ctx.place(0);
    let (old_state, new_state) = (ctx.arg_anew(1), ctx.arg_anew(2));
    if new_state == TCP_LISTEN {
        let tcp = sock.as_tcp();
        if !tcp.is_null() {
            maps::port_opened(netns_of(tcp), port_of(tcp), local_address(tcp));
        }
    }
    // whose it is comes first: nearly every socket of a node is of no traced pod, and ends here
    let sock_cgroup = cgroup_of(sock);
    let owner = match owner_of(sock, sock_cgroup) {
        // a socket has no cgroup there, and is the container's that does with it what only its owner can do
        Some(owner) if is_v1() && is_owners_doing(sock, old_state, new_state) => {
            let current_cgroup = current_cgroup(ctx.current());
            let is_pods = maps::is_of(current_cgroup, owner.pod);
            Owner { cgroup: if is_pods { current_cgroup } else { 0 }, ..owner }
        }
        Some(owner) => owner,
        // where a socket has no cgroup and others live in its namespace, half of what it does could be told: none is
        None if is_v1() && maps::is_shared_netns(netns_of(sock)) => return Outcome::Skipped(Reason::NotTraced),
        None if is_owners_doing(sock, old_state, new_state) => {
            let current_cgroup = current_cgroup(ctx.current());
            // nearly always it is the socket's own, which has just been looked up
            if current_cgroup == sock_cgroup {
                return Outcome::Skipped(Reason::NotTraced);
            }
            match maps::pod_of(current_cgroup) {
                Some(pod) => Owner { pod, cgroup: 0, by: By::Current },
                None => return Outcome::Skipped(Reason::NotTraced),
            }
        }
        None => return Outcome::Skipped(Reason::NotTraced),
    };
    if old_state == TCP_LISTEN {
        let tcp = sock.as_tcp();
        if !tcp.is_null() {
            let whose = maps::ClosedPort { pod: owner.pod, cgroup: owner.cgroup, at_ns: boot_ns() };
            maps::port_closed(netns_of(tcp), port_of(tcp), local_address(tcp), whose);
        }
    }
    let current = Task(ctx.current());
    let stopping = maps::is_stopping(owner.pod);
    let leaving = current.flags() & PF_EXITING != 0;
    if !stopping && !leaving {
        note_kubelet(sock, owner, current, old_state, new_state);
        return Outcome::Skipped(Reason::NotStopping);
    }
    // MPTCP and SCTP sockets come along here as well
    let sock = sock.as_tcp();
    if sock.is_null() {
        return Outcome::Skipped(Reason::NotTcp);
    }
    // who is running now has nothing to do with it
    if is_after_close(old_state) && stopping {
        return emit_after_close(ctx, sock, owner, old_state, new_state);
    }
    let current_cgroup = current_cgroup(current.0);
    // nearly always it is the socket's own container, which needs no look-up
    let current_in_pod = owner.cgroup != 0 && current_cgroup == owner.cgroup || maps::is_of(current_cgroup, owner.pod);
    let dying = leaving && current_in_pod;
    if !dying && !stopping {
        note_kubelet(sock, owner, current, old_state, new_state);
        return Outcome::Skipped(Reason::NotStopping);
    }
    emit::<SocketState>(ctx, owner.cgroup, Room::LeftTo(owner.pod), Urgency::Soon, |record| {
        let mut flags = match owner.by {
            By::Cgroup => socket_flag::BY_CGROUP,
            By::Netns => 0,
            By::Current => socket_flag::BY_CURRENT,
        };
        if current_in_pod {
            flags |= socket_flag::CURRENT_IN_POD;
        }
        if !sock.follow(field!(sock_socket)).is_null() {
            flags |= socket_flag::HAS_FILE;
        }
        let is_full = old_state != TCP_LISTEN && new_state != TCP_LISTEN;
        let is_mptcp = is_full && sock.read::<u8>(field!(tcp_is_mptcp)) != 0;
        if is_mptcp {
            flags |= socket_flag::MPTCP;
        }
        // of one that has just come up there is nothing to count yet
        let is_counted = is_full && new_state != TCP_ESTABLISHED;
        if is_counted {
            flags |= opener(sock);
        }
        if is_counted && !is_mptcp && has_counters() {
            flags |= socket_flag::HAS_COUNTERS;
            fill_counters(&mut record.socket, sock);
        } else {
            no_counters(&mut record.socket);
        }
        record.socket.flags = flags;
        fill_socket(&mut record.socket, sock, owner);
        record.socket.old_state = old_state as u16;
        record.socket.new_state = new_state as u16;
        fill_caller(&mut record.current, current, current_cgroup);
    })
}

/// Why nobody need know whose socket it is, if nobody need.
#[inline(always)]
fn tells_nothing<P: SocketPlace>(ctx: &Call<P, impl Spread>) -> Option<Reason> {
    let new_state: u64 = ctx.arg(2);
    // Nothing is open yet, or nothing any more. Or the peer has sent its FIN, of which the next change tells as well: it is one
    // from CLOSE_WAIT, or from CLOSING where this side had sent its own.
    if is_one_of(new_state, [TCP_SYN_SENT, TCP_SYN_RECV, TCP_NEW_SYN_RECV, TCP_CLOSE_WAIT, TCP_TIME_WAIT, TCP_CLOSING])
    {
        return Some(Reason::Noise);
    }
    let old_state: u64 = ctx.arg(1);
    // these mean something for a pod that is being stopped alone, and are half of all; one branch for both, as in `is_one_of`
    let is_of_the_stopped = is_after_close(old_state) | is_one_of(new_state, [TCP_ESTABLISHED]);
    if is_of_the_stopped && !maps::is_any_stopping() && !is_noted(ctx, old_state, new_state) {
        return Some(Reason::NotStopping);
    }
    // since FIN_WAIT2 this side knows that all it wrote has arrived; a RST of its own has an event of its own
    let is_end = old_state == TCP_FIN_WAIT2 && new_state == TCP_CLOSE;
    if is_end && ctx.place(0).read::<u32>(field!(sock_err)) == 0 {
        return Some(Reason::Noise);
    }
    if is_after_close(old_state) && never_wrote(ctx.place(0)) {
        return Some(Reason::Noise);
    }
    None
}

/// Whether its side had closed it before.
#[inline(always)]
fn is_after_close(old_state: u64) -> bool {
    is_one_of(old_state, [TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_CLOSING, TCP_LAST_ACK])
}

/// Whether a state is one of these, without a branch for each: the verifier would follow every one to the end.
#[inline(always)]
fn is_one_of<const N: usize>(state: u64, states: [u64; N]) -> bool {
    states.into_iter().fold(0, |set, one| set | 1 << one) >> (state & 63) & 1 != 0
}

/// Whether a change that means something for a pod that is being stopped alone does so after all: what goes on while a process dies may be that
/// one's, and what the kubelet opens is kept.
#[inline(always)]
fn is_noted<P: SocketPlace>(ctx: &Call<P, impl Spread>, old_state: u64, new_state: u64) -> bool {
    let current = Task(ctx.current());
    current.flags() & PF_EXITING != 0 || may_be_a_call(old_state, new_state) && is_kubelet(current)
}

/// What the peer does with what a closed connection had written.
#[inline(always)]
fn emit_after_close<P: SocketPlace>(
    ctx: &Call<P, impl Spread>,
    sock: P,
    owner: Owner,
    old_state: u64,
    new_state: u64,
) -> Outcome {
    emit::<SocketAfterClose>(ctx, owner.cgroup, Room::LeftTo(owner.pod), Urgency::Soon, |record| {
        record.address = sock.pointer();
        record.pod = owner.pod;
        let is_known = has_counters() && sock.read::<u8>(field!(tcp_is_mptcp)) == 0;
        record.unacked = if is_known { unacked(sock) } else { u32::MAX };
        record.error = sock.read(field!(sock_err));
        record.old_state = old_state as u32;
        record.new_state = new_state as u32;
    })
}

/// The local port, which is there until the end: `skc_num` is 0 by the time of a change to CLOSE.
#[inline(always)]
fn port_of(sock: impl Place) -> u16 {
    u16::from_be(sock.read(field!(inet_sport)))
}

/// Inode number of the network namespace a socket is in.
#[inline(always)]
fn netns_of(sock: impl Place) -> u32 {
    netns_inum(sock.follow(field!(sock_net)))
}

/// An httpGet hook is a connection of the kubelet's before the stop signal, when no socket is reported yet: the last
/// one is kept, and user space asks for it at the stop signal.
#[inline(always)]
fn note_kubelet<P: SocketPlace>(sock: P, owner: Owner, current: Task<P>, old_state: u64, new_state: u64) {
    match (old_state, new_state) {
        _ if may_be_a_call(old_state, new_state) => {
            if !is_kubelet(current) {
                return;
            }
            let sock = sock.as_tcp();
            if !sock.is_null() {
                let call = KubeletCall {
                    sock: sock.pointer(),
                    opened_ns: boot_ns(),
                    closed_ns: 0,
                    port: u64::from(port_of(sock)),
                };
                maps::kubelet_came(owner.pod, call);
            }
        }
        (TCP_ESTABLISHED | TCP_CLOSE_WAIT, _) => {
            maps::kubelet_may_be_gone(owner.pod, sock.pointer(), boot_ns);
        }
        _ => {}
    }
}

/// Whether a connection has come in.
#[inline(always)]
fn may_be_a_call(old_state: u64, new_state: u64) -> bool {
    old_state == TCP_SYN_RECV && new_state == TCP_ESTABLISHED
}

#[inline(always)]
fn is_kubelet<P: SocketPlace>(current: Task<P>) -> bool {
    current.untrusted().leader().is_called(b"kubelet\0")
}

/// Whether only a task that holds the socket can be running: it listens, sends a FIN, or closes. `close()`
/// sets `sk_shutdown` to 3 before it changes the state, and the socket's lock keeps what the peer does out
/// of the way meanwhile; a RST from the peer or a timeout changes the state first.
#[inline(always)]
fn is_owners_doing(sock: impl Place, old_state: u64, new_state: u64) -> bool {
    match (old_state, new_state) {
        (TCP_CLOSE, TCP_LISTEN) | (TCP_LISTEN, _) => true,
        (TCP_ESTABLISHED | TCP_CLOSE_WAIT, TCP_FIN_WAIT1 | TCP_LAST_ACK) => true,
        (TCP_ESTABLISHED | TCP_CLOSE_WAIT, TCP_CLOSE) => {
            sock.read::<u8>(field!(sock_shutdown)) & SHUTDOWN_MASK == SHUTDOWN_MASK
        }
        _ => false,
    }
}

/// `tcp_send_reset(const struct sock *sk, const struct sk_buff *skb)`, from 6.10 on also
/// `(…, const enum sk_rst_reason reason)` with `sk` NULL or not a full socket.
#[inline(always)]
pub(crate) fn reset_sent(ctx: &Call) -> Outcome {
    let sock: Far = ctx.place(0);
    // behind the setting and in this function, as in `sched_process_exit`
    let reason = if setting!(reset_has_reason) != 0 { ctx.arg::<u32>(2) } else { u32::MAX };
    if sock.is_null() {
        return refused(ctx, ctx.arg(1));
    }
    let state = u64::from(sock.read::<u8>(field!(sock_state)));
    let owner = match state {
        // a handshake that came to nothing
        TCP_NEW_SYN_RECV => None,
        TCP_TIME_WAIT => owner_of_remains(sock),
        _ => owner_of(sock, cgroup_of(sock)),
    };
    let Some(owner) = owner else {
        return Outcome::Skipped(Reason::NotTraced);
    };
    if !maps::is_stopping(owner.pod) {
        return Outcome::Skipped(Reason::NotStopping);
    }
    emit::<SocketReset>(ctx, owner.cgroup, Room::LeftTo(owner.pod), Urgency::Soon, |record| {
        record.address = sock.pointer();
        record.pod = owner.pod;
        record.reason = reason;
        record.state = state as u32;
        record.family = sock.read(field!(sock_family));
        record.local_port = sock.read(field!(sock_num));
        record.peer_port = u16::from_be(sock.read(field!(sock_dport)));
        record.reserved = 0;
        fill_addresses(&mut record.local, &mut record.peer, sock, record.family);
    })
}

/// Whose connection it was of which only the `TIME_WAIT` is left: that has a port and no cgroup, so by the pod's
/// listener that closed there, else by the network namespace.
#[inline(always)]
fn owner_of_remains(sock: Far) -> Option<Owner> {
    let owner = |pod, cgroup| Owner { pod, cgroup, by: By::Netns };
    let netns = netns_of(sock);
    match maps::closed_port(netns, sock.read(field!(sock_num)), local_address(sock)) {
        Some(whose) => Some(owner(whose.pod, whose.cgroup)),
        None => maps::pod_of_netns(netns).map(|pod| owner(pod, 0)),
    }
}

/// The address that it is bound to, IPv4 as IPv6 has it.
#[inline(always)]
fn local_address(sock: impl Place) -> maps::Address {
    if sock.read::<u16>(field!(sock_family)) == AF_INET6 {
        sock.read_pair(field!(sock_v6_rcv_saddr))
    } else {
        maps::mapped(sock.read(field!(sock_rcv_saddr)))
    }
}

/// Id of the cgroup that a socket has; 0 where a v1 hierarchy is watched: a socket has a v2 cgroup, whose id means something else
/// there.
#[inline(always)]
fn cgroup_of(sock: impl Place) -> u64 {
    if is_v1() { 0 } else { Cgroup(sock.follow(field!(sock_cgroup))).id() }
}

/// By its own cgroup, else by the network namespace. A socket of a real cgroup that is none of ours belongs to
/// somebody else, wherever it is: a port forwarder, a mesh's node agent.
#[inline(always)]
fn owner_of(sock: impl Place, cgroup: u64) -> Option<Owner> {
    match maps::known_pod_of(cgroup) {
        Some(pod) => Some(Owner { pod, cgroup, by: By::Cgroup }),
        None if cgroup <= ROOT_CGROUP => {
            maps::pod_of_netns(netns_of(sock)).map(|pod| Owner { pod, cgroup: 0, by: By::Netns })
        }
        None => None,
    }
}

#[inline(always)]
fn fill_socket(socket: &mut Socket, sock: impl Place, owner: Owner) {
    socket.address = sock.pointer();
    socket.pod = owner.pod;
    socket.netns = netns_of(sock);
    socket.family = sock.read(field!(sock_family));
    socket.local_port = port_of(sock);
    socket.peer_port = u16::from_be(sock.read(field!(sock_dport)));
    socket.shutdown = u16::from(sock.read::<u8>(field!(sock_shutdown)));
    socket.error = sock.read(field!(sock_err));
    fill_addresses(&mut socket.local, &mut socket.peer, sock, socket.family);
}

/// Both are in the part that sockets and their `TIME_WAIT` remains have in common.
#[inline(always)]
fn fill_addresses(local: &mut [u8; 16], peer: &mut [u8; 16], sock: impl Place, family: u16) {
    // SAFETY: both are in a record, behind whole words
    unsafe {
        if family == AF_INET6 {
            sock.read_field(local, field!(sock_v6_rcv_saddr));
            sock.read_field(peer, field!(sock_v6_daddr));
        } else {
            set_field(local, in_first_four(sock.read(field!(sock_rcv_saddr))));
            set_field(peer, in_first_four(sock.read(field!(sock_daddr))));
        }
    }
}
