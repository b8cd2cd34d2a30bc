//! The engine on pods: paths, names, sandboxes, restarts, hooks; built by hand, one story a test.

use super::Engine;
use crate::input::{
    Actor, Argv, BootNs, CgroupFound, CgroupId, ContainerFacts, ContainerRole, Disposition, Event, FactSource, Input,
    KubeletCall, PodFacts, PreStop, Process, Session, SignalResult, TraceScope, WaitStatus, What,
};
use crate::report::{
    GracePeriodSource, HookEvidence, KillCause, Outcome, PreStopKind, Report, Scope, TimelineEvent, TriggerKind,
};

pub(super) const UID: &str = "0c2d3f0a-1111-4222-8333-444455556666";
pub(super) const POD: CgroupId = CgroupId(10);
const SANDBOX: CgroupId = CgroupId(11);
pub(super) const APP: CgroupId = CgroupId(12);
pub(super) const NEXT: CgroupId = CgroupId(13);
const NODE: CgroupId = CgroupId(2);

pub(super) struct Story {
    pub(super) engine: Engine,
    pub(super) now: u64,
}

impl Story {
    fn new(scope: TraceScope) -> Self {
        let mut story = Self { engine: Engine::new(session(scope)), now: 1_000_000 };
        let at = BootNs(1);
        let found = CgroupFound { at, id: POD, pod: POD, path: path(None), processes: Vec::new() };
        story.engine.handle(&Input::CgroupFound(found));
        story.container(SANDBOX, 'a', 100, "pause");
        story.container(APP, 'b', 200, "app");
        story
    }

    pub(super) fn named(scope: TraceScope) -> Self {
        let mut story = Self::new(scope);
        story.engine.handle(&Input::Pod(PodFacts {
            at: BootNs(2),
            uid: UID.to_owned(),
            source: FactSource::Cri,
            namespace: Some("shop".to_owned()),
            name: Some("web".to_owned()),
            labels: None,
            sandbox_id: Some(id('a')),
            host_network: Some(false),
            grace_ms: None,
        }));
        story.learn('b');
        story
    }

    /// A container with the CRI's word on it: name `app`, 30 s of grace, a preStop hook `sleep 2`.
    pub(super) fn learn(&mut self, digit: char) {
        self.learn_hook(digit, Some(PreStop::Exec { argv: Argv::from_arguments(["sleep", "2"]) }));
    }

    pub(super) fn learn_hook(&mut self, digit: char, pre_stop: Option<PreStop>) {
        self.engine.handle(&Input::Container(ContainerFacts {
            at: BootNs(self.now),
            id: id(digit),
            runtime: Some("containerd".to_owned()),
            pod_uid: UID.to_owned(),
            source: FactSource::Cri,
            name: Some("app".to_owned()),
            image: Some("web:1".to_owned()),
            role: None,
            grace_ms: Some(30_000),
            stop_signal: Some(15),
            pre_stop,
            restarts: Some(0),
        }));
    }

    /// A container is made and its init starts.
    pub(super) fn container(&mut self, cgroup: CgroupId, digit: char, tgid: u32, comm: &str) {
        self.what(cgroup, What::CgroupMade { parent: POD, pod: POD, path: path(Some(digit)) });
        self.exec(cgroup, tgid, 1, comm, None);
    }

    pub(super) fn exec(&mut self, cgroup: CgroupId, tgid: u32, ns_tgid: u32, comm: &str, argv: Option<Argv>) {
        let process = Process { ns_tgid, ..process(tgid, comm) };
        self.what(cgroup, What::ProcessExecuted { process, parent: runc(), netns: None, argv });
    }

    pub(super) fn after_ms(&mut self, ms: u64) -> &mut Self {
        self.now += ms * 1_000_000;
        self
    }

    pub(super) fn what(&mut self, cgroup: CgroupId, what: What) -> &mut Self {
        self.now += 1_000;
        self.engine.handle(&Input::Event(Event { at: BootNs(self.now), cgroup: Some(cgroup), what }));
        self
    }

    pub(super) fn signal(&mut self, cgroup: CgroupId, tgid: u32, signal: i32, sender: Actor) -> &mut Self {
        let (result, disposition) = (SignalResult::Delivered, Disposition::Handler);
        let target = process(tgid, "app");
        self.what(cgroup, What::SignalGenerated { target, sender, signal, code: 0, group: true, result, disposition })
    }

    pub(super) fn exit(&mut self, cgroup: CgroupId, tgid: u32, status: u32) -> &mut Self {
        let what = What::ProcessExited { process: process(tgid, "app"), status: WaitStatus(status), netns: None };
        self.what(cgroup, what)
    }

    /// The sandbox is killed, as a runtime always does.
    pub(super) fn end_sandbox(&mut self) -> &mut Self {
        self.after_ms(100).signal(SANDBOX, 100, 9, runc()).exit(SANDBOX, 100, 9)
    }

    pub(super) fn tick(&mut self, ms: u64) -> Option<Report> {
        self.after_ms(ms);
        self.engine.handle(&Input::Tick { at: BootNs(self.now) });
        self.engine.poll()
    }
}

pub(super) fn session(scope: TraceScope) -> Session {
    Session {
        started_at: BootNs(0),
        wall_offset_ns: 0,
        node: Some("n1".to_owned()),
        kernel: "6.18.0".to_owned(),
        tracer_tgid: 500,
        default_grace_ms: None,
        scope,
        max_connections: 10,
        limits: Vec::new(),
        sees: crate::input::Sees::default(),
    }
}

pub(super) fn id(digit: char) -> String {
    digit.to_string().repeat(64)
}

pub(super) fn path(container: Option<char>) -> String {
    let pod = format!("/kubepods/burstable/pod{UID}");
    container.map_or(pod.clone(), |digit| format!("{pod}/{}", id(digit)))
}

pub(super) fn process(tgid: u32, comm: &str) -> Process {
    Process { tgid, start: BootNs(u64::from(tgid)), ns_tgid: 1, parent_tgid: 90, comm: comm.into(), exe: None }
}

pub(super) fn runc() -> Actor {
    let (comm, parent_comm) = ("runc".into(), "containerd-shim".into());
    let (exiting, kernel_thread) = (false, false);
    Actor { tgid: 90, ns_tgid: 90, parent_tgid: 80, cgroup: NODE, comm, parent_comm, exiting, kernel_thread }
}

fn this_pod(name: &str) -> TraceScope {
    TraceScope::Pod { namespace: Some("shop".to_owned()), name: name.to_owned() }
}

#[test]
fn a_pods_end_is_the_end_of_its_sandbox() {
    let mut story = Story::named(this_pod("web"));
    story.signal(APP, 200, 15, runc());
    story.after_ms(500).exit(APP, 200, 0);
    assert_eq!(story.tick(1_000), None);
    let report = story.end_sandbox().tick(60).expect("a report");
    assert_eq!(
        (report.outcome, report.scope, report.trigger.kind),
        (Outcome::Graceful, Scope::Pod, TriggerKind::Unknown)
    );
    assert_eq!((report.pod.namespace.as_deref(), report.pod.name.as_deref()), (Some("shop"), Some("web")));
    assert_eq!(report.pod.qos_class.as_deref(), Some("Burstable"));
    assert_eq!(report.pod.grace_period_source, Some(GracePeriodSource::Annotations));
    assert_eq!(report.containers.len(), 1);
    assert_eq!(report.containers[0].name.as_deref(), Some("app"));
    assert_eq!(report.containers[0].id, Some(format!("containerd://{}", id('b'))));
    assert_eq!(report.timeline.last().map(|entry| entry.event), Some(TimelineEvent::SandboxExited));
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

/// Everything that would have told of its end was lost.
#[test]
fn a_pod_that_is_gone_is_reported_as_far_as_it_was_seen() {
    let mut story = Story::named(TraceScope::Node);
    story.signal(APP, 200, 15, runc());
    assert_eq!(story.tick(5_000), None);
    story.engine.handle(&Input::PodGone { at: BootNs(story.now), pod: POD });
    let report = story.tick(60).expect("a report");
    assert!(!report.completeness.complete);
    let reason = "tracing ended before the last container did, or its end was not seen";
    assert_eq!(report.completeness.reasons.first().map(String::as_str), Some(reason));
    assert!(report.containers[0].exit.is_none() && report.containers[0].stop.is_some());
}

#[test]
fn another_pod_is_not_reported_when_one_was_asked_for() {
    let mut story = Story::named(this_pod("other"));
    story.signal(APP, 200, 15, runc()).exit(APP, 200, 0);
    assert_eq!(story.end_sandbox().tick(60), None);
}

#[test]
fn without_names_a_pod_is_known_by_its_uid_and_pause_is_the_sandbox() {
    let mut story = Story::new(this_pod(UID));
    story.signal(APP, 200, 15, runc()).exit(APP, 200, 0);
    let report = story.end_sandbox().tick(60).expect("a report");
    assert_eq!(report.pod.name, None);
    assert_eq!(report.containers.len(), 1);
    assert_eq!(report.containers[0].name, Some("b".repeat(12)));
}

#[test]
fn a_pre_stop_hook_is_told_from_other_execs() {
    let mut story = Story::named(TraceScope::Node);
    story.exec(APP, 300, 7, "sh", Some(Argv::from_arguments(["sh"])));
    story.after_ms(50).exec(APP, 301, 8, "sleep", Some(Argv::from_arguments(["sleep", "2"])));
    story.after_ms(2_000).exit(APP, 301, 0);
    story.after_ms(5).signal(APP, 200, 15, runc());
    story.after_ms(100).exit(APP, 200, 0);
    let report = story.end_sandbox().tick(60).expect("a report");
    let hook = report.containers[0].pre_stop.as_ref().expect("a hook");
    assert_eq!((hook.kind, hook.start_ms, hook.exit_code), (PreStopKind::Exec, Some(0.0), Some(0)));
    assert_eq!(hook.end_ms, Some(2_000.001));
    assert_eq!(report.containers[0].stop.as_ref().map(|stop| stop.at_ms), Some(2_005.002));
    assert_eq!(report.timeline[0].event, TimelineEvent::PreStopStarted);
    // the init, the shell somebody opened, and the hook
    assert_eq!(report.containers[0].processes.seen, 3);
}

/// Stops a container with this hook after 5 s; the kubelet called a second before, for 800 ms.
fn stopped_with(hook: PreStop, called_port: Option<u16>) -> Report {
    let mut story = Story::named(TraceScope::Node);
    // the newer word replaces the older one
    story.learn_hook('b', Some(hook));
    let opened = BootNs(story.after_ms(4_000).now);
    let closed = Some(BootNs(story.after_ms(800).now));
    story.after_ms(200).signal(APP, 200, 15, runc());
    if let Some(port) = called_port {
        let at = BootNs(story.now + 1);
        story.engine.handle(&Input::KubeletCall(KubeletCall { at, pod: POD, port, opened, closed }));
    }
    story.after_ms(1_000).exit(APP, 200, 0);
    story.end_sandbox().tick(60).expect("a report")
}

#[test]
fn a_sleep_hook_is_known_by_its_declaration_and_counts_against_the_grace_period() {
    let report = stopped_with(PreStop::Sleep { ms: 2_000 }, None);
    let hook = report.containers[0].pre_stop.as_ref().expect("a hook");
    assert_eq!((hook.kind, hook.known_by), (PreStopKind::Sleep, HookEvidence::Declaration));
    assert_eq!((hook.start_ms, hook.end_ms, hook.exit_code), (Some(0.0), Some(2_000.0), None));
    assert_eq!(report.grace_period_used_ratio, Some(0.1));
    assert_eq!(report.timeline[0].event, TimelineEvent::PreStopStarted);
}

#[test]
fn an_http_hook_is_the_kubelets_call_just_before_the_stop_signal() {
    for (declared, called, expected) in [
        (Some(8080), Some(8080), (HookEvidence::Timing, Some(0.0), Some(800.0))),
        (None, Some(9000), (HookEvidence::Timing, Some(0.0), Some(800.0))),
        // a probe of another port
        (Some(8080), Some(9000), (HookEvidence::Declaration, None, None)),
        (Some(8080), None, (HookEvidence::Declaration, None, None)),
    ] {
        let report = stopped_with(PreStop::HttpGet { port: declared }, called);
        let hook = report.containers[0].pre_stop.as_ref().expect("a hook");
        assert_eq!((hook.known_by, hook.start_ms, hook.end_ms), expected, "{declared:?} {called:?}");
    }
}

#[test]
fn without_the_runtimes_word_a_hook_is_what_ran_until_the_stop_signal() {
    for (wait_ms, expected) in [(20, Some(HookEvidence::Timing)), (900, None)] {
        let mut story = Story::new(TraceScope::Node);
        story.exec(APP, 301, 8, "drain", Some(Argv::from_arguments(["drain"])));
        story.after_ms(2_000).exit(APP, 301, 0);
        story.after_ms(wait_ms).signal(APP, 200, 15, runc()).after_ms(100).exit(APP, 200, 0);
        let report = story.end_sandbox().tick(60).expect("a report");
        let found = report.containers[0].pre_stop.as_ref().map(|hook| hook.known_by);
        assert_eq!(found, expected, "{wait_ms} ms before the stop signal");
    }
}

#[test]
fn a_restarted_container_has_its_own_report_and_is_not_the_pods_end() {
    let mut story = Story::named(TraceScope::Node);
    story.exit(APP, 200, 1 << 8);
    assert_eq!(story.tick(1_000), None);
    story.container(NEXT, 'c', 400, "app");
    story.learn('c');
    let report = story.tick(100).expect("a container's report");
    assert_eq!((report.scope, report.outcome), (Scope::Container, Outcome::Crashed));
    story.signal(NEXT, 400, 15, runc()).after_ms(10).exit(NEXT, 400, 0);
    let report = story.end_sandbox().tick(60).expect("the pod's report");
    assert_eq!((report.scope, report.outcome), (Scope::Pod, Outcome::Graceful));
    assert_eq!(report.containers.len(), 1);
    assert_eq!(report.containers[0].init_pid, Some(400));
    assert_eq!(story.tick(100_000), None);
}

#[test]
fn the_runtimes_timer_shows_a_grace_period_shortened_at_deletion() {
    for (ms, cause) in
        [(5_003, KillCause::GracePeriodExpired), (5_600, KillCause::Cleanup), (29_000, KillCause::GracePeriodExpired)]
    {
        let mut story = Story::named(TraceScope::Node);
        story.signal(APP, 200, 15, runc());
        story.after_ms(ms).signal(APP, 200, 9, runc()).exit(APP, 200, 9);
        let report = story.end_sandbox().tick(60).expect("a report");
        assert_eq!(report.containers[0].kill.as_ref().map(|kill| kill.cause), Some(cause), "{ms}");
        assert_eq!(report.outcome, Outcome::ForceKilled);
    }
}

#[test]
fn the_sandbox_alone_brings_no_report_and_a_straggler_is_not_waited_for() {
    let mut story = Story::named(TraceScope::Node);
    story.signal(APP, 200, 15, runc());
    story.end_sandbox();
    assert_eq!(story.tick(60), None);
    let report = story.tick(2_000).expect("a report");
    assert_eq!(report.outcome, Outcome::Unknown);
    assert!(!report.completeness.complete);
}

#[test]
fn a_role_that_is_told_wins_and_facts_never_lose_what_is_known() {
    let mut story = Story::named(TraceScope::Node);
    story.engine.handle(&Input::Container(ContainerFacts {
        at: BootNs(story.now),
        id: id('b'),
        runtime: None,
        pod_uid: UID.to_owned(),
        source: FactSource::Cri,
        name: None,
        image: None,
        role: Some(ContainerRole::App),
        grace_ms: None,
        stop_signal: None,
        pre_stop: None,
        restarts: None,
    }));
    story.signal(APP, 200, 15, runc()).exit(APP, 200, 0);
    let report = story.end_sandbox().tick(60).expect("a report");
    assert_eq!(report.containers[0].role, Some(ContainerRole::App));
    assert_eq!(report.containers[0].name.as_deref(), Some("app"));
    assert_eq!(report.pod.termination_grace_period_seconds, Some(30.0));
}

/// A report that time has finished is put together when it is asked for, or before the next input changes anything.
#[test]
fn an_input_that_comes_before_a_report_is_polled_is_not_in_it() {
    let mut story = Story::named(TraceScope::Node);
    story.signal(APP, 200, 15, runc()).exit(APP, 200, 0).end_sandbox().after_ms(60);
    story.engine.handle(&Input::Tick { at: BootNs(story.now) });
    story.what(POD, What::CgroupRemoved { pod: POD });
    story.engine.handle(&Input::Lost { at: BootNs(story.now), what: "process_exit".to_owned(), count: 1, pod: None });
    let report = story.engine.poll().expect("a report");
    assert!(report.completeness.complete, "{:?}", report.completeness);
    assert_eq!((story.engine.poll(), story.engine.next_deadline()), (None, None));
}
