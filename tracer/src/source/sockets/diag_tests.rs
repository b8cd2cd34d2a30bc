//! Answers as bytes, and the real kernel's about sockets of this very process.

use super::*;
use crate::source::sockets::netns;
use netlink_packet_core::{DefaultNla, DoneMessage, ErrorMessage};
use netlink_packet_sock_diag::inet::InetResponseHeader;
use proptest::prelude::*;
use rustix::net::{AddressFamily, SocketType, ipproto};
use std::net::{IpAddr, Ipv6Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Instant;

fn message(payload: NetlinkPayload<SockDiagMessage>, flags: u16) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    let mut message = NetlinkMessage::new(header, payload);
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn response(state: u8, local: &str, peer: &str, nlas: Vec<Nla>) -> Vec<u8> {
    let (local, peer): (SocketAddr, SocketAddr) =
        (local.parse().expect("an address"), peer.parse().expect("an address"));
    let socket_id = SocketId {
        source_port: local.port(),
        destination_port: peer.port(),
        source_address: local.ip(),
        destination_address: peer.ip(),
        interface_id: 0,
        cookie: 7_u64.to_ne_bytes(),
    };
    let family = if local.is_ipv4() { AF_INET } else { AF_INET6 };
    let header =
        InetResponseHeader { family, state, timer: None, socket_id, recv_queue: 0, send_queue: 0, uid: 0, inode: 99 };
    let response = InetResponse { header, nlas: nlas.into() };
    message(SockDiagMessage::InetResponse(Box::new(response)).into(), 2)
}

fn done(code: i32) -> Vec<u8> {
    let mut done = DoneMessage::default();
    done.code = code;
    message(NetlinkPayload::Done(done), 2)
}

fn tcp_info(sent: u32, received: u32) -> Nla {
    let mut info = vec![0xee; 104];
    info[44..48].copy_from_slice(&sent.to_ne_bytes());
    info[52..56].copy_from_slice(&received.to_ne_bytes());
    Nla::TcpInfo(info)
}

fn cgroup(id: u64) -> Nla {
    Nla::Other(DefaultNla::new(INET_DIAG_CGROUP_ID, id.to_ne_bytes().to_vec()))
}

fn parse_all(datagram: &[u8]) -> (Vec<Row>, Result<Answer, String>) {
    let mut rows = Vec::new();
    let answer = parse(datagram, &mut |row| rows.push(row)).map_err(|error| error.to_string());
    (rows, answer)
}

fn check(datagram: &[u8], expected: Option<Row>) {
    assert_eq!(parse_all(datagram), (expected.into_iter().collect(), Ok(Answer::default())));
}

fn expected(state: TcpState, local: &str, peer: &str) -> Row {
    Row {
        cookie: 7,
        inode: 99,
        cgroup: None,
        state,
        local: local.parse().expect("an address"),
        peer: peer.parse().expect("an address"),
        at_least_ms: None,
    }
}

#[test]
fn rows() {
    let unknown = || Nla::Other(DefaultNla::new(200, vec![1, 2, 3]));
    let (local, peer) = ("10.0.0.1:80", "10.0.0.2:5");
    let row = expected(TcpState::Established, local, peer);
    check(&response(1, local, peer, vec![]), Some(row.clone()));
    check(
        &response(1, local, peer, vec![unknown(), cgroup(63), tcp_info(5_000, 70)]),
        Some(Row { cgroup: Some(CgroupId(63)), at_least_ms: Some(4_990), ..row.clone() }),
    );
    check(&response(1, local, peer, vec![tcp_info(3, 4)]), Some(Row { at_least_ms: Some(0), ..row.clone() }));
    // cut short, or not of the size that it has
    check(&response(1, local, peer, vec![Nla::TcpInfo(vec![0; 55])]), Some(row.clone()));
    check(&response(1, local, peer, vec![Nla::Other(DefaultNla::new(INET_DIAG_CGROUP_ID, vec![0; 4]))]), Some(row));
    // of a listener the times mean nothing
    let listener = expected(TcpState::Listen, "[::]:80", "[::]:0");
    check(&response(10, "[::]:80", "[::]:0", vec![tcp_info(5_000, 70)]), Some(listener));
    let mapped = expected(TcpState::CloseWait, local, peer);
    check(&response(8, "[::ffff:10.0.0.1]:80", "[::ffff:10.0.0.2]:5", vec![]), Some(mapped));
    // no longer in a state that was asked for
    check(&response(4, local, peer, vec![]), None);
}

#[test]
fn ends() {
    let row = response(10, "0.0.0.0:80", "0.0.0.0:0", vec![]);
    let mut interrupted = row.clone();
    interrupted[6] |= u8::try_from(NLM_F_DUMP_INTR).expect("16");
    let error = |code: i32| {
        let mut error = ErrorMessage::default();
        error.code = std::num::NonZeroI32::new(code);
        error.header = vec![0; 16];
        message(NetlinkPayload::Error(error), 0)
    };
    for (datagram, rows, expected) in [
        (row.clone(), 1, Ok(Answer { done: false, interrupted: false })),
        ([row.clone(), interrupted, done(0)].concat(), 2, Ok(Answer { done: true, interrupted: true })),
        (error(-2), 0, Err("the kernel has no tcp_diag (CONFIG_INET_TCP_DIAG; `modprobe tcp_diag`)")),
        (error(-1), 0, Err("the kernel answers: Operation not permitted (os error 1)")),
        ([row.clone(), done(-22)].concat(), 1, Err("the kernel answers: Invalid argument (os error 22)")),
        (row[..row.len() - 1].to_vec(), 0, Err("the kernel's answer is not understood: ")),
        ([row, vec![0; 3]].concat(), 1, Err("the kernel's answer is not understood: ")),
        (vec![0; 16], 0, Err("the kernel's answer is not understood: ")),
    ] {
        let (found, answer) = parse_all(&datagram);
        assert_eq!(found.len(), rows, "{datagram:?}");
        match (answer, expected) {
            (Ok(answer), Ok(expected)) => assert_eq!(answer, expected),
            (Err(error), Err(expected)) => assert!(error.starts_with(expected), "{error}"),
            (answer, expected) => panic!("{answer:?} instead of {expected:?}"),
        }
    }
}

proptest! {
    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0_usize..300, byte in any::<u8>()) {
        let _ = parse_all(&bytes);
        let mut datagram = response(1, "10.0.0.1:80", "10.0.0.2:5", vec![cgroup(1), tcp_info(1, 2)]);
        datagram.extend(done(0));
        let length = datagram.len();
        datagram[at % length] = byte;
        let _ = parse_all(&datagram);
    }
}

/// What the kernel lists of this process's own namespace.
fn listed() -> Vec<Row> {
    let mut rows = Vec::new();
    for family in [Family::V4, Family::V6] {
        let diag = netns::diag().expect("a netlink socket");
        list(diag.as_fd(), family, |row| rows.push(row)).expect("a list");
    }
    rows
}

fn inode(socket: &impl AsRawFd) -> u32 {
    let link = std::fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).expect("a link");
    let link = link.to_str().expect("text");
    link.trim_start_matches("socket:[").trim_end_matches(']').parse().expect("its inode")
}

/// The row of the socket, and that it is listed once.
fn row_of(rows: &[Row], socket: &impl AsRawFd) -> Row {
    let inode = inode(socket);
    let of_it: Vec<_> = rows.iter().filter(|row| row.inode == inode).collect();
    assert_eq!(of_it.len(), 1, "{of_it:?}");
    of_it[0].clone()
}

#[test]
fn the_kernel_lists_ours() {
    let before = Instant::now();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address");
    let client = TcpStream::connect(address).expect("a connection");
    let (server, _) = listener.accept().expect("a connection");
    let waiting = TcpStream::connect(address).expect("a connection nobody accepts");
    let leaving = TcpStream::connect(address).expect("a connection");
    leaving.shutdown(std::net::Shutdown::Write).expect("a shutdown");
    std::thread::sleep(Duration::from_millis(60));
    let asked = Instant::now();
    let rows = listed();
    let age_ms = |since: Instant| u64::try_from(since.elapsed().as_millis()).expect("not that old");
    let (most, least) = (age_ms(before), age_ms(before) - age_ms(asked));

    let row = row_of(&rows, &listener);
    assert_eq!((row.state, row.local, row.peer.port(), row.at_least_ms), (TcpState::Listen, address, 0, None));
    let cgroup = row.cgroup;
    for (socket, peer) in [(&client, &server), (&server, &client)] {
        let row = row_of(&rows, socket);
        let addresses = (socket.local_addr().expect("its own"), peer.local_addr().expect("its peer's"));
        assert_eq!((row.state, (row.local, row.peer), row.cgroup), (TcpState::Established, addresses, cgroup));
        let at_least = row.at_least_ms.expect("a time");
        assert!(at_least <= most && at_least + 30 >= least.min(60), "{at_least} of {least} to {most} ms");
    }
    let unaccepted = |client: &TcpStream| {
        let client = client.local_addr().expect("its address");
        let row = rows.iter().find(|row| row.local == address && row.peer == client).expect("its other end");
        (row.inode, row.state, row.cgroup)
    };
    assert_eq!(unaccepted(&waiting), (0, TcpState::Established, cgroup));
    assert_eq!(unaccepted(&leaving), (0, TcpState::CloseWait, cgroup));
}

#[test]
fn the_kernel_lists_ipv6_and_mapped_addresses() {
    // a machine without IPv6 has nothing to list
    let Ok(listener) = TcpListener::bind("[::]:0") else { return };
    let port = listener.local_addr().expect("its address").port();
    let client = TcpStream::connect(("127.0.0.1", port)).expect("a connection over IPv4");
    let (server, _) = listener.accept().expect("a connection");
    let rows = listed();
    assert_eq!(row_of(&rows, &listener).local, (IpAddr::from(Ipv6Addr::UNSPECIFIED), port).into());
    let row = row_of(&rows, &server);
    assert_eq!((row.local, row.peer), (([127, 0, 0, 1], port).into(), client.local_addr().expect("its address")));

    let Ok(client) = TcpStream::connect(("::1", port)) else { return };
    let (server, _) = listener.accept().expect("a connection");
    let row = row_of(&listed(), &server);
    assert_eq!((row.local, row.peer), ((Ipv6Addr::LOCALHOST, port).into(), client.local_addr().expect("its address")));
}

/// Go listens with MPTCP: what the kernel lists is the subflow, in the name of the application's socket.
#[test]
fn the_kernel_lists_mptcp() {
    let Ok(socket) = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, Some(ipproto::MPTCP)) else { return };
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    rustix::net::bind(&socket, &any).expect("a port");
    rustix::net::listen(&socket, 8).expect("a listener");
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().expect("its address");
    let plain = TcpStream::connect(address).expect("a connection");
    let (plain_server, _) = listener.accept().expect("a connection");
    let socket: OwnedFd =
        rustix::net::socket(AddressFamily::INET, SocketType::STREAM, Some(ipproto::MPTCP)).expect("another");
    rustix::net::connect(&socket, &address).expect("a connection");
    let both = TcpStream::from(socket);
    let (both_server, _) = listener.accept().expect("a connection");

    let rows = listed();
    let of_listener = row_of(&rows, &listener);
    assert_eq!((of_listener.state, of_listener.local), (TcpState::Listen, address));
    for socket in [&plain, &plain_server, &both, &both_server] {
        let row = row_of(&rows, socket);
        let expected = (TcpState::Established, socket.local_addr().expect("its address"), of_listener.cgroup);
        assert_eq!((row.state, row.local, row.cgroup), expected);
    }
}
