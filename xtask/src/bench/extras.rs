//! What is not a loop beside a loop: storms, how much a record costs the agent, start, idling, and how soon a report is out.

use super::agent::Agent;
use super::columns::{daemon, peer, traced};
use super::interrupted;
use super::rounds::{Setting, number};
use super::stats::Store;
use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Signals of the storm that nothing may be lost of.
pub(super) const STORM: u64 = 3_000_000;
/// Of the one by which agents are compared.
const RECORDS: u64 = 300_000;
/// How long a storm and what comes of it may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
/// How long after a storm an agent has surely seen to it.
pub(super) const SETTLED: Duration = Duration::from_secs(1);
/// As long as that, and longer, what was traced stays.
const STAYS_MS: &str = "1500";
pub(super) const GRACETRACE: &str = "gracetrace";

/// Signals from every CPU while the pod is being stopped.
pub(super) fn storm(setting: &Setting<'_>, store: &mut Store) -> Result<()> {
    let (_, _, mut agent) = gust(setting, STORM, &[])?;
    store.add(GRACETRACE, "storm rss KiB", number(agent.rss_kib()));
    agent.wait(PATIENCE)?;
    let said = fs::read_to_string(setting.folder.join("gracetrace.err"))?;
    let [written, dropped] = counts(&said, "signal_generate").context("gracetrace told no counts")?;
    let report = fs::read_to_string(setting.folder.join("gracetrace.out"))?;
    store.add(GRACETRACE, "storm sent", number(STORM));
    store.add(GRACETRACE, "storm written", number(written));
    store.add(GRACETRACE, "storm dropped", number(dropped));
    store.add(GRACETRACE, "storm report complete", if report.contains("\"complete\":true") { 1.0 } else { 0.0 });
    Ok(())
}

/// Nanoseconds of an agent's threads for each record, into a file.
pub(super) fn agents(setting: &Setting<'_>, store: &mut Store) -> Result<()> {
    let log = setting.folder.join("log").display().to_string();
    let (before, after, mut agent) = gust(setting, RECORDS, &["--record", &log])?;
    store.add(GRACETRACE, "agent ns/record", number(after - before) / number(RECORDS));
    agent.wait(PATIENCE)?;
    let mut snoop = peer(&["sigsnoop"], setting.folder, 1)?;
    let before = snoop.cpu_ns();
    let mut load = Agent::start(&mut blow(setting, RECORDS))?;
    load.wait(PATIENCE)?;
    let ran = number(snoop.cpu_ns() - before);
    snoop.stop(Signal::INT)?;
    let said = fs::read_to_string(setting.folder.join("sigsnoop.err"))?;
    let lost = said.lines().filter_map(|line| line.split_whitespace().find_map(|word| word.parse::<u64>().ok()));
    let lost = number(lost.sum());
    store.add("sigsnoop", "agent lost of 300000", lost);
    // what it lost it has not had to write
    store.add("sigsnoop", "agent ns/record", ran / (number(RECORDS) - lost).max(1.0));
    Ok(())
}

/// A storm in a pod that is being stopped; what the agent's threads had run before and after, and the agent.
fn gust(setting: &Setting<'_>, count: u64, how: &[&str]) -> Result<(u64, u64, Agent)> {
    let results = setting.folder.join("results");
    let _stale = fs::remove_file(&results);
    let (path, count) = (results.display().to_string(), count.to_string());
    let words = ["storm", "--count", &count, "--results", &path, "--millis", STAYS_MS];
    let how = [how, &["--stop-after", "200ms"]].concat();
    let mut agent = Agent::start(&mut traced(setting.binaries, setting.folder, &how, &setting.binaries.load, &words)?)?;
    let said = setting.folder.join("gracetrace.err");
    agent.wait_while("it stops the load", PATIENCE, |_| {
        !fs::read_to_string(&said).is_ok_and(|text| text.contains("grace period"))
    })?;
    let before = agent.cpu_ns();
    agent.wait_while("the storm is over", PATIENCE, |_| !results.exists())?;
    sleep(SETTLED);
    let after = agent.cpu_ns();
    Ok((before, after, agent))
}

fn blow(setting: &Setting<'_>, count: u64) -> Command {
    let mut command = Command::new(&setting.binaries.load);
    let results = setting.folder.join("results");
    command.args(["storm", "--count", &count.to_string(), "--millis", STAYS_MS, "--results"]).arg(results);
    command
}

/// From the start to the last probe attached and the canary seen; what an idle daemon takes.
pub(super) fn daemons(setting: &Setting<'_>, starts: usize, idle: Duration, store: &mut Store) -> Result<()> {
    for _ in 0..starts {
        interrupted()?;
        let begun = Instant::now();
        let mut agent = daemon(setting.binaries, setting.folder)?;
        store.add(GRACETRACE, "start ms", begun.elapsed().as_secs_f64() * 1e3);
        agent.stop(Signal::TERM)?;
    }
    let mut agent = daemon(setting.binaries, setting.folder)?;
    // what the start leaves behind is over
    sleep(Duration::from_secs(3));
    let (before, begun) = (agent.cpu_ns(), Instant::now());
    sleep(idle);
    let ran = number(agent.cpu_ns() - before) / 1e9;
    store.add(GRACETRACE, "idle cpu %", 100.0 * ran / begun.elapsed().as_secs_f64());
    store.add(GRACETRACE, "idle rss KiB", number(agent.rss_kib()));
    agent.stop(Signal::TERM)?;
    Ok(())
}

/// From the last exit of a pod to its report.
pub(super) fn reports(setting: &Setting<'_>, count: usize, store: &mut Store) -> Result<()> {
    let (results, out) = (setting.folder.join("results"), setting.folder.join("gracetrace.out"));
    for _ in 0..count {
        interrupted()?;
        let _stale = fs::remove_file(&results);
        let path = results.display().to_string();
        let words = ["touch", "--results", &path];
        let mut agent =
            Agent::start(&mut traced(setting.binaries, setting.folder, &[], &setting.binaries.load, &words)?)?;
        agent.wait_while("its report was out", PATIENCE, |_| !fs::metadata(&out).is_ok_and(|file| file.len() > 0))?;
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let now = now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned();
        let line = fs::read_to_string(&results)?;
        let ended: u64 = line.trim().rsplit(' ').next().and_then(|word| word.parse().ok()).context("no end")?;
        store.add(GRACETRACE, "report ms", number(now - ended) / 1e6);
        agent.wait(PATIENCE)?;
    }
    Ok(())
}

/// The engine alone, and through `replay`, with 10, 100 and 1,000 pods that end at once.
pub(super) fn scale(setting: &Setting<'_>, runs: usize, store: &mut Store) -> Result<()> {
    let mut command = Command::new(&setting.binaries.scale);
    command.arg(runs.to_string()).arg(&setting.binaries.gracetrace);
    // glibc is to keep what the engine has given back, whatever lies at the end of its heap
    command.envs([("MALLOC_TRIM_THRESHOLD_", "1073741824"), ("MALLOC_MMAP_THRESHOLD_", "33554432")]);
    let output = command.output().context("can't start scale")?;
    ensure!(output.status.success(), "scale failed: {}", String::from_utf8_lossy(&output.stderr));
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            [what, pods, inputs, ns] => {
                let (inputs, ns): (f64, f64) = (inputs.parse()?, ns.parse()?);
                store.add(GRACETRACE, &format!("{what} M inputs/s, {pods} pods"), 1e3 * inputs / ns);
            }
            ["page-faults", pods, faults] => {
                store.add(GRACETRACE, &format!("engine page faults, {pods} pods"), faults.parse()?);
            }
            _ => bail!(
                "scale told what this xtask does not know, so it is another version's: {line}; remove {} and try again",
                setting.binaries.scale.display()
            ),
        }
    }
    let rate = |what: &str, pods: u32| {
        let rates = store.values(GRACETRACE, &format!("{what} M inputs/s, {pods} pods"));
        rates.last().copied().with_context(|| format!("scale told nothing of {what} and {pods} pods"))
    };
    let (few, many) = (rate("engine", 10)?, rate("engine", 1000)?);
    // what it would be if nothing were dearer beside more pods but what no engine can do without
    let indispensable = 1.0 / rate("floor", 1000)? - 1.0 / rate("floor", 10)?;
    store.add(GRACETRACE, "engine cost 1000/10", few / many);
    store.add(GRACETRACE, "floor cost 1000/10", 1.0 + few * indispensable);
    Ok(())
}

/// Written and dropped, of `records: KIND N written, M dropped`.
fn counts(said: &str, kind: &str) -> Option<[u64; 2]> {
    let line = said.lines().find_map(|line| line.split_once(&format!("records: {kind} ")))?.1;
    let mut numbers = line.split(' ').filter_map(|word| word.parse().ok());
    Some([numbers.next()?, numbers.next()?])
}

#[cfg(test)]
mod tests {
    use super::counts;

    #[test]
    fn reads_the_counts() {
        let said = "INFO gracetrace: records: signal_generate 12 written, 3 dropped\nrecords: process_exit 1 written, 0 dropped\n";
        assert_eq!(counts(said, "signal_generate"), Some([12, 3]));
        assert_eq!(counts(said, "process_exit"), Some([1, 0]));
        assert_eq!(counts(said, "cgroup"), None);
    }
}
