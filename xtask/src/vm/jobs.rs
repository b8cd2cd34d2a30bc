//! What is to be done on a machine that is tried: a list of commands, as a shell script.

use std::path::Path;

/// What jobs are made of.
const FUNCTIONS: &str = include_str!("jobs.sh");

/// Something to do there.
pub(super) struct Job {
    pub(super) name: &'static str,
    /// The program and its arguments.
    pub(super) words: Vec<String>,
}

impl Job {
    pub(super) fn new(name: &'static str, words: &[&str], more: &[String]) -> Self {
        let words = words.iter().map(|&word| word.to_owned()).chain(more.iter().cloned()).collect();
        Self { name, words }
    }
}

/// The script. `tests` is the folder of the tests, of the same name there as here; `slow`, how much slower than this machine
/// that one is.
pub(super) fn script(jobs: &[Job], tests: &Path, slow: u32) -> String {
    let logs = tests.join("fixtures/logs");
    let mut lines = vec![
        FUNCTIONS.to_owned(),
        format!("LOGS={}", quoted(&logs.display().to_string())),
        format!("export GRACETRACE_KEEP_FAILED={}", quoted(&logs.join("failed").display().to_string())),
        "export GRACETRACE_BIN=/vm/gracetrace GRACETRACE_SAVE_LOGS=1".to_owned(),
        format!("export GRACETRACE_SLOW={slow}"),
        format!("stretch_turns {slow}"),
    ];
    lines.extend(jobs.iter().map(|Job { name, words }| {
        let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
        format!("job {name} {}", words.join(" "))
    }));
    lines.push("finish\n".to_owned());
    lines.join("\n")
}

/// As the shell takes it for one word.
pub(super) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::{Job, script};
    use std::path::Path;

    #[test]
    fn words_stay_whole() {
        let jobs = [Job::new("kernel", &["/vm/kernel"], &["it's one".to_owned()])];
        let script = script(&jobs, Path::new("/a b/tests"), 13);
        assert!(script.contains("job kernel '/vm/kernel' 'it'\\''s one'\nfinish\n"), "{script}");
        assert!(script.contains("LOGS='/a b/tests/fixtures/logs'\n"), "{script}");
    }
}
