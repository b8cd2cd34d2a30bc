//! stdout and stderr as the commands use them: reports (and a command's own output) on the one, lines
//! for people on the other. Neither a closed nor a full one is a reason to panic.

use std::io::{self, Write};

/// Nobody reads stdout any more: a quiet end, not a failure.
#[derive(Debug, thiserror::Error)]
#[error("stdout is closed")]
pub struct StdoutClosed;

/// A line for people, on stderr.
pub fn say(line: &str) {
    // a stderr that takes nothing leaves nobody to tell
    let _ = writeln!(io::stderr().lock(), "{line}");
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

/// Whether to use colour: on a terminal, unless `NO_COLOR` is set to anything.
pub fn colour(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
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
    fn a_closed_pipe_is_told_apart() {
        assert!(stdout_error(io::ErrorKind::BrokenPipe.into()).is::<StdoutClosed>());
        assert!(!stdout_error(io::ErrorKind::StorageFull.into()).is::<StdoutClosed>());
    }
}
