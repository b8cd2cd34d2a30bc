//! The kernel's own list of TCP sockets (`sock_diag(7)`): asks, reads the answers, makes rows of them.
//!
//! Looks and never touches: `SOCK_DIAG_BY_FAMILY` only. The answers are parsed, not cast. An MPTCP
//! socket shows as its TCP subflows, under its own inode number and cgroup (`mptcp_subflow_create_socket`).

use crate::input::{CgroupId, TcpState};
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkBuffer, NetlinkHeader, NetlinkMessage, NetlinkPayload, Nla as _,
};
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::nlas::Nla;
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags};
use netlink_packet_sock_diag::{SockDiagMessage, constants};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// How often a list is asked for again that changed while it was read.
const ATTEMPTS: usize = 3;
/// Answers come while the call waits; only a kernel in trouble takes longer.
const PATIENCE: Duration = Duration::from_secs(2);
/// The kernel fills the buffer it is given, up to 32 KiB at a time (`netlink_dump`).
const BUFFER: usize = 32 << 10;
/// `INET_DIAG_CGROUP_ID`, since Linux 5.9.
const INET_DIAG_CGROUP_ID: u16 = 21;
/// Where `struct tcp_info` has the milliseconds since data last went out and came in; same since Linux 2.6.
const LAST_DATA_SENT: usize = 44;
const LAST_DATA_RECV: usize = 52;
/// The two are differences of clock ticks, so each may be a tick too large: 10 ms at the slowest (`CONFIG_HZ=100`).
const TICK_MS: u64 = 10;

/// Why a list is not there, or not complete.
#[derive(Debug, thiserror::Error)]
pub(super) enum DiagError {
    /// The question could not be put.
    #[error("the kernel cannot be asked: {0}")]
    Send(Errno),
    /// No answer.
    #[error("the kernel's answer cannot be read: {0}")]
    Receive(Errno),
    /// `ENOENT`: neither built in nor loadable.
    #[error("the kernel has no tcp_diag (CONFIG_INET_TCP_DIAG; `modprobe tcp_diag`)")]
    NoModule,
    /// It answers with an error.
    #[error("the kernel answers: {0}")]
    Refused(io::Error),
    /// An answer that is none.
    #[error("the kernel's answer is not understood: {0}")]
    Malformed(String),
    /// The list changed under the kernel's hands every time.
    #[error("the list changed while it was read, {ATTEMPTS} times")]
    Interrupted,
}

/// Which addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    /// Those of v4 on a v6 socket included.
    V6,
}

/// A TCP socket as the kernel lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Names the socket until the next boot.
    pub(super) cookie: u64,
    /// Of its file, by which `/proc/<pid>/fd` names it; 0 if no process has it.
    pub(super) inode: u32,
    /// As the kernel tells it: the root's (1) may stand for „not known“.
    pub(super) cgroup: Option<CgroupId>,
    pub(super) state: TcpState,
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
    /// Of a connection: it is up for at least so long.
    pub(super) at_least_ms: Option<u64>,
}

/// Every socket of a family that is connected, was closed by the peer only, or listens. May hand the
/// same one over twice: the list is not read in one piece. On an error, what was read stays.
pub(super) fn list(diag: BorrowedFd<'_>, family: Family, mut each: impl FnMut(Row)) -> Result<(), DiagError> {
    set_socket_timeout(diag, Timeout::Recv, Some(PATIENCE)).map_err(DiagError::Send)?;
    let mut buffer = vec![0; BUFFER];
    for _ in 0..ATTEMPTS {
        if list_once(diag, family, &mut buffer, &mut each)? {
            return Ok(());
        }
    }
    Err(DiagError::Interrupted)
}

/// Asks once; whether the list stayed the same meanwhile.
fn list_once(
    diag: BorrowedFd<'_>,
    family: Family,
    buffer: &mut [u8],
    each: &mut impl FnMut(Row),
) -> Result<bool, DiagError> {
    send(diag, &request(family), SendFlags::empty()).map_err(DiagError::Send)?;
    let mut is_whole = true;
    loop {
        let (read, length) = match recv(diag, &mut *buffer, RecvFlags::TRUNC) {
            Ok(received) => received,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(DiagError::Receive(errno)),
        };
        if length > read {
            return Err(DiagError::Malformed(format!("{length} bytes at once")));
        }
        let answer = parse(&buffer[..read], each)?;
        is_whole &= !answer.interrupted;
        if answer.done {
            return Ok(is_whole);
        }
    }
}

/// The question as bytes.
fn request(family: Family) -> Vec<u8> {
    let (family, socket_id) = match family {
        Family::V4 => (AF_INET, SocketId::new_v4()),
        Family::V6 => (AF_INET6, SocketId::new_v6()),
    };
    let request = SockDiagMessage::InetRequest(InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::INFO,
        states: StateFlags::ESTABLISHED | StateFlags::CLOSE_WAIT | StateFlags::LISTEN,
        socket_id,
    });
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// What one datagram of the answer says beside its rows.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answer {
    done: bool,
    interrupted: bool,
}

fn parse(datagram: &[u8], each: &mut impl FnMut(Row)) -> Result<Answer, DiagError> {
    let mut answer = Answer::default();
    let mut rest = datagram;
    while !rest.is_empty() && !answer.done {
        // at least a header and at most what is there
        let length = NetlinkBuffer::new_checked(rest).map_err(malformed)?.length() as usize;
        let message = NetlinkMessage::<SockDiagMessage>::deserialize(&rest[..length]).map_err(malformed)?;
        answer.interrupted |= message.header.flags & NLM_F_DUMP_INTR != 0;
        match message.payload {
            NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                if let Some(row) = row(&response) {
                    each(row);
                }
            }
            NetlinkPayload::Done(done) => {
                refused(done.code)?;
                answer.done = true;
            }
            NetlinkPayload::Error(error) => {
                refused(error.raw_code())?;
                answer.done = true;
            }
            NetlinkPayload::Overrun(_) => return Err(DiagError::Malformed("an overrun".to_owned())),
            // of no meaning to us: nothing, and kinds that a later version of the parser may know
            NetlinkPayload::Noop | NetlinkPayload::InnerMessage(_) | _ => {}
        }
        // messages begin at multiples of 4
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(answer)
}

fn malformed(error: impl std::fmt::Display) -> DiagError {
    DiagError::Malformed(error.to_string())
}

/// A negative code is an error.
fn refused(code: i32) -> Result<(), DiagError> {
    // not `Errno`: it panics at a number that is none
    let error = io::Error::from_raw_os_error(code.saturating_neg());
    if code >= 0 {
        Ok(())
    } else if error.kind() == io::ErrorKind::NotFound {
        Err(DiagError::NoModule)
    } else {
        Err(DiagError::Refused(error))
    }
}

/// `None` if the socket has changed to another state since the kernel chose it.
fn row(response: &InetResponse) -> Option<Row> {
    let header = &response.header;
    let state = match header.state {
        constants::TCP_ESTABLISHED => TcpState::Established,
        constants::TCP_CLOSE_WAIT => TcpState::CloseWait,
        constants::TCP_LISTEN => TcpState::Listen,
        _ => return None,
    };
    let id = &header.socket_id;
    let mut at_least_ms = None;
    let mut cgroup = None;
    for attribute in &response.nlas {
        if let Nla::TcpInfo(info) = attribute
            && state != TcpState::Listen
        {
            at_least_ms = up_for_ms(info);
        } else if let Nla::Other(other) = attribute
            && other.kind() == INET_DIAG_CGROUP_ID
        {
            cgroup = cgroup_id(other);
        }
    }
    Some(Row {
        cookie: u64::from_ne_bytes(id.cookie),
        inode: header.inode,
        cgroup,
        state,
        local: SocketAddr::new(id.source_address.to_canonical(), id.source_port),
        peer: SocketAddr::new(id.destination_address.to_canonical(), id.destination_port),
        at_least_ms,
    })
}

/// Both stamps are set when the connection comes up (`tcp_finish_connect`, `tcp_create_openreq_child`)
/// and later by data only.
fn up_for_ms(tcp_info: &[u8]) -> Option<u64> {
    let since = |at: usize| tcp_info.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes);
    Some(u64::from(since(LAST_DATA_SENT)?.max(since(LAST_DATA_RECV)?)).saturating_sub(TICK_MS))
}

fn cgroup_id(attribute: &impl netlink_packet_core::Nla) -> Option<CgroupId> {
    let mut bytes = [0; 8];
    (attribute.value_len() == bytes.len()).then(|| {
        attribute.emit_value(&mut bytes);
        CgroupId(u64::from_ne_bytes(bytes))
    })
}

#[cfg(test)]
#[path = "diag_tests.rs"]
mod tests;
