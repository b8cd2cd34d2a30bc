//! Hand-made reports for the tests of the formats.

use crate::report::*;

fn runc(pid: u32) -> Sender {
    Sender { pid, comm: "runc".to_owned(), parent_comm: "containerd-shim".to_owned() }
}

#[expect(clippy::unnecessary_wraps, reason = "most of a report's strings may be absent")]
fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

pub(super) fn entry(at_ms: f64, event: TimelineEvent) -> TimelineEntry {
    TimelineEntry {
        at_ms,
        event,
        container: some("app"),
        pid: None,
        comm: None,
        signal: None,
        count: None,
        detail: None,
    }
}

fn by(entry: TimelineEntry, pid: u32, comm: &str, signal: Option<&str>) -> TimelineEntry {
    TimelineEntry { pid: Some(pid), comm: some(comm), signal: signal.map(str::to_owned), ..entry }
}

fn counted(at_ms: f64, event: TimelineEvent, count: u64, detail: Option<&str>) -> TimelineEntry {
    TimelineEntry { count: Some(count), detail: detail.map(str::to_owned), ..entry(at_ms, event) }
}

fn connection(at_ms: f64, port: u16, end: ConnectionEnd, work: Work) -> Connection {
    Connection {
        at_ms: Some(at_ms),
        container: some("app"),
        direction: Direction::Inbound,
        local: "10.88.0.4:8080".to_owned(),
        peer: format!("10.88.0.1:{port}"),
        end,
        manner: if end == ConnectionEnd::DroppedByKill { Manner::RstSent } else { Manner::Fin },
        closed_by: if end == ConnectionEnd::DroppedByKill { ClosedBy::Kill } else { ClosedBy::Process },
        peer_closed: false,
        reset: end == ConnectionEnd::DroppedByKill,
        drained: Some(true),
        work,
        internal: false,
        mptcp: false,
        from_kubelet: false,
        age_ms: Some(at_ms - 3000.0),
        age_at_least_ms: None,
        since_received_ms: Some(812),
        since_sent_ms: None,
        bytes_received: Some(318),
        bytes_sent: Some(if work == Work::Idle { 4_812_345 } else { 0 }),
        unread_bytes: Some(0),
        unacked_bytes: None,
    }
}

fn app() -> Container {
    Container {
        name: some("app"),
        id: some("containerd://9f3b77d0c1a2"),
        image: some("registry.example/shop/web:1.4"),
        role: Some(ContainerRole::App),
        init_pid: Some(41877),
        init_comm: some("web"),
        init_exe: some("web"),
        restarts: Some(0),
        pre_stop: None,
        stop: Some(Stop {
            signal: "SIGTERM".to_owned(),
            at_ms: 0.0,
            result: StopResult::Delivered,
            disposition: StopDisposition::Handler,
            sender: runc(52110),
            delivered_ms: Some(0.3),
            discarded_ms: None,
        }),
        listeners_closed_ms: Some(1.2),
        kill: None,
        exit: Some(Exit { at_ms: 812.4, code: Some(0), signal: None, core_dumped: false }),
        stop_to_exit_ms: Some(812.4),
        kill_to_exit_ms: None,
        processes: Processes { seen: 1, signalled: 1, ..Processes::default() },
        connections: ConnectionCounts {
            open_at_stop: Some(2),
            closed_gracefully: 2,
            accepted_after_stop: Some(0),
            refused_after_listener_close: Some(0),
            ..ConnectionCounts::default()
        },
    }
}

/// Handles its stop signal, drains two requests, exits 0.
pub(super) fn graceful() -> Report {
    let app = app();
    Report {
        api_version: API_VERSION.to_owned(),
        kind: KIND.to_owned(),
        scope: Scope::Pod,
        start_time: "2026-11-22T06:31:07.412907163Z".to_owned(),
        duration_ms: 871.9,
        pod: Pod {
            namespace: some("shop"),
            name: some("web-7c9f-x2x"),
            uid: some("5f0e2a4c-1d9b-4c57-9c2f-0a4f3f1f7a11"),
            node: some("n1"),
            labels: Some([("app".to_owned(), "web".to_owned())].into()),
            workload: Some(Workload { kind: "Deployment".to_owned(), name: "web".to_owned() }),
            qos_class: some("Burstable"),
            host_network: Some(false),
            termination_grace_period_seconds: Some(30.0),
            grace_period_source: Some(GracePeriodSource::Annotations),
            metadata_source: MetadataSource::Cri,
        },
        trigger: Trigger { kind: TriggerKind::Unknown, evidence: None },
        outcome: Outcome::Graceful,
        stop_to_exit_ms: Some(812.4),
        grace_period_used_ratio: Some(0.027),
        connections: Connections {
            counts: app.connections.clone(),
            snapshot: Some(Snapshot { at_ms: 0.4, took_ms: 1.1, listeners: 1, connections: 2 }),
            left_first: Vec::new(),
            details: vec![
                connection(410.0, 45540, ConnectionEnd::ClosedGracefully, Work::Idle),
                connection(801.5, 45542, ConnectionEnd::ClosedGracefully, Work::Idle),
            ],
            details_omitted: 0,
        },
        containers: vec![app],
        timeline: vec![
            by(entry(0.0, TimelineEvent::StopSignalSent), 41877, "web", Some("SIGTERM")),
            by(entry(0.3, TimelineEvent::StopSignalHandled), 41877, "web", Some("SIGTERM")),
            TimelineEntry { detail: some("10.88.0.4:8080"), ..entry(1.2, TimelineEvent::ListenerClosed) },
            counted(410.0, TimelineEvent::ConnectionsClosed, 2, None),
            by(entry(812.4, TimelineEvent::ContainerExited), 41877, "web", None),
            TimelineEntry { container: None, ..entry(871.9, TimelineEvent::SandboxExited) },
        ],
        findings: Vec::new(),
        completeness: Completeness { complete: true, events_lost: 0, start_seen: true, reasons: Vec::new() },
    }
}

/// A preStop hook, then a server that drains for longer than it may.
pub(super) fn force_killed() -> Report {
    let mut report = graceful();
    let app = &mut report.containers[0];
    app.pre_stop = Some(PreStopRun {
        kind: PreStopKind::Exec,
        known_by: HookEvidence::Arguments,
        start_ms: Some(0.0),
        end_ms: Some(2004.1),
        exit_code: Some(0),
        signal: None,
    });
    app.stop.as_mut().unwrap().at_ms = 2011.0;
    app.stop.as_mut().unwrap().delivered_ms = Some(2011.3);
    app.listeners_closed_ms = None;
    app.kill = Some(Kill { at_ms: 30011.4, cause: KillCause::GracePeriodExpired, sender: Some(runc(52131)) });
    app.exit = Some(Exit { at_ms: 30013.9, code: None, signal: some("SIGKILL"), core_dumped: false });
    app.stop_to_exit_ms = Some(28002.9);
    app.kill_to_exit_ms = Some(2.5);
    app.processes = Processes { seen: 3, signalled: 1, killed_by_pid_namespace: 2, ..Processes::default() };
    app.connections = ConnectionCounts {
        open_at_stop: Some(17),
        closed_gracefully: 7,
        dropped_by_kill: 10,
        dropped_by: Some("SIGKILL".to_owned()),
        reset: 10,
        in_flight: 4,
        accepted_after_stop: Some(9),
        last_accepted_ms: Some(5131.5),
        ..ConnectionCounts::default()
    };
    report.connections.counts = app.connections.clone();
    report.connections.details = vec![connection(2100.0, 45001, ConnectionEnd::ClosedGracefully, Work::Idle)];
    report.connections.details.extend((0..10).map(|index| {
        let work = if index < 4 { Work::RequestUnanswered } else { Work::Idle };
        connection(30013.2, 45540 + index, ConnectionEnd::DroppedByKill, work)
    }));
    report.connections.details_omitted = 6;
    report.trigger = Trigger { kind: TriggerKind::Deletion, evidence: some("deletionTimestamp set 06:31:07.401") };
    report.outcome = Outcome::ForceKilled;
    report.duration_ms = 30142.871;
    report.stop_to_exit_ms = Some(28002.9);
    report.grace_period_used_ratio = Some(1.0005);
    report.timeline = vec![
        by(entry(0.0, TimelineEvent::PreStopStarted), 52090, "sh", None),
        by(entry(2004.1, TimelineEvent::PreStopEnded), 52090, "sh", None),
        by(entry(2011.0, TimelineEvent::StopSignalSent), 41877, "web", Some("SIGTERM")),
        by(entry(2011.3, TimelineEvent::StopSignalHandled), 41877, "web", Some("SIGTERM")),
        counted(2100.0, TimelineEvent::ConnectionsClosed, 7, None),
        counted(5131.5, TimelineEvent::ConnectionsAccepted, 9, Some("over 2.9 s")),
        by(entry(30011.4, TimelineEvent::KillSent), 41877, "web", Some("SIGKILL")),
        counted(30013.2, TimelineEvent::ConnectionsDropped, 10, Some("4 with a request in flight")),
        by(entry(30013.9, TimelineEvent::ContainerExited), 41877, "web", Some("SIGKILL")),
        TimelineEntry { container: None, ..entry(30142.871, TimelineEvent::SandboxExited) },
    ];
    report.findings = vec![
        Finding {
            rule: "late-connections".to_owned(),
            severity: Severity::Warning,
            container: some("app"),
            summary: "9 connections were accepted after the stop signal, the last one 3.1 s later".to_owned(),
            evidence: vec![2, 5],
            advice: "lengthen the preStop sleep by 4 s, so that endpoints are gone before the server stops".to_owned(),
        },
        Finding {
            rule: "grace-period-exceeded".to_owned(),
            severity: Severity::Error,
            container: some("app"),
            summary: "SIGKILL came 28.0 s after SIGTERM because the grace period of 30 s ran out".to_owned(),
            evidence: vec![2, 6],
            advice: "bound the time of draining, or set terminationGracePeriodSeconds to more than the longest request takes"
                .to_owned(),
        },
    ];
    report
}

/// The kernel's OOM killer chose a child, and PID 1 went with it; tracing lost records.
pub(super) fn oom() -> Report {
    let mut report = graceful();
    let app = &mut report.containers[0];
    app.stop = None;
    app.listeners_closed_ms = None;
    app.kill = Some(Kill { at_ms: 0.0, cause: KillCause::Oom, sender: None });
    app.exit = Some(Exit { at_ms: 3.1, code: None, signal: some("SIGKILL"), core_dumped: false });
    app.stop_to_exit_ms = None;
    app.kill_to_exit_ms = Some(3.1);
    app.restarts = Some(1);
    app.processes.signalled = 0;
    app.connections = ConnectionCounts {
        open_at_stop: Some(1),
        dropped_by_kill: 1,
        dropped_by: Some("SIGKILL".to_owned()),
        in_flight: 1,
        ..Default::default()
    };
    report.connections = Connections { counts: app.connections.clone(), ..Default::default() };
    report.scope = Scope::Container;
    report.trigger = Trigger { kind: TriggerKind::Oom, evidence: some("the OOM killer chose web(41877)") };
    report.outcome = Outcome::OomKilled;
    report.stop_to_exit_ms = None;
    report.grace_period_used_ratio = None;
    report.duration_ms = 3.1;
    report.timeline = vec![
        by(entry(0.0, TimelineEvent::OomVictim), 41877, "web", None),
        by(entry(3.1, TimelineEvent::ContainerExited), 41877, "web", Some("SIGKILL")),
    ];
    report.findings.clear();
    report.completeness = Completeness {
        complete: false,
        events_lost: 12,
        start_seen: true,
        reasons: vec!["resets are not seen on this kernel".to_owned()],
    };
    report
}

/// A pod of which nothing is known but that it went.
pub(super) fn unknown() -> Report {
    let mut report = graceful();
    report.pod = Pod {
        namespace: None,
        name: None,
        uid: None,
        node: None,
        labels: None,
        workload: None,
        qos_class: None,
        host_network: None,
        termination_grace_period_seconds: None,
        grace_period_source: None,
        metadata_source: MetadataSource::Cgroup,
    };
    report.trigger = Trigger { kind: TriggerKind::Unknown, evidence: None };
    report.outcome = Outcome::Unknown;
    report.duration_ms = 0.0;
    report.stop_to_exit_ms = None;
    report.grace_period_used_ratio = None;
    report.containers = vec![Container {
        name: None,
        id: None,
        image: None,
        role: None,
        init_pid: None,
        init_comm: None,
        init_exe: None,
        restarts: None,
        pre_stop: None,
        stop: None,
        listeners_closed_ms: None,
        kill: None,
        exit: None,
        stop_to_exit_ms: None,
        kill_to_exit_ms: None,
        processes: Processes::default(),
        connections: ConnectionCounts::default(),
    }];
    report.connections = Connections::default();
    report.timeline.clear();
    report.completeness = Completeness { complete: false, events_lost: 0, start_seen: false, reasons: Vec::new() };
    report
}

/// An app that ends in time, and a proxy that had left before it.
pub(super) fn two_containers() -> Report {
    let mut report = graceful();
    let mut proxy = app();
    proxy.name = some("proxy");
    proxy.role = Some(ContainerRole::Sidecar);
    proxy.exit = Some(Exit { at_ms: 95.0, code: None, signal: some("SIGTERM"), core_dumped: true });
    proxy.stop_to_exit_ms = Some(95.0);
    let stop = proxy.stop.as_mut().unwrap();
    (stop.disposition, stop.delivered_ms) = (StopDisposition::Default, None);
    proxy.connections = ConnectionCounts {
        open_at_stop: Some(3),
        closed_at_exit: 1,
        dropped_by_kill: 2,
        dropped_by: Some("SIGTERM".to_owned()),
        in_flight: 3,
        refused_after_listener_close: Some(1),
        last_refused_ms: Some(300.0),
        ..ConnectionCounts::default()
    };
    report.connections.counts = ConnectionCounts { closed_gracefully: 2, ..proxy.connections.clone() };
    let outbound = connection(95.0, 5432, ConnectionEnd::ClosedAtExit, Work::Unknown);
    report.connections.details.push(Connection {
        container: None,
        direction: Direction::Outbound,
        local: "[fd00:10:244:1::2e]:51234".to_owned(),
        peer: "[fd00:10:244:7:aaaa:bbbb:cccc:dddd]:5432".to_owned(),
        bytes_received: None,
        ..outbound
    });
    report.containers.push(proxy);
    report
}

/// Names made to do harm.
pub(super) fn hostile() -> Report {
    let mut report = force_killed();
    poison(&mut report, &mut || "a\u{1b}[2J\nb\r\u{9b}31m\u{202e}\"<b>日本\u{2028}".to_owned());
    report
}

/// Puts a text of `text` into every string.
pub(super) fn poison(report: &mut Report, text: &mut impl FnMut() -> String) {
    let pod = &mut report.pod;
    report.start_time = text();
    for field in [&mut pod.namespace, &mut pod.name, &mut pod.uid, &mut pod.node, &mut pod.qos_class] {
        *field = Some(text());
    }
    pod.labels = Some([(text(), text())].into());
    pod.workload = Some(Workload { kind: text(), name: text() });
    report.trigger.evidence = Some(text());
    report.completeness.reasons = vec![text(), text()];
    for container in &mut report.containers {
        for field in [&mut container.name, &mut container.id, &mut container.image, &mut container.init_comm] {
            *field = Some(text());
        }
        if let Some(stop) = &mut container.stop {
            stop.signal = text();
            stop.sender = Sender { pid: 1, comm: text(), parent_comm: text() };
        }
        if let Some(kill) = &mut container.kill {
            kill.sender = Some(Sender { pid: 1, comm: text(), parent_comm: text() });
        }
        if let Some(exit) = &mut container.exit {
            exit.signal = Some(text());
        }
        if let Some(hook) = &mut container.pre_stop {
            hook.signal = Some(text());
        }
    }
    for connection in &mut report.connections.details {
        (connection.local, connection.peer, connection.container) = (text(), text(), Some(text()));
    }
    for entry in &mut report.timeline {
        for field in [&mut entry.container, &mut entry.comm, &mut entry.signal, &mut entry.detail] {
            *field = Some(text());
        }
    }
    for finding in &mut report.findings {
        (finding.rule, finding.summary, finding.advice) = (text(), text(), text());
        finding.container = Some(text());
    }
}
