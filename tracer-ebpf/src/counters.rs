//! What went through a TCP socket, as the kernel counts it: read into a record that `socket.rs` has made room for. What it means user
//! space concludes (`work`).

use crate::kernel::jiffies;
use crate::known::{Field, field};
use crate::maps;
use crate::place::{Place, SocketPlace};
use tracer_ebpf::{Socket, learnt, socket_flag};

/// What a connection's counters say.
#[inline(always)]
pub(crate) fn fill_counters(socket: &mut Socket, sock: impl Place) {
    let received: u64 = sock.read(field!(tcp_bytes_received));
    let sent: u64 = sock.read(field!(tcp_bytes_sent));
    socket.bytes_received = received;
    socket.bytes_sent = sent;
    socket.bytes_acked = sock.read(field!(tcp_bytes_acked));
    // the receive queue is drained by now; sequence numbers are not
    socket.unread = sock.read::<u32>(field!(tcp_rcv_nxt)).wrapping_sub(sock.read(field!(tcp_copied_seq)));
    socket.unacked = unacked(sock);
    let last_received: u32 = sock.read(field!(icsk_lrcvtime));
    let last_sent: u32 = sock.read(field!(tcp_lsndtime));
    let hz = maps::learnt(learnt::HZ);
    socket.since_received_ms = since_ms(hz, last_received, received);
    socket.since_sent_ms = since_ms(hz, last_sent, sent);
    socket.received_minus_sent = last_received.wrapping_sub(last_sent) as i32;
    let wl1 = field!(tcp_snd_wl1);
    socket.since_our_last =
        if wl1.is_there() { sock.read::<u32>(field!(tcp_rcv_nxt)).wrapping_sub(sock.read(wl1)) } else { u32::MAX };
}

/// That they say nothing.
#[inline(always)]
pub(crate) fn no_counters(socket: &mut Socket) {
    socket.bytes_received = 0;
    socket.bytes_sent = 0;
    socket.bytes_acked = 0;
    socket.unread = 0;
    socket.unacked = 0;
    socket.since_received_ms = u32::MAX;
    socket.since_sent_ms = u32::MAX;
    socket.received_minus_sent = 0;
    socket.since_our_last = u32::MAX;
}

/// Both stamps are set when the socket is made, so without bytes they mean nothing.
#[inline(always)]
fn since_ms(hz: u64, stamp: u32, bytes: u64) -> u32 {
    if hz == 0 || bytes == 0 {
        return u32::MAX;
    }
    let ticks = (jiffies() as u32).wrapping_sub(stamp);
    // a stamp of the coming tick, taken on another CPU
    if ticks as i32 <= 0 { 0 } else { (u64::from(ticks) * 1000 / hz) as u32 }
}

/// Who connected. What the peer has acknowledged and what is on its way are what was sent once, and one
/// more where our SYN is counted: on the side that connected. (Retransmissions that failed to leave
/// spoil the sum; then it is neither.)
#[inline(always)]
pub(crate) fn opener(sock: impl Place) -> u32 {
    let (next, again, acked) = (field!(tcp_snd_nxt), field!(tcp_bytes_retrans), field!(tcp_bytes_acked));
    if !next.is_there() || !again.is_there() || !acked.is_there() {
        return 0;
    }
    let on_its_way = sock.read::<u32>(next).wrapping_sub(sock.read(field!(tcp_snd_una)));
    let sent_once = sock.read::<u64>(field!(tcp_bytes_sent)).wrapping_sub(sock.read(again));
    let arrived = sock.read::<u64>(acked).wrapping_add(u64::from(on_its_way));
    match arrived.wrapping_sub(sent_once) {
        0 => socket_flag::OPENED_BY_PEER,
        1 => socket_flag::OPENED_HERE,
        _ => 0,
    }
}

/// Whether this kernel's sockets tell what went through them.
#[inline(always)]
pub(crate) fn has_counters() -> bool {
    field!(tcp_copied_seq).is_there() && field!(tcp_bytes_received).is_there()
}

/// Written and not acknowledged.
#[inline(always)]
pub(crate) fn unacked(sock: impl Place) -> u32 {
    sock.read::<u32>(field!(tcp_write_seq)).wrapping_sub(sock.read(field!(tcp_snd_una)))
}

/// Whether this side has sent nothing but its FIN, and the peer has acknowledged that: nothing can be lost on the way, as its close has told
/// already. So it is where somebody only looks whether a port is open.
#[inline(always)]
pub(crate) fn never_wrote(sock: impl SocketPlace) -> bool {
    let tcp = sock.as_tcp();
    !tcp.is_null()
        && has_counters()
        && tcp.read::<u64>(field!(tcp_bytes_sent)) == 0
        && unacked(tcp) == 0
        && tcp.read::<u32>(field!(sock_err)) == 0
        && tcp.read::<u8>(field!(tcp_is_mptcp)) == 0
}
