//! Reads a log that may be torn, damaged, hostile or endless: one bounded line in memory at a time,
//! and the first thing that cannot be understood ends the reading with its line number.

use super::{FORMAT, FORMAT_FAMILY, LogError, MAX_LINE_BYTES};
use crate::input::{Input, Session};
use crate::text;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// Longest part of an error that is passed on, in characters: the file's author chose the words.
const WHY_CHARS: usize = 160;

/// An event log being read: the session, and an iterator of inputs that ends after its first error.
#[derive(Debug)]
pub struct Reader<R: BufRead> {
    session: Session,
    lines: Lines<R>,
    ended: bool,
}

/// The first line, as far as every version has it.
#[derive(Deserialize)]
struct Format {
    format: String,
}

/// The first line of this version.
#[derive(Deserialize)]
struct Head {
    session: Session,
}

impl Reader<BufReader<File>> {
    /// Opens the log at `path` and reads its session.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        let file = File::open(path).map_err(|source| LogError::Open { source })?;
        Self::new(BufReader::new(file))
    }
}

impl<R: BufRead> Reader<R> {
    /// Reads the session from `input`.
    pub fn new(input: R) -> Result<Self, LogError> {
        let mut lines = Lines { input, line: Vec::new(), number: 0 };
        let Some(line) = lines.next().map_err(not_a_log_if_too_long)? else {
            return Err(LogError::NotALog { why: "the file is empty".to_owned() });
        };
        let session = head(&line)?;
        Ok(Self { session, lines, ended: false })
    }

    /// What is known about the tracing itself.
    pub fn session(&self) -> &Session {
        &self.session
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Input, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = self.lines.next().and_then(|line| line.map(|line| line.parse()).transpose()).transpose();
        self.ended = !matches!(item, Some(Ok(_)));
        item
    }
}

fn head(line: &Line<'_>) -> Result<Session, LogError> {
    let Ok(Format { format }) = serde_json::from_slice(line.bytes) else {
        let torn = !line.whole && line.bytes.starts_with(format!(r#"{{"format":"{FORMAT_FAMILY}"#).as_bytes());
        return Err(if torn {
            LogError::Truncated { line: 1 }
        } else {
            LogError::NotALog { why: "its first line names no format".to_owned() }
        });
    };
    if format == FORMAT {
        return line.parse::<Head>().map(|head| head.session);
    }
    let found = quote(&format);
    Err(if format.starts_with(FORMAT_FAMILY) {
        LogError::OtherVersion { found }
    } else {
        LogError::NotALog { why: format!("its format is {found}") }
    })
}

fn not_a_log_if_too_long(error: LogError) -> LogError {
    if matches!(error, LogError::TooLong { .. }) {
        LogError::NotALog { why: "its first line does not end".to_owned() }
    } else {
        error
    }
}

/// Lines of at most [`MAX_LINE_BYTES`].
#[derive(Debug)]
struct Lines<R> {
    input: R,
    line: Vec<u8>,
    number: u64,
}

/// One line, without its newline.
struct Line<'a> {
    bytes: &'a [u8],
    number: u64,
    /// It ended with a newline.
    whole: bool,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> Result<Option<Line<'_>>, LogError> {
        self.number += 1;
        self.line.clear();
        let number = self.number;
        let bound = u64::try_from(MAX_LINE_BYTES).unwrap_or(u64::MAX);
        let read = self.input.by_ref().take(bound).read_until(b'\n', &mut self.line);
        read.map_err(|source| LogError::Io { line: number, source })?;
        let whole = self.line.last() == Some(&b'\n');
        if !whole && self.line.len() == MAX_LINE_BYTES {
            return Err(LogError::TooLong { line: number });
        }
        let bytes = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        Ok((whole || !bytes.is_empty()).then_some(Line { bytes, number, whole }))
    }
}

impl Line<'_> {
    /// A last line without its newline counts if it is whole otherwise: no part of a JSON object is one.
    fn parse<T: DeserializeOwned>(&self) -> Result<T, LogError> {
        serde_json::from_slice(self.bytes).map_err(|error| {
            let line = self.number;
            if error.is_eof() && !self.whole {
                return LogError::Truncated { line };
            }
            let message = error.to_string();
            let unknown = message.strip_prefix("unknown variant ").filter(|_| error.is_data());
            match unknown.and_then(|rest| rest.split(", expected").next()) {
                Some(word) => LogError::UnknownWord { line, word: quote(word) },
                None => LogError::Malformed { line, why: quote(&without_line(&message, error.column())) },
            }
        })
    }
}

/// Every line is parsed on its own, so `at line 1` of `serde_json` would mislead.
fn without_line(message: &str, column: usize) -> String {
    match message.rsplit_once(" at line ") {
        Some((what, _)) if column > 0 => format!("{what}, column {column}"),
        Some((what, _)) => what.to_owned(),
        None => message.to_owned(),
    }
}

fn quote(text: &str) -> String {
    let clean = text::clean(text);
    match clean.char_indices().nth(WHY_CHARS) {
        Some((end, _)) => format!("{}…", &clean[..end]),
        None => clean,
    }
}
