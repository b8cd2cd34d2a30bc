//! `--timeout`: an end that had begun by then is reported as far as it had come; without one there is nothing to report.

use crate::pods::{self, Container, pid};
use gracetrace_tests::clock::scaled;
use gracetrace_tests::command::Machine;
use gracetrace_tests::facts::Facts;
use gracetrace_tests::tracer::Tracer;
use rustix::process::{Signal, kill_process};
use serde_json::Value;
use std::time::Duration;

/// Below it is the pod of this test.
const PODS: &str = "gracetrace-tests-timeout";
const UID: &str = "7a6e0031-57f3-4222-8333-444455556666";
/// Takes the stop signal, and goes on.
const STAYS: [&str; 3] = ["/bin/sh", "-c", "trap : TERM; while :; do sleep 0.1; done"];
const LIMIT: Duration = Duration::from_secs(4);
/// Enough for a start and a signal on the slowest machine, and all of it is waited for.
const MOST: Duration = Duration::from_secs(12);

pub(crate) fn tells_what_has_begun(_machine: &Machine) -> anyhow::Result<Vec<String>> {
    let (hierarchy, root) = pods::place(PODS)?;
    let pod = root.join(format!("pod{UID}"));
    std::fs::create_dir(&pod)?;
    let container = Container::start(&pod, STAYS.map(str::to_owned).into_iter())?;
    let limit = format!("{}s", scaled(LIMIT).min(MOST).as_secs());
    let words = ["--pod", UID, "--timeout", &limit, "-o", "jsonl", "--cgroup-hierarchy", &hierarchy].map(str::to_owned);
    let watch = || -> anyhow::Result<Tracer> {
        let mut tracer = Tracer::start(words.clone())?;
        tracer.wait_for_line(UID)?;
        Ok(tracer)
    };

    let idle = watch()?.finish()?;
    let mut facts = Facts::of(Value::Null);
    facts.holds(
        idle.code == 124 && idle.stdout.is_empty(),
        "nothing had begun: exit code 124, no report",
        &idle.stdout,
    );
    facts.holds(idle.stderr.contains("its termination was not seen"), "stderr says so", &idle.stderr);

    let tracer = watch()?;
    kill_process(pid(container.init)?, Signal::TERM)?;
    let stopped = tracer.finish()?;
    drop(container);
    let mut lines = facts.verdict()?;
    let mut facts = Facts::of(stopped.report()?);
    facts.is("/scope", "Pod");
    facts.is("/outcome", "Unknown");
    facts.is("/containers/0/stop/signal", "SIGTERM");
    facts.is("/completeness/complete", false);
    facts.is("/completeness/reasons/0", "tracing ended before the last container did, or its end was not seen");
    facts.holds(!stopped.stderr.contains("--timeout"), "nothing is said of what was not seen", &stopped.stderr);
    lines.extend(facts.verdict()?);
    Ok(lines)
}
