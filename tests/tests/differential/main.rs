//! The differential tier: random servers, endings and clients; the report must say what the clients saw.
//!
//! Needs root. `GRACETRACE_SEED=n` plays one schedule, `GRACETRACE_SCHEDULES=n` so many (200 without). A
//! schedule on which clients and report differ is kept in `fixtures/differential/` and played first from
//! then on; its event log goes beside the build's own files.

mod compare;
mod fate;
mod play;
mod random;
mod schedule;
mod server;

use anyhow::Context;
use compare::Compared;
use gracetrace_tests::clock::{boot_ns, slow};
use gracetrace_tests::command::Machine;
use gracetrace_tests::counts::Counts;
use gracetrace_tests::suite::{self, Scenario, say};
use gracetrace_tests::tracer::interrupted;
use play::Played;
use schedule::Schedule;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// So many at a time: most of a schedule's time is waiting. On an emulated machine it is not: there four at once make each
/// other miss the moments that they are to avoid.
fn at_once() -> usize {
    if slow() > 1.0 { 1 } else { 4 }
}

const SCHEDULES: u64 = 200;
/// How often a schedule that the machine was too slow for is played.
const ATTEMPTS: u32 = 5;

fn main() -> std::process::ExitCode {
    let scenarios =
        [Scenario { name: "kept-schedules", play: kept }, Scenario { name: "random-schedules", play: random }];
    suite::run("differential", &scenarios, || Machine::new(Path::new(env!("CARGO_BIN_EXE_victim"))))
}

/// Those that failed once.
fn kept(machine: &Machine) -> anyhow::Result<Vec<String>> {
    let mut schedules = Vec::new();
    for entry in std::fs::read_dir(folder()).into_iter().flatten().flatten() {
        let text = std::fs::read_to_string(entry.path())?;
        let kept: serde_json::Value = serde_json::from_str(&text)?;
        let schedule = serde_json::from_value(kept["schedule"].clone());
        schedules.push(schedule.with_context(|| format!("{} holds no schedule", entry.path().display()))?);
    }
    schedules.sort_by_key(|schedule: &Schedule| schedule.seed);
    all(machine, schedules)
}

/// New ones, or the one that is asked for.
fn random(machine: &Machine) -> anyhow::Result<Vec<String>> {
    if let Some(seed) = number("GRACETRACE_SEED")? {
        return all(machine, vec![Schedule::of(seed)]);
    }
    let first = boot_ns() % 1_000_000_000;
    let count = number("GRACETRACE_SCHEDULES")?.unwrap_or(SCHEDULES);
    say(&format!("    seeds {first} to {}", first + count.saturating_sub(1)));
    all(machine, (first..first + count).map(Schedule::of).collect())
}

fn number(variable: &str) -> anyhow::Result<Option<u64>> {
    let value = std::env::var(variable).ok().filter(|value| !value.is_empty());
    value.map(|value| value.parse().with_context(|| format!("{variable}={value} is no number"))).transpose()
}

/// Plays them, several at a time.
fn all(machine: &Machine, schedules: Vec<Schedule>) -> anyhow::Result<Vec<String>> {
    let count = schedules.len();
    let left = Mutex::new(schedules.into_iter());
    let sums = Mutex::new((Counts::default(), 0_u32));
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..at_once() {
            scope.spawn(|| {
                loop {
                    let Some(schedule) = left.lock().unwrap_or_else(PoisonError::into_inner).next() else { return };
                    match one(machine, &schedule) {
                        Ok((counts, void)) => {
                            let mut sums = sums.lock().unwrap_or_else(PoisonError::into_inner);
                            sums.0.add(&counts);
                            sums.1 += void;
                        }
                        Err(error) => {
                            let line = format!("seed {}: {error:#}", schedule.seed);
                            failures.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                        }
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    anyhow::ensure!(failures.is_empty(), "{} of {count} schedules\n{}", failures.len(), failures.join("\n"));
    let (counts, void) = sums.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut facts = vec![format!("{count} schedules: every report agrees with its clients")];
    facts.extend(counts.named().into_iter().filter(|(_, sum)| *sum > 0).map(|(name, sum)| format!("{name}: {sum}")));
    facts.extend((void > 0).then(|| format!("{void} attempts were void: the machine was too slow")));
    Ok(facts)
}

/// Plays one until it says something: its counts, and how many attempts were void.
fn one(machine: &Machine, schedule: &Schedule) -> anyhow::Result<(Counts, u32)> {
    let mut why = String::new();
    for attempt in 0..ATTEMPTS {
        match play::once(machine, schedule, attempt)? {
            Played::Void(reason) => why = reason,
            Played::Compared(compared) if compared.differences.is_empty() => return Ok((compared.counts, attempt)),
            Played::Compared(compared) => {
                anyhow::ensure!(!interrupted(), "interrupted");
                keep(schedule, &compared)?;
                let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.jsonl", schedule.seed));
                std::fs::copy(play::log(machine, schedule, attempt), &log)?;
                let lines: Vec<_> = compared
                    .differences
                    .iter()
                    .map(|(what, clients, report)| format!("    {what}: clients {clients}, report {report}"))
                    .collect();
                anyhow::bail!("{:?}\n{}\n    event log: {}", schedule.ending, lines.join("\n"), log.display());
            }
        }
    }
    anyhow::bail!("played {ATTEMPTS} times, and each time {why}: this machine is too busy for the tier")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/differential")
}

/// Keeps a schedule that failed, with both sides as they were.
fn keep(schedule: &Schedule, compared: &Compared) -> anyhow::Result<()> {
    let side = |which: fn(&compare::Difference) -> &serde_json::Value| -> serde_json::Map<_, _> {
        compared.differences.iter().map(|one| (one.0.clone(), which(one).clone())).collect()
    };
    let kept = serde_json::json!({
        "schedule": schedule,
        "clients": side(|one| &one.1),
        "report": side(|one| &one.2),
    });
    std::fs::create_dir_all(folder())?;
    let path = folder().join(format!("{}.json", schedule.seed));
    Ok(std::fs::write(path, format!("{kept:#}\n"))?)
}
