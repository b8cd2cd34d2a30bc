//! What gracetrace is told from outside: Ctrl-C, SIGTERM, and the terminal's end.

use anyhow::Context;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that ask gracetrace to end.
#[derive(Debug)]
pub(super) struct Signals {
    streams: Streams,
    /// How many more there may be before the process ends whatever it is at.
    left: Arc<AtomicUsize>,
}

impl Signals {
    /// Takes them over from their default actions. The last of so many ends the process `after` it came, also while the command waits for
    /// somebody to read what it writes and hears of none of them.
    pub(super) fn new(last: usize, after: Duration) -> anyhow::Result<Self> {
        let left = Arc::new(AtomicUsize::new(last));
        let mut heard = Streams::take()?;
        let counted = Arc::clone(&left);
        tokio::spawn(async move {
            loop {
                let (_, number) = heard.next().await;
                if counted.fetch_sub(1, Ordering::Relaxed) <= 1 {
                    tokio::time::sleep(after).await;
                    std::process::exit(128 + number);
                }
            }
        });
        Ok(Self { streams: Streams::take()?, left })
    }

    /// The next one; may be dropped while it waits.
    pub(super) async fn next(&mut self) -> &'static str {
        self.streams.next().await.0
    }

    /// The next one ends the process, though it may be the first.
    pub(super) fn end_at_next(&self) {
        self.left.store(1, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Streams {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Streams {
    fn take() -> anyhow::Result<Self> {
        let take = |kind| signal(kind).context("cannot handle signals");
        Ok(Self {
            interrupt: take(SignalKind::interrupt())?,
            terminate: take(SignalKind::terminate())?,
            hangup: take(SignalKind::hangup())?,
        })
    }

    /// The next one's name and number.
    async fn next(&mut self) -> (&'static str, i32) {
        tokio::select! {
            _ = self.interrupt.recv() => ("SIGINT", SignalKind::interrupt().as_raw_value()),
            _ = self.terminate.recv() => ("SIGTERM", SignalKind::terminate().as_raw_value()),
            _ = self.hangup.recv() => ("SIGHUP", SignalKind::hangup().as_raw_value()),
        }
    }
}
