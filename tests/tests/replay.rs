//! The replay tier: every log that was ever recorded as a fixture gives its report again, byte by
//! byte, without privileges; and the report is what `gracetrace schema` says.

use gracetrace_tests::recording::fixtures;
use gracetrace_tests::tracer::Tracer;
use std::path::PathBuf;

/// The recorded logs; that there are none is a failure, not a pass.
fn logs() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(fixtures()).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut logs: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "jsonl")).collect();
    logs.sort();
    assert!(!logs.is_empty(), "no recorded logs in {}", fixtures().display());
    logs
}

#[test]
fn every_recorded_log_gives_its_report_again() {
    let mut different = Vec::new();
    for log in logs() {
        let expected = std::fs::read_to_string(log.with_extension("report.json")).expect("a report beside each log");
        let log = log.display().to_string();
        let replayed = Tracer::start(["replay", &log, "-o", "json"]).and_then(Tracer::finish).expect("a replay");
        if replayed.code != 0 || replayed.stdout != expected {
            different.push(format!("{log}: exit {}\n{}\n{}", replayed.code, replayed.stderr, replayed.stdout));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn every_recorded_report_is_what_the_schema_says() {
    let schema = Tracer::start(["schema"]).and_then(Tracer::finish).expect("a schema");
    let schema: serde_json::Value = serde_json::from_str(&schema.stdout).expect("a schema in JSON");
    jsonschema::meta::validate(&schema).expect("a valid schema");
    let validator = jsonschema::validator_for(&schema).expect("a usable schema");
    for log in logs() {
        let report = std::fs::read_to_string(log.with_extension("report.json")).expect("a report beside each log");
        for report in serde_json::Deserializer::from_str(&report).into_iter::<serde_json::Value>() {
            let report = report.expect("reports in JSON");
            let problems: Vec<_> = validator.iter_errors(&report).map(|error| error.to_string()).collect();
            assert!(problems.is_empty(), "{}: {problems:?}", log.display());
        }
    }
}
