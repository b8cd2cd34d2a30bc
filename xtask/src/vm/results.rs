//! What a kernel's console says about its jobs: test by test, and what `gracetrace doctor` finds lost there.

use super::boot::{End, Run};

/// So much of a failure is kept: what was broken comes first, the report that it was read from after that.
const FAILURE_LINES: usize = 25;

/// What came of a kernel.
#[derive(Debug, Default)]
pub(super) struct Results {
    pub(super) passed: u32,
    /// Names of tests.
    pub(super) failed: Vec<String>,
    /// What the tiers say of each failure, under its name: the lines that come first.
    pub(super) failures: Vec<Vec<String>>,
    /// Names of tests that this kernel cannot play, and why.
    pub(super) impossible: Vec<(String, String)>,
    /// Random schedules whose reports agree with their clients.
    pub(super) schedules: u32,
    /// What reports do not say there.
    pub(super) limits: Vec<String>,
    /// `gracetrace doctor`, as it was printed.
    pub(super) doctor: String,
    /// What else went wrong.
    pub(super) trouble: Vec<String>,
}

impl Results {
    /// Reads it.
    pub(super) fn of(run: &Run) -> Self {
        let mut results = Self::default();
        let mut job = None;
        for line in &run.lines {
            if let Some(name) = line.strip_prefix("@vm begin ") {
                job = Some(name.to_owned());
            } else if let Some(ended) = line.strip_prefix("@vm end ") {
                let (name, status) = ended.rsplit_once(' ').unwrap_or((ended, ""));
                // tests that failed are told by name
                if status != "0" && results.failed.is_empty() {
                    results.trouble.push(format!("{name} ended with {status}"));
                }
                job = None;
            } else if let Some(trouble) = line.strip_prefix("@vm trouble ") {
                results.trouble.push(trouble.to_owned());
            } else if job.as_deref() == Some("doctor") {
                results.doctor += line;
                results.doctor.push('\n');
                let limit = line.trim_start().strip_prefix("lost").map(str::trim_start);
                results
                    .limits
                    .extend(limit.and_then(|limit| limit.strip_prefix("reports")).map(|limit| limit.trim().to_owned()));
            } else if job.is_some() {
                results.test(line);
            }
        }
        results.failures = failures(&run.lines);
        if let End::Trouble(why) = &run.end {
            results.trouble.push(why.clone());
        }
        results
    }

    /// `test NAME ... ok <1.00s>`, and what the differential tier says of itself.
    fn test(&mut self, line: &str) {
        if let Some((name, verdict)) = verdict(line) {
            let impossible = verdict.strip_prefix("not possible here: ");
            match impossible {
                Some(why) => self.impossible.push((name.to_owned(), why.to_owned())),
                None if verdict == "ok" => self.passed += 1,
                None => self.failed.push(name.to_owned()),
            }
        } else if let Some((count, _)) = line.trim_start().split_once(" schedules: every report agrees") {
            self.schedules += count.parse::<u32>().unwrap_or(0);
        }
    }

    /// Of what cannot be played there these are known. Any other is trouble: a machine that suddenly tells less must not look well.
    pub(super) fn know_impossible(&mut self, names: &[&str], v1: bool) {
        let is_known = |name: &str, why: &str| names.contains(&name) || v1 && why.starts_with("with cgroup v1 ");
        let unknown = self.impossible.iter().filter(|(name, why)| !is_known(name, why));
        self.trouble.extend(unknown.map(|(name, why)| format!("{name} was to be possible there ({why})")));
    }

    /// Whether everything that this kernel can play went well.
    pub(super) fn is_good(&self) -> bool {
        self.failed.is_empty() && self.trouble.is_empty() && self.passed > 0
    }
}

/// What the tiers print of each failure between `---- NAME ----` and the next one, or their last words.
fn failures(lines: &[String]) -> Vec<Vec<String>> {
    let mut failures: Vec<Vec<String>> = Vec::new();
    let mut inside = false;
    for line in lines {
        if line.starts_with("---- ") && line.ends_with(" ----") {
            failures.push(Vec::new());
            inside = true;
        }
        inside &= !line.starts_with("test result: ") && !line.starts_with("@vm ");
        if let Some(failure) = failures.last_mut()
            && inside
            && !line.is_empty()
            && failure.len() < FAILURE_LINES
        {
            failure.push(line.clone());
        }
    }
    failures
}

/// The name of a test and what became of it.
pub(super) fn verdict(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.strip_prefix("test ")?.split_once(" ... ")?;
    Some((name, rest.rsplit_once(" <").map_or(rest, |(verdict, _)| verdict)))
}

#[cfg(test)]
mod tests {
    use super::{Results, Run};
    use crate::vm::boot::End;
    use std::time::Duration;

    fn check(lines: &[&str], end: End) -> Results {
        let lines = lines.iter().map(|&line| line.to_owned()).collect();
        Results::of(&Run { lines, end, took: Duration::ZERO })
    }

    #[test]
    fn tests_are_counted_and_named() {
        let results = check(
            &[
                "@vm begin doctor",
                "  lost    reports                 not seen: refused connections (why)",
                "@vm end doctor 0",
                "@vm begin kernel",
                "test graceful ... ok <1.10s>",
                "test many ... FAILED <2.00s>",
                "test mptcp-listener ... not possible here: no MPTCP <0.00s>",
                "",
                "failures:",
                "",
                "---- many ----",
                "/outcome: it was Killed",
                "",
                "test result: FAILED. 1 passed; 1 failed",
                "@vm end kernel 101",
                "@vm begin differential",
                "    20 schedules: every report agrees with its clients",
                "@vm end differential 0",
                "@vm done",
            ],
            End::Done,
        );
        assert_eq!((results.passed, results.schedules), (1, 20));
        assert_eq!(results.failed, ["many"]);
        assert_eq!(results.failures, [["---- many ----", "/outcome: it was Killed"]]);
        assert_eq!(results.impossible, [("mptcp-listener".to_owned(), "no MPTCP".to_owned())]);
        assert_eq!(results.limits, ["not seen: refused connections (why)"]);
        assert!(results.trouble.is_empty() && !results.is_good());
    }

    #[test]
    fn only_what_is_known_may_be_impossible() {
        let none = "test many ... not possible here: with cgroup v1 a socket has no cgroup <0.00s>";
        let lines =
            ["@vm begin kernel", "test graceful ... ok <1.10s>", "test a ... not possible here: why <0.00s>", none];
        let check = |names: &[&str], v1: bool, trouble: usize| {
            let mut results = check(&lines, End::Done);
            results.know_impossible(names, v1);
            assert_eq!(results.trouble.len(), trouble, "{:?}", results.trouble);
        };
        check(&["a"], true, 0);
        check(&["a"], false, 1);
        check(&[], false, 2);
    }

    #[test]
    fn what_is_no_test_can_go_wrong_too() {
        let results = check(&["@vm begin kernel", "test graceful ... ok <1.10s>"], End::Trouble("it hung".to_owned()));
        assert_eq!(results.trouble, ["it hung"]);
        let results = check(&["@vm begin doctor", "@vm end doctor 1"], End::Done);
        assert_eq!(results.trouble, ["doctor ended with 1"]);
    }
}
