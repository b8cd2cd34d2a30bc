//! The end of tracing: the probes are taken off, and what they had written is waited for, which takes the reader a moment, and no longer.
//! What comes then goes the pipeline's usual way, and the last that the engine hears is `Finish`: what it makes of that, it decides.

use super::{Looks, Pipeline};
use crate::input::{BootNs, Input};
use crate::source::clock;
use crate::source::probe::{Batch, mismatches};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long the end waits for the reader to have caught up, from the last records on that came …
const DRAIN: Duration = Duration::from_millis(500);
/// … and from its beginning.
const DRAIN_ALL: Duration = Duration::from_millis(1_500);

/// The wait for what was written before the probes were off.
struct Drain {
    /// When they were.
    off: BootNs,
    until: Instant,
    limit: Instant,
}

impl Drain {
    fn begin() -> Self {
        let now = Instant::now();
        Self { off: clock::boot_now(), until: now + DRAIN, limit: now + DRAIN_ALL }
    }
}

impl Pipeline {
    /// Ends: takes what the kernel has written until now, and lets the engine report what it can.
    pub async fn finish(&mut self) -> anyhow::Result<()> {
        // what happens while the probes are taken off is seen by some of them only
        self.end = clock::boot_now();
        self.tell_passed_over()?;
        let mut drain = self.take_off();
        while let Some(batch) = self.next_of_last(&mut drain).await {
            self.take(batch)?;
        }
        while let Some(input) = self.looks.as_mut().and_then(Looks::answered) {
            self.looked(input);
        }
        while let Ok(input) = self.facts.try_recv() {
            self.learn(&input)?;
        }
        self.hand_in_until(self.end)?;
        self.tell_losses()?;
        self.tell_missing()?;
        self.core.feed(&Input::Finish { at: self.end })?;
        self.core.flush();
        Ok(())
    }

    /// Ends when everything is told: what the kernel has written since is only counted.
    pub async fn close(&mut self) {
        let mut drain = self.take_off();
        while let Some(batch) = self.next_of_last(&mut drain).await {
            self.count(&batch);
        }
        self.missing();
    }

    fn take_off(&mut self) -> Drain {
        self.probes.detach();
        let drain = Drain::begin();
        self.batches.hurry();
        drain
    }

    /// Another batch, where not as much has arrived as was written. What does not come in time is missing.
    async fn next_of_last(&mut self, drain: &mut Drain) -> Option<Batch> {
        if self.arrived >= drain.off && mismatches(&self.probes.counts(), &self.read).is_empty() {
            return None;
        }
        let batch = timeout_at(drain.until, self.batches.recv()).await.ok().flatten()?;
        if !batch.bytes.is_empty() {
            drain.until = (Instant::now() + DRAIN).min(drain.limit);
        }
        Some(batch)
    }
}
