//! Records put together field by field in the ABI's order, and bytes that are none.

use super::*;
use proptest::prelude::*;

/// Writes a record; the header's size is set at the end.
struct Maker(Vec<u8>);

impl Maker {
    fn new(kind: u16) -> Self {
        Self(Vec::new()).u16(kind).u16(0).u32(1).u64(1_000).u64(77)
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn u16(self, value: u16) -> Self {
        self.bytes(&value.to_ne_bytes())
    }

    fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_ne_bytes())
    }

    fn u64(self, value: u64) -> Self {
        self.bytes(&value.to_ne_bytes())
    }

    fn padded<const N: usize>(self, text: &[u8]) -> Self {
        let mut field = [0; N];
        field[..text.len()].copy_from_slice(text);
        self.bytes(&field)
    }

    fn process(self) -> Self {
        self.u32(100).u32(101).u64(500).u32(1).u32(99).padded::<16>(b"nginx\0stale")
    }

    fn actor(self) -> Self {
        let maker = self.u32(42).u32(41).u64(7).padded::<16>(b"runc").padded::<16>(b"shim\n");
        maker.u32(abi::PF_EXITING).u32(42)
    }

    fn caller(self) -> Self {
        self.u64(7).u32(42).u32(abi::PF_EXITING).padded::<16>(b"runc")
    }

    fn finish(mut self, size: usize) -> Vec<u8> {
        assert_eq!(self.0.len(), size, "the record as the ABI has it");
        let size = u16::try_from(size).expect("a small record");
        self.0[2..4].copy_from_slice(&size.to_ne_bytes());
        self.0
    }
}

fn only(bytes: &[u8]) -> Event {
    let mut events: Vec<_> = records(bytes).collect();
    assert_eq!(events.len(), 1);
    events.remove(0).expect("well-formed")
}

fn process() -> Process {
    Process { tgid: 100, start: BootNs(500), ns_tgid: 1, parent_tgid: 99, comm: "nginx".into(), exe: None }
}

fn actor() -> Actor {
    Actor {
        tgid: 42,
        ns_tgid: 42,
        parent_tgid: 41,
        cgroup: CgroupId(7),
        comm: "runc".into(),
        parent_comm: "shim\u{fffd}".into(),
        exiting: true,
        kernel_thread: false,
    }
}

fn caller() -> Caller {
    Caller { tgid: 42, cgroup: CgroupId(7), comm: "runc".into(), exiting: true, kernel_thread: false }
}

fn signal(result: u32, action: u32, blocked: u32) -> Vec<u8> {
    let maker = Maker::new(kind::SIGNAL_GENERATED).process().actor().u32(15).u32(0x80).u32(1);
    maker.u32(result).u32(action).u32(blocked).finish(size_of::<abi::SignalGenerated>())
}

fn exit() -> Vec<u8> {
    Maker::new(kind::PROCESS_EXITED).process().u32(0x8b).u32(0).finish(size_of::<abi::ProcessExited>())
}

fn exec(argv_len: u32, argv: &[u8]) -> Vec<u8> {
    let maker = Maker::new(kind::PROCESS_EXECUTED).process().actor().u32(4_026_531_840).u32(argv_len);
    let maker = maker.padded::<{ abi::COMM_LEN }>(b"dash\0junk");
    maker.padded::<{ abi::ARGV_LEN }>(argv).finish(size_of::<abi::ProcessExecuted>())
}

fn socket(family: u16, local: [u8; 16], flags: u32) -> Vec<u8> {
    let maker = Maker::new(kind::SOCKET_STATE).u64(0xffff_8880_0000_1000).u64(5).u64(11).u64(22).u64(33);
    let maker = maker.u16(family).u16(8080).u16(40_000).u16(3).bytes(&local).padded::<16>(&[10, 0, 0, 9]);
    let maker =
        maker.u32(4).u32(6).u32(250).u32(u32::MAX).u32(flags).u32(12).u32(104).u32(u32::MAX).u32(9).u16(1).u16(7);
    maker.caller().finish(size_of::<abi::SocketState>())
}

fn cgroup(operation: u32) -> Vec<u8> {
    let maker = Maker::new(kind::CGROUP).u64(3).u64(5).u32(operation).u32(6);
    maker.padded::<{ abi::PATH_LEN }>(b"/pod/a of an older record").finish(size_of::<abi::Cgroup>())
}

#[test]
fn a_signal() {
    let event = only(&signal(1, handler::DEFAULT, 0));
    assert_eq!((event.at, event.cgroup), (BootNs(1_000), Some(CgroupId(77))));
    let expected = What::SignalGenerated {
        target: process(),
        sender: actor(),
        signal: 15,
        code: 0x80,
        group: true,
        result: SignalResult::Ignored,
        disposition: Disposition::Default,
    };
    assert_eq!(event.what, expected);
}

#[test]
fn what_a_process_does_with_a_signal() {
    for (action, blocked, expected) in [
        (handler::DEFAULT, 0, Disposition::Default),
        (handler::DEFAULT, 1, Disposition::Blocked),
        (handler::IGNORE, 0, Disposition::Ignore),
        (handler::IGNORE, 1, Disposition::Blocked),
        (handler::FUNCTION, 1, Disposition::Handler),
        (9, 0, Disposition::Unknown),
    ] {
        let What::SignalGenerated { disposition, .. } = only(&signal(0, action, blocked)).what else {
            panic!("another event");
        };
        assert_eq!(disposition, expected, "{action} {blocked}");
    }
}

#[test]
fn the_life_of_a_process() {
    let forked = Maker::new(kind::PROCESS_FORKED).process().finish(size_of::<abi::ProcessForked>());
    assert_eq!(only(&forked).what, What::ProcessForked { child: process() });
    let status = WaitStatus(0x8b);
    assert_eq!(only(&exit()).what, What::ProcessExited { process: process(), status, netns: None });
    assert_eq!((status.signal(), status.core_dumped()), (Some(11), true));
    let victim = Maker::new(kind::OOM_VICTIM).process().finish(size_of::<abi::OomVictim>());
    assert_eq!(only(&victim).what, What::OomVictim { process: process() });
    let delivered = Maker::new(kind::SIGNAL_DELIVERED).process().u32(15).u32(handler::FUNCTION);
    let delivered = only(&delivered.finish(size_of::<abi::SignalDelivered>()));
    assert_eq!(delivered.what, What::SignalDelivered { process: process(), signal: 15, handled: true });
}

#[test]
fn arguments_become_digests() {
    let argv_of = |bytes: &[u8]| {
        let What::ProcessExecuted { argv, process, .. } = only(bytes).what else { panic!("another event") };
        assert_eq!(process.exe.as_deref(), Some("dash"));
        argv
    };
    assert_eq!(argv_of(&exec(0, b"sh\0of an older record")), None);
    assert_eq!(argv_of(&exec(6, b"sh\0-c\0of an older record")), Some(Argv::from_arguments(["sh", "-c"])));
    let exact = [b'x'; abi::ARGV_LEN - 1];
    assert_eq!(argv_of(&exec(256, &exact)), Some(Argv::from_arguments([exact])));
    let cut = argv_of(&exec(257, &[b'x'; abi::ARGV_LEN])).expect("arguments");
    assert!(cut.truncated && cut.digests.is_empty());
}

#[test]
fn a_socket() {
    let What::SocketState { socket, current, old, new } =
        only(&socket(2, [10, 0, 0, 1, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9], 0xf)).what
    else {
        panic!("another event");
    };
    assert_eq!((current, old, new), (caller(), TcpState::Established, TcpState::Close));
    assert_eq!(
        (socket.local, socket.peer),
        ("10.0.0.1:8080".parse().expect("v4"), "10.0.0.9:40000".parse().expect("v4"))
    );
    assert!(socket.has_file && socket.current_in_pod && socket.by_cgroup);
    let counters = socket.counters.expect("counters");
    assert_eq!((counters.bytes_received, counters.bytes_acked, counters.bytes_sent), (11, 22, 33));
    assert_eq!((counters.unread, counters.unacked, counters.received_minus_sent), (4, 6, -1));
    assert_eq!((counters.since_received_ms, counters.since_sent_ms), (Some(250), None));
}

#[test]
fn a_socket_after_its_close() {
    let after_close = |unacked| {
        let maker = Maker::new(kind::SOCKET_STATE).u64(9).u64(5).u32(unacked).u32(104).u32(9).u32(7);
        only(&maker.finish(size_of::<abi::SocketAfterClose>())).what
    };
    let expected = |unacked| What::SocketAfterClose {
        address: 9,
        pod: CgroupId(5),
        unacked,
        error: 104,
        old: TcpState::LastAck,
        new: TcpState::Close,
    };
    assert_eq!(after_close(3), expected(Some(3)));
    assert_eq!(after_close(u32::MAX), expected(None));
}

#[test]
fn ipv4_in_ipv6_is_ipv4() {
    let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1];
    for (bytes, expected) in [(mapped, "10.0.0.1:8080"), ([0; 16], "[::]:8080")] {
        let What::SocketState { socket, .. } = only(&socket(10, bytes, 0)).what else {
            panic!("another event");
        };
        assert_eq!(socket.local, expected.parse().expect("an address"));
        assert_eq!(socket.counters, None);
    }
}

#[test]
fn a_reset() {
    let reset = |address, reason, state, port| {
        let maker = Maker::new(kind::SOCKET_RESET).u64(address).u64(5).u32(reason).u32(state);
        let maker = maker.u16(2).u16(port).u16(40_000).u16(0).padded::<16>(&[10, 0, 0, 1]).padded::<16>(&[10, 0, 0, 9]);
        only(&maker.finish(size_of::<abi::SocketReset>())).what
    };
    let pod = CgroupId(5);
    let expected = What::SocketReset { address: None, pod, reason: None, state: None, ends: None };
    assert_eq!(reset(0, u32::MAX, 0, 0), expected);
    let (state, ends) = (Some(TcpState::TimeWait), Some((([10, 0, 0, 1], 80).into(), ([10, 0, 0, 9], 40_000).into())));
    let expected = What::SocketReset { address: Some(9), pod, reason: Some(11), state, ends };
    assert_eq!(reset(9, 11, 6, 80), expected);
}

#[test]
fn a_refused_attempt() {
    let maker = Maker::new(kind::SOCKET_REFUSED).u64(5).u16(2).u16(8080).u16(40_000).u16(0).u32(12).u32(0);
    let maker = maker.padded::<16>(&[10, 0, 0, 1]).padded::<16>(&[10, 0, 0, 9]).caller();
    let (local, peer) = (([10, 0, 0, 1], 8080).into(), ([10, 0, 0, 9], 40_000).into());
    let expected = What::SocketRefused { pod: CgroupId(5), netns: 12, local, peer, current: caller() };
    assert_eq!(only(&maker.finish(size_of::<abi::SocketRefused>())).what, expected);
}

#[test]
fn who_opened_a_connection() {
    for (flags, expected) in [
        (0, None),
        (socket_flag::OPENED_HERE, Some(Opener::ThisSide)),
        (socket_flag::OPENED_BY_PEER, Some(Opener::Peer)),
    ] {
        let What::SocketState { socket, .. } =
            only(&socket(2, [10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], flags)).what
        else {
            panic!("another event");
        };
        assert_eq!(socket.opener, expected);
    }
}

#[test]
fn cgroups() {
    let (parent, pod) = (CgroupId(3), CgroupId(5));
    assert_eq!(only(&cgroup(0)).what, What::CgroupMade { parent, pod, path: "/pod/a".to_owned() });
    assert_eq!(only(&cgroup(1)).what, What::CgroupRemoved { pod });
    assert_eq!(only(&cgroup(2)).what, What::CgroupEmptied { pod });
    let after: Vec<_> = records(&[cgroup(3), exit()].concat()).map(|event| event.map(|_| ())).collect();
    assert_eq!(after, [Err(DecodeError::UnknownOperation(3)), Ok(())]);
}

#[test]
fn goes_on_after_a_record_it_does_not_know() {
    let strange = Maker::new(999).u64(0).finish(32);
    let found: Vec<_> = records(&[strange, exit()].concat()).map(|event| event.map(|_| ())).collect();
    assert_eq!(found, [Err(DecodeError::UnknownKind(999)), Ok(())]);
}

#[test]
fn gives_up_where_the_length_is_not_to_be_trusted() {
    let whole = exit();
    let found: Vec<_> = records(&whole[..70]).map(|event| event.map(|_| ())).collect();
    assert_eq!(found, [Err(DecodeError::Truncated { kind: kind::PROCESS_EXITED, have: 70, want: 72 })]);
    let mut short = [whole.clone(), whole].concat();
    short[2..4].copy_from_slice(&8_u16.to_ne_bytes());
    assert_eq!(records(&short).count(), 1);
    let too_small = Maker::new(kind::PROCESS_EXITED).u64(0).finish(32);
    let found: Vec<_> = records(&too_small).collect();
    assert_eq!(found, [Err(DecodeError::Truncated { kind: kind::PROCESS_EXITED, have: 32, want: 72 })]);
}

#[test]
fn of_each_kind_every_shorter_record_is_told_as_cut_short() {
    for kind in (0..kind::COUNT).filter_map(|kind| u16::try_from(kind).ok()) {
        for fill in [0, 0xff] {
            every_shorter_one_is_cut_short(kind, fill);
        }
    }
}

fn every_shorter_one_is_cut_short(kind: u16, fill: u8) {
    let mut told = None;
    for length in (0..600).filter(|length| kind != kind::SOCKET_STATE || *length != AFTER_CLOSE) {
        let record = Maker::new(kind).bytes(&vec![fill; length]).finish(HEADER + length);
        match records(&record).next() {
            Some(Ok(_) | Err(DecodeError::UnknownOperation(u32::MAX)))
                if told.is_some_and(|want| want <= HEADER + length) => {}
            Some(Err(DecodeError::Truncated { kind: of, have, want })) => {
                assert_eq!((of, have), (kind, HEADER + length));
                assert!(have < want && told.is_none_or(|told| told == want), "{kind}: {have} of {want}, {told:?}");
                told = Some(want);
            }
            other => panic!("{kind}, {length} bytes after the header: {other:?}"),
        }
    }
}

proptest! {
    #[test]
    fn never_panics_and_always_ends(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(records(&bytes).count() <= bytes.len() / HEADER + 1);
    }

    #[test]
    fn never_panics_on_a_plausible_record(kind in 0_u16..10, body in proptest::collection::vec(any::<u8>(), 0..600)) {
        let size = u16::try_from(HEADER + body.len()).expect("small");
        let bytes = Maker(Vec::new()).u16(kind).u16(size).u32(0).u64(1).u64(1).bytes(&body).0;
        prop_assert_eq!(records(&bytes).count(), 1);
    }
}
