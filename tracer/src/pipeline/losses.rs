//! What was not written, not shown or has not arrived: told to the engine as it is noticed.

use super::{Looks, Pipeline, SEARCHES};
use crate::input::Input;
use crate::source::clock;
use crate::source::probe::{Loss, Mismatch, PassedOver, mismatches};
use tokio::time::Instant;
use tracer_ebpf::kind;

impl Pipeline {
    /// Says on stderr (with `-v`) how many records of each kind there were, and what the kernel passed the probes over for.
    pub fn tell_counts(&self) {
        let counts = kind::NAMES.into_iter().zip(self.probes.counts()).zip(self.read);
        for ((kind, (generated, dropped)), read) in counts {
            let written = generated.saturating_sub(dropped);
            tracing::info!("records: {kind} {written} written, {dropped} dropped, {read} read");
        }
        let some = self.probes.passed_over().iter().filter(|hook| hook.missed + hook.made_up > 0);
        let some =
            some.map(|PassedOver { hook, missed, made_up }| format!("{hook} {missed} times, {made_up} made up for"));
        let some = some.collect::<Vec<_>>();
        let all = if some.is_empty() { "nothing".to_owned() } else { some.join("; ") };
        tracing::info!("passed over: {all}");
    }

    /// Whether reports, or parts of the event log, could not be written; says how many on stderr.
    pub fn has_lost(&self) -> bool {
        let (reports, log) = self.core.unwritten();
        if reports > 0 {
            let what = if reports == 1 { "report" } else { "reports" };
            tracing::error!("{reports} {what} could not be written to stdout");
        }
        if log > 0 {
            tracing::error!(
                "the event log could not be written {log} times: what is missing in it is not known to `gracetrace replay`"
            );
        }
        reports + log > 0
    }

    /// What the probes had no room for since the last time.
    pub(super) fn tell_losses(&mut self) -> anyhow::Result<()> {
        let untold = self.looks.as_ref().map_or(0, Looks::take_untold);
        if untold > 0 {
            tracing::warn!("too many pods stop at once: the sockets of {untold} were not looked at");
        }
        for Loss { kind, pod, count } in self.probes.take_lost() {
            self.searches = SEARCHES;
            self.core.feed(&Input::Lost { at: clock::boot_now(), what: kind.to_owned(), count, pod })?;
        }
        Ok(())
    }

    /// What was written and has not arrived, which cannot be; says so on stderr.
    pub(super) fn missing(&self) -> Vec<Mismatch> {
        let missing = mismatches(&self.probes.counts(), &self.read);
        if !missing.is_empty() {
            let all =
                missing.iter().map(|Mismatch { kind, written, read }| format!("{kind} {written} written, {read} read"));
            let all = all.collect::<Vec<_>>().join("; ");
            tracing::warn!(
                "not as many records arrived as were written: {all}; this is a fault of gracetrace, please report it with `uname -r`"
            );
        }
        missing
    }

    /// The same, as a loss.
    pub(super) fn tell_missing(&mut self) -> anyhow::Result<()> {
        for Mismatch { kind, written, read } in self.missing() {
            let count = written.saturating_sub(read);
            if count > 0 {
                self.core.feed(&Input::Lost { at: clock::boot_now(), what: kind.to_owned(), count, pod: None })?;
            }
        }
        Ok(())
    }

    /// What the kernel passed over. Dearer to ask for than losses: before a report, and now and then so that it is not told
    /// what was long before.
    pub(super) fn tell_passed_over(&mut self) -> anyhow::Result<()> {
        self.passed_over_asked = Instant::now();
        let news = self.probes.take_passed_over();
        self.tell(news)
    }

    pub(super) fn tell(&mut self, passed_over: Vec<(&'static str, u64)>) -> anyhow::Result<()> {
        for (hook, count) in passed_over {
            self.searches = SEARCHES;
            self.core.feed(&Input::PassedOver { at: clock::boot_now(), hook: hook.to_owned(), count })?;
        }
        Ok(())
    }
}
