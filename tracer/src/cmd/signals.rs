//! What gracetrace is told from outside: Ctrl-C, SIGTERM, and the terminal's end.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that ask gracetrace to end.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    /// Takes them over from their default actions.
    pub(super) fn new() -> anyhow::Result<Self> {
        let take = |kind| signal(kind).context("cannot handle signals");
        Ok(Self {
            interrupt: take(SignalKind::interrupt())?,
            terminate: take(SignalKind::terminate())?,
            hangup: take(SignalKind::hangup())?,
        })
    }

    /// The next one; may be dropped while it waits.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hangup.recv() => "SIGHUP",
        }
    }

    /// Lets the next one end the process at once, whatever it waits for then.
    pub(super) fn end_at_next(mut self) {
        tokio::spawn(async move {
            let number = match self.next().await {
                "SIGINT" => 2,
                "SIGTERM" => 15,
                _ => 1,
            };
            std::process::exit(128 + number);
        });
    }
}
