//! Interleaved rounds: in each every column runs the same load once, in another order each time, and between any two nobody
//! does: each is compared with its two neighbours, so that what the machine does meanwhile falls on both alike. A turn in which the
//! machine was seen to change its pace is made again. Then the same with the kernel's own clock on each program.

use super::agent::Agent;
use super::columns::{self, Column};
use super::programs::{self, Program};
use super::stats::{Store, median};
use super::{Binaries, OF_LOOPS, OF_NGINX, Slices, interrupted};
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a slot may take.
const SLOT: Duration = Duration::from_secs(60);
/// How long it is waited for somebody else's tracer to go, and how often a slot is tried.
const ALONE: Duration = Duration::from_secs(20);
const ATTEMPTS: u32 = 3;
/// Under what name it is kept how much nobody's turn differed from the one before it: what the machine adds by itself.
pub(super) const NEIGHBOURS: &str = "bare after bare";
/// Under what name it is kept how many turns were made again.
pub(super) const REPEATED: &str = "turns made again";
/// What no tracer is called for.
const CONTROL: &str = "control";
/// Within this, the times of what no tracer is called for say that the machine has kept its pace. (A processor whose other half is
/// somebody else's runs a fifth faster while that one rests: for seconds, and then for seconds not. What disturbs caches and switches between
/// programs, of which a request of nginx's has much and the control nothing, only such a load itself can tell.)
const PACE: f64 = 1.05;
/// How often a turn is made at the most.
const TURNS: u32 = 3;
/// The kernel's clock on programs.
const STATS: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// What the rounds are made with.
pub(super) struct Setting<'a> {
    pub(super) binaries: &'a Binaries,
    pub(super) folder: &'a Path,
    /// Where gracetrace has raw tracepoints, a hook as often as it has programs there.
    pub(super) hooks: &'a [String],
    /// nginx's file system, if it is a load.
    pub(super) nginx: Option<&'a Path>,
}

/// What is put on the hooks in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    /// Every kind of loop, and the small server.
    Loops,
    /// nginx alone.
    Nginx,
}

/// How many rounds, and how many turns in all may be made again.
#[derive(Clone, Copy)]
pub(super) struct Rounds {
    pub(super) count: usize,
    pub(super) repeats: usize,
}

/// So many rounds; gives whoever else had programs on the hooks and would not go.
pub(super) fn play(
    setting: &Setting<'_>,
    load: Load,
    columns: &[Column],
    Rounds { count: rounds, repeats }: Rounds,
    store: &mut Store,
) -> Result<Vec<String>> {
    let mut foreign = Vec::new();
    let mut repeated = 0;
    let traced: Vec<Column> = columns.iter().copied().filter(|column| *column != Column::Bare).collect();
    for round in 0..rounds {
        eprint!("\r    {}round {} of {rounds} ", if load == Load::Nginx { "nginx, " } else { "" }, round + 1);
        let (mut before, _) = slot(setting, load, Column::Bare, false, &mut foreign)?;
        let mut bare: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        let (mut index, mut turn) = (0, 1);
        while index < traced.len() {
            let column = traced[(index + round) % traced.len()];
            let (own, _) = slot(setting, load, column, false, &mut foreign)?;
            let (after, _) = slot(setting, load, Column::Bare, false, &mut foreign)?;
            for (kind, other) in &after {
                before.get(kind).into_iter().for_each(|one| store.add(NEIGHBOURS, kind, other / one));
            }
            if turn < TURNS && repeated < repeats && !load.kept_its_pace([&before, &own, &after]) {
                (turn, repeated) = (turn + 1, repeated + 1);
                before = after;
                eprint!("~");
                continue;
            }
            for (kind, ns) in own {
                let (Some(one), Some(other)) = (before.get(&kind), after.get(&kind)) else { continue };
                store.add_beside(column.name(), &kind, ns, f64::midpoint(*one, *other));
                bare.entry(kind).or_default().push(*other);
            }
            before = after;
            (index, turn) = (index + 1, 1);
            eprint!(".");
        }
        for (kind, times) in bare {
            if let Some(ns) = median(times) {
                store.add_beside(Column::Bare.name(), &kind, ns, ns);
            }
        }
    }
    eprintln!();
    store.add(REPEATED, load.what(), number(u64::try_from(repeated).unwrap_or(u64::MAX)));
    Ok(foreign)
}

/// Whether what took these times took about as long each time; what was not measured says nothing against it.
fn agree<'a>(turns: impl IntoIterator<Item = &'a Times>, kind: &str) -> bool {
    let times = turns.into_iter().filter_map(|times| times.get(kind).copied());
    let (low, high) = times.fold((f64::MAX, 0.0_f64), |(low, high), ns| (low.min(ns), high.max(ns)));
    high <= low * PACE
}

/// The same with each program timed: nanoseconds a run, by hook.
pub(super) fn timed(
    setting: &Setting<'_>,
    columns: &[Column],
    rounds: usize,
    store: &mut Store,
) -> Result<Vec<String>> {
    let _on = Stats::on()?;
    let mut foreign = Vec::new();
    for round in 0..rounds {
        eprint!("\r    kernel time, round {} of {rounds} ", round + 1);
        for column in columns {
            let (_, runs) = slot(setting, Load::Loops, *column, true, &mut foreign)?;
            for (hook, ns) in runs {
                store.add(column.name(), &format!("run:{hook}"), ns);
            }
        }
    }
    eprintln!();
    Ok(foreign)
}

/// By kind of load (or by hook), nanoseconds.
type Times = BTreeMap<String, f64>;

/// One column's turn, again if somebody else's programs were there.
fn slot(
    setting: &Setting<'_>,
    load: Load,
    column: Column,
    stats: bool,
    foreign: &mut Vec<String>,
) -> Result<(Times, Times)> {
    // who has stayed once is not waited for again: the run is void, and is to end
    let attempts = if foreign.is_empty() { ATTEMPTS } else { 1 };
    let patience = if foreign.is_empty() { ALONE } else { Duration::ZERO };
    let mut attempt = 1;
    loop {
        let before = alone(setting, patience)?;
        let (times, runs, beside) = once(setting, load, column, stats)?;
        let others = [before, beside].concat();
        if others.is_empty() || attempt == attempts {
            if !others.is_empty() && foreign.is_empty() {
                let names: BTreeSet<&String> = others.iter().collect();
                eprintln!("\n    others trace here and do not end, so this run will be void: {names:?}");
            }
            foreign.extend(others);
            return Ok((times, runs));
        }
        attempt += 1;
    }
}

/// Waits for nobody else to trace, for so long; gives who will not go.
fn alone(setting: &Setting<'_>, patience: Duration) -> Result<Vec<String>> {
    let end = Instant::now() + patience;
    loop {
        interrupted()?;
        let loaded = programs::loaded(&setting.binaries.gauge)?;
        let others: Vec<String> = loaded.into_iter().filter(Program::is_tracing).map(|program| program.name).collect();
        if others.is_empty() || Instant::now() > end {
            return Ok(others);
        }
        sleep(Duration::from_millis(100));
    }
}

fn once(setting: &Setting<'_>, load: Load, column: Column, stats: bool) -> Result<(Times, Times, Vec<String>)> {
    let results = setting.folder.join("results");
    let _stale = fs::remove_file(&results);
    let tracers = column.tracers(setting)?;
    let mut agent = Agent::start(&mut load.command(setting, column, &results, stats)?)?;
    agent.wait_while("the load was done", SLOT, |_| !results.exists())?;
    let mut lines = fs::read_to_string(&results)?;
    lines += &load.asked(&http(setting, &lines, load.slices())?);
    let ours: Vec<&Agent> = tracers.iter().chain(Some(&agent).filter(|_| column.runs_the_load())).collect();
    let (runs, beside) = look(setting, column, &ours, stats)?;
    load.quit(setting.binaries, &lines)?;
    agent.wait(SLOT)?;
    Ok((best(&lines), runs, beside))
}

impl Load {
    /// Whether the machine was as fast in a turn as in nobody's just before and after it, as far as what no tracer is called for tells, and
    /// with nginx nobody's two turns. What came out of the turn itself is not asked.
    fn kept_its_pace(self, [before, own, after]: [&Times; 3]) -> bool {
        agree([before, own, after], CONTROL) && (self == Self::Loops || agree([before, after], self.what()))
    }

    fn command(self, setting: &Setting<'_>, column: Column, results: &Path, paced: bool) -> Result<Command> {
        // where it rests most of the time it takes longer to get as far
        let Slices { count, millis } = self.slices();
        let millis = count * if paced { millis * 2 } else { millis };
        let (path, count, millis) = (results.display().to_string(), count.to_string(), millis.to_string());
        match self {
            Self::Loops => {
                let mut words =
                    vec!["suite", "--results", &path, "--millis", &millis, "--slices", &count, "--cpu", "0"];
                words.extend(paced.then_some("--paced"));
                column.load(setting, &setting.binaries.load, &words)
            }
            Self::Nginx => {
                let root = setting.nginx.context("nginx has not been unpacked")?.display().to_string();
                column.load(setting, &setting.binaries.nginx, &["serve", "--results", &path, "--root", &root])
            }
        }
    }

    /// Of each kind of load in a slot.
    fn slices(self) -> Slices {
        match self {
            Self::Loops => OF_LOOPS,
            Self::Nginx => OF_NGINX,
        }
    }

    /// The kind of load beside which it is told how many turns were made again.
    fn what(self) -> &'static str {
        match self {
            Self::Loops => CONTROL,
            Self::Nginx => "nginx",
        }
    }

    /// What the client measured, under the name of who answered.
    fn asked(self, lines: &str) -> String {
        match self {
            Self::Loops => lines.to_owned(),
            Self::Nginx => lines.replace("http ", "nginx "),
        }
    }

    /// Its server, and with it the load, ends.
    fn quit(self, binaries: &Binaries, lines: &str) -> Result<()> {
        if self == Self::Nginx {
            let port = number_behind(lines, "quit ").context("the load told no second port")?.parse::<u16>()?;
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("the load could not be told to quit")?;
            return Ok(());
        }
        let told = Command::new(&binaries.load).args(["quit", "--port", port(lines)?]).status();
        if !told.context("can't start the load's client")?.success() {
            bail!("the load could not be told to quit");
        }
        Ok(())
    }
}

/// The client of the load's server, on the server's CPU: a request takes what its work takes, and not what the host takes to wake another CPU.
fn http(setting: &Setting<'_>, lines: &str, slices: Slices) -> Result<String> {
    let (port, count, millis) = (port(lines)?, slices.count.to_string(), (slices.count * slices.millis).to_string());
    let results = setting.folder.join("http");
    let path = results.display().to_string();
    let words = ["http", "--port", port, "--results", &path, "--cpu", "0", "--millis", &millis, "--slices", &count];
    let mut client = columns::untraced(setting.binaries, &setting.binaries.load, &words);
    if !client.status().context("can't start the load's client")?.success() {
        bail!("the load's client failed");
    }
    Ok(fs::read_to_string(results)?)
}

fn port(lines: &str) -> Result<&str> {
    number_behind(lines, "port ").context("the load told no port")
}

fn number_behind<'a>(lines: &'a str, name: &str) -> Option<&'a str> {
    lines.lines().find_map(|line| line.strip_prefix(name)?.split(' ').next())
}

/// What the programs took, and which ones are nobody's of ours.
fn look(setting: &Setting<'_>, column: Column, ours: &[&Agent], stats: bool) -> Result<(Times, Vec<String>)> {
    let loaded = programs::loaded(&setting.binaries.gauge)?;
    let hooks: BTreeMap<u32, String> = ours.iter().flat_map(|agent| agent.tracepoints()).collect();
    let held: Vec<u32> = ours.iter().flat_map(|agent| agent.programs()).collect();
    let mut runs = Times::new();
    let mut beside = Vec::new();
    for program in loaded.into_iter().filter(Program::is_tracing) {
        let hook = hooks.get(&program.id).map(String::as_str).or_else(|| column.hook(&program.name));
        match hook {
            _ if !held.contains(&program.id) => beside.push(program.name),
            Some(hook) if stats && program.runs > 0 => {
                // what an event costs: where a hook has two programs, both run for it
                *runs.entry(hook.to_owned()).or_default() += number(program.run_ns) / number(program.runs);
            }
            Some(_) | None => {}
        }
    }
    Ok((runs, beside))
}

/// The best slice of each kind, in nanoseconds an operation.
fn best(lines: &str) -> Times {
    let mut best = Times::new();
    for line in lines.lines() {
        let mut words = line.split(' ');
        let (Some(kind), Some(Ok(count)), Some(Ok(ns))) =
            (words.next(), words.next().map(str::parse::<f64>), words.next().map(str::parse::<f64>))
        else {
            continue;
        };
        if !["port", "quit"].contains(&kind) && count > 0.0 {
            let least = best.entry(kind.to_owned()).or_insert(f64::MAX);
            *least = least.min(ns / count);
        }
    }
    best
}

/// As a number that ratios are made of; nothing here is as large as to lose a digit that counts.
#[expect(clippy::cast_precision_loss, reason = "below 2^53, or close enough")]
pub(super) fn number(count: u64) -> f64 {
    count as f64
}

/// The kernel times programs until this is dropped; then it does what it did before.
struct Stats(String);

impl Stats {
    fn on() -> Result<Self> {
        let before = fs::read_to_string(STATS).with_context(|| format!("can't read {STATS}"))?;
        fs::write(STATS, "1").with_context(|| format!("can't write {STATS}"))?;
        Ok(Self(before))
    }
}

impl Drop for Stats {
    fn drop(&mut self) {
        if let Err(error) = fs::write(STATS, &self.0) {
            eprintln!("    {STATS} could not be set back to {}: {error}", self.0.trim());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CONTROL, Load, Times, best};

    #[test]
    fn the_best_slice_counts() {
        let times = best("kill 100 5000\nfork 2 9000\nkill 100 4000\nport 8080 0\n");
        assert_eq!(times.into_iter().collect::<Vec<_>>(), [("fork".to_owned(), 4500.0), ("kill".to_owned(), 40.0)]);
    }

    #[test]
    fn a_turn_counts_if_the_machine_kept_its_pace() {
        let kept = |controls: [f64; 3]| {
            let [before, own, after] = controls.map(|control| Times::from([(CONTROL.to_owned(), control)]));
            Load::Loops.kept_its_pace([&before, &own, &after])
        };
        assert!(kept([100.0, 104.0, 102.0]));
        assert!(!kept([100.0, 106.0, 102.0]));
        assert!(!kept([100.0, 103.0, 94.0]));
        // what a tracer costs is no reason to measure it again
        let [bare, traced] =
            [100.0, 150.0].map(|kill| Times::from([("kill".to_owned(), kill), (CONTROL.to_owned(), 100.0)]));
        assert!(Load::Loops.kept_its_pace([&bare, &traced, &bare]));
    }

    #[test]
    fn nobodys_turns_tell_the_pace_of_nginx() {
        let [before, slow, after] =
            [90.0, 120.0, 93.0].map(|ns| Times::from([("nginx".to_owned(), ns), (CONTROL.to_owned(), 100.0)]));
        assert!(Load::Nginx.kept_its_pace([&before, &slow, &after]));
        assert!(!Load::Nginx.kept_its_pace([&before, &after, &slow]));
    }
}
