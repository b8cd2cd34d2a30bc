//! What reports of killed pods say, against what is known of them.

use super::Options;
use super::pod::uid;
use anyhow::Context;
use gracetrace_tests::counts::Counts;
use serde_json::Value;
use std::collections::BTreeSet;

/// How many reports of these pods there are (a line each), how many pods have one, how many are complete, and have exactly the
/// connections that each pod had: all open when it was killed, all cut by that. And the first one that is not so, on stderr.
/// Pods of others, whom the daemon follows as well, are counted and nothing else.
pub(crate) fn reports(options: &Options) -> anyhow::Result<Vec<String>> {
    let path = options.reports.as_deref().context("--reports is missing")?;
    let own: BTreeSet<String> = (options.first..options.first + options.pods).map(uid).collect();
    let mut reported = BTreeSet::new();
    let text = std::fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
    let (mut reports, mut others, mut complete, mut exact, mut cut, mut lost) = (0, 0, 0, 0, 0, 0);
    let mut odd = None;
    for line in text.lines() {
        let report: Value = serde_json::from_str(line).context("a line that is no report")?;
        let uid = report["pod"]["uid"].as_str().unwrap_or_default();
        if !own.contains(uid) {
            others += 1;
            continue;
        }
        let is_pod = report["scope"] == "Pod" && reported.insert(uid.to_owned());
        let is_complete = report["completeness"]["complete"] == true;
        let is_exact = exactly(&report["connections"], options.connections.into());
        reports += 1;
        complete += u64::from(is_complete);
        exact += u64::from(is_exact);
        cut += report["connections"]["droppedByKill"].as_u64().unwrap_or(0);
        lost += report["completeness"]["eventsLost"].as_u64().unwrap_or(0);
        if !(is_pod && is_complete && is_exact) && odd.is_none() {
            odd = Some(told(report));
        }
    }
    if let Some(odd) = odd {
        eprintln!("    one that is not as it should be: {odd}");
    }
    let figures = [
        ("reports", reports),
        ("pods", u64::try_from(reported.len())?),
        ("complete", complete),
        ("exact", exact),
        ("cut", cut),
        ("lost", lost),
        ("others", others),
    ];
    Ok(figures.map(|(name, number)| format!("{name} {number}\n")).into())
}

/// Each count is what it must be; what is not known without a stop signal counts as none.
fn exactly(told: &Value, connections: u64) -> bool {
    let expected = Counts { open_at_stop: connections, dropped_by_kill: connections, ..Counts::NONE };
    expected.named().into_iter().all(|(name, count)| told[name] == count || count == 0 && told[name].is_null())
}

/// Without what is listed one by one.
fn told(mut report: Value) -> String {
    report["connections"]["details"] = Value::Null;
    let parts = ["scope", "outcome", "completeness", "connections"];
    parts.map(|name| format!("{name} {}", report[name])).join(", ")
}

#[cfg(test)]
mod tests {
    use super::exactly;
    use gracetrace_tests::counts::Counts;
    use serde_json::{Value, json};

    #[test]
    fn every_count_must_be_right() {
        let told = |changed: &[(&str, Value)]| {
            let named = Counts { open_at_stop: 40, dropped_by_kill: 40, ..Counts::NONE }.named();
            let mut told: Value = named.into_iter().map(|(name, count)| (name.to_owned(), json!(count))).collect();
            for (name, value) in changed {
                told[name] = value.clone();
            }
            told
        };
        assert!(exactly(&told(&[("openedAfterStop", Value::Null)]), 40));
        assert!(!exactly(&told(&[("droppedByKill", json!(39)), ("unknown", json!(1))]), 40));
        assert!(!exactly(&told(&[("openAtStop", Value::Null)]), 40));
        assert!(!exactly(&told(&[("closedGracefully", json!(1))]), 40));
    }
}
