//! What was not graceful and what to change, the gravest first; and what the report could not see.

use super::page::{Ink, Page, fit};
use crate::report::{Report, Severity};
use crate::sink::words;

/// Column where a finding's text begins.
const TEXT_AT: usize = 11;

pub(super) fn draw(page: &mut Page, report: &Report) {
    page.heading("Findings");
    if report.findings.is_empty() {
        page.line(&[(Ink::Plain, "  none")]);
    }
    let mut findings: Vec<_> = report.findings.iter().collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let indent = " ".repeat(TEXT_AT);
    for finding in findings {
        let (ink, severity) = match finding.severity {
            Severity::Error => (Ink::Bad, "error"),
            Severity::Warning => (Ink::Warning, "warning"),
            Severity::Info => (Ink::Hook, "info"),
        };
        let about = finding.container.as_ref().map(|container| format!(" in {container}"));
        let severity = fit(&format!("  {severity}"), TEXT_AT);
        let title = format!("{}{}", finding.rule, about.unwrap_or_default());
        page.hanging(&[(ink, &severity)], Ink::Heading, &title);
        page.hanging(&[(Ink::Plain, &indent)], Ink::Plain, &finding.summary);
        if !finding.advice.is_empty() {
            page.hanging(&[(Ink::Plain, &indent), (Ink::Good, "→ ")], Ink::Plain, &finding.advice);
        }
    }
    incomplete(page, report);
}

/// Nothing if nothing was missed.
fn incomplete(page: &mut Page, report: &Report) {
    let gaps = words::gaps(&report.completeness);
    if !gaps.is_empty() {
        page.blank();
        let heading =
            if report.completeness.complete { (Ink::Faint, "Limits  ") } else { (Ink::Warning, "Incomplete  ") };
        page.hanging(&[heading], Ink::Plain, &gaps.join("; "));
    }
}
