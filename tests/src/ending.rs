//! Pods that all end at once, as inputs of the engine: what a node that is drained brings.

use gracetrace::input::{
    Actor, BootNs, Caller, CgroupId, ContainerFacts, ContainerRole, Disposition, Event, FactSource, Input, PodFacts,
    Process, Sees, Session, SignalResult, Socket, SocketCounters, TcpState, TraceScope, WaitStatus, What,
};
use std::net::{Ipv4Addr, SocketAddr};

const NODE: CgroupId = CgroupId(1);
const SIGTERM: i32 = 15;
const STEP_NS: u64 = 1_000;
const START: BootNs = BootNs(1_000_000_000);
/// All has happened long before, and reports are due.
const END: BootNs = BootNs(100_000_000_000);

/// A session that traces a node.
pub fn session() -> Session {
    Session {
        started_at: BootNs(0),
        wall_offset_ns: 1_700_000_000_000_000_000,
        node: Some("node".to_owned()),
        kernel: "6.18".to_owned(),
        tracer_tgid: 2,
        default_grace_ms: Some(30_000),
        scope: TraceScope::Node,
        max_connections: 1_000,
        limits: Vec::new(),
        sees: Sees::default(),
    }
}

/// Their inputs, the pods' mixed with each other, made one after the other. Of each pod: two cgroups, its name and its container's, a
/// program, the stop signal, `closes` connections that close in good order, a child for every other one, and its end.
pub fn inputs(pods: u32, closes: u32) -> impl Iterator<Item = Input> {
    let steps = (0..closes + 8).flat_map(move |step| (0..pods).map(move |pod| (step, pod)));
    let mut now = START;
    let happening = steps.flat_map(move |(step, pod)| {
        let mut inputs = Vec::new();
        for (cgroup, what) in happens(pod, step, closes) {
            now.0 += STEP_NS;
            inputs.push(Input::Event(Event { at: now, cgroup: Some(cgroup), what }));
        }
        if step == 1 {
            inputs.extend(facts(now, pod));
        }
        inputs
    });
    happening.chain([Input::Tick { at: END }])
}

/// What happens to a pod in a step.
fn happens(number: u32, step: u32, closes: u32) -> Vec<(CgroupId, What)> {
    let pod = CgroupId(u64::from(number) * 2 + 100);
    let container = CgroupId(pod.0 + 1);
    let init = process(number, 0);
    let path = format!("/kubepods/pod{}", uid(number));
    match step {
        0 => vec![(pod, What::CgroupMade { parent: NODE, pod, path })],
        1 => vec![(container, What::CgroupMade { parent: pod, pod, path: format!("{path}/{}", container_id(number)) })],
        2 => vec![(container, What::ProcessExecuted { process: init, parent: shim(), netns: Some(9), argv: None })],
        3 => vec![(container, stop_signal(init))],
        4 => vec![(container, What::SignalDelivered { process: init, signal: SIGTERM, handled: true })],
        last if last == closes + 5 => {
            vec![(container, What::ProcessExited { process: init, status: WaitStatus(0), netns: Some(9) })]
        }
        last if last == closes + 6 => {
            vec![(container, What::CgroupEmptied { pod }), (container, What::CgroupRemoved { pod })]
        }
        last if last == closes + 7 => vec![(pod, What::CgroupRemoved { pod })],
        close => {
            let mut happens = vec![(container, close_of(number, close, pod, container))];
            if close % 2 == 0 {
                happens.push((container, What::ProcessForked { child: process(number, close) }));
            }
            happens
        }
    }
}

fn uid(number: u32) -> String {
    format!("{:08x}-0000-4000-8000-000000000000", scattered(number))
}

fn container_id(number: u32) -> String {
    format!("{:08x}{:056x}", scattered(number), number)
}

/// As ids are: they differ from the first digits on.
fn scattered(number: u32) -> u32 {
    number.wrapping_mul(0x9e37_79b1)
}

/// Who it is, as the container runtime tells it.
fn facts(at: BootNs, number: u32) -> [Input; 2] {
    let pod = PodFacts {
        at,
        uid: uid(number),
        source: FactSource::Cri,
        namespace: Some("shop".to_owned()),
        name: Some(format!("web-{number}")),
        labels: Some([("app".to_owned(), "web".to_owned())].into()),
        sandbox_id: None,
        host_network: Some(false),
        grace_ms: Some(30_000),
    };
    let container = ContainerFacts {
        at,
        id: container_id(number),
        runtime: Some("containerd".to_owned()),
        pod_uid: uid(number),
        source: FactSource::Cri,
        name: Some("web".to_owned()),
        image: Some("web:1".to_owned()),
        role: Some(ContainerRole::App),
        grace_ms: Some(30_000),
        stop_signal: Some(SIGTERM),
        pre_stop: None,
        restarts: Some(0),
    };
    [Input::Pod(pod), Input::Container(container)]
}

fn stop_signal(target: Process) -> What {
    What::SignalGenerated {
        target,
        sender: Actor { comm: "runc".into(), ..shim() },
        signal: SIGTERM,
        code: 0,
        group: true,
        result: SignalResult::Delivered,
        disposition: Disposition::Handler,
    }
}

fn close_of(number: u32, close: u32, pod: CgroupId, container: CgroupId) -> What {
    // as many digits for each: what it takes to write them is not to depend on the number of pods
    let [high, low] = [number / 100, number % 100].map(|part| 100 + u8::try_from(part).unwrap_or(0));
    let peer = SocketAddr::from((Ipv4Addr::new(10, 100, high, low), 1024 + u16::try_from(close).unwrap_or(0)));
    let socket = Socket {
        address: u64::from(number) << 32 | u64::from(close) << 8,
        pod,
        by_cgroup: true,
        by_current: false,
        mptcp: false,
        opener: None,
        netns: 9,
        local: SocketAddr::from((Ipv4Addr::LOCALHOST, 80)),
        peer,
        shutdown: 3,
        error: 0,
        has_file: true,
        current_in_pod: true,
        counters: Some(SocketCounters {
            bytes_received: 100,
            bytes_acked: 500,
            bytes_sent: 500,
            unread: 0,
            unacked: 0,
            since_received_ms: Some(5),
            since_sent_ms: Some(4),
            received_minus_sent: -1,
            since_our_last: Some(0),
        }),
    };
    let tgid = process(number, 0).tgid;
    let current = Caller { tgid, cgroup: container, comm: "server".into(), exiting: false, kernel_thread: false };
    What::SocketState { socket, current, old: TcpState::Established, new: TcpState::FinWait1 }
}

fn process(number: u32, child: u32) -> Process {
    Process {
        tgid: 10_000 + number * 1_000 + child,
        start: BootNs(1_000_000_000 + u64::from(child) * 1_000_000),
        ns_tgid: 1 + child,
        parent_tgid: if child == 0 { shim().tgid } else { 10_000 + number * 1_000 },
        comm: "server".into(),
        exe: None,
    }
}

fn shim() -> Actor {
    Actor {
        tgid: 3,
        ns_tgid: 3,
        parent_tgid: 1,
        cgroup: NODE,
        comm: "containerd-shim".into(),
        parent_comm: "systemd".into(),
        exiting: false,
        kernel_thread: false,
    }
}
