//! Writes a log. Only whole lines reach the file, in order: what a full disk refuses is kept until it
//! can be written, and once that is too much, further lines are refused whole.

use super::{FORMAT, MAX_LINE_BYTES};
use crate::input::{Input, Session};
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Written to the file as soon as there is this much.
const WRITE_AT_BYTES: usize = 64 << 10;
/// Kept in memory at most while the file takes nothing.
const KEEP_BYTES: usize = 4 * MAX_LINE_BYTES;

/// An event log being written.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: W,
    pending: Vec<u8>,
}

/// The first line.
#[derive(Serialize)]
struct Head<'a> {
    format: &'a str,
    session: &'a Session,
}

impl Writer<File> {
    /// A log at `path`. A file that is there is overwritten; a new one is its owner's alone (0600),
    /// for a log tells names, addresses and ports.
    pub fn create(path: &Path, session: &Session) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        Self::new(file, session)
    }
}

impl<W: Write> Writer<W> {
    /// A log into `out`; the session is written through at once, so that a full disk is known early.
    pub fn new(out: W, session: &Session) -> io::Result<Self> {
        let mut writer = Self { out, pending: Vec::with_capacity(WRITE_AT_BYTES) };
        writer.line(&Head { format: FORMAT, session })?;
        writer.flush()?;
        Ok(writer)
    }

    /// Adds one input. An error means that this input is not in the log, or that it and others before
    /// it still wait for the file to take them; none is torn.
    pub fn write(&mut self, input: &Input) -> io::Result<()> {
        self.line(input)
    }

    /// Hands everything to the file: after each report, and at the end.
    pub fn flush(&mut self) -> io::Result<()> {
        self.drain()?;
        self.out.flush()
    }

    fn line(&mut self, value: &impl Serialize) -> io::Result<()> {
        if self.pending.len() > KEEP_BYTES - MAX_LINE_BYTES {
            self.drain()?;
        }
        let start = self.pending.len();
        let written = serde_json::to_writer(&mut self.pending, value).map_err(io::Error::from);
        self.pending.push(b'\n');
        if written.is_err() || self.pending.len() - start > MAX_LINE_BYTES {
            self.pending.truncate(start);
            return written.and(Err(io::Error::new(io::ErrorKind::InvalidInput, "input too long for the event log")));
        }
        if self.pending.len() >= WRITE_AT_BYTES { self.drain() } else { Ok(()) }
    }

    /// Writes what is pending and forgets exactly what was taken.
    fn drain(&mut self) -> io::Result<()> {
        let mut taken = 0;
        let result = loop {
            if taken == self.pending.len() {
                break Ok(());
            }
            match self.out.write(&self.pending[taken..]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => taken += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        self.pending.drain(..taken);
        result
    }
}

impl<W: Write> Drop for Writer<W> {
    fn drop(&mut self) {
        // too late to tell anybody; whoever wants to know calls `flush`
        let _ = self.flush();
    }
}
