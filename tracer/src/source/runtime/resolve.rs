//! Asks who pods and containers are until it knows, or until it is no use any more.
//!
//! A cgroup is there before the runtime can name what lives in it, and the runtime may be down or
//! restarting, so each question is put again after growing waits. Nothing here holds anybody up: the
//! queue, the questions under way and the memory of what was asked are bounded.

use super::files::Places;
use super::sources::{Answer, Sources};
use crate::input::Input;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Before each time that a question is put; about a minute in all.
const WAITS_MS: [u64; 11] = [0, 20, 50, 100, 250, 1_000, 2_000, 4_000, 8_000, 15_000, 30_000];
/// From this time on files are asked as well, though a runtime answers that it knows nothing.
const ASK_FILES_FROM: usize = 4;
/// Questions under way at a time.
const PARALLEL: usize = 8;
/// How many questions may wait, and how many are remembered so that none is put twice.
const MAX_ASKED: usize = 16_384;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ask {
    Pod { uid: String },
    Container { pod_uid: String, id: String },
}

/// Answers questions until nobody can ask any more or nobody listens.
pub(super) async fn run(places: Places, mut asks: mpsc::Receiver<Ask>, inputs: mpsc::Sender<Input>) {
    let sources = Arc::new(Sources::new(places));
    let mut agenda = Agenda::default();
    let mut running: JoinSet<(Job, Answer)> = JoinSet::new();
    loop {
        let due = agenda.next_due();
        tokio::select! {
            ask = asks.recv() => match ask {
                Some(ask) => agenda.take(ask, Instant::now()),
                None => return,
            },
            () = inputs.closed() => return,
            Some(done) = running.join_next() => {
                let Ok((mut job, answer)) = done else { continue };
                job.told_from_files |= !answer.inputs.is_empty();
                agenda.finish(job, answer.complete, Instant::now());
                for input in answer.inputs {
                    if inputs.send(input).await.is_err() {
                        return;
                    }
                }
            }
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() && running.len() < PARALLEL => {
                if let Some(job) = agenda.start() {
                    let sources = Arc::clone(&sources);
                    running.spawn(async move {
                        let files = !job.told_from_files;
                        let patient = job.attempt < ASK_FILES_FROM;
                        let answer = sources.answer(&job.ask, files, patient).await;
                        (job, answer)
                    });
                }
            }
        }
    }
}

/// A question that has no complete answer yet.
#[derive(Debug)]
struct Job {
    ask: Ask,
    /// How often it was put before.
    attempt: usize,
    /// What files can tell was told.
    told_from_files: bool,
}

/// What is to be asked when, and what was asked.
#[derive(Debug, Default)]
struct Agenda {
    /// By time, and in the order they came.
    waiting: BTreeMap<(Instant, u64), Job>,
    count: u64,
    asked: BTreeSet<Ask>,
    /// The same, oldest first.
    order: VecDeque<Ask>,
}

impl Agenda {
    /// Takes a question, unless it was put before. One about a container is one about its pod too, as
    /// a pod may have been given up long before its first container came.
    fn take(&mut self, ask: Ask, now: Instant) {
        if let Ask::Container { pod_uid, .. } = &ask {
            self.take(Ask::Pod { uid: pod_uid.clone() }, now);
        }
        if self.asked.contains(&ask) {
            return;
        }
        if self.waiting.len() >= MAX_ASKED {
            tracing::debug!("over {MAX_ASKED} pods and containers wait for their names: {ask:?} is left out");
            return;
        }
        if self.order.len() >= MAX_ASKED
            && let Some(oldest) = self.order.pop_front()
        {
            self.asked.remove(&oldest);
        }
        self.order.push_back(ask.clone());
        self.asked.insert(ask.clone());
        self.wait(Job { ask, attempt: 0, told_from_files: false }, now);
    }

    /// After an attempt: done, or again later, or given up (and may then be asked again).
    fn finish(&mut self, mut job: Job, complete: bool, now: Instant) {
        if complete {
            return;
        }
        job.attempt += 1;
        if job.attempt < WAITS_MS.len() {
            self.wait(job, now);
        } else {
            self.asked.remove(&job.ask);
            self.order.retain(|ask| *ask != job.ask);
        }
    }

    fn wait(&mut self, job: Job, now: Instant) {
        self.count += 1;
        self.waiting.insert((now + Duration::from_millis(WAITS_MS[job.attempt]), self.count), job);
    }

    fn next_due(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|((due, _), _)| *due)
    }

    fn start(&mut self) -> Option<Job> {
        self.waiting.pop_first().map(|(_, job)| job)
    }
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
