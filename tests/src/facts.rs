//! A report, compared fact by fact: every comparison is kept, whether it held or not.

use crate::clock::{ms_between, slow};
use crate::stalls;
use crate::suite::Disturbed;
use gracetrace::input::Sees;
use serde_json::Value;

/// How a report says that resets after an orderly end are not seen.
const NO_LATE_RESETS: &str = "RSTs for what comes after";

/// The facts asserted on one report.
#[derive(Debug)]
pub struct Facts {
    report: Value,
    sees: Sees,
    untold: u64,
    held: Vec<String>,
    broken: Vec<String>,
}

impl Facts {
    /// Nothing asserted yet.
    pub fn of(report: Value) -> Self {
        let sees = Sees { connections: true, refused: true, on_host_network: true };
        Self { report, sees, untold: 0, held: Vec::new(), broken: Vec::new() }
    }

    /// On a kernel that lets no more than this be counted.
    #[must_use]
    pub fn seeing(self, sees: Sees) -> Self {
        Self { sees, ..self }
    }

    /// So many connections were reset after they had ended in good order. Where a report says that this is not
    /// seen, so many may be missing among the reset ones.
    pub fn reset_late(&mut self, count: u64) {
        let reasons = self.at("/completeness/reasons").as_array().map(Vec::as_slice).unwrap_or_default();
        let untold = reasons.iter().filter_map(Value::as_str).any(|reason| reason.contains(NO_LATE_RESETS));
        self.untold = if untold { count } else { 0 };
    }

    /// How many resets this kernel may not have told.
    pub fn untold_resets(&self) -> u64 {
        self.untold
    }

    /// What can be counted on this kernel: everything, unless it was said.
    pub fn sees(&self) -> Sees {
        self.sees
    }

    /// The report itself.
    pub fn report(&self) -> &Value {
        &self.report
    }

    /// The value at a JSON pointer; `null` where there is none.
    pub fn at(&self, pointer: &str) -> &Value {
        self.report.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// The number at a JSON pointer; NaN, which equals nothing, where there is none.
    pub fn ms(&self, pointer: &str) -> f64 {
        self.at(pointer).as_f64().unwrap_or(f64::NAN)
    }

    /// The index of the container of that name.
    pub fn container(&self, name: &str) -> String {
        let all = self.at("/containers").as_array().map(Vec::as_slice).unwrap_or_default();
        let index = all.iter().position(|container| container["name"] == name);
        index.map_or_else(|| "/containers/none".to_owned(), |index| format!("/containers/{index}"))
    }

    /// The value there is exactly this one.
    pub fn is(&mut self, pointer: &str, expected: impl Into<Value>) {
        let (expected, found) = (expected.into(), self.at(pointer).clone());
        self.holds(found == expected, &format!("{pointer} = {expected}"), &format!("it is {found}"));
    }

    /// The number there is within `tolerance` of what the harness measured, on a machine as fast as usual.
    pub fn near(&mut self, pointer: &str, expected_ms: f64, tolerance_ms: f64) {
        let (found, tolerance_ms) = (self.ms(pointer), on_this_machine(tolerance_ms));
        let fact = format!("{pointer} = {expected_ms:.1} ± {tolerance_ms} ms");
        self.holds((found - expected_ms).abs() <= tolerance_ms, &fact, &format!("it is {found}"));
    }

    /// From the handler's start to the end of PID 1, as the victim's own stamps tell it; and `stopToExitMs`
    /// reaches from the signal to the same end. (How long the scheduler takes from the signal to the
    /// handler is the kernel's affair: no stamp of a victim can say.)
    pub fn handler_to_exit(&mut self, container: &str, expected_ms: f64, tolerance_ms: f64) {
        let [sent, handled, ended] =
            ["stop/atMs", "stop/deliveredMs", "exit/atMs"].map(|what| self.ms(&format!("{container}/{what}")));
        let (found, tolerance_ms) = (ended - handled, on_this_machine(tolerance_ms));
        let fact = format!("handler to exit = {expected_ms:.1} ± {tolerance_ms} ms");
        self.holds((found - expected_ms).abs() <= tolerance_ms, &fact, &format!("it is {found}"));
        let whole = self.ms(&format!("{container}/stopToExitMs"));
        let fact = "stopToExitMs reaches from the stop signal to the exit";
        self.holds((whole - (ended - sent)).abs() < 0.002, fact, &format!("it is {whole}"));
    }

    /// The number there lies between two that the harness measured.
    pub fn between(&mut self, pointer: &str, low_ms: f64, high_ms: f64) {
        let found = self.ms(pointer);
        let fact = format!("{low_ms:.1} ≤ {pointer} ≤ {high_ms:.1} ms");
        self.holds((low_ms..=high_ms).contains(&found), &fact, &format!("it is {found}"));
    }

    /// The last listener closed between the two moments that the victim stamped, which had the handler begin at `handled_ms` of the report.
    pub fn listener_closed(
        &mut self,
        container: &str,
        handled_ms: f64,
        tolerance_ms: f64,
        stamp: impl Fn(&str) -> anyhow::Result<u64>,
    ) -> anyhow::Result<()> {
        let [handler, closing, closed] = [stamp("handler")?, stamp("listener-closing")?, stamp("listener-closed")?];
        let [low, high] = [closing, closed].map(|at| handled_ms + ms_between(handler, at));
        let tolerance_ms = on_this_machine(tolerance_ms);
        self.between(&format!("{container}/listenersClosedMs"), low - tolerance_ms, high + tolerance_ms);
        Ok(())
    }

    /// These rules, and no others, have findings.
    pub fn findings(&mut self, expected: &[&str]) {
        let mut found = self.rules();
        found.sort_unstable();
        found.dedup();
        let mut expected: Vec<_> = expected.iter().map(|&rule| rule.to_owned()).collect();
        expected.sort_unstable();
        let fact = format!("findings exactly {expected:?}");
        self.holds(found == expected, &fact, &format!("they are {found:?}"));
    }

    /// This event is in the timeline that often.
    pub fn timeline(&mut self, event: &str, times: usize) {
        let entries = self.at("/timeline").as_array().map(Vec::as_slice).unwrap_or_default();
        let found = entries.iter().filter(|entry| entry["event"] == event).count();
        self.holds(
            found == times,
            &format!("{event} {times} times in the timeline"),
            &format!("it is there {found} times"),
        );
    }

    /// Nothing was missed.
    pub fn complete(&mut self) {
        self.is("/completeness/complete", true);
        self.is("/completeness/eventsLost", 0);
        self.is("/completeness/startSeen", true);
    }

    /// A fact of any other kind.
    pub fn holds(&mut self, holds: bool, fact: &str, instead: &str) {
        if holds { self.held.push(fact.to_owned()) } else { self.broken.push(format!("{fact}: {instead}")) }
    }

    /// The rules of all findings.
    pub fn rules(&self) -> Vec<String> {
        let findings = self.at("/findings").as_array().map(Vec::as_slice).unwrap_or_default();
        findings.iter().filter_map(|finding| finding["rule"].as_str().map(str::to_owned)).collect()
    }

    /// What the report of an emulated machine says of events that no probe was shown. It says so rightly, and on a real processor it
    /// hardly ever comes to that; an emulated one, where a program takes a hundred times as long, is preempted in the middle of two
    /// at once now and then.
    pub fn disturbed(&self) -> Option<String> {
        if slow() <= 1.0 {
            return None;
        }
        let reasons = self.at("/completeness/reasons").as_array()?;
        let mut reasons = reasons.iter().filter_map(Value::as_str);
        reasons.find(|reason| reason.contains("passed over interrupted programs")).map(str::to_owned)
    }

    /// The facts, or all that did not hold together with the report.
    pub fn verdict(self) -> anyhow::Result<Vec<String>> {
        if self.broken.is_empty() {
            anyhow::ensure!(!self.held.is_empty(), "nothing was asserted");
            return Ok(self.held);
        }
        if let Some(reason) = self.disturbed() {
            return Err(Disturbed(reason).into());
        }
        anyhow::bail!("{}\nheld: {:#?}\nreport: {:#}", self.broken.join("\n"), self.held, self.report)
    }
}

/// A tolerance as it is on this machine: as many times as it is slower, and what it has stood still if it is emulated.
pub fn on_this_machine(tolerance_ms: f64) -> f64 {
    tolerance_ms * slow() + stalls::total_ms()
}
