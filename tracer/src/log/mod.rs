//! The event log: the session, then one input a line, so that any report can be made again.

/// Format of the log, in its first line.
pub const FORMAT: &str = "gracetrace.dev/event-log/v1";
