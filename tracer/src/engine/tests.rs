//! The engine on events as the kernel gives them, built by hand: one story a test.

use super::Engine;
use crate::input::{
    Actor, BootNs, Caller, CgroupId, Disposition, Event, Input, Process, Session, SignalResult, Socket, SocketCounters,
    TcpState, TraceScope, WaitStatus, What,
};
use crate::report::{ConnectionEnd, Direction, KillCause, Outcome, Report, TimelineEvent, TriggerKind, Work};

pub(super) const CGROUP: CgroupId = CgroupId(70);
pub(super) const OUTSIDE: CgroupId = CgroupId(5);
const TRACER: u32 = 500;

pub(super) struct Story {
    pub(super) engine: Engine,
    pub(super) now: u64,
}

impl Story {
    /// A command `app` (tgid 100) traced by `gracetrace run` with 3 s of grace.
    pub(super) fn new() -> Self {
        let scope = TraceScope::Command { cgroup: CGROUP, program: "app".to_owned(), stop_signal: 15 };
        let session = Session {
            started_at: BootNs(1_000_000),
            wall_offset_ns: 1_700_000_000_000_000_000,
            node: None,
            kernel: "6.18.0".to_owned(),
            tracer_tgid: TRACER,
            default_grace_ms: Some(3_000),
            scope,
            max_connections: 10,
            limits: Vec::new(),
            sees: crate::input::Sees::default(),
        };
        let mut story = Self { engine: Engine::new(session), now: 2_000_000 };
        let parent = actor(TRACER, "gracetrace", OUTSIDE);
        story.what(What::ProcessExecuted { process: process(100, 1, "app"), parent, netns: None, argv: None });
        story
    }

    pub(super) fn after_ms(&mut self, ms: u64) -> &mut Self {
        self.now += ms * 1_000_000;
        self
    }

    pub(super) fn what(&mut self, what: What) -> &mut Self {
        self.now += 1_000;
        self.engine.handle(&Input::Event(Event { at: BootNs(self.now), cgroup: Some(CGROUP), what }));
        self
    }

    fn signal(
        &mut self,
        tgid: u32,
        signal: i32,
        sender: Actor,
        result: SignalResult,
        disposition: Disposition,
    ) -> &mut Self {
        let code = if sender.exiting { 0x80 } else { 0 };
        self.coded(tgid, signal, code, sender, result, disposition)
    }

    fn coded(
        &mut self,
        tgid: u32,
        signal: i32,
        code: i32,
        sender: Actor,
        result: SignalResult,
        disposition: Disposition,
    ) -> &mut Self {
        let target = process(tgid, 1, "app");
        self.what(What::SignalGenerated { target, sender, signal, code, group: true, result, disposition })
    }

    pub(super) fn stop(&mut self, disposition: Disposition) -> &mut Self {
        self.signal(100, 15, actor(TRACER, "gracetrace", OUTSIDE), SignalResult::Delivered, disposition)
    }

    pub(super) fn kill(&mut self) -> &mut Self {
        self.signal(100, 9, actor(TRACER, "gracetrace", OUTSIDE), SignalResult::Delivered, Disposition::Default)
    }

    pub(super) fn exit(&mut self, tgid: u32, status: u32) -> &mut Self {
        self.what(What::ProcessExited { process: process(tgid, 1, "app"), status: WaitStatus(status), netns: None })
    }

    pub(super) fn socket(
        &mut self,
        address: u64,
        old: TcpState,
        new: TcpState,
        change: impl Fn(&mut Socket, &mut Caller),
    ) -> &mut Self {
        let mut socket = socket(address);
        let mut current = caller(100, "app", CGROUP);
        change(&mut socket, &mut current);
        if matches!(old, TcpState::FinWait1 | TcpState::FinWait2 | TcpState::Closing | TcpState::LastAck) {
            let Socket { address, pod, error, .. } = socket;
            let unacked = socket.counters.map(|counters| counters.unacked);
            return self.what(What::SocketAfterClose { address, pod, unacked, error, old, new });
        }
        self.what(What::SocketState { socket, current, old, new })
    }

    pub(super) fn report(&mut self) -> Report {
        self.what(What::CgroupEmptied { pod: CGROUP });
        // longer than any report waits for connections
        self.now += 1_100_000_000;
        self.engine.handle(&Input::Tick { at: BootNs(self.now) });
        let report = self.engine.poll().expect("a report");
        assert_eq!(self.engine.poll(), None);
        report
    }
}

pub(super) fn process(tgid: u32, parent_tgid: u32, comm: &str) -> Process {
    Process { tgid, start: BootNs(u64::from(tgid)), ns_tgid: tgid, parent_tgid, comm: comm.into(), exe: None }
}

pub(super) fn actor(tgid: u32, comm: &str, cgroup: CgroupId) -> Actor {
    let parent_comm = "bash".into();
    Actor {
        tgid,
        ns_tgid: tgid,
        parent_tgid: 1,
        cgroup,
        comm: comm.into(),
        parent_comm,
        exiting: false,
        kernel_thread: false,
    }
}

pub(super) fn caller(tgid: u32, comm: &str, cgroup: CgroupId) -> Caller {
    Caller { tgid, cgroup, comm: comm.into(), exiting: false, kernel_thread: false }
}

pub(super) fn socket(address: u64) -> Socket {
    let port = 40_000 + u16::try_from(address % 1_000).expect("small");
    let counters = SocketCounters {
        bytes_received: 100,
        bytes_acked: 0,
        bytes_sent: 0,
        unread: 0,
        unacked: 0,
        since_received_ms: Some(500),
        since_sent_ms: None,
        received_minus_sent: 0,
        since_our_last: None,
    };
    Socket {
        address,
        pod: CGROUP,
        by_cgroup: true,
        by_current: false,
        mptcp: false,
        opener: None,
        netns: 1,
        local: ([10, 0, 0, 2], 8080).into(),
        peer: ([10, 0, 0, 1], port).into(),
        shutdown: 3,
        error: 0,
        has_file: true,
        current_in_pod: true,
        counters: Some(counters),
    }
}

pub(super) fn rules(report: &Report) -> Vec<&str> {
    report.findings.iter().map(|finding| finding.rule.as_str()).collect()
}

fn events(report: &Report) -> Vec<TimelineEvent> {
    report.timeline.iter().map(|entry| entry.event).collect()
}

#[test]
fn a_handler_and_a_quick_exit_are_graceful() {
    let mut story = Story::new();
    story.stop(Disposition::Handler);
    story.what(What::SignalDelivered { process: process(100, 1, "app"), signal: 15, handled: true });
    let report = story.after_ms(200).exit(100, 0).report();
    assert_eq!(report.outcome, Outcome::Graceful);
    assert_eq!(rules(&report), Vec::<&str>::new());
    assert_eq!(report.stop_to_exit_ms, Some(200.002));
    assert!(report.completeness.complete, "{:?}", report.completeness);
    assert_eq!(
        events(&report),
        [TimelineEvent::StopSignalSent, TimelineEvent::StopSignalHandled, TimelineEvent::ContainerExited]
    );
    assert_eq!(report.containers[0].stop.as_ref().and_then(|stop| stop.delivered_ms), Some(0.001));
}

#[test]
fn conventional_status_is_graceful_and_another_is_a_failure() {
    for (status, outcome) in
        [(143 << 8, Outcome::Graceful), (1 << 8, Outcome::Failed), (15, Outcome::Terminated), (11, Outcome::Failed)]
    {
        let report = Story::new().stop(Disposition::Handler).exit(100, status).report();
        assert_eq!(report.outcome, outcome, "{status:#x}");
    }
}

#[test]
fn an_end_of_its_own_is_completed_or_crashed() {
    for (status, outcome) in [(0, Outcome::Completed), (3 << 8, Outcome::Crashed), (11, Outcome::Crashed)] {
        let report = Story::new().exit(100, status).report();
        assert_eq!(report.outcome, outcome, "{status:#x}");
        assert_eq!(report.trigger.kind, TriggerKind::ContainerExit);
        assert_eq!(rules(&report), Vec::<&str>::new());
        assert!(report.duration_ms.abs() < f64::EPSILON);
    }
}

#[test]
fn an_ignored_stop_signal_ends_in_a_kill() {
    let mut story = Story::new();
    story.signal(100, 15, actor(TRACER, "gracetrace", OUTSIDE), SignalResult::Ignored, Disposition::Default);
    let report = story.after_ms(3_000).kill().exit(100, 9).report();
    assert_eq!(report.outcome, Outcome::ForceKilled);
    assert_eq!(rules(&report), ["stop-signal-ignored", "grace-period-exceeded"]);
    assert_eq!(report.containers[0].kill.as_ref().map(|kill| kill.cause), Some(KillCause::GracePeriodExpired));
    assert_eq!(report.findings[0].evidence, [0, 1]);
}

#[test]
fn a_kill_at_once_is_no_grace_period() {
    let report = Story::new().kill().exit(100, 9).report();
    assert_eq!(report.outcome, Outcome::ForceKilled);
    assert_eq!(rules(&report), ["no-grace-period"]);
}

#[test]
fn a_strangers_kill_names_the_stranger() {
    let mut story = Story::new();
    story.signal(100, 9, actor(900, "kill", OUTSIDE), SignalResult::Delivered, Disposition::Default);
    let report = story.exit(100, 9).report();
    assert_eq!(rules(&report), ["killed-by-other"]);
    assert!(report.findings[0].summary.contains("kill (pid 900, child of bash)"), "{}", report.findings[0].summary);
    assert_eq!(report.trigger.kind, TriggerKind::External);
}

#[test]
fn an_oom_kill_is_told_from_other_kills() {
    let mut story = Story::new();
    let victim = process(100, 1, "app");
    let sender = actor(100, "app", CGROUP);
    let kernel = What::SignalGenerated {
        target: victim.clone(),
        sender,
        signal: 9,
        code: 0x80,
        group: true,
        result: SignalResult::Delivered,
        disposition: Disposition::Default,
    };
    // it may be kept waiting between the two
    let story = story.what(kernel).after_ms(40);
    let report = story.what(What::OomVictim { process: victim }).exit(100, 9).report();
    assert_eq!(report.outcome, Outcome::OomKilled);
    assert_eq!(report.trigger.kind, TriggerKind::Oom);
    assert_eq!(rules(&report), ["oom-killed"]);
    let kill = report.containers[0].kill.as_ref().expect("a kill");
    assert_eq!((kill.cause, kill.sender.as_ref()), (KillCause::Oom, None));
}

#[test]
fn connections_are_told_by_who_closed_them() {
    use TcpState::{Close, CloseWait, Established, FinWait1, LastAck, Listen, SynRecv};
    let mut story = Story::new();
    story.stop(Disposition::Handler);
    // closed by the living process, half-closed by the peer before
    story.socket(1, Established, CloseWait, |socket, _| socket.shutdown = 1);
    story.socket(1, CloseWait, LastAck, |_, _| ());
    // reset by the peer
    story.socket(2, Established, Close, |socket, _| (socket.shutdown, socket.error) = (0, 104));
    // came after the stop signal
    story.socket(3, SynRecv, Established, |socket, _| socket.shutdown = 0);
    story.after_ms(3_000).kill().exit(100, 9);
    let dying = |_: &mut Socket, current: &mut Caller| current.exiting = true;
    story.socket(3, Established, FinWait1, dying);
    // unread bytes make the kernel send a RST
    story.socket(4, Established, Close, |socket, current| {
        current.exiting = true;
        socket.counters.as_mut().expect("counters").unread = 7;
    });
    story.what(What::SocketReset { address: Some(4), pod: CGROUP, reason: Some(11), state: Some(Close), ends: None });
    // nobody accepted it
    story.socket(5, Established, Close, |socket, current| {
        (current.exiting, socket.has_file, socket.shutdown) = (true, false, 0);
    });
    story.socket(9, Listen, Close, dying);
    let report = story.report();
    let ends: Vec<_> = report.connections.details.iter().map(|one| (one.end, one.work, one.reset)).collect();
    assert_eq!(
        ends,
        [
            (ConnectionEnd::ClosedGracefully, Work::Unknown, false),
            (ConnectionEnd::ResetByPeer, Work::RequestUnanswered, true),
            (ConnectionEnd::DroppedByKill, Work::RequestUnanswered, false),
            (ConnectionEnd::DroppedByKill, Work::RequestUnread, true),
            (ConnectionEnd::RefusedInBacklog, Work::RequestUnanswered, true),
        ]
    );
    assert!(report.connections.details.iter().all(|one| one.direction == Direction::Inbound));
    let counts = &report.connections.counts;
    assert_eq!((counts.open_at_stop, counts.accepted_after_stop), (Some(4), Some(1)));
    assert_eq!((counts.closed_gracefully, counts.dropped_by_kill, counts.in_flight, counts.reset), (1, 2, 2, 3));
    assert_eq!(rules(&report), ["grace-period-exceeded", "connections-dropped", "connections-refused"]);
    assert_eq!(report.containers[0].connections, report.connections.counts);
}

#[test]
fn details_are_bounded_and_counts_are_not() {
    let mut story = Story::new();
    story.stop(Disposition::Handler).exit(100, 0);
    for address in 0..25 {
        story.socket(address, TcpState::Established, TcpState::FinWait1, |_, current| current.exiting = true);
    }
    let report = story.report();
    assert_eq!(report.connections.counts.closed_at_exit, 25);
    assert_eq!((report.connections.details.len(), report.connections.details_omitted), (10, 15));
}

#[test]
fn a_loss_makes_the_report_incomplete() {
    let mut story = Story::new();
    story.stop(Disposition::Handler);
    let at = BootNs(story.now);
    story.engine.handle(&Input::Lost { at, what: "socket_state".to_owned(), count: 3, pod: None });
    let report = story.exit(100, 0).report();
    assert_eq!((report.completeness.complete, report.completeness.events_lost), (false, 3));
    assert_eq!(rules(&report), ["incomplete"]);
}

/// It is asked for when a report is due, and what is noticed then is later than that.
#[test]
fn a_loss_that_is_noticed_when_the_report_is_due_is_told_in_it() {
    let check = |noticed: fn(BootNs) -> Input| {
        let mut story = Story::new();
        story.stop(Disposition::Handler).exit(100, 0).what(What::CgroupEmptied { pod: CGROUP });
        let due = story.engine.next_deadline().expect("a report is due").0;
        story.engine.handle(&noticed(BootNs(due.0 + 5_000)));
        story.engine.handle(&Input::Tick { at: BootNs(due.0 + 10_000) });
        let report = story.engine.poll().expect("a report");
        assert!(!report.completeness.complete, "{:?}", report.completeness);
    };
    check(|at| Input::Lost { at, what: "socket_state".to_owned(), count: 1, pod: None });
    check(|at| Input::Lost { at, what: "socket_state".to_owned(), count: 1, pod: Some(CGROUP) });
    check(|at| Input::PassedOver { at, hook: "inet_sock_set_state".to_owned(), count: 1 });
}

#[test]
fn events_that_no_program_was_shown_may_be_this_pods() {
    let mut story = Story::new();
    let before = BootNs(story.now);
    story.engine.handle(&Input::PassedOver { at: before, hook: "signal_generate".to_owned(), count: 9 });
    story.stop(Disposition::Handler);
    let at = BootNs(story.now);
    for count in [2, 3] {
        story.engine.handle(&Input::PassedOver { at, hook: "inet_sock_set_state".to_owned(), count });
    }
    let report = story.exit(100, 0).report();
    assert_eq!((report.completeness.complete, report.completeness.events_lost), (false, 0));
    let reason = "not seen: 5 events on this node, perhaps this pod's (the kernel passed over interrupted programs: inet_sock_set_state)";
    assert_eq!(report.completeness.reasons[0], reason);
    assert_eq!(rules(&report), ["incomplete"]);
}

#[test]
fn children_that_get_the_signal_and_those_the_namespace_takes_are_counted() {
    let mut story = Story::new();
    story.what(What::ProcessForked { child: process(101, 100, "app") });
    story.what(What::ProcessForked { child: process(102, 100, "app") });
    story.stop(Disposition::Blocked);
    story.signal(101, 15, actor(100, "app", CGROUP), SignalResult::Delivered, Disposition::Handler);
    story.exit(101, 0).exit(100, 0);
    let mut init = actor(100, "app", CGROUP);
    (init.exiting, init.ns_tgid) = (true, 1);
    story.signal(102, 9, init, SignalResult::Delivered, Disposition::Default);
    let report = story.exit(102, 9).report();
    let processes = &report.containers[0].processes;
    assert_eq!((processes.seen, processes.signalled, processes.killed_by_pid_namespace), (3, 2, 1));
    assert_eq!(report.outcome, Outcome::Graceful);
    assert!(events(&report).contains(&TimelineEvent::SignalForwarded));
}

#[test]
fn finishing_early_tells_what_has_begun() {
    let mut story = Story::new();
    story.engine.handle(&Input::Finish { at: BootNs(story.now) });
    assert_eq!(story.engine.poll(), None);
    story.stop(Disposition::Handler);
    story.engine.handle(&Input::Finish { at: BootNs(story.now) });
    let report = story.engine.poll().expect("a report");
    assert_eq!(report.outcome, Outcome::Unknown);
    assert!(!report.completeness.complete);
}

#[test]
fn the_deadline_is_when_late_closes_have_had_their_time() {
    let mut story = Story::new();
    assert_eq!(story.engine.next_deadline(), None);
    story.stop(Disposition::Handler).exit(100, 0).what(What::CgroupEmptied { pod: CGROUP });
    let at = BootNs(story.now).plus_ms(50);
    assert_eq!(story.engine.next_deadline().map(|(at, _)| at), Some(at));
    story.engine.handle(&Input::Tick { at: BootNs(at.0 - 1) });
    assert_eq!(story.engine.poll(), None);
    story.engine.handle(&Input::Tick { at });
    assert!(story.engine.poll().is_some());
}

#[test]
fn a_dying_init_killing_its_own_threads_is_no_kill() {
    let mut story = Story::new();
    story.stop(Disposition::Handler).exit(100, 0);
    let mut init = actor(100, "app", CGROUP);
    (init.exiting, init.ns_tgid) = (true, 1);
    let report = story.signal(100, 9, init, SignalResult::Delivered, Disposition::Default).report();
    assert_eq!((report.outcome, report.containers[0].kill.as_ref()), (Outcome::Graceful, None));
    assert!(!events(&report).contains(&TimelineEvent::KillSent));
}

#[test]
fn signals_that_come_after_the_end_are_not_its_cause() {
    let mut story = Story::new();
    story.exit(100, 3 << 8);
    story.signal(100, 15, actor(900, "kill", OUTSIDE), SignalResult::Ignored, Disposition::Handler);
    let report = story.kill().report();
    assert_eq!((report.outcome, report.trigger.kind), (Outcome::Crashed, TriggerKind::ContainerExit));
    assert_eq!(rules(&report), Vec::<&str>::new());
    assert_eq!(report.grace_period_used_ratio, None);
}

#[test]
fn a_signal_discarded_because_the_process_is_dying_already_is_no_stop() {
    // a core dump takes time; the exit is told only when it is done
    let mut story = Story::new();
    story.signal(100, 15, actor(TRACER, "gracetrace", OUTSIDE), SignalResult::Ignored, Disposition::Handler);
    let report = story.after_ms(1_300).exit(100, 0x86).report();
    assert_eq!(report.outcome, Outcome::Crashed);
    assert_eq!(rules(&report), Vec::<&str>::new());
}

#[test]
fn a_handler_that_raises_the_signal_again_is_graceful() {
    let mut story = Story::new();
    story.stop(Disposition::Handler);
    story.what(What::SignalDelivered { process: process(100, 1, "app"), signal: 15, handled: true });
    assert_eq!(story.after_ms(300).exit(100, 15).report().outcome, Outcome::Graceful);
}

#[test]
fn the_stop_that_was_meant_replaces_a_strangers_signal() {
    let mut story = Story::new();
    story.what(What::ProcessForked { child: process(101, 100, "app") });
    // a thread dump, an hour before
    story.signal(100, 3, actor(900, "kill", OUTSIDE), SignalResult::Delivered, Disposition::Handler);
    story.exit(101, 0).after_ms(3_600_000);
    let report = story.stop(Disposition::Handler).after_ms(10).exit(100, 0).report();
    let stop = report.containers[0].stop.as_ref().expect("a stop");
    assert_eq!((stop.signal.as_str(), stop.sender.comm.as_str()), ("SIGTERM", "gracetrace"));
    assert_eq!(report.stop_to_exit_ms, Some(10.001));
    assert_eq!(report.containers[0].processes.seen, 1);
    assert_eq!(events(&report), [TimelineEvent::StopSignalSent, TimelineEvent::ContainerExited]);
}

#[test]
fn a_timers_signal_has_no_sender_and_is_no_stop() {
    let mut story = Story::new();
    let bystander = actor(700, "bystander", OUTSIDE);
    story.coded(100, 2, -2, bystander, SignalResult::Delivered, Disposition::Handler);
    assert_eq!(story.exit(100, 0).report().containers[0].stop, None);
}

#[test]
fn a_kill_from_inside_or_by_another_call_names_its_sender() {
    for (code, sender) in
        [(0, actor(101, "child", CGROUP)), (-1, actor(900, "kill", OUTSIDE)), (-6, actor(900, "kill", OUTSIDE))]
    {
        let mut story = Story::new();
        let comm = sender.comm.to_string();
        story.coded(100, 9, code, sender, SignalResult::Delivered, Disposition::Default);
        let report = story.exit(100, 9).report();
        assert_eq!((report.outcome, report.completeness.complete), (Outcome::ForceKilled, true), "{code}");
        let kill = report.containers[0].kill.as_ref().expect("a kill");
        assert_eq!(
            (kill.cause, kill.sender.as_ref().map(|sender| sender.comm.clone())),
            (KillCause::External, Some(comm))
        );
        assert_eq!(rules(&report), ["killed-by-other"]);
    }
}

#[test]
fn insisting_before_the_grace_period_is_over_is_no_expiry() {
    for (ms, cause) in [(2_020, KillCause::Cleanup), (3_000, KillCause::GracePeriodExpired)] {
        let report = Story::new().stop(Disposition::Handler).after_ms(ms).kill().exit(100, 9).report();
        assert_eq!(report.containers[0].kill.as_ref().map(|kill| kill.cause), Some(cause), "{ms}");
    }
}

#[test]
fn a_worker_lost_to_the_oom_killer_before_the_stop_is_not_the_end() {
    let mut story = Story::new();
    story.what(What::ProcessForked { child: process(101, 100, "app") });
    story.what(What::OomVictim { process: process(101, 100, "app") }).exit(101, 9);
    story.after_ms(500).stop(Disposition::Handler).after_ms(100);
    let report = story.exit(100, 143 << 8).report();
    assert_eq!((report.outcome, report.trigger.kind), (Outcome::Graceful, TriggerKind::External));
    assert_eq!(rules(&report), Vec::<&str>::new());
    assert!(!events(&report).contains(&TimelineEvent::OomVictim));
}

#[test]
fn each_fate_of_connections_has_its_own_numbers() {
    let mut story = Story::new();
    story.what(What::ProcessForked { child: process(101, 100, "app") });
    story.stop(Disposition::Handler).exit(100, 0);
    for address in [1, 2, 3] {
        story.socket(address, TcpState::Established, TcpState::FinWait1, |_, current| current.exiting = true);
    }
    story.exit(101, 9).socket(4, TcpState::Established, TcpState::FinWait1, |socket, current| {
        (current.tgid, current.exiting) = (101, true);
        socket.counters.as_mut().expect("counters").bytes_received = 0;
    });
    // a peer that has had its answer and has closed: no loss, though nobody closed this side
    story.socket(5, TcpState::CloseWait, TcpState::LastAck, |socket, current| {
        current.exiting = true;
        let counters = socket.counters.as_mut().expect("counters");
        (counters.unread, counters.bytes_sent, counters.received_minus_sent) = (1, 50, -4);
    });
    story.socket(6, TcpState::Listen, TcpState::Close, |_, current| current.exiting = true);
    let report = story.report();
    let counts = &report.connections.counts;
    assert_eq!((counts.closed_at_exit, counts.dropped_by_kill, counts.closed_gracefully), (3, 1, 1));
    assert_eq!(rules(&report), ["connections-dropped", "requests-in-flight-at-exit"]);
    assert_eq!(report.findings[0].summary, "1 connection dropped by SIGKILL, without work in flight");
    assert_eq!(report.findings[1].summary, "the process exited with work in flight on 3 connections");
}

#[test]
fn a_connection_reset_before_anybody_accepted_it_was_not_accepted() {
    let mut story = Story::new();
    story.stop(Disposition::Handler);
    story.socket(1, TcpState::SynRecv, TcpState::Established, |socket, _| socket.has_file = false);
    story.socket(1, TcpState::Established, TcpState::Close, |socket, _| {
        (socket.shutdown, socket.error, socket.has_file) = (0, 104, false);
    });
    let report = story.exit(100, 0).report();
    assert_eq!(report.connections.counts.accepted_after_stop, Some(0));
    assert_eq!(report.connections.details[0].end, ConnectionEnd::ResetByPeer);
}

#[test]
fn a_program_may_be_called_like_a_runtime() {
    let mut story = Story::new();
    let parent = actor(100, "app", CGROUP);
    story.what(What::ProcessExecuted { process: process(100, 1, "exe"), parent, netns: None, argv: None });
    // CLONE_PARENT: the parent is somebody outside
    story.what(What::ProcessForked { child: process(102, TRACER, "exe") });
    let report = story.stop(Disposition::Handler).exit(100, 0).report();
    assert_eq!((report.outcome, report.containers[0].processes.seen), (Outcome::Graceful, 2));
}
