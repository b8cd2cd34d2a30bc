//! Attempts to connect that met a closed port of a pod that is being stopped.
//!
//! The kernel answers a SYN that finds no socket with a RST, and tells of it without one: all there is
//! is the packet. Whose port it was is known by the last listener of a traced pod that closed there.

use crate::call::Call;
use crate::emit::{Outcome, Reason, Urgency, emit};
use crate::kernel::{Task, current_cgroup, netns_inum, read};
use crate::known::{Field, field, setting};
use crate::maps;
use crate::place::{Far, Place, read_bytes, set_field};
use crate::process::fill_caller;
use crate::share::Room;
use tracer_ebpf::SocketRefused;

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
/// `struct tcphdr`: ports, and the byte of flags.
const TCP_SOURCE: u64 = 0;
const TCP_DEST: u64 = 2;
const TCP_FLAGS: u64 = 13;
const SYN_OF_SYN_ACK: u8 = 0x12;
const SYN: u8 = 0x02;
/// `struct iphdr` and `struct ipv6hdr`: addresses; the protocol of the former.
const IPV4_PROTOCOL: u64 = 9;
const IPV4_SOURCE: u64 = 12;
const IPV4_DEST: u64 = 16;
const IPV6_NEXT_HEADER: u64 = 6;
const IPV6_SOURCE: u64 = 8;
const IPV6_DEST: u64 = 24;
const IPPROTO_TCP: u8 = 6;

/// `kfree_skb(struct sk_buff *skb, void *location, enum skb_drop_reason reason)`, for kernels whose
/// `tcp_send_reset` does not tell of packets without a socket.
#[inline(always)]
pub(crate) fn dropped(ctx: &Call) -> Outcome {
    let no_socket = setting!(drop_reason_no_socket);
    // behind the setting: older kernels give no reason, and reading it would make the attachment fail
    if no_socket == 0 || u64::from(ctx.arg::<u32>(2)) != no_socket {
        return Outcome::Skipped(Reason::Noise);
    }
    refused(ctx, ctx.arg(0))
}

/// A packet that found no socket.
#[inline(always)]
pub(crate) fn refused(ctx: &Call, skb: u64) -> Outcome {
    let head: u64 = read(skb, field!(skb_head).word());
    let tcp = head.wrapping_add(u64::from(read::<u16>(skb, field!(skb_transport_header).word())));
    if read::<u8>(tcp, TCP_FLAGS) & SYN_OF_SYN_ACK != SYN {
        return Outcome::Skipped(Reason::Noise);
    }
    let ip = head.wrapping_add(u64::from(read::<u16>(skb, field!(skb_network_header).word())));
    let (family, protocol) = match read::<u8>(ip, 0) >> 4 {
        4 => (AF_INET, read::<u8>(ip, IPV4_PROTOCOL)),
        _ => (AF_INET6, read::<u8>(ip, IPV6_NEXT_HEADER)),
    };
    if protocol != IPPROTO_TCP {
        return Outcome::Skipped(Reason::NotTcp);
    }
    let device = Far(skb).follow(field!(skb_dev));
    let net = if device.is_null() { device } else { device.follow(field!(net_device_net)) };
    let netns = netns_inum(net);
    let port = u16::from_be(read(tcp, TCP_DEST));
    let address = if family == AF_INET6 {
        [read(ip, IPV6_DEST), read(ip, IPV6_DEST + 8)]
    } else {
        maps::mapped(read(ip, IPV4_DEST))
    };
    let Some(whose) = maps::closed_port(netns, port, address) else {
        return Outcome::Skipped(Reason::NotStopping);
    };
    emit::<SocketRefused>(ctx, whose.cgroup, Room::LeftTo(whose.pod), Urgency::Soon, |record| {
        record.pod = whose.pod;
        record.family = family;
        record.local_port = port;
        record.peer_port = u16::from_be(read(tcp, TCP_SOURCE));
        record.reserved = 0;
        record.netns = netns;
        record.reserved_too = 0;
        if family == AF_INET6 {
            read_bytes(&mut record.local, ip, IPV6_DEST);
            read_bytes(&mut record.peer, ip, IPV6_SOURCE);
        } else {
            // SAFETY: both are in a record, behind whole words
            unsafe {
                set_field(&mut record.local, in_first_four(read(ip, IPV4_DEST)));
                set_field(&mut record.peer, in_first_four(read(ip, IPV4_SOURCE)));
            }
        }
        fill_caller(&mut record.current, Task::<Far>::current(), current_cgroup(ctx.current()));
    })
}

/// An address in network order, as it lies in memory.
#[inline(always)]
pub(crate) fn in_first_four(address: u32) -> [u64; 2] {
    [u64::from(address), 0]
}
