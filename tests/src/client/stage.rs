//! How far a run is: clients wait for the stages that the harness sees reached.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// A stage of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Stage {
    /// Nothing has been stopped yet.
    #[default]
    Before,
    /// The stop signal has had its effect.
    Stopped,
    /// The server has gone.
    Ended,
    /// The report is out.
    Reported,
}

/// The stage of one run; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Stages(Arc<(Mutex<Stage>, Condvar)>);

impl Stages {
    /// All of them: for clients that do nothing but watch.
    pub fn all_reached() -> Self {
        let stages = Self::default();
        stages.reach(Stage::Reported);
        stages
    }

    /// Lets everybody go on who waits for `stage` or an earlier one.
    pub fn reach(&self, stage: Stage) {
        let (now, changed) = &*self.0;
        let mut now = now.lock().unwrap_or_else(PoisonError::into_inner);
        *now = stage.max(*now);
        changed.notify_all();
    }

    /// Waits until `stage` is reached.
    pub fn wait_for(&self, stage: Stage) -> anyhow::Result<()> {
        let (now, changed) = &*self.0;
        let now = now.lock().unwrap_or_else(PoisonError::into_inner);
        let (_now, late) = changed
            .wait_timeout_while(now, Duration::from_secs(120), |now| *now < stage)
            .unwrap_or_else(PoisonError::into_inner);
        anyhow::ensure!(!late.timed_out(), "a client waited in vain for {stage:?}");
        Ok(())
    }
}

/// Nobody is left waiting when a run fails half-way.
#[derive(Debug)]
pub struct Release(pub Stages);

impl Drop for Release {
    fn drop(&mut self) {
        self.0.reach(Stage::Reported);
    }
}
