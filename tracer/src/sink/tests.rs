//! Every format over the same reports: goldens, the schema, and names that mean harm.

use super::html::{Html, STYLE};
use super::json::Json;
use super::jsonl::JsonLines;
use super::line::Line;
use super::text::{Text, render};
use super::{Sink, sample, schema};
use crate::report::{Report, TimelineEvent};
use proptest::prelude::*;
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

fn samples() -> [(&'static str, Report); 6] {
    [
        ("graceful", sample::graceful()),
        ("force_killed", sample::force_killed()),
        ("oom", sample::oom()),
        ("unknown", sample::unknown()),
        ("two_containers", sample::two_containers()),
        ("hostile", sample::hostile()),
    ]
}

/// What `sink` writes into the buffer it is given.
fn written<S: Sink>(report: &Report, sink: impl FnOnce(Shared) -> S) -> String {
    let shared = Shared::default();
    sink(shared.clone()).report(report).unwrap();
    let bytes = shared.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[derive(Clone, Default)]
struct Shared(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn text_as_people_see_it() {
    for (name, report) in samples() {
        let text = render(&report, 80, false);
        for line in text.lines() {
            assert!(line.width() <= 80, "{name}: {line}");
            assert_eq!(line, line.trim_end(), "{name}");
        }
        insta::assert_snapshot!(format!("text_{name}"), text);
    }
    insta::assert_snapshot!("text_wide", render(&sample::force_killed(), 120, false));
}

/// The page, without the style that all pages have.
fn page(report: &Report) -> String {
    written(report, |out| Html::new(out, false)).replace(STYLE, "")
}

#[test]
fn pages_as_browsers_see_them() {
    for (name, report) in samples() {
        // a tag a line, so that a change is seen where it is
        insta::assert_snapshot!(format!("html_{name}"), page(&report).replace("><", ">\n<"));
    }
}

/// Names of tags and of their attributes, in order: what a name of a pod must never add to.
fn skeleton(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = page;
    while let Some((_, tag)) = rest.split_once('<') {
        let mut quoted = false;
        let end = tag.find(|c| {
            quoted ^= c == '"';
            c == '>' && !quoted
        });
        let (tag, after) = tag.split_at(end.expect("a tag that ends"));
        let outside = tag.split('"').step_by(2).collect::<Vec<_>>().join("");
        found.push(outside);
        rest = after;
    }
    found
}

#[test]
fn hostile_names_are_text_in_a_page() {
    let mut harmless = sample::force_killed();
    sample::poison(&mut harmless, &mut || "Zoë".to_owned());
    let page_of_hostile = page(&sample::hostile());
    assert_eq!(skeleton(&page_of_hostile), skeleton(&page(&harmless)));
    assert!(page_of_hostile.contains("&quot;&lt;b&gt;日本") && !page_of_hostile.contains("<b>日本"));
}

#[test]
fn links_of_a_page_lead_somewhere() {
    for (name, report) in samples() {
        let page = page(&report);
        for link in page.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(page.contains(&format!("id=\"{link}\"")), "{name}: {link}");
        }
        for outside in ["http:", "https:", "src=", "@import", "<script", "onclick"] {
            assert!(!page.contains(outside) && !STYLE.contains(outside), "{name}: {outside}");
        }
    }
}

#[test]
fn several_reports_are_one_page() {
    let shared = Shared::default();
    let mut sink = Html::new(shared.clone(), true);
    sink.report(&sample::graceful()).unwrap();
    sink.report(&sample::force_killed()).unwrap();
    let page = String::from_utf8(shared.0.lock().unwrap().clone()).unwrap();
    assert_eq!((page.matches("<html").count(), page.matches("<article").count()), (1, 2));
    let mut ids: Vec<&str> = page.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "ids are unique");
}

#[test]
fn a_page_has_room_for_thousands_and_says_what_it_leaves_out() {
    let mut report = sample::force_killed();
    report.timeline = (0..5000).map(|at| sample::entry(f64::from(at), TimelineEvent::ProcessExited)).collect();
    report.findings[0].evidence = vec![0, 2500, 4999];
    let one = report.connections.details[1].clone();
    report.connections.details = vec![one; 3000];
    let page = page(&report);
    assert!(page.contains("4600 more, which the JSON has") && page.contains("… and 2806 more"));
    assert!(page.contains("#r1-t4999") && !page.contains("#r1-t2500"));
    assert!(page.len() < 400_000, "{}", page.len());
}

#[test]
fn lines_as_people_see_them() {
    let lines: String = samples().iter().map(|(_, report)| written(report, |out| Line::new(out, false))).collect();
    insta::assert_snapshot!("lines", lines);
}

#[test]
fn colour_changes_nothing_else() {
    for (name, report) in samples() {
        let plain = render(&report, 80, false);
        let mut coloured = render(&report, 80, true);
        assert_ne!(coloured, plain);
        for code in ["0", "1", "2", "36", "32", "33", "1;31"] {
            coloured = coloured.replace(&format!("\u{1b}[{code}m"), "");
        }
        assert_eq!(coloured, plain, "{name}");
    }
}

#[test]
fn a_long_timeline_is_cut_in_its_middle() {
    let mut report = sample::graceful();
    report.timeline = (0..1000).map(|at| sample::entry(f64::from(at), TimelineEvent::ProcessExited)).collect();
    let text = render(&report, 80, false);
    assert!(text.contains("… 940 more …"));
    assert_eq!(text.lines().filter(|line| line.contains("process ended")).count(), 60);
}

#[test]
fn two_reports_of_one_sink_are_apart() {
    let shared = Shared::default();
    let mut sink = Text::new(shared.clone(), 80, false);
    sink.report(&sample::unknown()).unwrap();
    sink.report(&sample::unknown()).unwrap();
    let one = render(&sample::unknown(), 80, false);
    assert_eq!(String::from_utf8(shared.0.lock().unwrap().clone()).unwrap(), format!("{one}\n{one}"));
}

#[test]
fn every_report_is_valid_by_the_schema() {
    let schema = schema::report();
    jsonschema::meta::validate(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for (name, report) in samples() {
        let json: Value = serde_json::from_str(&written(&report, Json)).unwrap();
        let errors: Vec<String> =
            validator.iter_errors(&json).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert_eq!(errors, Vec::<String>::new(), "{name}");
    }
}

#[test]
fn the_schema_wants_every_field() {
    let validator = jsonschema::validator_for(&schema::report()).unwrap();
    let json = serde_json::to_value(sample::force_killed()).unwrap();
    let fields = ["/startTime", "/stopToExitMs", "/connections/openAtStop", "/connections/details/0/unackedBytes"];
    for field in fields.into_iter().chain(["/containers/0/connections/inFlight", "/pod/gracePeriodSource"]) {
        let mut json = json.clone();
        let (parent, name) = field.rsplit_once('/').unwrap();
        assert!(json.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name).is_some(), "{field}");
        assert!(!validator.is_valid(&json), "{field}");
    }
    for (field, value) in [("/outcome", "OomKilled"), ("/apiVersion", "v2"), ("/pod/metadataSource", "Cri")] {
        let mut json = json.clone();
        *json.pointer_mut(field).unwrap() = value.into();
        assert!(!validator.is_valid(&json), "{field}");
    }
}

#[test]
fn the_schema_is_a_contract() {
    insta::assert_json_snapshot!("schema", schema::report());
}

/// Names of fields and words of vocabularies, wherever they stand in the schema.
fn terms(schema: &Value, found: &mut std::collections::BTreeSet<String>) {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        found.extend(properties.keys().cloned());
    }
    let words = schema.get("enum").and_then(Value::as_array).into_iter().flatten().chain(schema.get("const"));
    found.extend(words.filter_map(Value::as_str).map(str::to_owned));
    match schema {
        Value::Array(items) => items.iter().for_each(|item| terms(item, found)),
        Value::Object(items) => items.values().for_each(|item| terms(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_documentation_has_every_field_and_word() {
    let page = include_str!("../../../docs/report.md");
    let mut found = std::collections::BTreeSet::new();
    terms(&schema::report(), &mut found);
    assert!(found.len() > 100, "{found:?}");
    let missing: Vec<_> = found
        .iter()
        .filter(|term| !page.contains(&format!("`{term}`")) && !page.contains(&format!("`\"{term}\"`")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_text_steers_a_terminal_or_breaks_a_line(
        texts in prop::collection::vec(prop_oneof![any::<String>(), "[\\x00-\\x1f\\x7f-\\x9f\u{2028}\u{202e}a ]{0,40}"], 1..40),
        number in prop_oneof![any::<f64>(), prop::num::f64::ANY],
        which in 0..6_usize,
        width in 0..200_usize,
        colour: bool,
    ) {
        let (_, mut report) = samples()[which].clone();
        let mut texts = texts.iter().cycle().cloned();
        sample::poison(&mut report, &mut || texts.next().unwrap());
        report.duration_ms = number;
        report.pod.termination_grace_period_seconds = Some(number);
        report.containers[0].exit.as_mut().into_iter().for_each(|exit| exit.at_ms = number);

        let text = render(&report, width, colour);
        let text = if colour { text.replace('\u{1b}', "") } else { text };
        prop_assert!(!text.contains(|c: char| c != '\n' && c.is_control()), "{:?}", text);

        let line = written(&report, |out| Line::new(out, false));
        prop_assert!(line.trim_end_matches('\n').chars().all(|c| !c.is_control()) && line.ends_with('\n'));

        let html = page(&report);
        prop_assert!(!html.contains(|c: char| c != '\n' && c.is_control()), "{:?}", html);

        let json = written(&report, JsonLines);
        let breaks = json.trim_end_matches('\n').contains(|c: char| c.is_control() || c == '\u{2028}');
        prop_assert!(!breaks, "{:?}", json);
        let value: Value = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(value["pod"]["name"].as_str(), report.pod.name.as_deref());
        let pretty: Value = serde_json::from_str(&written(&report, Json)).unwrap();
        prop_assert_eq!(pretty, value);
    }
    #[test]
    fn no_text_adds_markup_to_a_page(
        text in prop_oneof![any::<String>(), "[<>&\"'/= a-z\\x00!-]{0,40}", Just("<script>alert(1)</script>".to_owned())],
        which in 0..6_usize,
    ) {
        let (_, mut report) = samples()[which].clone();
        // a backtick sets code apart, which is no harm
        let text = format!("Z{}", text.replace('`', ""));
        let mut harmless = report.clone();
        sample::poison(&mut report, &mut || text.clone());
        sample::poison(&mut harmless, &mut || "Zoë".to_owned());
        prop_assert_eq!(skeleton(&page(&report)), skeleton(&page(&harmless)));
    }
}
