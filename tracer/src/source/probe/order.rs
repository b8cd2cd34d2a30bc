//! Puts records of several CPUs in order: each is held until everything older has surely arrived.

use crate::input::{BootNs, Event};

/// Events waiting for older ones.
#[derive(Debug, Default)]
pub struct Order {}

impl Order {
    /// Takes an event.
    pub fn push(&mut self, _event: Event) {
        todo!()
    }

    /// The oldest event that happened before `until`, if there is one.
    pub fn pop_before(&mut self, _until: BootNs) -> Option<Event> {
        todo!()
    }
}
