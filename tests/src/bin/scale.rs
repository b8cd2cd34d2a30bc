//! How the engine's cost grows with pods that end at once, for `cargo xtask bench`: a line `pods inputs nanoseconds reports`
//! for each number of pods; and the same through `gracetrace replay`, if its path is given.
#![expect(clippy::print_stdout, reason = "what xtask reads is this program's output")]

use anyhow::{Context, ensure};
use gracetrace::engine::Engine;
use gracetrace::input::Input;
use gracetrace::log::Writer;
use gracetrace_tests::ending;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Connections that each pod closes.
const CLOSES: u32 = 100;
/// Of so many runs the best counts.
const RUNS: usize = 5;
/// Pods of a run in all, so that as much memory is walked through in each; few at once means many engines in turn.
const PODS: u32 = 1_000;

/// Inputs that are made at a time.
const BATCH: usize = 128;

fn main() -> anyhow::Result<()> {
    let binary = std::env::args().nth(1);
    for pods in [10, 100, 1000] {
        let inputs = ending::inputs(pods, CLOSES);
        let mut best = Duration::MAX;
        for _ in 0..RUNS {
            best = best.min(engines(&inputs, pods)?);
        }
        println!("engine {pods} {} {}", inputs.len() * usize::try_from(PODS / pods)?, best.as_nanos());
        if let Some(binary) = &binary {
            println!("replay {pods} {} {}", inputs.len(), replay(Path::new(binary), &inputs)?.as_nanos());
        }
    }
    Ok(())
}

/// From the first input to the last report. As in the pipeline an input is made shortly before it is handed in, and that is not
/// counted: of inputs that lie ready by the ten thousand, reading them from memory would be.
fn engines(inputs: &[Input], pods: u32) -> anyhow::Result<Duration> {
    let mut took = Duration::ZERO;
    let mut reports = 0;
    for _ in 0..PODS / pods {
        let mut engine = Engine::new(ending::session());
        for batch in inputs.chunks(BATCH) {
            let batch = batch.to_vec();
            let begun = Instant::now();
            for input in batch {
                engine.handle(&input);
                while engine.poll().is_some() {
                    reports += 1;
                }
            }
            took += begun.elapsed();
        }
    }
    ensure!(reports == PODS, "{reports} reports of {PODS} pods");
    Ok(took)
}

/// The whole program, from its start to its end, over a log of the same.
fn replay(binary: &Path, inputs: &[Input]) -> anyhow::Result<Duration> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("log");
    let mut log = Writer::create(&path, &ending::session())?;
    for input in inputs {
        log.write(input)?;
    }
    log.flush()?;
    let begun = Instant::now();
    let status = Command::new(binary).args(["replay", "-o", "jsonl"]).arg(&path).stdout(Stdio::null()).status();
    let took = begun.elapsed();
    ensure!(status.context("can't start gracetrace")?.success(), "replay failed");
    Ok(took)
}
