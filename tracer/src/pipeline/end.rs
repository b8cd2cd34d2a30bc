//! The end of tracing: the probes are taken off, and what they had written is waited for, which takes the reader a moment, and no longer.

use super::{Looks, Pipeline};
use crate::input::{BootNs, Input};
use crate::source::clock;
use crate::source::probe::{Batch, mismatches};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long the end waits for the reader to have caught up.
const DRAIN: Duration = Duration::from_millis(500);

impl Pipeline {
    /// Ends: takes what the kernel has written until now, and lets the engine report what it can.
    pub async fn finish(&mut self) -> anyhow::Result<()> {
        // what happens while the probes are taken off is seen by some of them only
        let until = clock::boot_now();
        let passed_over = self.probes.take_passed_over();
        self.probes.detach();
        let (off, patience) = (clock::boot_now(), Instant::now() + DRAIN);
        self.batches.hurry();
        while let Some(batch) = self.next_of_last(off, patience).await {
            self.take(batch)?;
        }
        while let Some(input) = self.looks.as_mut().and_then(Looks::answered) {
            self.looked(input);
        }
        while let Ok(input) = self.facts.try_recv() {
            self.learn(&input)?;
        }
        self.hand_in_until(until)?;
        self.tell_losses()?;
        self.tell_missing()?;
        self.tell(passed_over)?;
        self.core.feed(&Input::Finish { at: clock::boot_now() })?;
        self.core.flush();
        Ok(())
    }

    /// Ends when everything is told: what the kernel has written since is only counted.
    pub async fn close(&mut self) {
        self.probes.detach();
        let (off, patience) = (clock::boot_now(), Instant::now() + DRAIN);
        self.batches.hurry();
        while let Some(batch) = self.next_of_last(off, patience).await {
            self.count(&batch);
        }
        self.missing();
    }

    /// Another batch, where the probes are off and not as much has arrived as was written. What does not come in time is
    /// missing.
    async fn next_of_last(&mut self, off: BootNs, patience: Instant) -> Option<Batch> {
        if self.arrived >= off && mismatches(&self.probes.counts(), &self.read).is_empty() {
            return None;
        }
        timeout_at(patience, self.batches.recv()).await.ok().flatten()
    }
}
