//! `gracetrace rules`: when each rule fires, what that means and what to change.

use super::page::{Ink, Page, fit};
use crate::engine::Rule;
use crate::report::Severity;

/// Column where a rule's text begins.
const TEXT_AT: usize = 10;

/// The rules as text, an empty line between two.
pub fn rules(rules: &[&Rule], width: usize, colour: bool) -> String {
    let mut page = Page::new(width, colour);
    for (index, rule) in rules.iter().enumerate() {
        if index > 0 {
            page.blank();
        }
        let (ink, severity) = match rule.severity {
            Severity::Error => (Ink::Bad, "error"),
            Severity::Warning => (Ink::Warning, "warning"),
            Severity::Info => (Ink::Hook, "info"),
        };
        page.line(&[(Ink::Heading, rule.id), (Ink::Plain, "  "), (ink, severity)]);
        paragraphs(&mut page, "fires", rule.fires);
        paragraphs(&mut page, "means", rule.means);
        paragraphs(&mut page, "change", rule.advice);
    }
    page.finish()
}

/// Under a label; what is indented is code, which is not wrapped.
fn paragraphs(page: &mut Page, label: &str, text: &str) {
    let mut label = fit(&format!("  {label}"), TEXT_AT);
    let indent = " ".repeat(TEXT_AT);
    for (index, paragraph) in text.split("\n\n").enumerate() {
        if index > 0 {
            page.blank();
        }
        if paragraph.starts_with("    ") {
            paragraph.lines().for_each(|line| page.line(&[(Ink::Plain, &indent), (Ink::Good, line)]));
        } else {
            page.hanging(&[(Ink::Faint, &label)], Ink::Plain, paragraph);
        }
        label.clone_from(&indent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::RULES;

    #[test]
    fn rules_as_people_see_them() {
        let shown: Vec<&Rule> = RULES.iter().collect();
        let text = rules(&shown, 80, false);
        assert!(text.lines().all(|line| line == line.trim_end()), "{text}");
        let two: Vec<&Rule> = RULES.iter().filter(|rule| rule.id.starts_with("stop-signal")).collect();
        insta::assert_snapshot!(rules(&two, 80, false));
    }
}
