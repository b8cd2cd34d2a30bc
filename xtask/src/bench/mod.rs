//! `cargo xtask bench`: what gracetrace costs, beside what others cost, and which bars hold.
//!
//! It measures what is built here, on this kernel, in one run; it keeps no result and knows none. A run in which the
//! control was not steady, or somebody else's programs sat on the hooks, is void: it is shown and not judged.

mod agent;
mod bars;
mod columns;
mod crowd;
mod extras;
mod frame;
mod json;
mod programs;
mod rounds;
mod stats;
mod table;
mod verifier;

use crate::cli::{BenchPart, BenchSelection, Purpose};
use crate::{build, process, setup};
use anyhow::{Context, Result, bail};
use bars::Verdict;
use columns::Column;
use rounds::{Load, Rounds, Setting};
use signal_hook::consts::{SIGINT, SIGTERM};
use stats::{Store, percentile};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{env, fs, io};

/// The programs that are measured and that measure.
pub(crate) struct Binaries {
    pub(crate) gracetrace: PathBuf,
    pub(crate) gauge: PathBuf,
    pub(crate) load: PathBuf,
    pub(crate) scale: PathBuf,
    pub(crate) crowd: PathBuf,
    pub(crate) floor: PathBuf,
    pub(crate) nginx: PathBuf,
    /// What runs in the pods of a crowd.
    pub(crate) victim: PathBuf,
    /// Where loads run that nobody traces, and where the pods of a crowd are.
    pub(crate) cgroup: PathBuf,
}

/// How thorough a run is.
struct Plan {
    columns: &'static [Column],
    rounds: Rounds,
    timed_rounds: usize,
    starts: usize,
    reports: usize,
    storms: usize,
    idle: Duration,
    crowds: usize,
    /// Thousands of pods in a row, too.
    row: bool,
    nginx_rounds: Rounds,
    /// Of the engine alone; the best counts.
    scale_runs: usize,
}

/// How long a load goes on, in pieces of which the best counts: what the other guests of a host do comes and goes within seconds, so the best
/// of more pieces differs less from turn to turn.
#[derive(Clone, Copy)]
struct Slices {
    count: u32,
    /// Of each. Longer than the 25 ms after which an agent looks for records while somebody waits for them.
    millis: u32,
}

/// Short turns, so that the machine is the same in the one before and the one after.
const OF_LOOPS: Slices = Slices { count: 4, millis: 30 };
/// What goes on inside nginx evens out in longer slices alone.
const OF_NGINX: Slices = Slices { count: 16, millis: 100 };

/// Those that nginx is the load of.
const WITH_NGINX: [Column; 6] =
    [Column::Bare, Column::Untracked, Column::Healthy, Column::Terminating, Column::Peers, Column::Floor];

const QUICK: Plan = Plan {
    columns: &[
        Column::Bare,
        Column::Untracked,
        Column::Healthy,
        Column::Terminating,
        Column::Peers,
        Column::Floor,
        Column::Empty,
        Column::Counting,
    ],
    rounds: Rounds { count: 5, repeats: 6 },
    timed_rounds: 1,
    starts: 5,
    reports: 20,
    storms: 1,
    idle: Duration::from_secs(5),
    crowds: 1,
    row: false,
    nginx_rounds: Rounds { count: 0, repeats: 0 },
    scale_runs: 9,
};

const FULL: Plan = Plan {
    columns: &columns::ALL,
    rounds: Rounds { count: 25, repeats: 250 },
    timed_rounds: 3,
    starts: 20,
    reports: 100,
    storms: 3,
    idle: Duration::from_secs(60),
    crowds: 3,
    row: true,
    nginx_rounds: Rounds { count: 25, repeats: 125 },
    scale_runs: 31,
};

/// Within this the control is to stay in the middle half of the rounds, or the run says nothing.
const STEADY: std::ops::RangeInclusive<f64> = 0.90..=1.10;

/// Somebody has asked us to end.
static TOLD: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Measures what was chosen.
pub(crate) fn run(selection: &BenchSelection) -> Result<()> {
    if !process::is_root() {
        bail!("loading probes and making cgroups needs root; run `cargo xtask bench` as root");
    }
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&TOLD)).context("can't handle signals")?;
    }
    let part = selection.part;
    setup::run(if part.is_some() { Purpose::Build } else { Purpose::Bench })?;
    let binaries = binaries()?;
    match part {
        Some(BenchPart::Verifier) => verifier::run(&binaries),
        None => whole(&binaries, if selection.full { &FULL } else { &QUICK }, selection.json.as_deref()),
    }
}

/// An error once somebody has asked us to end; what was started and set is then put away.
fn interrupted() -> Result<()> {
    if TOLD.load(Ordering::Relaxed) {
        bail!("interrupted");
    }
    Ok(())
}

fn binaries() -> Result<Binaries> {
    let gracetrace = build::binary(false)?;
    process::heading("the bench's own programs (release)");
    process::run(&mut process::cargo(["build", "--release", "--package", "gracetrace-tests", "--bins"])?)?;
    let folder = process::target_folder()?.join("release");
    let cgroup = cgroup2()?.join(format!("gracetrace-bench-{}", std::process::id()));
    let program = |name: &str| folder.join(name);
    Ok(Binaries {
        gracetrace,
        gauge: program("gauge"),
        load: program("load"),
        scale: program("scale"),
        crowd: program("crowd"),
        floor: program("floor"),
        nginx: program("nginx"),
        victim: program("victim"),
        cgroup,
    })
}

fn whole(binaries: &Binaries, plan: &Plan, json: Option<&Path>) -> Result<()> {
    let folder = Folder::make()?;
    let _cgroup = Cgroup::make(&binaries.cgroup)?;
    let mut store = Store::default();
    let nginx = folder.0.join("nginx");
    let nginx = Some(nginx.as_path()).filter(|root| plan.nginx_rounds.count > 0 && unpack_nginx(binaries, root));
    let hooks = columns::hooks(binaries, &folder.0)?;
    let setting = Setting { binaries, folder: &folder.0, hooks: &hooks, nginx };
    process::heading("measuring; the machine should be quiet");
    // a busy machine is no reason for a run to be void as long as the control holds, but it is one to measure again
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("    load average before: {}", load.split(' ').take(3).collect::<Vec<_>>().join(" "));
    let mut foreign = measure(&setting, plan, &mut store)?;
    foreign.sort();
    foreign.dedup();

    table::loops(&store, plan.columns);
    table::programs(&store, plan.columns);
    table::figures(&store);
    let bars = bars::judge(&store);
    let void = void(&store, plan.columns, &foreign);
    table::bars(&bars, !void.is_empty());
    if let Some(path) = json {
        fs::write(path, json::document(&store, &bars, &void))
            .with_context(|| format!("can't write {}", path.display()))?;
    }
    if !void.is_empty() {
        bail!("this run is void and the bars above say nothing: {}", void.join("; "));
    }
    let missed = bars.iter().filter(|bar| bar.verdict() == Verdict::Missed);
    let missed: Vec<String> = missed
        .map(|bar| bar.name.to_owned() + if bar.is_out_of_reach() { " (its floor misses it as well)" } else { "" })
        .collect();
    if !missed.is_empty() {
        bail!("missed: {}", missed.join(", "));
    }
    Ok(())
}

/// How often agents are compared: each time one after the other, and the ratio in the middle counts.
const AGENTS: usize = 3;

/// Everything; gives whose programs were in the way.
fn measure(setting: &Setting<'_>, plan: &Plan, store: &mut Store) -> Result<Vec<String>> {
    let mut foreign = rounds::play(setting, Load::Loops, plan.columns, plan.rounds, store)?;
    if setting.nginx.is_some() {
        foreign.extend(rounds::play(setting, Load::Nginx, &WITH_NGINX, plan.nginx_rounds, store)?);
    }
    let with_programs: Vec<Column> = plan.columns.iter().copied().filter(|column| *column != Column::Bare).collect();
    foreign.extend(rounds::timed(setting, &with_programs, plan.timed_rounds, store)?);
    for _ in 0..plan.storms {
        interrupted()?;
        eprintln!("    a storm of {} signals", extras::STORM);
        extras::storm(setting, store)?;
    }
    for _ in 0..AGENTS {
        interrupted()?;
        extras::agents(setting, store)?;
    }
    eprintln!("    the engine alone, and replay");
    extras::scale(setting, plan.scale_runs, store)?;
    eprintln!("    starts, idling, reports");
    extras::daemons(setting, plan.starts, plan.idle, store)?;
    extras::reports(setting, plan.reports, store)?;
    for _ in 0..plan.crowds {
        interrupted()?;
        eprintln!("    {} pods with {} connections each, killed at once", crowd::AT_ONCE, crowd::CONNECTIONS);
        crowd::at_once(setting, store)?;
    }
    if plan.row {
        crowd::one_after_the_other(setting, store)?;
    }
    Ok(foreign)
}

/// A real server, as the distribution has it; without a network the rest is measured all the same.
fn unpack_nginx(binaries: &Binaries, root: &Path) -> bool {
    process::heading("nginx, unpacked into a folder of its own");
    let unpacked = process::target_folder().and_then(|target| {
        let cache = target.join("bench-nginx");
        process::run(Command::new(&binaries.nginx).arg("files").arg("--cache").arg(cache).arg("--root").arg(root))
    });
    if let Err(error) = &unpacked {
        eprintln!("    HTTP is measured with the small server alone: {error:#}");
    }
    unpacked.is_ok()
}

/// Why the run says nothing.
fn void(store: &Store, columns: &[Column], foreign: &[String]) -> Vec<String> {
    let mut why = Vec::new();
    for column in columns {
        let controls = store.ratios(column.name(), Column::Bare.name(), "control");
        let (low, high) = (percentile(controls.clone(), 25), percentile(controls, 75));
        let Some((low, high)) = low.zip(high).filter(|(low, high)| !STEADY.contains(low) || !STEADY.contains(high))
        else {
            continue;
        };
        // a median that is right by chance, between rounds that are not, says nothing either
        why.push(format!("the control of {} was {low:.2} to {high:.2} of bare's in half of the rounds", column.name()));
    }
    if !foreign.is_empty() {
        let names: BTreeSet<&str> = foreign.iter().map(String::as_str).collect();
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        why.push(format!("programs of somebody else's were on the hooks: {names}"));
    }
    why
}

/// Where the v2 hierarchy is mounted.
fn cgroup2() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("can't read the mounts")?;
    let place = |line: &str| {
        let mut words = line.split(' ').skip(1);
        let (place, kind) = (words.next()?, words.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(place))
    };
    mounts.lines().find_map(place).context("no cgroup v2 hierarchy is mounted")
}

/// A cgroup of the bench's own; gone when dropped.
struct Cgroup(PathBuf);

impl Cgroup {
    fn make(path: &Path) -> Result<Self> {
        fs::create_dir(path).with_context(|| format!("can't make {}", path.display()))?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // what a crowd that failed has left; everything in here was started by the bench
        let _empty = fs::write(self.0.join("cgroup.kill"), "1");
        let until = Instant::now() + Duration::from_secs(5);
        while let Err(error) = remove_tree(&self.0) {
            if Instant::now() > until {
                eprintln!("    {} could not be removed: {error}", self.0.display());
                return;
            }
            sleep(Duration::from_millis(10));
        }
    }
}

/// Cgroups from the innermost on; their files go with them.
fn remove_tree(cgroup: &Path) -> io::Result<()> {
    for below in fs::read_dir(cgroup)? {
        let below = below?;
        if below.file_type()?.is_dir() {
            remove_tree(&below.path())?;
        }
    }
    fs::remove_dir(cgroup)
}

/// A folder for what is written meanwhile; gone when dropped.
struct Folder(PathBuf);

impl Folder {
    fn make() -> Result<Self> {
        let path = env::temp_dir().join(format!("gracetrace-bench-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("can't make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // a folder in the temporary place is not worth an error
        let _left = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::{Column, Store, void};

    #[test]
    fn an_unsteady_control_or_a_stranger_makes_a_run_void() {
        let mut store = Store::default();
        store.add("bare", "control", 100.0);
        store.add("peers", "control", 109.0);
        let columns = [Column::Bare, Column::Peers];
        assert_eq!(void(&store, &columns, &[]), Vec::<String>::new());
        assert_eq!(void(&store, &columns, &["other".to_owned()]).len(), 1);
        for (peers, wrong) in [(120.0, 1), (91.0, 1), (100.0, 0), (105.0, 0), (85.0, 0), (80.0, 1)] {
            store.add("bare", "control", 100.0);
            store.add("peers", "control", peers);
            assert_eq!(void(&store, &columns, &[]).len(), wrong, "{:?}", store.ratios("peers", "bare", "control"));
        }
        assert_eq!(
            void(&store, &columns, &[]),
            ["the control of peers was 0.85 to 1.09 of bare's in half of the rounds"]
        );
    }
}
