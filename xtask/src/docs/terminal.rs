//! Text with the colours of a terminal as a page that looks like one.

use std::fmt::Write as _;

/// Pixels: of a line, of a column, around the text, and of the bar above it.
const LINE: usize = 18;
const COLUMN: usize = 8;
const AROUND: usize = 22;
const BAR: usize = 34;
/// Columns that a report has at most.
const COLUMNS: usize = 80;

const STYLE: &str = "
html { background: #14181d; }
body { margin: 0; color: #d6dbe1; font: 13px/18px 'DejaVu Sans Mono', monospace; }
.bar { height: 34px; line-height: 34px; padding: 0 22px; background: #1f262e; color: #97a1ad; }
pre { margin: 0; padding: 22px; font: inherit; }
.c1 { font-weight: bold; color: #fff; } .c2 { color: #8b95a1; } .c31 { font-weight: bold; color: #ff8078; }
.c32 { color: #79d08f; } .c33 { color: #eebb5c; } .c36 { color: #6cc7d6; }
";

/// The page, and the size of the window that shows it whole.
pub(super) fn page(command: &str, text: &str) -> (String, (usize, usize)) {
    let text = text.trim_end();
    let page = format!(
        "<!DOCTYPE html><meta charset=utf-8><style>{STYLE}</style><div class=bar>$ {}</div><pre>{}</pre>",
        escape(command),
        coloured(text)
    );
    let size = (COLUMNS * COLUMN + 2 * AROUND, text.lines().count() * LINE + 2 * AROUND + BAR);
    (page, size)
}

/// Each run between two escape sequences in a span of its colour.
fn coloured(text: &str) -> String {
    let mut runs = text.split("\u{1b}[");
    let mut html = escape(runs.next().unwrap_or_default());
    for run in runs {
        let (code, run) = run.split_once('m').unwrap_or(("0", run));
        match code.rsplit(';').next() {
            Some("0") | None => html.push_str(&escape(run)),
            // writing to a `String` cannot fail
            Some(colour) => _ = write!(html, "<span class=c{colour}>{}</span>", escape(run)),
        }
    }
    html
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::{coloured, page};

    #[test]
    fn colours_become_spans() {
        let check = |text: &str, html: &str| assert_eq!(coloured(text), html);
        check("a <b>", "a &lt;b&gt;");
        check(
            "\u{1b}[1;31mbad\u{1b}[0m & \u{1b}[2mfaint\u{1b}[0m",
            "<span class=c31>bad</span> &amp; <span class=c2>faint</span>",
        );
        check("\u{1b}[32mopen", "<span class=c32>open</span>");
    }

    #[test]
    fn the_window_fits_the_text() {
        let (_, (width, one)) = page("x", "a\n");
        let (_, (_, three)) = page("x", "a\nb\nc");
        assert_eq!((width, three - one), (684, 36));
    }
}
