//! Where finished reports go while tracing and while replaying.

use crate::cmd::console;
use crate::report::Report;
use crate::sink::Sink;
use std::fmt;
use std::io;

/// A question to a report.
type Test = Box<dyn Fn(&Report) -> bool + Send>;

/// One sink, and which reports it is for.
pub struct Output {
    sink: Box<dyn Sink>,
    wanted: Test,
    watched_for: Test,
    matched: bool,
    written: u64,
    /// Reports the sink did not take; `None` if the first such is an error.
    dropped: Option<u64>,
}

impl Output {
    /// Into `sink` goes every `wanted` report; a sink that does not take one is an error.
    pub fn new(sink: Box<dyn Sink>, wanted: impl Fn(&Report) -> bool + Send + 'static) -> Self {
        let (wanted, watched_for): (Test, Test) = (Box::new(wanted), Box::new(|_| false));
        Self { sink, wanted, watched_for, matched: false, written: 0, dropped: None }
    }

    /// A sink that does not take a report (a full disk) is no error: it is counted and told, and the
    /// next report is tried again. A closed pipe stays an error.
    #[must_use]
    pub fn enduring(self) -> Self {
        Self { dropped: Some(0), ..self }
    }

    /// Remembers whether a report had this; for the exit code.
    #[must_use]
    pub fn watching_for(self, what: impl Fn(&Report) -> bool + Send + 'static) -> Self {
        Self { watched_for: Box::new(what), ..self }
    }

    /// Whether a report had what is watched for.
    pub fn matched(&self) -> bool {
        self.matched
    }

    /// How many reports were written.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// How many reports the sink did not take.
    pub fn dropped(&self) -> u64 {
        self.dropped.unwrap_or(0)
    }

    /// Takes a finished report.
    pub fn report(&mut self, report: &Report) -> anyhow::Result<()> {
        if !(self.wanted)(report) {
            return Ok(());
        }
        self.matched |= (self.watched_for)(report);
        console::clear_live();
        match (self.sink.report(report), &mut self.dropped) {
            (Ok(()), _) => self.written += 1,
            (Err(error), Some(dropped)) if error.kind() != io::ErrorKind::BrokenPipe => {
                *dropped += 1;
                tracing::error!("stdout took no report: {error}; {dropped} lost so far");
            }
            (Err(error), _) => return Err(console::stdout_error(error)),
        }
        Ok(())
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("written", &self.written).field("dropped", &self.dropped).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(io::ErrorKind);

    impl Sink for Failing {
        fn report(&mut self, _report: &Report) -> io::Result<()> {
            Err(self.0.into())
        }
    }

    #[test]
    fn says_what_it_holds() {
        let output = Output::new(Box::new(Failing(io::ErrorKind::StorageFull)), |_| true).enduring();
        assert!(format!("{output:?}").contains("written: 0"));
    }
}
