//! `-o html`: the report as one page that needs nothing else, for a browser or a printer.
//!
//! The page is a stream: its head comes with the first report, then one `<article>` a report. The end
//! tags of `body` and `html` may be left out (HTML standard, 13.1.2.4), so the page is whole after each
//! report, and a daemon's grows. There is no script in it, and its policy would let none run.

mod completeness;
mod connections;
mod containers;
mod findings;
mod header;
mod timeline;
mod waterfall;

use super::words::{self, ending};
use super::{Sink, write_whole};
use crate::report::Report;
use crate::text::clean;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::io::{self, Write};

/// Nothing may be loaded or run, and the page may not be taken for another one's form or base.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
pub(super) const STYLE: &str = include_str!("style.css");

/// Writes HTML.
#[derive(Debug)]
pub struct Html<W> {
    out: W,
    /// More than one report may come.
    several: bool,
    number: usize,
    /// The page has its head.
    begun: bool,
}

impl<W: Write> Html<W> {
    /// Into `out`; with `several` the page is called after all of them, not after the first.
    pub fn new(out: W, several: bool) -> Self {
        Self { out, several, number: 0, begun: false }
    }
}

impl<W: Write + Send> Sink for Html<W> {
    fn report(&mut self, report: &Report) -> io::Result<()> {
        self.number += 1;
        let head = (!self.begun).then(|| head(report, self.several));
        let article = article(&View { report, number: self.number });
        let page = html! { (head.unwrap_or_default()) (article) "\n" }.into_string();
        write_whole(&mut self.out, &printable(&page))?;
        self.begun = true;
        Ok(())
    }
}

/// Control characters and marks that hide or reorder text can only come from names: the markup has none
/// but newlines, so the finished text may be treated as a whole.
fn printable(page: &str) -> String {
    page.split('\n').map(clean).collect::<Vec<_>>().join("\n")
}

fn head(report: &Report, several: bool) -> Markup {
    let title = match &report.pod.node {
        _ if !several => format!("{}: {}", words::outcome(report.outcome), ending::who(report)),
        Some(node) => format!("Pods that ended on node {node}"),
        None => "Pods that ended".to_owned(),
    };
    html! {
        (DOCTYPE)
        (PreEscaped("<html lang=\"en\">"))
        head {
            meta charset="utf-8";
            meta http-equiv="Content-Security-Policy" content=(POLICY);
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            meta name="referrer" content="no-referrer";
            meta name="generator" content="gracetrace";
            title { (title) " · gracetrace" }
            style { "\n" (PreEscaped(STYLE)) }
        }
        (PreEscaped("<body>\n"))
        (waterfall::patterns())
    }
}

fn article(view: &View<'_>) -> Markup {
    html! {
        article aria-labelledby=(view.id("title")) {
            (header::draw(view))
            (findings::draw(view))
            (waterfall::draw(view))
            (containers::draw(view))
            (connections::draw(view))
            (timeline::draw(view))
            (completeness::draw(view))
        }
    }
}

/// A report, and which of the page's reports it is.
#[derive(Clone, Copy)]
struct View<'a> {
    report: &'a Report,
    number: usize,
}

impl View<'_> {
    /// An id that no other report of the page has.
    fn id(&self, what: &str) -> String {
        format!("r{}-{what}", self.number)
    }

    /// The id of a row of the timeline.
    fn entry(&self, index: usize) -> String {
        self.id(&format!("t{index}"))
    }
}

/// A section under its heading.
fn section(view: &View<'_>, id: &str, heading: &str, content: &Markup) -> Markup {
    let heading_id = view.id(id);
    html! {
        section class=(id) aria-labelledby=(heading_id) {
            h2 id=(heading_id) { (heading) }
            (content)
        }
    }
}

/// Names and what they mean; what is absent is left out.
fn facts(rows: &[(&str, Option<Markup>)]) -> Markup {
    html! {
        dl.facts {
            @for (name, value) in rows {
                @if let Some(value) = value { div { dt { (name) } dd { (value) } } }
            }
        }
    }
}

/// Text of ours in which `code` stands between backticks.
fn prose(text: &str) -> Markup {
    let parts: Vec<&str> = text.split('`').collect();
    let paired = parts.len() % 2 == 1;
    html! {
        @if paired {
            @for (index, part) in parts.iter().enumerate() {
                @if index % 2 == 1 { code { (part) } } @else { (part) }
            }
        } @else { (text) }
    }
}
