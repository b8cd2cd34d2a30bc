//! TCP sockets as the kernel shows them: at an event, and when a pod's stop signal is seen.

use super::{BootNs, CgroupId};
use serde::{Deserialize, Serialize};

/// `TCP_*` of `include/net/tcp_states.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the kernel's own names")]
pub enum TcpState {
    Established,
    SynSent,
    SynRecv,
    FinWait1,
    FinWait2,
    TimeWait,
    Close,
    CloseWait,
    LastAck,
    Listen,
    Closing,
    NewSynRecv,
    BoundInactive,
    Unknown,
}

/// A TCP socket as it stood at an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Socket {
    /// Address of `struct sock`: names it until it is closed, and may be reused at once.
    pub address: u64,
    /// The pod's cgroup.
    pub pod: CgroupId,
    /// Found by the socket's own cgroup (otherwise by its network namespace).
    pub by_cgroup: bool,
    /// Neither told: `current`, of that pod, did what only an owner can do.
    #[serde(default)]
    pub by_current: bool,
    /// A subflow of an MPTCP connection: what was read and written is not counted here.
    #[serde(default)]
    pub mptcp: bool,
    /// Who connected, as its counters show; `None` if they do not.
    #[serde(default)]
    pub opener: Option<Opener>,
    /// Network namespace.
    pub netns: u32,
    /// Local address and port.
    pub local: std::net::SocketAddr,
    /// Peer's address and port.
    pub peer: std::net::SocketAddr,
    /// `sk_shutdown`: 1 receive, 2 send; 3 if this side closed.
    pub shutdown: u8,
    /// `sk_err`.
    pub error: u32,
    /// A process holds it, or held it until now; if not, nobody accepted it.
    pub has_file: bool,
    /// `current` belongs to the socket's pod.
    pub current_in_pod: bool,
    /// What went through it; `None` where it cannot be read.
    pub counters: Option<SocketCounters>,
}

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Opener {
    /// The pod.
    ThisSide,
    /// The other end.
    Peer,
}

/// What went through a TCP socket, as the kernel counts it (FIN and SYN not yet taken off).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SocketCounters {
    /// Bytes received, a FIN counted as one.
    pub bytes_received: u64,
    /// Bytes the peer acknowledged, our SYN counted as one.
    pub bytes_acked: u64,
    /// Bytes sent, retransmissions included.
    pub bytes_sent: u64,
    /// Received and unread, a FIN counted as one.
    pub unread: u32,
    /// Written and not acknowledged.
    pub unacked: u32,
    /// Milliseconds since data last came in.
    pub since_received_ms: Option<u32>,
    /// Milliseconds since data last went out.
    pub since_sent_ms: Option<u32>,
    /// Above 0 if data came in last, below if it went out last; in ticks.
    pub received_minus_sent: i32,
    /// Bytes that came in with or after what acknowledged the last we sent, a FIN counted as one: with nothing
    /// unacknowledged, 0 if data went out last.
    #[serde(default)]
    pub since_our_last: Option<u32>,
}

/// A part of a pod's sockets, read (`sock_diag`) when its stop signal was seen. A long list comes in
/// several parts of one `taken_at`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sockets {
    /// When the last of it was read.
    pub at: BootNs,
    /// When reading began.
    pub taken_at: BootNs,
    /// The pod's cgroup.
    pub pod: CgroupId,
    /// Network namespace; `None` if it could not be told.
    pub netns: Option<u32>,
    /// The sockets of this part.
    pub found: Vec<FoundSocket>,
    /// Another part follows.
    pub more: bool,
    /// Why there is nothing, or not all: one line, in the last part.
    pub problem: Option<String>,
}

/// A TCP socket of a pod, found at its stop signal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FoundSocket {
    /// The cgroup it belongs to, where the kernel tells and it is one of the pod's.
    pub cgroup: Option<CgroupId>,
    /// Its state.
    pub state: TcpState,
    /// Local address and port.
    pub local: std::net::SocketAddr,
    /// Peer's address and port; unspecified for a listener.
    pub peer: std::net::SocketAddr,
    /// A connection was up for at least so long when it was read (at [`Sockets::at`] or shortly before):
    /// milliseconds since data last came in, or last went out, whichever is longer ago, less a clock tick.
    /// Each counts from when the connection came up if there was none. `None` for a listener.
    pub at_least_ms: Option<u64>,
    /// No process has it: a completed handshake nobody has accepted yet, or a connection left to the kernel.
    pub is_orphan: bool,
    /// A process of the pod holds it, or the listener at which it waits, though it was made outside (handed in).
    pub handed_in: bool,
}

/// The connection that the kubelet made to a pod last, before the pod's stop signal: a probe's, or an httpGet hook's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KubeletCall {
    /// When it was asked for.
    pub at: BootNs,
    /// The pod's cgroup.
    pub pod: CgroupId,
    /// The pod's port.
    pub port: u16,
    /// When it was established.
    pub opened: BootNs,
    /// When the pod closed it.
    pub closed: Option<BootNs>,
}
