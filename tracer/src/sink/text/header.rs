//! The top: who ended, how it went in words, what set it off, when and for how long.

use super::page::{Ink, Page};
use crate::report::{Outcome, Report};
use crate::sink::words;
use crate::sink::words::ending::{self, Tone};

pub(super) fn draw(page: &mut Page, report: &Report) {
    let what = ending::what(&report.pod);
    let outcome = words::outcome(report.outcome);
    page.line(&[(ink(report.outcome), outcome), (Ink::Plain, "  "), (Ink::Heading, &ending::who(report))]);
    page.hanging(&[], Ink::Plain, ending::sentence(report));
    page.blank();
    page.field("trigger", &ending::trigger(report));
    page.field("started", &format!("{}, took {}", report.start_time, words::duration(report.duration_ms)));
    page.field("stopping", &ending::stopping(report));
    let about = ending::about(&report.pod);
    if !about.is_empty() {
        page.field(what, &about);
    }
    if let (Some(uid), Some(_)) = (&report.pod.uid, &report.pod.name) {
        page.field("uid", uid);
    }
}

fn ink(outcome: Outcome) -> Ink {
    match ending::tone(outcome) {
        Tone::Good => Ink::Good,
        Tone::Warning => Ink::Warning,
        Tone::Bad => Ink::Bad,
    }
}
