//! The replay tier: every log that was ever recorded as a fixture gives its report again, byte by
//! byte, without privileges; and the report is what `gracetrace schema` says.

use gracetrace_tests::recording::fixtures;
use gracetrace_tests::tracer::Tracer;
use serde::Deserialize;
use std::collections::BTreeMap;
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

#[test]
fn the_report_in_the_readme_is_what_its_log_gives() {
    let log = fixtures().join("run-export-server.jsonl").display().to_string();
    let replayed = Tracer::start(["replay", &log, "-o", "text"]).and_then(Tracer::finish).expect("a replay");
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let readme = std::fs::read_to_string(readme).expect("the README");
    let shown = readme.split_once("<!-- report:text -->\n```text\n").expect("the beginning of a report").1;
    let shown = shown.split_once("```\n<!-- report:end -->").expect("the end of a report").0;
    assert_eq!(shown, replayed.stdout, "`cargo xtask docs` writes it anew");
}

/// What `fixtures/rules.json` says of a rule.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recorded {
    /// A log with the finding.
    fires: String,
    /// A log that comes near it, without.
    nearly: String,
    /// What keeps the rule silent there, for people.
    why: String,
}

/// The rules of all findings in a log's report, made anew.
fn found_in(log: &str) -> Result<Vec<String>, String> {
    let path = fixtures().join(log).with_extension("jsonl").display().to_string();
    let replayed = Tracer::start(["replay", &path, "-o", "json"]).and_then(Tracer::finish).expect("a replay");
    if replayed.code != 0 {
        return Err(format!("{log}: {}", replayed.stderr.trim()));
    }
    let report: serde_json::Value =
        serde_json::from_str(&replayed.stdout).map_err(|error| format!("{log}: {error}"))?;
    let findings = report["findings"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(findings.iter().filter_map(|finding| finding["rule"].as_str().map(str::to_owned)).collect())
}

/// What is wrong with the two logs of a rule.
fn problems_of(rule: &str, recorded: Option<&Recorded>) -> Vec<String> {
    let Some(Recorded { fires, nearly, why }) = recorded else {
        return vec![format!("{rule}: no log of it, and no near miss, in fixtures/rules.json")];
    };
    let mut problems = Vec::new();
    if why.is_empty() {
        problems.push(format!("{rule}: nobody says why {nearly} is a near miss"));
    }
    for (log, expected) in [(fires, true), (nearly, false)] {
        match found_in(log) {
            Ok(found) if found.iter().any(|one| one == rule) == expected => {}
            Ok(found) => problems.push(format!("{rule}: {log} has {found:?}")),
            Err(error) => problems.push(format!("{rule}: {error}")),
        }
    }
    problems
}

#[test]
fn every_rule_fires_in_one_recorded_log_and_not_in_its_near_miss() {
    let rules = Tracer::start(["rules", "-o", "json"]).and_then(Tracer::finish).expect("the rules");
    let rules: Vec<serde_json::Value> = serde_json::from_str(&rules.stdout).expect("a list of rules");
    let manifest = fixtures().with_file_name("rules.json");
    let manifest = std::fs::read_to_string(&manifest).expect("fixtures/rules.json");
    let mut recorded: BTreeMap<String, Recorded> = serde_json::from_str(&manifest).expect("a rule and its logs each");
    let mut problems = Vec::new();
    for rule in &rules {
        let id = rule["id"].as_str().expect("a rule's id");
        problems.extend(problems_of(id, recorded.remove(id).as_ref()));
    }
    problems.extend(recorded.keys().map(|stranger| format!("{stranger}: there is no such rule")));
    assert!(!rules.is_empty() && problems.is_empty(), "{}", problems.join("\n"));
}
