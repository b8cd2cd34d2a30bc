//! Logs of every kind of input, and logs that are none.

use super::*;
use crate::input::*;
use compact_str::CompactString;
use proptest::option;
use proptest::prelude::*;
use std::cell::RefCell;
use std::io::{self, BufReader, Read, Write};
use std::rc::Rc;

fn session() -> Session {
    Session {
        started_at: BootNs(5_000_000_000),
        wall_offset_ns: -1_790_000_000_123_456_789,
        node: Some("n1".to_owned()),
        kernel: "6.12.0".to_owned(),
        tracer_tgid: 77,
        default_grace_ms: None,
        scope: TraceScope::Pod { namespace: None, name: "web".to_owned() },
        max_connections: 100,
        limits: vec!["no resets: the kernel has no tcp_send_reset".to_owned()],
        sees: Sees::default(),
    }
}

fn written(inputs: &[Input]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes, &session()).unwrap();
    for input in inputs {
        writer.write(input).unwrap();
    }
    writer.flush().unwrap();
    drop(writer);
    bytes
}

fn read(bytes: &[u8]) -> (Vec<Input>, Option<LogError>) {
    let reader = match Reader::new(bytes) {
        Ok(reader) => reader,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut inputs = Vec::new();
    for item in reader {
        match item {
            Ok(input) => inputs.push(input),
            Err(error) => return (inputs, Some(error)),
        }
    }
    (inputs, None)
}

fn tick(at: u64) -> Input {
    Input::Tick { at: BootNs(at) }
}

/// What came before `damage`, and what is said about it.
fn check(damage: &[u8], inputs: usize, says: &str) {
    let mut bytes = written(&[tick(1), tick(2)]);
    bytes.extend_from_slice(damage);
    let (kept, error) = read(&bytes);
    let error = error.map(|error| error.to_string()).unwrap_or_default();
    assert_eq!((kept.len(), error.contains(says)), (inputs, true), "{error:?} should say {says:?}");
    assert!(!error.contains(|c: char| c.is_control()), "{error:?}");
}

#[test]
fn what_came_before_the_damage_is_kept() {
    check(b"", 2, "");
    check(b"{\"input\":\"Tick\",\"at\":3}", 3, "");
    check(b"{\"input\":\"Tick\",\"at\":3,\"later\":true}\n", 3, "");
    check(b"{\"input\":\"Tick\",\"at\"", 2, "line 4: cut off");
    check(b"{\"input\":\"Tick\",\"at\"\n", 2, "line 4: not an input");
    check(b"{\"input\":\"Tick\",\"at\":-1}\n", 2, "line 4: not an input of an event log (invalid value: integer `-1`");
    check(b"{\"input\":\"Tick\"}\n", 2, "missing field `at`");
    check(b"{\"input\":\"Ti\\u001b[2Jck\"}\n", 2, "line 4: this gracetrace does not know `Ti\u{fffd}[2Jck`");
    check(b"\xff\xfe\n", 2, "line 4: not an input");
    check(b"\n", 2, "line 4: not an input");
    check(&vec![b'x'; MAX_LINE_BYTES + 5], 2, "line 4: longer than");
    check("[".repeat(100_000).as_bytes(), 2, "line 4: not an input");
}

#[test]
fn the_documented_log_is_one() {
    let page = include_str!("../../../docs/event-log.md");
    let log: Vec<&str> = page.lines().filter(|line| line.starts_with('{')).collect();
    let (inputs, error) = read(log.join("\n").as_bytes());
    assert!(error.is_none() && inputs.len() == 2, "{error:?}");
}

#[test]
fn other_files_are_told_apart() {
    let says = |bytes: &[u8]| read(bytes).1.unwrap().to_string();
    assert!(says(b"").contains("the file is empty"));
    assert!(says(b"{}\n").contains("names no format"));
    assert!(says(b"\x7fELF\x02\x01\x01\0").contains("names no format"));
    assert!(says(b"{\"format\":\"x/v1\"}\n").contains("its format is x/v1"));
    assert!(says(b"{\"format\":\"gracetrace.dev/event-log/v2\",\"se").contains("line 1: cut off"));
    assert!(says(b"{\"format\":\"gracetrace.dev/event-log/v2\",\"session\":7}\n").contains("or a later one"));
    assert!(says(b"{\"format\":\"gracetrace.dev/event-log/v1\",\"session\":7}\n").contains("line 1: not an input"));
    assert!(says(b"{\"format\":\"gracetrace.dev/event-log/v1\",\"sess").contains("line 1: cut off"));
    assert!(says(&written(&[])[..40]).contains("line 1: cut off"));
}

#[test]
fn an_endless_line_takes_no_endless_memory() {
    let endless = BufReader::new(io::repeat(b' '));
    assert!(Reader::new(endless).unwrap_err().to_string().contains("does not end"));
    let log = written(&[]);
    let endless = BufReader::new(log.as_slice().chain(io::repeat(b'{')));
    let mut reader = Reader::new(endless).unwrap();
    assert!(matches!(reader.next(), Some(Err(LogError::TooLong { line: 2 }))));
    assert!(reader.next().is_none());
}

#[test]
fn a_folder_is_no_log() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(Reader::open(folder.path()), Err(LogError::Io { line: 1, .. })));
    assert!(matches!(Reader::open(&folder.path().join("none")), Err(LogError::Open { .. })));
}

#[test]
fn a_new_log_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let mut writer = Writer::create(&path, &session()).unwrap();
    writer.write(&tick(9)).unwrap();
    drop(writer);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let reader = Reader::open(&path).unwrap();
    assert_eq!(*reader.session(), session());
    assert_eq!(reader.map(Result::unwrap).collect::<Vec<_>>(), [tick(9)]);
    Writer::create(&path, &session()).unwrap();
    assert_eq!(Reader::open(&path).unwrap().count(), 0, "overwritten");
}

/// A disk with little room; takes a few bytes at a time.
#[derive(Clone)]
struct Small(Rc<RefCell<(Vec<u8>, usize)>>);

impl Write for Small {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (held, room) = &mut *self.0.borrow_mut();
        let count = bytes.len().min(*room - held.len()).min(999);
        held.extend_from_slice(&bytes[..count]);
        if count == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(count) }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_tears_no_line_and_takes_bounded_memory() {
    let disk = Small(Rc::new(RefCell::new((Vec::new(), 1000))));
    let mut writer = Writer::new(disk.clone(), &session()).unwrap();
    let refused = (0..200_000).filter(|at| writer.write(&tick(*at)).is_err()).count();
    assert!(refused > 0 && writer.flush().is_err());
    disk.0.borrow_mut().1 = usize::MAX;
    writer.flush().unwrap();
    writer.write(&tick(1 << 60)).unwrap();
    writer.flush().unwrap();
    let (inputs, error) = read(&disk.0.borrow().0);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(inputs.last(), Some(&tick(1 << 60)));
    let longest = Input::StopRequested { at: BootNs(0), reason: "x".repeat(MAX_LINE_BYTES) };
    assert!(writer.write(&longest).is_err());
    writer.write(&tick(2)).unwrap();
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z-]{1,15}", any::<String>()]
}

/// Logs from before losses were told by pod.
#[test]
fn a_loss_without_a_pod_is_anybodys() {
    let old = r#"{"input":"Lost","at":7,"what":"socket_state","count":3}"#;
    let lost = Input::Lost { at: BootNs(7), what: "socket_state".to_owned(), count: 3, pod: None };
    assert_eq!(serde_json::from_str::<Input>(old).expect("an input"), lost);
    assert_eq!(serde_json::to_string(&lost).expect("a line"), old);
    let new = r#"{"input":"Lost","at":7,"what":"socket_state","count":3,"pod":70}"#;
    let own = Input::Lost { at: BootNs(7), what: "socket_state".to_owned(), count: 3, pod: Some(CgroupId(70)) };
    assert_eq!(serde_json::from_str::<Input>(new).expect("an input"), own);
    assert_eq!(serde_json::to_string(&own).expect("a line"), new);
}

fn name() -> impl Strategy<Value = CompactString> {
    text().prop_map(CompactString::from)
}

prop_compose! {
    fn process()(tgid: u32, start: u64, ns_tgid: u32, parent_tgid: u32, comm in name()) -> Process {
        Process { tgid, start: BootNs(start), ns_tgid, parent_tgid, exe: (tgid % 2 == 0).then(|| comm.clone()), comm }
    }
}

prop_compose! {
    fn actor()(tgid: u32, ns_tgid: u32, parent_tgid: u32, cgroup: u64, comm in name(), parent_comm in name(),
               exiting: bool, kernel_thread: bool) -> Actor {
        Actor { tgid, ns_tgid, parent_tgid, cgroup: CgroupId(cgroup), comm, parent_comm, exiting, kernel_thread }
    }
}

prop_compose! {
    fn caller()(tgid: u32, cgroup: u64, comm in name(), exiting: bool, kernel_thread: bool) -> Caller {
        Caller { tgid, cgroup: CgroupId(cgroup), comm, exiting, kernel_thread }
    }
}

prop_compose! {
    fn counters()(bytes_received: u64, bytes_acked: u64, bytes_sent: u64, unread: u32, unacked: u32,
                  since_received_ms: Option<u32>, since_sent_ms: Option<u32>, received_minus_sent: i32) -> SocketCounters {
        SocketCounters { bytes_received, bytes_acked, bytes_sent, unread, unacked, since_received_ms, since_sent_ms, received_minus_sent, since_our_last: since_sent_ms }
    }
}

prop_compose! {
    fn socket()(address: u64, pod: u64, by_cgroup: bool, netns: u32, local: (u32, u16), peer: (u128, u16), shutdown: u8,
                error: u32, has_file: bool, current_in_pod: bool, counters in option::of(counters())) -> Socket {
        Socket {
            address, pod: CgroupId(pod), by_cgroup, by_current: !by_cgroup, mptcp: has_file, opener: by_cgroup.then_some(Opener::ThisSide), netns,
            local: (std::net::Ipv4Addr::from(local.0), local.1).into(),
            peer: (std::net::Ipv6Addr::from(peer.0), peer.1).into(),
            shutdown, error, has_file, current_in_pod, counters,
        }
    }
}

fn argv() -> impl Strategy<Value = Argv> {
    (prop::collection::vec(any::<u64>(), 0..4), any::<bool>())
        .prop_map(|(digests, truncated)| Argv { digests, truncated })
}

fn what() -> impl Strategy<Value = What> {
    let results: &'static [SignalResult] =
        &[SignalResult::Delivered, SignalResult::Ignored, SignalResult::AlreadyPending, SignalResult::Lost];
    let dispositions: &'static [Disposition] =
        &[Disposition::Handler, Disposition::Blocked, Disposition::Ignore, Disposition::Default];
    prop_oneof![
        (
            process(),
            actor(),
            any::<[i32; 2]>(),
            any::<bool>(),
            prop::sample::select(results),
            prop::sample::select(dispositions)
        )
            .prop_map(|(target, sender, [signal, code], group, result, disposition)| What::SignalGenerated {
                target,
                sender,
                signal,
                code,
                group,
                result,
                disposition
            }),
        (process(), any::<i32>(), any::<bool>()).prop_map(|(process, signal, handled)| What::SignalDelivered {
            process,
            signal,
            handled
        }),
        process().prop_map(|child| What::ProcessForked { child }),
        (process(), actor(), any::<Option<u32>>(), option::of(argv()))
            .prop_map(|(process, parent, netns, argv)| What::ProcessExecuted { process, parent, netns, argv }),
        (process(), any::<u32>(), any::<Option<u32>>()).prop_map(|(process, status, netns)| What::ProcessExited {
            process,
            status: WaitStatus(status),
            netns
        }),
        process().prop_map(|process| What::OomVictim { process }),
        (any::<[u64; 2]>(), any::<Option<u32>>(), any::<u32>()).prop_map(|([address, pod], unacked, error)| {
            What::SocketAfterClose {
                address,
                pod: CgroupId(pod),
                unacked,
                error,
                old: TcpState::LastAck,
                new: TcpState::Close,
            }
        }),
        (socket(), caller()).prop_map(|(socket, current)| What::SocketState {
            socket,
            current,
            old: TcpState::Established,
            new: TcpState::CloseWait
        }),
        (any::<Option<u64>>(), any::<u64>(), any::<Option<u32>>()).prop_map(|(address, pod, reason)| {
            What::SocketReset {
                address,
                pod: CgroupId(pod),
                reason,
                state: reason.map(|_| TcpState::FinWait2),
                ends: None,
            }
        }),
        (any::<[u64; 2]>(), text()).prop_map(|([parent, pod], path)| What::CgroupMade {
            parent: CgroupId(parent),
            pod: CgroupId(pod),
            path
        }),
        any::<u64>().prop_map(|pod| What::CgroupEmptied { pod: CgroupId(pod) }),
        any::<u64>().prop_map(|pod| What::CgroupRemoved { pod: CgroupId(pod) }),
    ]
}

fn pre_stop() -> impl Strategy<Value = PreStop> {
    prop_oneof![
        argv().prop_map(|argv| PreStop::Exec { argv }),
        any::<Option<u16>>().prop_map(|port| PreStop::HttpGet { port }),
        any::<u64>().prop_map(|ms| PreStop::Sleep { ms }),
    ]
}

prop_compose! {
    fn pod_facts()(at: u64, uid in text(), namespace in option::of(text()), name in option::of(text()),
                   labels in option::of(prop::collection::btree_map(text(), text(), 0..3)), sandbox_id in option::of(text()),
                   host_network: Option<bool>, grace_ms: Option<u64>) -> PodFacts {
        PodFacts { at: BootNs(at), uid, source: FactSource::Cri, namespace, name, labels, sandbox_id, host_network, grace_ms }
    }
}

prop_compose! {
    fn container_facts()(at: u64, id in text(), runtime in option::of(text()), pod_uid in text(), name in option::of(text()),
                         image in option::of(text()), grace_ms: Option<u64>, stop_signal: Option<i32>,
                         pre_stop in option::of(pre_stop()), restarts: Option<u32>) -> ContainerFacts {
        ContainerFacts {
            at: BootNs(at), id, runtime, pod_uid, source: FactSource::Cri, name, image,
            role: restarts.map(|_| ContainerRole::Sidecar), grace_ms, stop_signal, pre_stop, restarts,
        }
    }
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        8 => (any::<u64>(), any::<Option<u64>>(), what())
            .prop_map(|(at, cgroup, what)| Input::Event(Event { at: BootNs(at), cgroup: cgroup.map(CgroupId), what })),
        1 => (any::<[u64; 3]>(), text(), prop::collection::vec(process(), 0..3)).prop_map(|([at, id, pod], path, processes)| {
            Input::CgroupFound(CgroupFound { at: BootNs(at), id: CgroupId(id), pod: CgroupId(pod), path, processes })
        }),
        1 => pod_facts().prop_map(Input::Pod),
        1 => container_facts().prop_map(Input::Container),
        1 => (any::<u64>(), text()).prop_map(|(at, reason)| Input::StopRequested { at: BootNs(at), reason }),
        1 => (any::<u64>(), any::<i64>()).prop_map(|(at, wall_offset_ns)| Input::Clock { at: BootNs(at), wall_offset_ns }),
        1 => (any::<[u64; 2]>(), text(), any::<Option<u64>>()).prop_map(|([at, count], what, pod)| {
            Input::Lost { at: BootNs(at), what, count, pod: pod.map(CgroupId) }
        }),
        1 => (any::<[u64; 2]>(), text()).prop_map(|([at, count], hook)| Input::PassedOver { at: BootNs(at), hook, count }),
        1 => any::<u64>().prop_map(tick),
        1 => any::<u64>().prop_map(|at| Input::Finish { at: BootNs(at) }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_written_is_read(inputs in prop::collection::vec(input(), 0..12)) {
        let (read, error) = read(&written(&inputs));
        prop_assert!(error.is_none(), "{:?}", error);
        prop_assert_eq!(read, inputs);
    }

    #[test]
    fn a_cut_log_keeps_its_whole_lines(inputs in prop::collection::vec(input(), 1..6), cut: prop::sample::Index) {
        let bytes = written(&inputs);
        let cut = cut.index(bytes.len());
        let whole = bytes[..cut].split(|byte| *byte == b'\n').count().saturating_sub(2);
        let (read, error) = read(&bytes[..cut]);
        prop_assert!(read.len() == whole || read.len() == whole + 1 && error.is_none());
        prop_assert_eq!(&read[..], &inputs[..read.len()]);
        let expected = matches!(error, None | Some(LogError::Truncated { .. } | LogError::NotALog { .. }));
        prop_assert!(expected, "{:?}", error);
    }

    #[test]
    fn damage_never_panics(inputs in prop::collection::vec(input(), 1..6), flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8u8), 1..9)) {
        let mut bytes = written(&inputs);
        for (place, bit) in flips {
            let place = place.index(bytes.len());
            bytes[place] ^= 1 << bit;
        }
        if let (_, Some(error)) = read(&bytes) {
            prop_assert!(!error.to_string().contains(|c: char| c.is_control()));
        }
    }
}
