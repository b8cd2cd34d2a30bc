//! Names of rules on the command line: `gracetrace rules RULE` and `--fail-on`.

use crate::engine::RULES;
use crate::report::{Report, Severity};

/// What findings `--fail-on` is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailOn {
    /// Those of this severity, and graver ones.
    Severity(Severity),
    /// Those of this rule.
    Rule(&'static str),
}

impl FailOn {
    /// Whether the report has such a finding.
    pub fn matches(self, report: &Report) -> bool {
        report.findings.iter().any(|finding| match self {
            Self::Severity(severity) => finding.severity >= severity,
            Self::Rule(rule) => finding.rule == rule,
        })
    }
}

/// A severity, or a rule's id.
pub(super) fn fail_on(text: &str) -> Result<FailOn, String> {
    match text.trim() {
        "info" => Ok(FailOn::Severity(Severity::Info)),
        "warning" => Ok(FailOn::Severity(Severity::Warning)),
        "error" => Ok(FailOn::Severity(Severity::Error)),
        other => rule(other).map(FailOn::Rule),
    }
}

/// A rule's id.
pub(super) fn rule(text: &str) -> Result<&'static str, String> {
    let text = text.trim();
    if let Some(rule) = RULES.iter().find(|rule| rule.id == text) {
        return Ok(rule.id);
    }
    let near: Vec<&str> = RULES.iter().map(|rule| rule.id).filter(|id| is_near(text, id)).collect();
    match near.as_slice() {
        [] => Err("is no rule; `gracetrace rules` lists them".to_owned()),
        near => Err(format!("is no rule; did you mean {}?", near.join(" or "))),
    }
}

/// Whether one could have been meant by the other: a part of it, or a few letters off.
fn is_near(text: &str, id: &str) -> bool {
    let text = text.to_lowercase().replace('_', "-");
    (text.len() > 2 && id.contains(&text)) || distance(&text, id) <= 1 + id.len() / 5
}

/// Letters to add, drop or change (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (index, from) in one.chars().enumerate() {
        let mut before = std::mem::replace(&mut row[0], index + 1);
        for (place, to) in other.chars().enumerate() {
            let changed = before + usize::from(from != to);
            before = row[place + 1];
            row[place + 1] = changed.min(row[place] + 1).min(before + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_and_severities_are_told_apart() {
        assert_eq!(fail_on("warning"), Ok(FailOn::Severity(Severity::Warning)));
        assert_eq!(fail_on(" slow-exit"), Ok(FailOn::Rule("slow-exit")));
        for (text, near) in [
            ("slow-exti", "did you mean slow-exit?"),
            ("Stop_Signal_Ignored", "did you mean stop-signal-ignored?"),
            ("prestop", "did you mean prestop-overran or prestop-ate-grace-period or prestop-failed?"),
            ("conections-droped", "did you mean connections-dropped?"),
            ("errors", "is no rule; `gracetrace rules` lists them"),
            ("", "is no rule"),
        ] {
            let error = fail_on(text).expect_err(text);
            assert!(error.contains(near), "{text}: {error}");
        }
    }

    #[test]
    fn distances_are_counted_in_letters() {
        assert_eq!((distance("", "abc"), distance("abc", ""), distance("kitten", "sitting")), (3, 3, 3));
    }
}
