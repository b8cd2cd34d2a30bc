//! The engine on losses: of one pod alone, and of anybody; two pods that end at the same time.

use super::Engine;
use super::pod_tests::{process, runc, session};
use crate::input::{
    BootNs, CgroupFound, CgroupId, Disposition, Event, Input, Process, SignalResult, TraceScope, WaitStatus, What,
};
use crate::report::{Report, TimelineEvent};

const CALM: CgroupId = CgroupId(10);
const NOISY: CgroupId = CgroupId(20);

/// Two pods of one container each, both with their stop signal.
struct Story {
    engine: Engine,
    now: u64,
}

impl Story {
    fn new() -> Self {
        let mut story = Self { engine: Engine::new(session(TraceScope::Node)), now: 1_000_000 };
        for pod in [CALM, NOISY] {
            story.engine.handle(&Input::CgroupFound(CgroupFound {
                at: BootNs(1),
                id: app(pod),
                pod,
                path: format!("/kubepods/pod{}/{}", uid(pod), "a".repeat(64)),
                processes: Vec::new(),
            }));
            let process = init(pod);
            story.what(pod, What::ProcessExecuted { process, parent: runc(), netns: None, argv: None });
        }
        story.after_ms(1_000);
        for pod in [CALM, NOISY] {
            let (target, sender) = (init(pod), runc());
            let (result, disposition) = (SignalResult::Delivered, Disposition::Handler);
            story.what(
                pod,
                What::SignalGenerated { target, sender, signal: 15, code: 0, group: true, result, disposition },
            );
        }
        story
    }

    fn after_ms(&mut self, ms: u64) {
        self.now += ms * 1_000_000;
    }

    fn what(&mut self, pod: CgroupId, what: What) {
        self.now += 1_000;
        self.engine.handle(&Input::Event(Event { at: BootNs(self.now), cgroup: Some(app(pod)), what }));
    }

    fn lose(&mut self, what: &str, count: u64, pod: Option<CgroupId>) {
        self.engine.handle(&Input::Lost { at: BootNs(self.now), what: what.to_owned(), count, pod });
    }

    fn end(&mut self, pod: CgroupId) {
        self.what(pod, What::ProcessExited { process: init(pod), status: WaitStatus(0), netns: None });
        self.what(pod, What::CgroupEmptied { pod });
    }

    /// The reports of both, in their order.
    fn reports(&mut self) -> [Report; 2] {
        self.after_ms(2_000);
        self.engine.handle(&Input::Tick { at: BootNs(self.now) });
        let mut reports: Vec<Report> = std::iter::from_fn(|| self.engine.poll()).collect();
        reports.sort_by_key(|report| report.pod.uid.clone());
        reports.try_into().expect("two reports")
    }
}

fn app(pod: CgroupId) -> CgroupId {
    CgroupId(pod.0 + 1)
}

fn uid(pod: CgroupId) -> String {
    format!("0c2d3f0a-1111-4222-8333-{:012}", pod.0)
}

fn init(pod: CgroupId) -> Process {
    process(u32::try_from(pod.0).expect("a number") * 10, "app")
}

fn lost(report: &Report) -> Vec<(Option<u32>, Option<&str>)> {
    let lost = report.timeline.iter().filter(|entry| entry.event == TimelineEvent::EventsLost);
    lost.map(|entry| (entry.count.and_then(|count| u32::try_from(count).ok()), entry.detail.as_deref())).collect()
}

#[test]
fn a_pods_own_loss_is_told_in_its_report_alone() {
    let mut story = Story::new();
    story.lose("process_fork", 30, Some(NOISY));
    story.lose("process_exit", 12, Some(NOISY));
    story.end(CALM);
    story.end(NOISY);
    let [calm, noisy] = story.reports();
    assert!(calm.completeness.complete, "{:?}", calm.completeness);
    assert_eq!((calm.completeness.events_lost, lost(&calm)), (0, Vec::new()));
    assert!(calm.findings.is_empty(), "{:?}", calm.findings);
    assert_eq!((noisy.completeness.complete, noisy.completeness.events_lost), (false, 42));
    let told =
        [(Some(30), Some("process_fork records of this pod")), (Some(12), Some("process_exit records of this pod"))];
    assert_eq!(lost(&noisy), told);
    let reason = "42 records of this pod were left out: the ring buffer was more than half full, and this pod had filled its share of it (of process_exit, process_fork). More of it is let through with a larger --ring-buffer-size";
    assert_eq!(noisy.completeness.reasons[0], reason);
    assert_eq!(noisy.findings.iter().map(|finding| finding.rule.as_str()).collect::<Vec<_>>(), ["incomplete"]);
}

#[test]
fn anybodys_loss_is_told_in_all_that_end() {
    let mut story = Story::new();
    story.lose("cgroup", 2, None);
    story.lose("process_fork", 5, Some(NOISY));
    story.end(CALM);
    story.end(NOISY);
    let [calm, noisy] = story.reports();
    assert_eq!((calm.completeness.complete, calm.completeness.events_lost), (false, 2));
    assert_eq!(lost(&calm), [(Some(2), Some("cgroup records"))]);
    assert!(!calm.completeness.reasons.iter().any(|reason| reason.contains("of this pod")));
    assert_eq!((noisy.completeness.complete, noisy.completeness.events_lost), (false, 7));
}

#[test]
fn what_was_lost_before_the_end_began_is_none_of_it() {
    let mut story = Story::new();
    let before = BootNs(2_000_000);
    let what = "process_fork".to_owned();
    story.engine.handle(&Input::Lost { at: before, what, count: 5, pod: Some(NOISY) });
    story.end(CALM);
    story.end(NOISY);
    for report in story.reports() {
        assert!(report.completeness.complete, "{:?}", report.completeness);
    }
}

/// A loss is noticed while records from before are still on their way.
#[test]
fn a_loss_makes_no_report_early() {
    let mut story = Story::new();
    story.end(CALM);
    story.what(NOISY, What::ProcessExited { process: init(NOISY), status: WaitStatus(0), netns: None });
    let emptied = story.now + 1_000;
    story.after_ms(10_000);
    story.lose("process_fork", 5, Some(NOISY));
    assert_eq!(story.engine.poll(), None);
    story.now = emptied;
    story.what(NOISY, What::CgroupEmptied { pod: NOISY });
    let [calm, noisy] = story.reports();
    assert_eq!((calm.completeness.events_lost, noisy.completeness.events_lost), (0, 5));
}
