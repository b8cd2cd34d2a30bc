//! The event log: the session, then one input a line, so that any report can be made again.
//!
//! JSON Lines. It records what was *known*, never what was concluded: an old log is diagnosed anew
//! under new rules. `docs/event-log.md` is the promise to those who keep logs.

mod read;
mod said;
#[cfg(test)]
mod tests;
mod write;

pub use read::Reader;
pub use write::Writer;

use std::io;

/// Format of the log, in its first line.
pub const FORMAT: &str = "gracetrace.dev/event-log/v1";
/// What [`FORMAT`] begins with in every version.
const FORMAT_FAMILY: &str = "gracetrace.dev/event-log/";
/// Longest line that is written or read, in bytes, its newline included.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// Why a log cannot be read any further; what came before stands. Lines count from 1.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says it")]
pub enum LogError {
    #[error(
        "line 1: not a gracetrace event log ({why}); give a file that --record wrote, whose first line names {FORMAT}"
    )]
    NotALog { why: String },
    #[error(
        "line 1: the log's format is {found}, this gracetrace reads {FORMAT}; replay it with the gracetrace that recorded it, or a later one"
    )]
    OtherVersion { found: String },
    #[error("line {line}: cut off in the middle of a line, as by a crash or a copy; remove that line to silence this")]
    Truncated { line: u64 },
    #[error(
        "line {line}: this gracetrace does not know {word}; replay the log with the gracetrace that recorded it or a later one, unless the file was damaged"
    )]
    UnknownWord { line: u64, word: String },
    #[error("line {line}: not an input of an event log ({why}); the file was damaged or edited, record again")]
    Malformed { line: u64, why: String },
    #[error("line {line}: longer than {MAX_LINE_BYTES} bytes; the file was damaged, record again")]
    TooLong { line: u64 },
    #[error("cannot be opened: {source}; check the path and the permissions")]
    Open {
        #[source]
        source: io::Error,
    },
    #[error("line {line}: reading failed: {source}; check that it is a file, and the disk")]
    Io {
        line: u64,
        #[source]
        source: io::Error,
    },
}
