//! What looks like something else: who sent a signal, what a hook was, and what came before tracing began.

use super::Engine;
use super::pod_tests::{APP, NEXT, POD, Story, id, path, process, runc, session};
use super::tests::{OUTSIDE, actor, rules};
use crate::input::{
    Actor, Argv, BootNs, CgroupFound, CgroupId, ContainerFacts, FactSource, Input, PreStop, Process, TraceScope, What,
};
use crate::report::{KillCause, Outcome, Report, Scope, TriggerKind};

const PROBE: u32 = 300;

/// A pod with one app and its hook, of which nothing has happened yet.
fn with_hook(argv: &[&str]) -> Story {
    let mut story = Story::named(TraceScope::Node);
    story.learn_hook('b', Some(PreStop::Exec { argv: Argv::from_arguments(argv) }));
    story
}

fn run(story: &mut Story, argv: &[&str]) {
    story.exec(APP, PROBE, 7, argv[0], Some(Argv::from_arguments(argv)));
}

fn report(story: &mut Story) -> Report {
    story.end_sandbox().tick(2_000).expect("a report")
}

/// What a shell in a container is: its parent is the runtime's shim.
fn shell_in(cgroup: CgroupId) -> Actor {
    Actor { parent_comm: "containerd-shim".into(), ..actor(700, "sh", cgroup) }
}

#[test]
fn a_probe_is_not_a_hook_of_one_word() {
    for probe in [&["cat", "/tmp/ok"] as &[&str], &["sh", "-c", "test -f /tmp/ok"]] {
        let mut story = with_hook(&["/wait-shutdown"]);
        run(&mut story, probe);
        story.after_ms(5).exit(APP, PROBE, 1 << 8);
        story.after_ms(3_000).signal(APP, 200, 15, runc()).after_ms(10).exit(APP, 200, 0);
        let report = report(&mut story);
        let app = &report.containers[0];
        assert_eq!((app.pre_stop.as_ref(), app.processes.seen), (None, 1), "{probe:?}");
        assert_eq!(rules(&report), Vec::<&str>::new());
    }
}

#[test]
fn who_runs_the_hooks_command_by_hand_an_hour_before_runs_no_hook() {
    let mut story = with_hook(&["/drain", "now"]);
    run(&mut story, &["/drain", "now"]);
    story.exit(APP, PROBE, 0).after_ms(3_600_000).exit(APP, 200, 3 << 8);
    let report = report(&mut story);
    assert_eq!((report.containers[0].pre_stop.as_ref(), report.trigger.kind), (None, TriggerKind::ContainerExit));
}

#[test]
fn a_hook_that_makes_the_program_quit_has_done_its_work() {
    let mut story = with_hook(&["/drain", "now"]);
    run(&mut story, &["/drain", "now"]);
    story.after_ms(1_500).exit(APP, 200, 0);
    let dying = Actor { exiting: true, ns_tgid: 1, ..actor(200, "app", APP) };
    let target = Process { ns_tgid: 7, ..process(PROBE, "/drain") };
    let (result, disposition) = (crate::input::SignalResult::Delivered, crate::input::Disposition::Default);
    story.what(
        APP,
        What::SignalGenerated { target, sender: dying, signal: 9, code: 0x80, group: true, result, disposition },
    );
    story.exit(APP, PROBE, 9);
    let report = report(&mut story);
    let hook = report.containers[0].pre_stop.as_ref().expect("the hook");
    assert_eq!(hook.signal.as_deref(), Some("SIGKILL"));
    assert_eq!((report.trigger.kind, rules(&report)), (TriggerKind::Unknown, Vec::new()));
}

/// A pod that was there before tracing began, killed by its runtime after so long.
fn killed_after_ms(ms: u64) -> Report {
    let mut story = Story { engine: Engine::new(session(TraceScope::Node)), now: 1_000_000 };
    for (cgroup, container, processes) in [(POD, None, Vec::new()), (APP, Some('b'), vec![process(200, "app")])] {
        let found = CgroupFound { at: BootNs(1), id: cgroup, pod: POD, path: path(container), processes };
        story.engine.handle(&Input::CgroupFound(found));
    }
    story.learn('b');
    story.after_ms(ms).signal(APP, 200, 9, runc()).exit(APP, 200, 9);
    story.what(POD, What::CgroupRemoved { pod: POD });
    story.tick(2_000).expect("a report")
}

#[test]
fn a_kill_soon_after_tracing_began_may_have_had_its_stop_signal_before() {
    let report = killed_after_ms(20_000);
    assert_eq!(report.containers[0].kill.as_ref().map(|kill| kill.cause), Some(KillCause::Unknown));
    assert_eq!((report.outcome, report.grace_period_used_ratio), (Outcome::ForceKilled, None));
    assert!(!report.completeness.start_seen && !rules(&report).contains(&"no-grace-period"), "{:?}", rules(&report));
    // longer than any grace period from then on
    let report = killed_after_ms(31_000);
    assert_eq!(report.containers[0].kill.as_ref().map(|kill| kill.cause), Some(KillCause::NoGracePeriod));
    assert!(report.completeness.start_seen && rules(&report).contains(&"no-grace-period"), "{:?}", rules(&report));
}

#[test]
fn a_shell_in_a_container_is_no_runtime_though_the_shim_is_its_parent() {
    let mut story = Story::named(TraceScope::Node);
    story.container(NEXT, 'c', 400, "agent");
    let report = {
        story.signal(APP, 200, 9, shell_in(NEXT)).exit(APP, 200, 9);
        story.signal(NEXT, 400, 15, runc()).exit(NEXT, 400, 0);
        report(&mut story)
    };
    assert_eq!(report.containers[0].kill.as_ref().map(|kill| kill.cause), Some(KillCause::External));
    // and the runtime, which stopped what was left, is not accused
    let accused: Vec<_> = report.findings.iter().filter(|finding| finding.rule == "killed-by-other").collect();
    assert_eq!(accused.len(), 1, "{accused:?}");
    assert!(accused[0].summary.starts_with("SIGKILL came from sh (pid 700,"), "{}", accused[0].summary);
}

#[test]
fn how_long_it_took_is_not_known_while_one_still_runs() {
    let mut story = Story::named(TraceScope::Node);
    story.container(NEXT, 'c', 400, "worker");
    story.signal(APP, 200, 15, runc()).signal(NEXT, 400, 15, runc()).after_ms(2_000).exit(APP, 200, 0);
    story.engine.handle(&Input::Finish { at: BootNs(story.now) });
    let report = story.engine.poll().expect("a report");
    assert_eq!((report.stop_to_exit_ms, report.grace_period_used_ratio), (None, None));
    assert_eq!(report.containers[0].stop_to_exit_ms, Some(2_000.002));
}

#[test]
fn what_ended_alone_before_does_not_decide_how_the_pod_ended() {
    let mut story = Story::named(TraceScope::Node);
    story.container(NEXT, 'c', 400, "worker");
    name(&mut story, 'c', "worker");
    // its liveness probe has failed
    story.signal(NEXT, 400, 15, runc()).after_ms(30_000).signal(NEXT, 400, 9, runc()).exit(NEXT, 400, 9);
    let alone = story.tick(60_000).expect("a report of its own");
    assert_eq!((alone.scope, alone.outcome), (Scope::Container, Outcome::ForceKilled));
    story.after_ms(240_000).signal(APP, 200, 15, runc()).after_ms(1_000).exit(APP, 200, 0);
    let report = report(&mut story);
    assert_eq!(
        (report.scope, report.outcome, report.stop_to_exit_ms),
        (Scope::Pod, Outcome::Graceful, Some(1_000.001))
    );
    assert_eq!(report.grace_period_used_ratio, Some(0.033));
    assert!(!rules(&report).contains(&"slow-exit"), "{:?}", rules(&report));
}

/// What the CRI tells of a container.
fn name(story: &mut Story, digit: char, name: &str) {
    story.engine.handle(&Input::Container(ContainerFacts {
        at: BootNs(story.now),
        id: id(digit),
        runtime: None,
        pod_uid: super::pod_tests::UID.to_owned(),
        source: FactSource::Cri,
        name: Some(name.to_owned()),
        image: None,
        role: None,
        grace_ms: None,
        stop_signal: Some(15),
        pre_stop: None,
        restarts: None,
    }));
}

/// A shell whose child ends so, and then it.
fn shell_whose_child_ends(status: u32) -> Report {
    let mut story = Story::named(TraceScope::Node);
    story.container(NEXT, 'c', 400, "sh");
    name(&mut story, 'c', "shell");
    let child = Process { ns_tgid: 2, parent_tgid: 400, ..process(401, "nginx") };
    story.what(NEXT, What::ProcessForked { child });
    story.after_ms(1_000);
    story.signal(APP, 200, 15, runc()).exit(APP, 200, 0).signal(NEXT, 400, 15, runc());
    story.after_ms(500).exit(NEXT, 401, status).exit(NEXT, 400, 0);
    report(&mut story)
}

#[test]
fn a_shell_that_tells_its_child_in_another_way_is_not_called_deaf() {
    assert_eq!(rules(&shell_whose_child_ends(0)), Vec::<&str>::new());
    assert_eq!(rules(&shell_whose_child_ends(9)), ["shell-does-not-forward"]);
}

#[test]
fn strangers_outside_are_still_named() {
    let mut story = Story::named(TraceScope::Node);
    story.signal(APP, 200, 15, actor(900, "kill", OUTSIDE)).after_ms(20).exit(APP, 200, 0);
    assert_eq!(rules(&report(&mut story)), ["killed-by-other"]);
}
