//! What is told when tracing ends before everything else has, and what lets time pass and what does not.

use super::pod_tests::{APP, NEXT, POD, Story, UID, runc};
use super::tests::{caller, socket};
use crate::input::{BootNs, FactSource, Input, PodFacts, Socket, SocketCounters, TcpState, TraceScope, What};
use crate::report::{Outcome, Report, Scope, Work};

const CUT_SHORT: &str = "tracing ended as soon as the last container had: what came after is not known";
const MAY_GO_ON: &str = "its containers had ended when tracing did, and the pod had not: it may have gone on";

/// Tracing ends now.
fn finish(story: &mut Story) -> Vec<Report> {
    story.engine.handle(&Input::Finish { at: BootNs(story.now) });
    std::iter::from_fn(|| story.engine.poll()).collect()
}

/// The first thing that it says of what is missing.
fn told(report: &Report) -> Option<&str> {
    report.completeness.reasons.iter().map(String::as_str).find(|reason| [CUT_SHORT, MAY_GO_ON].contains(reason))
}

fn facts(at: BootNs) -> PodFacts {
    PodFacts {
        at,
        uid: UID.to_owned(),
        source: FactSource::Cri,
        namespace: Some("shop".to_owned()),
        name: Some("web".to_owned()),
        labels: None,
        sandbox_id: None,
        host_network: None,
        grace_ms: None,
    }
}

/// The process is killed while half an answer is on its way.
fn cut_off(story: &mut Story) {
    story.signal(APP, 200, 9, runc());
    let counters = SocketCounters { unacked: 900, bytes_sent: 4_000, ..socket(7).counters.expect("counters") };
    let socket = Socket { pod: POD, counters: Some(counters), ..socket(7) };
    let mut current = caller(200, "app", APP);
    current.exiting = true;
    let (old, new) = (TcpState::SynRecv, TcpState::Established);
    let opened = What::SocketState { socket: socket.clone(), current: current.clone(), old, new };
    let (old, new) = (TcpState::Established, TcpState::FinWait1);
    story.what(APP, opened).what(APP, What::SocketState { socket, current, old, new });
    story.exit(APP, 200, 9).end_sandbox();
}

#[test]
fn what_is_learnt_lets_no_time_pass() {
    let mut story = Story::named(TraceScope::Node);
    story.signal(APP, 200, 15, runc()).exit(APP, 200, 0).end_sandbox();
    // long after its report was due, but what happened until then may not have been handed in yet
    let late = BootNs(story.now).plus_ms(10_000);
    story.engine.handle(&Input::Pod(facts(late)));
    story.engine.handle(&Input::Clock { at: late, wall_offset_ns: 5 });
    assert_eq!(story.engine.poll(), None);
    story.engine.handle(&Input::Lost { at: late, what: "socket_state".to_owned(), count: 3, pod: None });
    let report = story.tick(60).expect("a report");
    assert_eq!((report.completeness.events_lost, report.completeness.complete), (3, false));
}

#[test]
fn a_container_that_has_crashed_is_not_the_end_of_its_pod() {
    let mut story = Story::named(TraceScope::Node);
    story.exit(APP, 200, 1 << 8);
    story.after_ms(5_000);
    let reports = finish(&mut story);
    let all: Vec<_> = reports.iter().map(|report| (report.scope, report.outcome, told(report))).collect();
    assert_eq!(all, [(Scope::Container, Outcome::Crashed, None)]);

    // who asked for this pod is told, and that it may not be the end
    let asked = TraceScope::Pod { namespace: None, name: "web".to_owned() };
    let mut story = Story::named(asked);
    story.exit(APP, 200, 1 << 8);
    story.after_ms(5_000);
    let [report] = <[Report; 1]>::try_from(finish(&mut story)).expect("one report");
    assert_eq!((report.scope, report.outcome, told(&report)), (Scope::Pod, Outcome::Crashed, Some(MAY_GO_ON)));
}

#[test]
fn a_container_that_was_stopped_is_the_end_of_its_pod_for_a_moment() {
    for (ms, scope, reason) in [
        // what comes late was waited for, and the sandbox has not gone yet
        (500, Scope::Pod, None),
        (10, Scope::Pod, Some(CUT_SHORT)),
        // a probe that failed: its pod has not been stopped, or its sandbox would be gone by now
        (10_000, Scope::Container, None),
    ] {
        let mut story = Story::named(TraceScope::Node);
        story.signal(APP, 200, 15, runc()).exit(APP, 200, 0);
        story.after_ms(ms);
        let [report] = <[Report; 1]>::try_from(finish(&mut story)).expect("one report");
        assert_eq!((report.scope, told(&report)), (scope, reason), "{ms} ms");
        assert_eq!(report.completeness.complete, reason.is_none(), "{ms} ms");
    }
}

#[test]
fn a_container_that_has_just_crashed_may_have_closed_more() {
    let mut story = Story::named(TraceScope::Node);
    story.exit(APP, 200, 1 << 8);
    story.after_ms(5);
    let [report] = <[Report; 1]>::try_from(finish(&mut story)).expect("one report");
    assert_eq!((report.scope, told(&report)), (Scope::Container, Some(CUT_SHORT)));
}

#[test]
fn only_a_loss_that_may_be_a_sockets_makes_the_fate_of_what_was_written_unknown() {
    for (what, expected) in [("socket_state", Work::Unknown), ("process_fork", Work::ResponseUnsent)] {
        let mut story = Story::named(TraceScope::Node);
        cut_off(&mut story);
        let at = BootNs(story.now);
        story.engine.handle(&Input::Lost { at, what: what.to_owned(), count: 1, pod: None });
        let report = story.tick(2_000).expect("a report");
        assert_eq!(report.connections.details[0].work, expected, "{what}");
    }
}

#[test]
fn one_that_had_its_report_has_no_other() {
    let mut story = Story::named(TraceScope::Node);
    story.exit(APP, 200, 1 << 8);
    story.container(NEXT, 'c', 400, "app");
    story.learn('c');
    assert!(story.tick(100).is_some());
    assert!(finish(&mut story).is_empty());
}

#[test]
fn an_end_that_is_cut_short_says_so_and_nothing_of_what_was_not_waited_for() {
    let mut story = Story::named(TraceScope::Node);
    cut_off(&mut story);
    let [report] = <[Report; 1]>::try_from(finish(&mut story)).expect("one report");
    assert_eq!((report.scope, report.outcome), (Scope::Pod, Outcome::ForceKilled));
    assert_eq!(report.completeness.reasons.first().map(String::as_str), Some(CUT_SHORT));
    assert!(!report.completeness.complete);
    assert_eq!(report.connections.details[0].work, Work::Unknown);

    let mut story = Story::named(TraceScope::Node);
    cut_off(&mut story);
    let report = story.tick(2_000).expect("a report");
    assert!(report.completeness.complete, "{:?}", report.completeness);
    assert_eq!(report.connections.details[0].work, Work::ResponseUnsent);
}
