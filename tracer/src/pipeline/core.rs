//! The heart of the pipeline: one input after the other goes into the log, then into the engine, and
//! what the engine concludes goes out. In this order, so that a log always holds what a report rests on.

use super::output::Output;
use crate::engine::Engine;
use crate::input::{BootNs, CgroupId, Event, Input, Session};
use crate::log::Writer;
use std::fs::File;

/// Engine, log and output.
#[derive(Debug)]
pub(super) struct Core {
    engine: Engine,
    log: Option<Writer<File>>,
    log_lost: u64,
    output: Output,
}

impl Core {
    /// An engine for this session, and where its inputs and reports go.
    pub(super) fn new(session: Session, log: Option<Writer<File>>, output: Output) -> Self {
        Self { engine: Engine::new(session), log, log_lost: 0, output }
    }

    /// Hands in one input.
    pub(super) fn feed(&mut self, input: &Input) -> anyhow::Result<()> {
        let recorded = match &mut self.log {
            Some(log) => log.write(input),
            None => Ok(()),
        };
        self.note(recorded);
        self.engine.handle(input);
        let before = self.output.written();
        while let Some(report) = self.engine.poll() {
            self.output.report(&report)?;
        }
        if self.output.written() > before {
            self.flush();
        }
        Ok(())
    }

    /// The pod whose sockets are to be looked at for this event.
    pub(super) fn may_begin_stop(&self, event: &Event) -> Option<CgroupId> {
        self.engine.may_begin_stop(event)
    }

    /// Whether an end has begun in this pod.
    pub(super) fn is_ending(&self, pod: CgroupId, now: BootNs) -> bool {
        self.engine.is_ending(pod, now)
    }

    /// When the engine wants a tick.
    pub(super) fn deadline(&self) -> Option<BootNs> {
        self.engine.next_deadline().map(|(at, _why)| at)
    }

    /// How many pods ended unreported, as nobody knew their name.
    pub(super) fn ended_nameless(&self) -> u64 {
        self.engine.ended_nameless()
    }

    /// How many reports went out.
    pub(super) fn reports(&self) -> u64 {
        self.output.written()
    }

    /// Reports and parts of the event log that could not be written.
    pub(super) fn unwritten(&self) -> (u64, u64) {
        (self.output.dropped(), self.log_lost)
    }

    /// Whether a report had what the output watches for.
    pub(super) fn matched(&self) -> bool {
        self.output.matched()
    }

    /// Hands the log to its file.
    pub(super) fn flush(&mut self) {
        let flushed = match &mut self.log {
            Some(log) => log.flush(),
            None => Ok(()),
        };
        self.note(flushed);
    }

    /// A log that takes nothing (a full disk) does not end the tracing; it is told when it begins.
    fn note(&mut self, result: std::io::Result<()>) {
        if let Err(error) = result {
            if self.log_lost == 0 {
                tracing::error!("the event log is not complete from here on: {error}");
            }
            self.log_lost += 1;
        }
    }
}
