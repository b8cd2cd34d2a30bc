//! stdout and stderr as the commands use them: reports (and a command's own output) on the one, lines
//! for people on the other. Neither a closed nor a full one is a reason to panic.

use std::io::{self, IsTerminal, StderrLock, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A live line stands on stderr. Changed under the lock of stderr only.
static LIVE: AtomicBool = AtomicBool::new(false);
/// Back to the line's beginning, and the line away.
const CLEAR: &str = "\r\u{1b}[2K";
/// A terminal's width where it does not tell.
const WIDTH: usize = 80;

/// Nobody reads stdout any more: a quiet end, not a failure.
#[derive(Debug, thiserror::Error)]
#[error("stdout is closed")]
pub struct StdoutClosed;

/// A line for people, on stderr.
pub fn say(line: &str) {
    // a stderr that takes nothing leaves nobody to tell
    let _ = writeln!(stderr(), "{line}");
}

/// stderr, the live line taken away from it first: whoever writes there writes on a line of its own.
pub fn stderr() -> StderrLock<'static> {
    let mut stderr = io::stderr().lock();
    if LIVE.swap(false, Ordering::Relaxed) {
        let _ = stderr.write_all(CLEAR.as_bytes());
    }
    stderr
}

/// Takes the live line away before something is written to stdout, which may be the same terminal.
pub fn clear_live() {
    drop(stderr());
}

/// A line on the terminal that is rewritten in place; gone when dropped.
#[derive(Debug)]
pub struct Live {
    colour: bool,
}

impl Live {
    /// If stderr is a terminal that can take a line back.
    pub fn on_terminal() -> Option<Self> {
        let able = std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
        (able && io::stderr().is_terminal()).then(|| Self { colour: colour(true) })
    }

    /// Writes the line in place of what stood there, cut to the terminal's width.
    pub fn write(&mut self, line: &str) {
        let mut stderr = io::stderr().lock();
        let columns = rustix::termios::tcgetwinsize(&stderr).map_or(0, |size| usize::from(size.ws_col));
        // a full line would wrap, and only its last part could be taken back
        let line = cut(line, if columns == 0 { WIDTH } else { columns }.saturating_sub(1));
        let (faint, plain) = if self.colour { ("\u{1b}[2m", "\u{1b}[0m") } else { ("", "") };
        let written = stderr.write_all(format!("{CLEAR}{faint}{line}{plain}").as_bytes());
        LIVE.store(written.and_then(|()| stderr.flush()).is_ok(), Ordering::Relaxed);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        clear_live();
    }
}

/// At most that many columns of it, and nothing that would steer the terminal.
fn cut(line: &str, columns: usize) -> String {
    let line = crate::text::clean(line);
    if line.width() <= columns {
        return line;
    }
    let mut used = 1;
    let kept = line.chars().take_while(|c| {
        used += c.width().unwrap_or(0);
        used <= columns
    });
    kept.collect::<String>() + "…"
}

/// A command's own output, on stdout.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(stdout_error)
}

/// What a failed write to stdout means to the program.
pub fn stdout_error(error: io::Error) -> anyhow::Error {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return StdoutClosed.into();
    }
    anyhow::Error::new(error).context("cannot write to stdout")
}

/// An error and its causes as one line, a cause that its error already tells left out.
pub fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        let text = text.trim();
        if line.is_empty() {
            text.clone_into(&mut line);
        } else if !line.contains(text) {
            line.push_str(": ");
            line.push_str(text);
        }
    }
    line.split(['\n', '\r']).map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Whether to use colour: on a terminal, or elsewhere too if `CLICOLOR_FORCE` asks for it, unless `NO_COLOR` is
/// set to anything.
pub fn colour(terminal: bool) -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0");
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    (terminal || set("CLICOLOR_FORCE")) && !refused
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};

    #[test]
    fn an_error_is_one_line_that_says_nothing_twice() {
        let io = io::Error::from_raw_os_error(2);
        let told = format!("read /x: {io}");
        let error = anyhow::Error::new(io).context(told).context("a\nb ");
        assert_eq!(one_line(&error), "a b: read /x: No such file or directory (os error 2)");
        let error = Err::<(), _>(anyhow!("c")).context("b").context("a").expect_err("an error");
        assert_eq!(one_line(&error), "a: b: c");
    }

    #[test]
    fn a_live_line_never_wraps() {
        assert_eq!(cut("waiting, 0:42", 13), "waiting, 0:42");
        assert_eq!(cut("waiting, 0:42", 12), "waiting, 0:…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("a\u{1b}[2J\n", 9), "a\u{fffd}[2J\u{fffd}");
    }

    #[test]
    fn a_closed_pipe_is_told_apart() {
        assert!(stdout_error(io::ErrorKind::BrokenPipe.into()).is::<StdoutClosed>());
        assert!(!stdout_error(io::ErrorKind::StorageFull.into()).is::<StdoutClosed>());
    }
}
