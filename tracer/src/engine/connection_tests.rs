//! Connections in the engine, one story a test: what becomes of them after the close, whose they are,
//! what was found at the stop signal, what came afterwards.

use super::tests::{CGROUP, OUTSIDE, Story, caller, rules, socket};
use crate::input::{BootNs, Caller, Disposition, FoundSocket, Input, Opener, Sockets, TcpState, What};
use crate::report::{ClosedBy, ConnectionCounts, ConnectionEnd, Direction, Manner, Report, TimelineEvent, Work};
use TcpState::{Close, CloseWait, Established, FinWait1, FinWait2, LastAck, Listen, SynRecv, SynSent};

fn dying(current: &mut Caller) {
    current.exiting = true;
}

/// The identity that every report must hold.
pub(super) fn sums_close(counts: &ConnectionCounts) {
    let before = counts.open_at_stop.unwrap_or(0) + counts.opened_after_stop.unwrap_or(0);
    let ends = counts.closed_gracefully
        + counts.closed_at_exit
        + counts.dropped_by_kill
        + counts.reset_by_peer
        + counts.timed_out
        + counts.refused_in_backlog
        + counts.still_open
        + counts.unknown;
    assert_eq!(before, ends, "{counts:?}");
}

fn told(story: &mut Story) -> Report {
    let report = story.report();
    sums_close(&report.connections.counts);
    report
}

fn found(address: u64, state: TcpState) -> FoundSocket {
    let socket = socket(address);
    let peer = if state == Listen { ([0, 0, 0, 0], 0).into() } else { socket.peer };
    FoundSocket {
        cgroup: Some(CGROUP),
        state,
        local: socket.local,
        peer,
        at_least_ms: Some(700),
        is_orphan: false,
        handed_in: false,
    }
}

fn looked(story: &mut Story, found: Vec<FoundSocket>, problem: Option<&str>) {
    story.after_ms(1);
    let at = BootNs(story.now);
    let sockets = Sockets {
        at,
        taken_at: BootNs(story.now - 1_500_000),
        pod: CGROUP,
        netns: Some(1),
        found,
        more: false,
        problem: problem.map(str::to_owned),
    };
    story.engine.handle(&Input::Sockets(sockets));
}

fn refused(story: &mut Story, comm: &str) {
    let (local, peer) = (socket(1).local, ([10, 0, 0, 1], 50_000).into());
    story.what(What::SocketRefused { pod: CGROUP, netns: 1, local, peer, current: caller(700, comm, OUTSIDE) });
}

#[test]
fn an_answer_half_sent_is_followed_to_its_fate() {
    let mut story = Story::new();
    story.stop(Disposition::Handler).after_ms(3_000).kill().exit(100, 9);
    for address in [1, 2, 3, 4] {
        story.socket(address, Established, FinWait1, |socket, current| {
            dying(current);
            let counters = socket.counters.as_mut().expect("counters");
            (counters.bytes_sent, counters.unacked, counters.received_minus_sent) = (9_000, 5_000, -3);
            counters.since_sent_ms = Some(2_000);
        });
    }
    story.socket(9, Listen, Close, |_, current| dying(current));
    story.socket(1, FinWait1, FinWait2, |_, _| ());
    story.socket(2, FinWait1, Close, |socket, _| {
        socket.error = 104;
        socket.counters.as_mut().expect("counters").unacked = 4_001;
    });
    story.socket(3, FinWait1, Close, |socket, _| {
        socket.error = 110;
        socket.counters.as_mut().expect("counters").unacked = 5_001;
    });
    let report = told(&mut story);
    let fates: Vec<_> = report.connections.details.iter().map(|one| (one.drained, one.reset, one.work)).collect();
    let expected = [
        (Some(true), false, Work::Idle),
        (Some(false), true, Work::ResponseUnsent),
        (Some(false), false, Work::ResponseUnsent),
        (None, false, Work::ResponseUnsent),
    ];
    assert_eq!(fates, expected);
    assert!(report.connections.details.iter().all(|one| one.manner == Manner::Fin && one.closed_by == ClosedBy::Kill));
    assert_eq!((report.connections.counts.in_flight, report.connections.counts.reset), (3, 1));
}

#[test]
fn data_that_comes_after_the_close_is_answered_with_a_reset() {
    let mut story = Story::new();
    story.stop(Disposition::Handler);
    story.socket(1, CloseWait, LastAck, |_, _| ());
    story.socket(2, Established, FinWait1, |_, _| ()).socket(2, FinWait1, FinWait2, |_, _| ());
    story.socket(2, FinWait2, Close, |socket, _| socket.error = 104);
    let report = told(story.exit(100, 0));
    let seen: Vec<_> = report.connections.details.iter().map(|one| (one.manner, one.peer_closed, one.reset)).collect();
    assert_eq!(seen, [(Manner::Fin, true, false), (Manner::Fin, false, true)]);
}

#[test]
fn a_close_may_come_before_the_exit_that_explains_it() {
    let mut story = Story::new();
    story.stop(Disposition::Handler).kill();
    story.socket(1, Established, FinWait1, |_, current| dying(current));
    let report = told(story.exit(100, 9));
    assert_eq!(report.connections.details[0].end, ConnectionEnd::DroppedByKill);
    assert_eq!(report.connections.counts.dropped_by.as_deref(), Some("SIGKILL"));
}

#[test]
fn who_closed_it_is_said_only_where_it_is_known() {
    let mut story = Story::new();
    story.stop(Disposition::Handler);
    // a kernel thread, for a process that lives: which one, and whether it was told to, is not known
    story.socket(1, Established, FinWait1, |_, current| current.kernel_thread = true);
    // a dying process outside of the pod, which had been handed the socket
    story.socket(2, Established, FinWait1, |socket, current| {
        dying(current);
        socket.current_in_pod = false;
    });
    story.socket(3, Established, Close, |socket, _| (socket.shutdown, socket.error) = (0, 110));
    // `ss -K`
    story.socket(4, Established, Close, |socket, _| (socket.shutdown, socket.error) = (0, 103));
    let report = told(story.exit(100, 0));
    let seen: Vec<_> = report.connections.details.iter().map(|one| (one.end, one.closed_by, one.manner)).collect();
    let expected = [
        (ConnectionEnd::Unknown, ClosedBy::Unknown, Manner::Fin),
        (ConnectionEnd::Unknown, ClosedBy::Unknown, Manner::Fin),
        (ConnectionEnd::TimedOut, ClosedBy::Kernel, Manner::TimedOut),
        (ConnectionEnd::Unknown, ClosedBy::Unknown, Manner::Unknown),
    ];
    assert_eq!(seen, expected);
    assert_eq!((report.connections.counts.unknown, report.connections.counts.timed_out), (3, 1));
}

#[test]
fn the_look_at_the_stop_tells_directions_and_what_never_closes() {
    let mut story = Story::new();
    story.stop(Disposition::Handler);
    let mut to_a_database = found(2, Established);
    to_a_database.local.set_port(50_002);
    looked(&mut story, vec![found(1, Listen), found(1, Established), to_a_database, found(3, CloseWait)], None);
    story.after_ms(40);
    story.socket(1, Established, FinWait1, |_, _| ());
    story.socket(2, Established, FinWait1, |socket, _| {
        socket.local.set_port(50_002);
        socket.opener = Some(Opener::ThisSide);
    });
    let report = told(story.exit(100, 0));
    let seen: Vec<_> =
        report.connections.details.iter().map(|one| (one.direction, one.end, one.at_ms.is_some())).collect();
    let expected = [
        (Direction::Inbound, ConnectionEnd::ClosedGracefully, true),
        (Direction::Outbound, ConnectionEnd::ClosedGracefully, true),
        (Direction::Inbound, ConnectionEnd::StillOpen, false),
    ];
    assert_eq!(seen, expected);
    let ages: Vec<_> = report.connections.details.iter().map(|one| one.age_at_least_ms).collect();
    assert_eq!(ages, [Some(740.0), Some(740.0), Some(700.0)]);
    let counts = &report.connections.counts;
    assert_eq!((counts.open_at_stop, counts.still_open, counts.outbound), (Some(3), 1, 1));
    let snapshot = report.connections.snapshot.expect("a look");
    assert_eq!((snapshot.listeners, snapshot.connections), (1, 3));
    // the listener was found and never seen to close
    assert_eq!(report.containers[0].listeners_closed_ms, None);
}

#[test]
fn without_the_look_it_is_said_what_that_costs() {
    let mut story = Story::new();
    story.stop(Disposition::Handler);
    looked(&mut story, Vec::new(), Some("no process is left"));
    story.socket(1, Established, FinWait1, |_, _| ());
    let report = told(story.exit(100, 0));
    assert_eq!(report.connections.snapshot, None);
    assert!(report.completeness.reasons[0].ends_with("(no process is left)"), "{:?}", report.completeness.reasons);
    assert_eq!(report.connections.details[0].direction, Direction::Unknown);
    assert!(report.completeness.complete, "no count is missing");
}

#[test]
fn a_listener_that_closes_while_it_is_looked_at_is_closed() {
    let mut story = Story::new();
    story.stop(Disposition::Handler).after_ms(1);
    story.socket(9, Listen, Close, |_, _| ());
    let closed_at = story.now;
    looked(&mut story, vec![found(1, Listen)], None);
    let report = story.exit(100, 0).report();
    let stop = report.containers[0].stop.as_ref().expect("a stop").at_ms;
    let closed = report.containers[0].listeners_closed_ms.expect("it has closed");
    assert!(closed > stop && closed_at > 0, "{closed}");
}

#[test]
fn two_listeners_are_closed_when_both_are() {
    for (closes, all_closed) in [(1, false), (2, true)] {
        let mut story = Story::new();
        story.stop(Disposition::Handler);
        looked(&mut story, vec![found(1, Listen), found(1, Listen)], None);
        story.after_ms(5);
        for _ in 0..closes {
            story.socket(9, Listen, Close, |_, _| ());
        }
        let report = story.exit(100, 0).report();
        assert_eq!(report.containers[0].listeners_closed_ms.is_some(), all_closed, "{closes} of 2 closed");
    }
}

#[test]
fn a_socket_that_was_handed_in_is_its_users() {
    let handed_in = |socket: &mut crate::input::Socket, _: &mut Caller| {
        (socket.by_cgroup, socket.by_current) = (false, true);
    };
    let mut story = Story::new();
    story.stop(Disposition::Handler);
    looked(&mut story, vec![FoundSocket { cgroup: None, handed_in: true, ..found(1, Established) }], None);
    story.after_ms(50);
    story.socket(1, Established, FinWait1, handed_in);
    // not there when the sockets were looked at, so it came later; when is not known
    story.socket(2, Established, FinWait1, handed_in);
    story.socket(9, Listen, Close, handed_in);
    let report = told(story.exit(100, 0));
    let counts = &report.connections.counts;
    assert_eq!(
        (counts.open_at_stop, counts.opened_after_stop, counts.accepted_after_stop),
        (Some(1), Some(1), Some(1))
    );
    assert_eq!(counts.last_accepted_ms, None);
    assert!(report.connections.details.iter().all(|one| one.container.as_deref() == Some("app")));
}

#[test]
fn connections_inside_the_pod_are_shown_and_not_counted() {
    let mut story = Story::new();
    story.stop(Disposition::Handler);
    let inside = |socket: &mut crate::input::Socket, _: &mut Caller| socket.peer = ([10, 0, 0, 2], 45_000).into();
    let other_end = |socket: &mut crate::input::Socket, _: &mut Caller| {
        (socket.local, socket.peer) = (([10, 0, 0, 2], 45_000).into(), ([10, 0, 0, 2], 8080).into());
    };
    story.socket(1, Established, FinWait1, inside).socket(2, CloseWait, LastAck, other_end);
    story.socket(3, Established, FinWait1, |_, _| ());
    let report = told(story.exit(100, 0));
    let internal: Vec<_> = report.connections.details.iter().map(|one| one.internal).collect();
    assert_eq!(internal, [true, true, false]);
    let counts = &report.connections.counts;
    assert_eq!((counts.internal, counts.open_at_stop, counts.closed_gracefully), (1, Some(1), 1));
}

#[test]
fn refused_attempts_are_counted_and_the_kubelets_apart() {
    let mut story = Story::new();
    story.engine.see(crate::input::Sees { connections: true, refused: true, on_host_network: true });
    story.stop(Disposition::Handler);
    story.socket(9, Listen, Close, |_, _| ());
    refused(&mut story, "wrk");
    refused(&mut story, "swapper/0");
    story.after_ms(300);
    refused(&mut story, "kubelet");
    let report = told(story.exit(100, 0));
    let counts = &report.connections.counts;
    assert_eq!((counts.refused_after_listener_close, counts.refused_to_kubelet), (Some(3), 1));
    assert!(counts.last_refused_ms.is_some_and(|at| at < 100.0), "{counts:?}");
    let spans = report.timeline.iter().filter(|entry| entry.event == TimelineEvent::ConnectionsRefused);
    assert_eq!(spans.map(|entry| entry.count).collect::<Vec<_>>(), [Some(2), Some(1)]);
}

#[test]
fn where_the_kernel_tells_of_no_refused_attempt_there_is_no_number() {
    let mut story = Story::new();
    let report = told(story.stop(Disposition::Handler).exit(100, 0));
    let counts = &report.connections.counts;
    assert_eq!((counts.refused_after_listener_close, counts.last_refused_ms), (None, None));
}

#[test]
fn what_a_living_process_closes_unanswered_is_counted() {
    let mut story = Story::new();
    story.stop(Disposition::Handler);
    looked(&mut story, vec![found(1, Listen)], None);
    // it had received a request and sent nothing
    story.socket(1, Established, FinWait1, |_, _| ());
    let report = told(story.exit(100, 0));
    let counts = &report.connections.counts;
    assert_eq!((counts.closed_gracefully, counts.closed_unanswered, counts.in_flight), (1, 1, 0));
    assert!(rules(&report).is_empty() || rules(&report) == ["requests-in-flight-at-exit"], "{:?}", rules(&report));
}

#[test]
fn of_too_many_the_lost_ones_are_listed() {
    let mut story = Story::new();
    story.stop(Disposition::Handler);
    looked(&mut story, vec![found(1, Listen)], None);
    let idle = |socket: &mut crate::input::Socket, _: &mut Caller| {
        let counters = socket.counters.as_mut().expect("counters");
        (counters.bytes_sent, counters.received_minus_sent) = (9, -5);
    };
    for address in 10..40 {
        story.socket(address, Established, FinWait1, idle);
    }
    story.kill().exit(100, 9);
    for address in 40..43 {
        story.socket(address, Established, FinWait1, |_, current| dying(current));
    }
    let report = told(&mut story);
    let dropped = |one: &crate::report::Connection| one.end == ConnectionEnd::DroppedByKill;
    assert_eq!(report.connections.details.iter().filter(|one| dropped(one)).count(), 3);
    assert_eq!((report.connections.details.len(), report.connections.details_omitted), (10, 23));
    assert!(report.connections.details.is_sorted_by_key(|one| one.at_ms.unwrap_or(f64::MAX)));
}

#[test]
fn what_comes_after_the_stop_is_counted_by_who_opened_it() {
    let mut story = Story::new();
    story.stop(Disposition::Handler);
    story.socket(1, SynRecv, Established, |_, current| *current = caller(700, "kubelet", OUTSIDE));
    story.socket(2, SynRecv, Established, |_, _| ());
    story.socket(3, SynSent, Established, |_, _| ());
    for address in [1, 2, 3] {
        story.socket(address, Established, FinWait1, |_, _| ());
    }
    let report = told(story.exit(100, 0));
    let counts = &report.connections.counts;
    assert_eq!(
        (counts.opened_after_stop, counts.accepted_after_stop, counts.accepted_from_kubelet),
        (Some(3), Some(2), 1)
    );
    assert_eq!(counts.outbound, 1);
}

#[test]
fn a_kernel_thread_closes_for_the_process_that_is_gone() {
    let mut story = Story::new();
    story.stop(Disposition::Handler).after_ms(3_000).kill().exit(100, 9);
    story.socket(1, Established, FinWait1, |_, current| current.kernel_thread = true);
    let report = told(&mut story);
    assert_eq!(report.connections.details[0].end, ConnectionEnd::DroppedByKill);
}

#[test]
fn a_reset_from_what_is_left_of_a_connection_is_its_reset() {
    let mut story = Story::new();
    story.stop(Disposition::Handler);
    story.socket(1, Established, FinWait1, |_, _| ()).socket(1, FinWait1, FinWait2, |_, _| ());
    let ends = Some((socket(1).local, socket(1).peer));
    let state = Some(TcpState::TimeWait);
    story.what(What::SocketReset { address: Some(77), pod: CGROUP, reason: Some(9), state, ends });
    let report = told(story.exit(100, 0));
    assert_eq!((report.connections.details[0].manner, report.connections.details[0].reset), (Manner::Fin, true));
}

#[test]
fn the_report_waits_for_an_answer_that_is_still_on_its_way() {
    let half_sent = |socket: &mut crate::input::Socket, current: &mut Caller| {
        dying(current);
        socket.counters.as_mut().expect("counters").unacked = 5_000;
    };
    for gets_through in [true, false] {
        let mut story = Story::new();
        story.stop(Disposition::Handler).kill().exit(100, 9);
        story.socket(1, Established, FinWait1, half_sent);
        story.what(What::CgroupEmptied { pod: CGROUP });
        let due = |ms: u64, story: &mut Story| {
            story.after_ms(ms);
            story.engine.handle(&Input::Tick { at: BootNs(story.now) });
            story.engine.poll()
        };
        assert!(due(300, &mut story).is_none(), "it is not known yet");
        if gets_through {
            story.socket(1, FinWait1, FinWait2, |_, _| ());
            let report = due(1, &mut story).expect("nothing is waited for any more");
            assert_eq!(report.connections.details[0].drained, Some(true));
        } else {
            let report = due(701, &mut story).expect("a second is enough");
            assert_eq!(report.connections.details[0].drained, None);
        }
    }
}
