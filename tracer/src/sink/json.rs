//! `-o json`: one indented object a report, for people and for `jq`.

use super::{Sink, write_whole};
use crate::report::Report;
use crate::text;
use std::fmt::Write as _;
use std::io::{self, Write};

/// Writes indented JSON, each report followed by a newline.
#[derive(Debug)]
pub struct Json<W>(pub W);

impl<W: Write + Send> Sink for Json<W> {
    fn report(&mut self, report: &Report) -> io::Result<()> {
        let mut text = escape(&serde_json::to_string_pretty(report)?);
        text.push('\n');
        write_whole(&mut self.0, &text)
    }
}

/// JSON that no terminal and no line reader stumbles over: DEL, C1, line separators and bidi marks are
/// valid in JSON as they are, and stand here as `\u…`. They can only be inside of strings, so the
/// finished text may be treated as a whole.
pub(super) fn escape(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        let plain = c == '\n' || c == char::REPLACEMENT_CHARACTER || (c.is_ascii() && c != '\u{7f}');
        if plain || text::clean(c.encode_utf8(&mut [0; 4])) != "\u{fffd}" {
            escaped.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // writing to a `String` cannot fail
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        }
    }
    escaped
}
