//! Event logs of real runs: checked on the spot, and kept as fixtures when asked to.

use crate::tracer::{Finished, Tracer};
use gracetrace::input::Sees;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Where recorded logs are kept for the replay tier, each with its `.report.json`.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/logs")
}

/// Replays `log` and compares the report with the one of the run, byte by byte; with
/// `GRACETRACE_SAVE_LOGS=1` both are kept as a fixture of that name.
pub fn replays(log: &Path, finished: &Finished, fixture: &str) -> anyhow::Result<()> {
    if std::env::var_os("GRACETRACE_SAVE_LOGS").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(fixtures())?;
        std::fs::copy(log, fixtures().join(format!("{fixture}.jsonl")))?;
        std::fs::write(fixtures().join(format!("{fixture}.report.json")), &finished.stdout)?;
    }
    same_again(log, finished, "json")
}

/// Replays `log` in the run's own format and compares the bytes.
pub fn same_again(log: &Path, finished: &Finished, format: &str) -> anyhow::Result<()> {
    let replayed = Tracer::start(["replay".as_ref(), log.as_os_str(), "-o".as_ref(), format.as_ref()])?.finish()?;
    anyhow::ensure!(replayed.code == 0, "replay ended with {}: {}", replayed.code, replayed.stderr);
    anyhow::ensure!(
        replayed.stdout == finished.stdout,
        "the replayed report differs:\n{}\nlive:\n{}",
        replayed.stdout,
        finished.stdout
    );
    Ok(())
}

/// Keeps the log of a scenario that failed in the folder `$GRACETRACE_KEEP_FAILED`, if there is one.
pub fn keep_failed(log: &Path, name: &str) {
    if let Some(folder) = std::env::var_os("GRACETRACE_KEEP_FAILED").map(PathBuf::from) {
        let kept =
            std::fs::create_dir_all(&folder).and_then(|()| std::fs::copy(log, folder.join(format!("{name}.jsonl"))));
        if let Err(error) = kept {
            crate::suite::say(&format!("    cannot keep the event log of {name}: {error}"));
        }
    }
}

/// The session that a log begins with.
pub fn session(log: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(log)?;
    let head: Value = serde_json::from_str(text.lines().next().unwrap_or_default())?;
    Ok(head["session"].clone())
}

/// What could be counted where the log was written, by its own word.
pub fn sees(log: &Path) -> anyhow::Result<Sees> {
    Ok(serde_json::from_value(session(log)?["sees"].clone())?)
}

/// The inputs of a log.
pub fn inputs(log: &Path) -> anyhow::Result<Vec<Value>> {
    let text = std::fs::read_to_string(log)?;
    Ok(text.lines().skip(1).map(serde_json::from_str).collect::<Result<_, _>>()?)
}
