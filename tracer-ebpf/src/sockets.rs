//! The records of sockets: layouts and constants alone, as in `lib.rs`. The probes' `socket.rs` and `refused.rs` fill them, user space's
//! `decode` reads them.

use crate::{Caller, Header};

/// The bits of [`Socket::flags`].
pub mod socket_flag {
    /// `sk_socket` is set: a process holds (or held until now) the socket. Unset for connections nobody accepted.
    pub const HAS_FILE: u32 = 1;
    /// `current` belongs to the socket's pod, so it may be the one who closes.
    pub const CURRENT_IN_POD: u32 = 2;
    /// The pod was found by the socket's own cgroup; otherwise by its network namespace.
    pub const BY_CGROUP: u32 = 4;
    /// The receive and send counters are meaningful (a full `tcp_sock`).
    pub const HAS_COUNTERS: u32 = 8;
    /// Neither cgroup nor namespace told the pod: `current`, of that pod, does what only an owner can do.
    pub const BY_CURRENT: u32 = 16;
    /// A subflow of an MPTCP connection: what was read and written is counted there, not here.
    pub const MPTCP: u32 = 32;
    /// Its counters show that this side connected: our SYN is among the bytes acknowledged.
    pub const OPENED_HERE: u32 = 64;
    /// Its counters show that the peer connected.
    pub const OPENED_BY_PEER: u32 = 128;
}

/// A TCP socket as it stood at the event. Ports in host order, addresses in network order.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Socket {
    /// Address of `struct sock`: names the socket until it is closed.
    pub address: u64,
    /// Id of the traced pod's cgroup that owns it.
    pub pod: u64,
    /// `tcp_sock.bytes_received` (counts a received FIN as one).
    pub bytes_received: u64,
    /// `tcp_sock.bytes_acked` (counts our SYN as one).
    pub bytes_acked: u64,
    /// `tcp_sock.bytes_sent`, retransmissions included.
    pub bytes_sent: u64,
    /// `AF_INET` (2) or `AF_INET6` (10).
    pub family: u16,
    /// Local port.
    pub local_port: u16,
    /// Peer's port.
    pub peer_port: u16,
    /// `sk_shutdown`: 3 when closed by this side.
    pub shutdown: u16,
    /// Local address; IPv4 in the first four bytes.
    pub local: [u8; 16],
    /// Peer's address; IPv4 in the first four bytes.
    pub peer: [u8; 16],
    /// `rcv_nxt - copied_seq`: received and not read (a received FIN counts as one).
    pub unread: u32,
    /// `write_seq - snd_una`: written and not acknowledged.
    pub unacked: u32,
    /// Milliseconds since data last came in; `u32::MAX` if unknown.
    pub since_received_ms: u32,
    /// Milliseconds since data last went out; `u32::MAX` if unknown.
    pub since_sent_ms: u32,
    /// [`socket_flag`].
    pub flags: u32,
    /// Inode number of the network namespace.
    pub netns: u32,
    /// `sk_err`.
    pub error: u32,
    /// `(s32)(lrcvtime - lsndtime)` in jiffies: above 0 if data came in last.
    pub received_minus_sent: i32,
    /// `rcv_nxt - snd_wl1`: bytes that came in with or after what acknowledged our last data (a received FIN counts
    /// as one); `u32::MAX` if unknown.
    pub since_our_last: u32,
    /// `TCP_*` state before.
    pub old_state: u16,
    /// `TCP_*` state after.
    pub new_state: u16,
}

/// A TCP socket of a pod that is being stopped, or of a dying process, has changed state.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SocketState {
    /// Common part; `cgroup` is the socket's own, 0 if only its network namespace is known.
    pub header: Header,
    /// The socket.
    pub socket: Socket,
    /// `current`, who need not have to do with it.
    pub current: Caller,
}

/// A TCP socket of a pod that is being stopped, which its side has closed, has changed state: what becomes of what was written is all
/// that is left to tell. A third of the length of a [`SocketState`], of the same kind, and told from it by that.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SocketAfterClose {
    /// Common part; `cgroup` is the socket's own, 0 if only its network namespace is known.
    pub header: Header,
    /// Address of `struct sock`.
    pub address: u64,
    /// Id of the traced pod's cgroup that owned it.
    pub pod: u64,
    /// `write_seq - snd_una`: written and not acknowledged, our FIN counted as one; `u32::MAX` if unknown.
    pub unacked: u32,
    /// `sk_err`.
    pub error: u32,
    /// `TCP_*` state before.
    pub old_state: u32,
    /// `TCP_*` state after.
    pub new_state: u32,
}

/// A RST went out from a socket of a traced pod.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SocketReset {
    /// Common part; `cgroup` is the socket's own, 0 if unknown.
    pub header: Header,
    /// Address of `struct sock`, or of what is left of one (`TIME_WAIT`).
    pub address: u64,
    /// Id of the traced pod's cgroup.
    pub pod: u64,
    /// `enum sk_rst_reason`, or `u32::MAX` where the kernel gives none.
    pub reason: u32,
    /// `TCP_*` state of the socket.
    pub state: u32,
    /// `AF_INET` (2) or `AF_INET6` (10).
    pub family: u16,
    /// Local port; 0 if it has given it up.
    pub local_port: u16,
    /// Peer's port.
    pub peer_port: u16,
    /// Keeps what follows aligned.
    pub reserved: u16,
    /// Local address; IPv4 in the first four bytes.
    pub local: [u8; 16],
    /// Peer's address; IPv4 in the first four bytes.
    pub peer: [u8; 16],
}

/// An attempt to connect met a port on which a traced pod had listened and nobody does any more.
/// Addresses in network order, ports in host order.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SocketRefused {
    /// Common part; `cgroup` is the one of the listener that closed, 0 if unknown.
    pub header: Header,
    /// Id of the traced pod's cgroup.
    pub pod: u64,
    /// `AF_INET` (2) or `AF_INET6` (10).
    pub family: u16,
    /// The port that was closed.
    pub local_port: u16,
    /// Port of whoever tried.
    pub peer_port: u16,
    /// Keeps what follows aligned.
    pub reserved: u16,
    /// Inode number of the network namespace.
    pub netns: u32,
    /// Keeps the size a multiple of 8.
    pub reserved_too: u32,
    /// The address that was tried; IPv4 in the first four bytes.
    pub local: [u8; 16],
    /// Address of whoever tried; IPv4 in the first four bytes.
    pub peer: [u8; 16],
    /// `current`: who tried, if that is a process of this node; else anybody.
    pub current: Caller,
}
