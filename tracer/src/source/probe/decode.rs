//! Kernel bytes to [`Event`]s: parsed with a cursor, never cast. A malformed record is an error value.

#![expect(
    clippy::inline_always,
    reason = "where the cursor is not kept in registers, its place is stored and loaded again for each of a record's parts, \
              some twenty: a sixth of the time in the bench"
)]

mod cursor;
mod names;

use self::cursor::{Cursor, Header};
use self::names::Names;
use crate::input::{
    Actor, Argv, BootNs, Caller, CgroupId, Disposition, Event, Opener, Process, SignalResult, Socket, SocketCounters,
    TcpState, WaitStatus, What,
};
use crate::text::clean_bytes;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tracer_ebpf::{self as abi, cgroup_operation, handler, kind, socket_flag};

const HEADER: usize = size_of::<abi::Header>();
/// Length of what follows the header of the shorter of two records of one kind.
const AFTER_CLOSE: usize = size_of::<abi::SocketAfterClose>() - HEADER;
const AF_INET6: u16 = 10;

/// A record that is not what its header says.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    /// Cut short.
    #[error("record of kind {kind} is cut short: {have} bytes of {want}")]
    Truncated {
        /// The kind its header gives.
        kind: u16,
        /// Bytes there are.
        have: usize,
        /// Bytes there should be.
        want: usize,
    },
    /// A kind this version does not know.
    #[error("record of unknown kind {0}")]
    UnknownKind(u16),
    /// Something happened to a cgroup that this version does not know.
    #[error("unknown cgroup operation {0}")]
    UnknownOperation(u32),
}

/// The records of a batch, one by one. After an error that leaves the length unknown, the rest is given up.
pub fn records(bytes: &[u8]) -> impl Iterator<Item = Result<Event, DecodeError>> {
    let (mut rest, mut names) = (bytes, Names::default());
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (record, after) = split(rest);
        rest = after;
        Some(record.and_then(|(header, body)| event(&header, body, &mut names)))
    })
}

/// A record's header and body.
type Parts<'a> = Result<(Header, &'a [u8]), DecodeError>;

/// The first record, and what follows it (nothing, if its length is not to be trusted).
fn split(bytes: &[u8]) -> (Parts<'_>, &[u8]) {
    let cut = |kind, want| (Err(DecodeError::Truncated { kind, have: bytes.len(), want }), &[] as &[u8]);
    let Some(header) = Header::read(bytes) else {
        return cut(0, HEADER);
    };
    let size = usize::from(header.size);
    if size < HEADER {
        return cut(header.kind, HEADER);
    }
    match bytes.split_at_checked(size) {
        Some((record, after)) => (Ok((header, &record[HEADER..])), after),
        None => cut(header.kind, size),
    }
}

fn event(header: &Header, body: &[u8], names: &mut Names) -> Result<Event, DecodeError> {
    let cursor = &mut Cursor::new(body, names);
    let what = match header.kind {
        kind::SIGNAL_GENERATED => signal_generated(cursor),
        kind::SIGNAL_DELIVERED => signal_delivered(cursor),
        kind::PROCESS_FORKED => What::ProcessForked { child: process(cursor) },
        kind::PROCESS_EXECUTED => process_executed(cursor),
        kind::PROCESS_EXITED => process_exited(cursor),
        kind::OOM_VICTIM => What::OomVictim { process: process(cursor) },
        kind::SOCKET_STATE if body.len() == AFTER_CLOSE => socket_after_close(cursor),
        kind::SOCKET_STATE => socket_state(cursor),
        kind::SOCKET_RESET => socket_reset(cursor),
        kind::SOCKET_REFUSED => socket_refused(cursor),
        kind::CGROUP => match cgroup(cursor) {
            Ok(what) => what,
            Err(_) if cursor.is_short() => return Err(cut_short(header, body)),
            Err(unknown) => return Err(unknown),
        },
        unknown => return Err(DecodeError::UnknownKind(unknown)),
    };
    if cursor.is_short() {
        return Err(cut_short(header, body));
    }
    Ok(Event { at: BootNs(header.at_ns), cgroup: cgroup_id(header.cgroup), what })
}

/// Of a kind that has two lengths, the longer one is what it should have been.
fn cut_short(header: &Header, body: &[u8]) -> DecodeError {
    let want = match header.kind {
        kind::SIGNAL_GENERATED => size_of::<abi::SignalGenerated>(),
        kind::SIGNAL_DELIVERED => size_of::<abi::SignalDelivered>(),
        kind::PROCESS_FORKED => size_of::<abi::ProcessForked>(),
        kind::PROCESS_EXECUTED => size_of::<abi::ProcessExecuted>(),
        kind::PROCESS_EXITED => size_of::<abi::ProcessExited>(),
        kind::OOM_VICTIM => size_of::<abi::OomVictim>(),
        kind::SOCKET_STATE => size_of::<abi::SocketState>(),
        kind::SOCKET_RESET => size_of::<abi::SocketReset>(),
        kind::SOCKET_REFUSED => size_of::<abi::SocketRefused>(),
        kind::CGROUP => size_of::<abi::Cgroup>(),
        _ => HEADER,
    };
    DecodeError::Truncated { kind: header.kind, have: HEADER + body.len(), want }
}

#[inline(always)]
fn signal_generated(cursor: &mut Cursor<'_>) -> What {
    let target = process(cursor);
    let sender = actor(cursor);
    let signal = cursor.u32().cast_signed();
    let code = cursor.u32().cast_signed();
    let group = cursor.u32() != 0;
    let result = match cursor.u32() {
        0 => SignalResult::Delivered,
        1 => SignalResult::Ignored,
        2 => SignalResult::AlreadyPending,
        3 | 4 => SignalResult::Lost,
        _ => SignalResult::Unknown,
    };
    let disposition = disposition(cursor.u32(), cursor.u32() != 0);
    What::SignalGenerated { target, sender, signal, code, group, result, disposition }
}

/// A blocked signal without a handler waits for `sigwait` or `signalfd`, also where it is set to be ignored.
fn disposition(action: u32, blocked: bool) -> Disposition {
    match action {
        handler::FUNCTION => Disposition::Handler,
        handler::DEFAULT | handler::IGNORE if blocked => Disposition::Blocked,
        handler::DEFAULT => Disposition::Default,
        handler::IGNORE => Disposition::Ignore,
        _ => Disposition::Unknown,
    }
}

fn signal_delivered(cursor: &mut Cursor<'_>) -> What {
    let process = process(cursor);
    let signal = cursor.u32().cast_signed();
    What::SignalDelivered { process, signal, handled: cursor.u32() == handler::FUNCTION }
}

fn process_executed(cursor: &mut Cursor<'_>) -> What {
    let process = process(cursor);
    let parent = actor(cursor);
    let netns = netns(cursor.u32());
    let length = usize::try_from(cursor.u32()).unwrap_or(usize::MAX);
    let exe = Some(cursor.name()).filter(|name| !name.is_empty());
    let argv = cursor.take::<{ abi::ARGV_LEN }>();
    let taken = &argv[..length.min(argv.len())];
    let argv = (length > 0).then(|| Argv::from_kernel(taken, length > argv.len()));
    What::ProcessExecuted { process: Process { exe, ..process }, parent, netns, argv }
}

fn process_exited(cursor: &mut Cursor<'_>) -> What {
    let process = process(cursor);
    let status = WaitStatus(cursor.u32());
    What::ProcessExited { process, status, netns: netns(cursor.u32()) }
}

#[inline(always)]
fn socket_state(cursor: &mut Cursor<'_>) -> What {
    let (socket, old, new) = socket(cursor);
    What::SocketState { socket, current: caller(cursor), old, new }
}

fn socket_after_close(cursor: &mut Cursor<'_>) -> What {
    let address = cursor.u64();
    let pod = CgroupId(cursor.u64());
    let (unacked, error) = (known(cursor.u32()), cursor.u32());
    let (old, new) = (tcp_state(cursor.u32()), tcp_state(cursor.u32()));
    What::SocketAfterClose { address, pod, unacked, error, old, new }
}

fn socket_reset(cursor: &mut Cursor<'_>) -> What {
    let address = cursor.u64();
    let pod = CgroupId(cursor.u64());
    let reason = cursor.u32();
    let state = cursor.u32();
    let family = cursor.u16();
    let (local_port, peer_port, _) = (cursor.u16(), cursor.u16(), cursor.u16());
    let local = SocketAddr::new(ip(family, cursor.take()), local_port);
    let peer = SocketAddr::new(ip(family, cursor.take()), peer_port);
    What::SocketReset {
        address: (address != 0).then_some(address),
        pod,
        reason: (reason != u32::MAX).then_some(reason),
        state: (state != 0).then(|| tcp_state(state)),
        // a socket that has given up its port is told by its address
        ends: (local_port != 0).then_some((local, peer)),
    }
}

fn socket_refused(cursor: &mut Cursor<'_>) -> What {
    let pod = CgroupId(cursor.u64());
    let family = cursor.u16();
    let (local_port, peer_port, _) = (cursor.u16(), cursor.u16(), cursor.u16());
    let (netns, _) = (cursor.u32(), cursor.u32());
    let local = SocketAddr::new(ip(family, cursor.take()), local_port);
    let peer = SocketAddr::new(ip(family, cursor.take()), peer_port);
    What::SocketRefused { pod, netns, local, peer, current: caller(cursor) }
}

fn cgroup(cursor: &mut Cursor<'_>) -> Result<What, DecodeError> {
    let parent = CgroupId(cursor.u64());
    let pod = CgroupId(cursor.u64());
    let operation = cursor.u32();
    let length = usize::try_from(cursor.u32()).unwrap_or(usize::MAX);
    let path = cursor.take::<{ abi::PATH_LEN }>();
    match operation {
        cgroup_operation::MADE => {
            Ok(What::CgroupMade { parent, pod, path: clean_bytes(&path[..length.min(path.len())]) })
        }
        cgroup_operation::REMOVED => Ok(What::CgroupRemoved { pod }),
        cgroup_operation::EMPTIED => Ok(What::CgroupEmptied { pod }),
        unknown => Err(DecodeError::UnknownOperation(unknown)),
    }
}

#[inline(always)]
fn process(cursor: &mut Cursor<'_>) -> Process {
    let tgid = cursor.u32();
    let _tid = cursor.u32();
    let start = BootNs(cursor.u64());
    let ns_tgid = cursor.u32();
    let parent_tgid = cursor.u32();
    Process { tgid, start, ns_tgid, parent_tgid, comm: cursor.name(), exe: None }
}

#[inline(always)]
fn actor(cursor: &mut Cursor<'_>) -> Actor {
    let tgid = cursor.u32();
    let parent_tgid = cursor.u32();
    let cgroup = CgroupId(cursor.u64());
    let (comm, parent_comm) = (cursor.name(), cursor.name());
    let flags = cursor.u32();
    let ns_tgid = cursor.u32();
    let (exiting, kernel_thread) = (flags & abi::PF_EXITING != 0, flags & abi::PF_KTHREAD != 0);
    Actor { tgid, ns_tgid, parent_tgid, cgroup, comm, parent_comm, exiting, kernel_thread }
}

#[inline(always)]
fn caller(cursor: &mut Cursor<'_>) -> Caller {
    let cgroup = CgroupId(cursor.u64());
    let tgid = cursor.u32();
    let flags = cursor.u32();
    let (exiting, kernel_thread) = (flags & abi::PF_EXITING != 0, flags & abi::PF_KTHREAD != 0);
    Caller { tgid, cgroup, comm: cursor.name(), exiting, kernel_thread }
}

/// A socket, and its state before and after.
#[inline(always)]
fn socket(cursor: &mut Cursor<'_>) -> (Socket, TcpState, TcpState) {
    let address = cursor.u64();
    let pod = CgroupId(cursor.u64());
    let (bytes_received, bytes_acked, bytes_sent) = (cursor.u64(), cursor.u64(), cursor.u64());
    let family = cursor.u16();
    let (local_port, peer_port) = (cursor.u16(), cursor.u16());
    let shutdown = cursor.u16();
    let local = SocketAddr::new(ip(family, cursor.take()), local_port);
    let peer = SocketAddr::new(ip(family, cursor.take()), peer_port);
    let (unread, unacked) = (cursor.u32(), cursor.u32());
    let (since_received_ms, since_sent_ms) = (known(cursor.u32()), known(cursor.u32()));
    let flags = cursor.u32();
    let netns = cursor.u32();
    let error = cursor.u32();
    let received_minus_sent = cursor.u32().cast_signed();
    let since_our_last = known(cursor.u32());
    let (old, new) = (tcp_state(cursor.u16().into()), tcp_state(cursor.u16().into()));
    let counters = SocketCounters {
        bytes_received,
        bytes_acked,
        bytes_sent,
        unread,
        unacked,
        since_received_ms,
        since_sent_ms,
        received_minus_sent,
        since_our_last,
    };
    let socket = Socket {
        address,
        pod,
        by_cgroup: flags & socket_flag::BY_CGROUP != 0,
        by_current: flags & socket_flag::BY_CURRENT != 0,
        mptcp: flags & socket_flag::MPTCP != 0,
        opener: match flags & (socket_flag::OPENED_HERE | socket_flag::OPENED_BY_PEER) {
            socket_flag::OPENED_HERE => Some(Opener::ThisSide),
            socket_flag::OPENED_BY_PEER => Some(Opener::Peer),
            _ => None,
        },
        netns,
        local,
        peer,
        // 8 bits in the kernel
        shutdown: u8::try_from(shutdown).unwrap_or(u8::MAX),
        error,
        has_file: flags & socket_flag::HAS_FILE != 0,
        current_in_pod: flags & socket_flag::CURRENT_IN_POD != 0,
        counters: (flags & socket_flag::HAS_COUNTERS != 0).then_some(counters),
    };
    (socket, old, new)
}

/// An IPv4 address also where an IPv6 socket speaks IPv4 (`::ffff:10.0.0.1`).
fn ip(family: u16, bytes: [u8; 16]) -> IpAddr {
    if family == AF_INET6 {
        IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
    } else {
        IpAddr::V4(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]))
    }
}

fn tcp_state(state: u32) -> TcpState {
    match state {
        1 => TcpState::Established,
        2 => TcpState::SynSent,
        3 => TcpState::SynRecv,
        4 => TcpState::FinWait1,
        5 => TcpState::FinWait2,
        6 => TcpState::TimeWait,
        7 => TcpState::Close,
        8 => TcpState::CloseWait,
        9 => TcpState::LastAck,
        10 => TcpState::Listen,
        11 => TcpState::Closing,
        12 => TcpState::NewSynRecv,
        13 => TcpState::BoundInactive,
        _ => TcpState::Unknown,
    }
}

fn known(value: u32) -> Option<u32> {
    (value != u32::MAX).then_some(value)
}

fn netns(inum: u32) -> Option<u32> {
    (inum != 0).then_some(inum)
}

fn cgroup_id(id: u64) -> Option<CgroupId> {
    (id != 0).then_some(CgroupId(id))
}

#[cfg(test)]
mod tests;
