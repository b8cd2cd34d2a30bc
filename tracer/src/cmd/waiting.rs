//! What `--pod` says on stderr while it waits: one live line on a terminal, rewritten once a second;
//! elsewhere each thing once, as a line of its own.

use super::console::{self, Live};
use crate::cli::duration_text;
use crate::pipeline::{Found, Target};
use std::time::Duration;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

/// How often the live line is rewritten.
const REWRITE: Duration = Duration::from_secs(1);

/// What was said already, and since when.
#[derive(Debug)]
pub(super) struct Told {
    since: Instant,
    timeout: Option<Duration>,
    waiting: bool,
    tracing: bool,
    live: Option<(Live, Interval)>,
    /// The live line is to be written.
    due: bool,
}

impl Told {
    /// From now on. Must be made inside a tokio runtime.
    pub(super) fn new(timeout: Option<Duration>) -> Self {
        let live = Live::on_terminal().map(|live| {
            let mut seconds = interval(REWRITE);
            seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
            (live, seconds)
        });
        Self { since: Instant::now(), timeout, waiting: false, tracing: false, live, due: false }
    }

    /// When the live line is due; never without one. May be dropped while it waits.
    pub(super) async fn tick(&mut self) {
        match &mut self.live {
            Some((_, seconds)) => {
                seconds.tick().await;
                self.due = true;
            }
            None => std::future::pending().await,
        }
    }

    /// Says what is waited for.
    pub(super) fn progress(&mut self, target: Option<&Target>, asked: bool) {
        let Some(target) = target else { return };
        if let Some((live, _)) = &mut self.live {
            if std::mem::take(&mut self.due) {
                let waited = clock(self.since.elapsed());
                let limit = self.timeout.map(|limit| format!(" of {}", clock(limit))).unwrap_or_default();
                live.write(&format!("{}, {waited}{limit}", now(target.found(), &target.wanted(), asked)));
            }
        } else if let Some(found) = target.found() {
            if !std::mem::replace(&mut self.tracing, true) {
                console::say(&format!("tracing {}{}…", found.name, containers(found.containers)));
            }
        } else if asked && !std::mem::replace(&mut self.waiting, true) {
            console::say(&format!("waiting for pod {} on this node…", target.wanted()));
        }
    }

    /// `--timeout` passed: what was seen until then.
    pub(super) fn too_long(&self, target: Option<&Target>) -> String {
        let limit = duration_text(&self.timeout.unwrap_or_default());
        match target.map(|target| (target.found(), target.wanted())) {
            Some((Some(found), _)) => format!(
                "gracetrace: --timeout {limit} passed: {}{} is here, its termination was not seen",
                found.name,
                containers(found.containers)
            ),
            Some((None, wanted)) => {
                format!(
                    "gracetrace: --timeout {limit} passed: no pod {wanted} came to this node; is it on another one?"
                )
            }
            None => format!("gracetrace: --timeout {limit} passed"),
        }
    }
}

/// What is going on, as far as it is known.
fn now(found: Option<Found>, wanted: &str, asked: bool) -> String {
    match found {
        Some(Found { name, containers: number }) => {
            format!("tracing {name}{}, waiting for it to be stopped", containers(number))
        }
        None if asked => format!("waiting for pod {wanted} to come to this node"),
        None => format!("looking for pod {wanted} on this node"),
    }
}

/// How many, if any is known; a new pod has none yet.
fn containers(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => " (1 container)".to_owned(),
        more => format!(" ({more} containers)"),
    }
}

/// `0:42`, `1:02:03`.
fn clock(span: Duration) -> String {
    let seconds = span.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_reads_like_a_clock() {
        let text = |seconds| clock(Duration::from_secs(seconds));
        assert_eq!(
            (text(0), text(42), text(3599), text(3723)),
            ("0:00".into(), "0:42".into(), "59:59".into(), "1:02:03".into())
        );
    }

    #[test]
    fn says_only_what_is_known() {
        let found = |containers| Some(Found { name: "shop/web".to_owned(), containers });
        assert_eq!(now(None, "web", false), "looking for pod web on this node");
        assert_eq!(now(None, "shop/web", true), "waiting for pod shop/web to come to this node");
        assert_eq!(now(found(0), "web", true), "tracing shop/web, waiting for it to be stopped");
        assert_eq!(now(found(2), "web", false), "tracing shop/web (2 containers), waiting for it to be stopped");
    }
}
