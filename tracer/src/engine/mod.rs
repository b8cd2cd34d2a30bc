//! The engine: inputs in, reports out. Pure: no IO, no clock, no threads.
//!
//! Contract:
//! - [`Engine::handle`] takes every input in the order it was learnt; time is in the inputs.
//! - [`Engine::poll`] gives finished reports, oldest first, until there are none.
//! - [`Engine::next_deadline`] says until when a [`Input::Tick`] is wanted, and why.

pub mod cgroup_path;

use crate::input::{BootNs, Input, Session};
use crate::report::Report;

/// The state machine of everything traced.
#[derive(Debug)]
pub struct Engine {
    _session: Session,
}

impl Engine {
    /// An engine that knows nothing yet.
    pub fn new(session: Session) -> Self {
        Self { _session: session }
    }

    /// Takes one input.
    pub fn handle(&mut self, _input: Input) {
        todo!()
    }

    /// A finished report, if there is one.
    pub fn poll(&mut self) -> Option<Report> {
        todo!()
    }

    /// When time itself would change something, and what.
    pub fn next_deadline(&self) -> Option<(BootNs, &'static str)> {
        todo!()
    }
}
