//! Properties of the engine, tried on every recorded log: what must not matter does not, what was
//! lost is admitted, and no input makes it panic.

use gracetrace::engine::Engine;
use gracetrace::input::{BootNs, CgroupId, Event, Input, Session};
use gracetrace::report::Report;
use gracetrace_tests::recording::fixtures;
use proptest::prelude::*;
use proptest::sample::Index;
use std::sync::OnceLock;

/// Records of two CPUs may be handed in this far out of order.
const DISORDER_NS: u64 = 2_000;

struct Log {
    name: String,
    session: Session,
    inputs: Vec<Input>,
    reports: Vec<Report>,
}

/// All recorded logs; that there are none is a failure, not a pass.
fn logs() -> &'static [Log] {
    static LOGS: OnceLock<Vec<Log>> = OnceLock::new();
    let logs = LOGS.get_or_init(|| {
        let mut logs = Vec::new();
        for entry in std::fs::read_dir(fixtures()).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "jsonl") {
                let text = std::fs::read_to_string(entry.path()).expect("a readable fixture");
                let mut lines = text.lines();
                let head: serde_json::Value =
                    serde_json::from_str(lines.next().expect("a first line")).expect("a head");
                let session: Session = serde_json::from_value(head["session"].clone()).expect("a session");
                let inputs: Vec<Input> = lines.map(|line| serde_json::from_str(line).expect("an input")).collect();
                let reports = reports_of(&session, &inputs);
                assert!(!reports.is_empty(), "{} gives no report", entry.path().display());
                logs.push(Log { name: entry.file_name().to_string_lossy().into_owned(), session, inputs, reports });
            }
        }
        logs.sort_by(|a, b| a.name.cmp(&b.name));
        logs
    });
    assert!(!logs.is_empty(), "no recorded logs in {}", fixtures().display());
    logs
}

fn reports_of(session: &Session, inputs: &[Input]) -> Vec<Report> {
    let mut engine = Engine::new(session.clone());
    let mut reports = Vec::new();
    for input in inputs {
        engine.handle(input);
        reports.extend(std::iter::from_fn(|| engine.poll()));
        let _why = engine.next_deadline();
    }
    reports
}

/// The input whose handling brings the first report out.
fn reporting_input(log: &Log) -> usize {
    let mut engine = Engine::new(log.session.clone());
    log.inputs
        .iter()
        .position(|input| {
            engine.handle(input);
            engine.poll().is_some()
        })
        .expect("a log with a report")
}

fn event(input: &Input) -> Option<&Event> {
    if let Input::Event(event) = input { Some(event) } else { None }
}

/// A tick is due there: later than all events before, not later than any behind.
fn tick_at(inputs: &[Input], index: usize) -> Option<BootNs> {
    let (before, behind) = inputs.split_at(index);
    let latest = before.iter().filter_map(event).map(|event| event.at).max()?;
    let earliest = behind.iter().filter_map(event).map(|event| event.at).min();
    earliest.is_none_or(|earliest| latest <= earliest).then_some(latest)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn order_within_two_microseconds_does_not_matter(which: Index, swaps in proptest::collection::vec(any::<bool>(), 1..64)) {
        let log = which.get(logs());
        let mut inputs = log.inputs.clone();
        let mut swaps = swaps.iter().cycle();
        let mut index = 1;
        while index < inputs.len() {
            let close = match (event(&inputs[index - 1]), event(&inputs[index])) {
                (Some(one), Some(two)) => one.at.0.abs_diff(two.at.0) <= DISORDER_NS,
                _ => false,
            };
            if close && *swaps.next().expect("an endless cycle") {
                inputs.swap(index - 1, index);
                index += 1;
            }
            index += 1;
        }
        prop_assert_eq!(&reports_of(&log.session, &inputs), &log.reports, "{}", log.name);
    }

    #[test]
    fn ticks_change_nothing(which: Index, places in proptest::collection::vec(any::<Index>(), 1..16)) {
        let log = which.get(logs());
        let mut inputs = log.inputs.clone();
        for place in places {
            let place = place.index(inputs.len());
            if let Some(at) = tick_at(&inputs, place) {
                inputs.insert(place, Input::Tick { at });
            }
        }
        prop_assert_eq!(&reports_of(&log.session, &inputs), &log.reports, "{}", log.name);
    }

    #[test]
    fn a_part_of_a_log_is_no_reason_to_panic(which: Index, from: Index, to: Index, holes in proptest::collection::vec(any::<Index>(), 0..32)) {
        let log = which.get(logs());
        let (from, to) = (from.index(log.inputs.len()), to.index(log.inputs.len() + 1));
        let mut inputs = log.inputs.get(from.min(to)..from.max(to)).unwrap_or_default().to_vec();
        for hole in holes {
            if !inputs.is_empty() {
                inputs.remove(hole.index(inputs.len()));
            }
        }
        inputs.extend(log.inputs.last().and_then(event).map(|event| Input::Finish { at: event.at }));
        for report in reports_of(&log.session, &inputs) {
            prop_assert!(serde_json::to_string(&report).is_ok());
        }
    }

    #[test]
    fn a_loss_is_admitted(which: Index, count in 1_u64..1_000_000) {
        let log = which.get(logs());
        let mut inputs = log.inputs.clone();
        let place = reporting_input(log);
        let at = inputs[..place].iter().rev().find_map(event).map_or(log.session.started_at, |event| event.at);
        inputs.insert(place, Input::Lost { at, what: "decode".to_owned(), count, pod: None });
        let reports = reports_of(&log.session, &inputs);
        let first = reports.first().expect("the report still comes out");
        prop_assert!(!first.completeness.complete, "{}", log.name);
        prop_assert!(first.completeness.events_lost >= count, "{}", log.name);
        prop_assert!(first.findings.iter().any(|finding| finding.rule == "incomplete"), "{}", log.name);
        prop_assert_eq!(first.outcome, log.reports[0].outcome, "{}", log.name);
    }

    #[test]
    fn a_loss_of_another_pod_changes_nothing(which: Index, place: Index, count in 1_u64..1_000_000) {
        let log = which.get(logs());
        let mut inputs = log.inputs.clone();
        let place = place.index(inputs.len());
        let at = inputs[..place].iter().rev().find_map(event).map_or(log.session.started_at, |event| event.at);
        // the root of a hierarchy is no pod's
        let pod = Some(CgroupId(1));
        inputs.insert(place, Input::Lost { at, what: "socket_state".to_owned(), count, pod });
        prop_assert_eq!(&reports_of(&log.session, &inputs), &log.reports, "{}", log.name);
    }
}
