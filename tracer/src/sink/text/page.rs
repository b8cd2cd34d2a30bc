//! A page of text: widths, wrapping, colour. The one place where text reaches the terminal, and so
//! the one where control characters are taken out.

use crate::text::clean;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Column where a field's text begins.
const FIELD_AT: usize = 15;
/// Narrowest page that is drawn.
const NARROWEST: usize = 60;

/// What a piece of text is, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    Plain,
    Heading,
    Faint,
    Hook,
    Good,
    Warning,
    Bad,
}

impl Ink {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Heading => "\u{1b}[1m",
            Self::Faint => "\u{1b}[2m",
            Self::Hook => "\u{1b}[36m",
            Self::Good => "\u{1b}[32m",
            Self::Warning => "\u{1b}[33m",
            Self::Bad => "\u{1b}[1;31m",
        }
    }
}

/// The report as it grows.
pub(super) struct Page {
    text: String,
    pub(super) width: usize,
    colour: bool,
    under_heading: bool,
}

impl Page {
    pub(super) fn new(width: usize, colour: bool) -> Self {
        Self { text: String::new(), width: width.max(NARROWEST), colour, under_heading: false }
    }

    pub(super) fn finish(self) -> String {
        self.text
    }

    /// One line of pieces.
    pub(super) fn line(&mut self, pieces: &[(Ink, &str)]) {
        let last = pieces.iter().rposition(|(_, text)| !text.trim_end().is_empty());
        for (index, (ink, text)) in pieces.iter().enumerate().take(last.map_or(0, |last| last + 1)) {
            let text = clean(if Some(index) == last { text.trim_end() } else { text });
            let code = if self.colour { ink.code() } else { "" };
            self.text.push_str(code);
            self.text.push_str(&text);
            self.text.push_str(if code.is_empty() { "" } else { "\u{1b}[0m" });
        }
        self.text.push('\n');
        self.under_heading = false;
    }

    /// An empty line, though none between a heading and what follows.
    pub(super) fn blank(&mut self) {
        if !self.under_heading {
            self.text.push('\n');
        }
    }

    pub(super) fn heading(&mut self, text: &str) {
        self.blank();
        self.line(&[(Ink::Heading, text)]);
        self.under_heading = true;
    }

    /// A label, and a text beside it that may take several lines.
    pub(super) fn field(&mut self, label: &str, text: &str) {
        self.hanging(&[(Ink::Faint, &fit(&format!("  {label}"), FIELD_AT))], Ink::Plain, text);
    }

    /// `before`, and a text that continues under its own beginning.
    pub(super) fn hanging(&mut self, before: &[(Ink, &str)], ink: Ink, text: &str) {
        let indent: usize = before.iter().map(|(_, text)| width_of(text)).sum();
        let spaces = " ".repeat(indent);
        for (index, line) in wrap(text, self.width.saturating_sub(indent)).iter().enumerate() {
            let mut pieces = if index == 0 { before.to_vec() } else { vec![(Ink::Plain, spaces.as_str())] };
            pieces.push((ink, line));
            self.line(&pieces);
        }
    }

    /// Rows under headings; the columns after the first `needed` are left out where they do not fit,
    /// and the column `shrinks` is cut where even the needed ones do not.
    pub(super) fn table(&mut self, mut columns: Vec<Column>, needed: usize, shrinks: usize) {
        const INDENT: usize = 2;
        const GAP: usize = 2;
        let mut total = INDENT;
        let mut kept = 0;
        while kept < columns.len() && (kept < needed || total + GAP + columns[kept].width() <= self.width) {
            total += columns[kept].width() + if kept == 0 { 0 } else { GAP };
            kept += 1;
        }
        columns.truncate(kept);
        let over = total.saturating_sub(self.width);
        let widths: Vec<usize> = (0..kept)
            .map(|index| columns[index].width().saturating_sub(if index == shrinks { over } else { 0 }).max(6))
            .collect();
        let rows = columns.iter().map(|column| column.cells.len()).max().unwrap_or(0);
        for row in 0..=rows {
            let mut text = " ".repeat(INDENT);
            for (column, width) in columns.iter().zip(&widths) {
                let cell = if row == 0 { column.heading } else { column.cells.get(row - 1).map_or("", String::as_str) };
                text.push_str(&fit(cell, *width));
                text.push_str(&" ".repeat(GAP));
            }
            self.line(&[(if row == 0 { Ink::Faint } else { Ink::Plain }, &text)]);
        }
    }
}

/// One column of a table.
pub(super) struct Column {
    pub(super) heading: &'static str,
    pub(super) cells: Vec<String>,
}

impl Column {
    fn width(&self) -> usize {
        self.cells.iter().map(|cell| width_of(cell)).max().unwrap_or(0).max(width_of(self.heading))
    }
}

/// Columns that a text takes once it is clean.
pub(super) fn width_of(text: &str) -> usize {
    clean(text).width()
}

/// Filled up with spaces, or cut, to exactly `width` columns.
pub(super) fn fit(text: &str, width: usize) -> String {
    let mut text = clean(text);
    if text.width() > width {
        let (head, _) = split_at_width(&text, width.saturating_sub(1));
        text = format!("{head}…");
    }
    let missing = width.saturating_sub(text.width());
    text + &" ".repeat(missing)
}

/// Lines of at most `width` columns, at least one; a longer word is broken.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(8);
    let text = clean(text);
    let mut lines = vec![String::new()];
    for word in words(&text) {
        let mut rest = word.as_str();
        while !rest.is_empty() {
            let Some(line) = lines.last_mut() else { break };
            let gap = usize::from(!line.is_empty());
            let room = width.saturating_sub(line.width() + gap);
            if rest.width() <= room {
                line.push_str(if gap == 1 { " " } else { "" });
                line.push_str(rest);
                rest = "";
            } else if gap == 1 {
                lines.push(String::new());
            } else {
                let (head, tail) = split_at_width(rest, room);
                line.push_str(head);
                rest = tail;
                lines.push(String::new());
            }
        }
    }
    if lines.len() > 1 && lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

/// Words, a number and its unit being one.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let unit = matches!(word.trim_end_matches([',', ';', ':', '.']), "ms" | "s" | "%");
        match words.last_mut() {
            Some(last) if last == "PID" || (unit && last.ends_with(|c: char| c.is_ascii_digit())) => {
                last.push(' ');
                last.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
    }
    words
}

/// The longest beginning of at most `width` columns, though at least one character, and the rest.
fn split_at_width(text: &str, width: usize) -> (&str, &str) {
    let mut used = 0;
    let end = text.char_indices().find_map(|(at, c)| {
        used += c.width().unwrap_or(0);
        (used > width && at > 0).then_some(at)
    });
    text.split_at(end.unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_and_fills_by_columns() {
        assert_eq!(fit("ab", 4), "ab  ");
        assert_eq!(fit("abcdef", 4), "abc…");
        assert_eq!(fit("日本語", 4), "日… ");
        assert_eq!(fit("a\u{1b}b", 4), "a\u{fffd}b ");
    }

    #[test]
    fn wraps_between_words_and_breaks_long_ones() {
        assert_eq!(wrap("one two three", 9), ["one two", "three"]);
        assert_eq!(wrap("0123456789abcdef xy", 8), ["01234567", "89abcdef", "xy"]);
        assert_eq!(wrap("", 9), [""]);
        assert_eq!(wrap("after 2.5 ms, PID 1", 9), ["after", "2.5 ms,", "PID 1"]);
        assert_eq!(wrap("日本語日本語 x", 8), ["日本語日", "本語 x"]);
    }
}
