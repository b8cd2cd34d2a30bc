//! Many pods: all killed at once with their connections open, and thousands one after the other, beside one daemon that
//! follows them all.
//!
//! They are pods by their cgroups' names, and nothing else of a node is needed: `crowd` (in `tests`) makes them, and says what
//! became of them; here the daemon is watched, and its reports are waited for.

use super::agent::Agent;
use super::columns::daemon;
use super::extras::{GRACETRACE, PATIENCE, SETTLED};
use super::interrupted;
use super::rounds::{Setting, number};
use super::stats::Store;
use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Killed at once, and what each of them has.
pub(super) const AT_ONCE: u32 = 500;
pub(super) const CONNECTIONS: u32 = 40;
/// One after the other: so many in all, so many at a time, with so many connections each.
pub(super) const MANY: u32 = 5_000;
const BATCH: u32 = 100;
const FEW: u32 = 4;
/// Signals of a pod's storm, each of which is a record; and so many storms follow the first.
const STORM: u64 = 1_000_000;
const FURTHER: u32 = 5;
/// The number of the first pod of each scene.
const FIRST_OF_MANY: u32 = 1_000;
const FIRST_STORM: u32 = 7_000;
/// If no report has come for so long, none will.
const NO_MORE: Duration = Duration::from_secs(10);
/// What was resident when all of them had gone and one had stormed, and after each storm since.
pub(super) const AFTER_ALL: &str = "row rss KiB, with a storm";
pub(super) const AFTER_FURTHER: &str = "row rss KiB, further storms";
/// Records until the first of these, as far as that is known for sure.
pub(super) const BY_THEN: &str = "row records before further storms";
/// How often it is looked whether a report is there.
const LOOK: Duration = Duration::from_millis(5);

/// All of them are killed at once; every connection is to be counted.
pub(super) fn at_once(setting: &Setting<'_>, store: &mut Store) -> Result<()> {
    let mut daemon = daemon(setting.binaries, setting.folder)?;
    let told = kill(setting, 0, AT_ONCE, CONNECTIONS)?;
    let all_out = reports_of(setting, &mut daemon, AT_ONCE)?;
    // one too many would come now
    sleep(SETTLED);
    let rss = daemon.rss_kib();
    daemon.stop(Signal::TERM)?;
    let checked = check(setting, 0, AT_ONCE, CONNECTIONS)?;
    let [written, dropped] = records(setting)?;
    let mut add = |what: &str, value: f64| store.add(GRACETRACE, &format!("crowd {what}"), value);
    add("up s", told.figure("up-ns")? / 1e9);
    add("killed within ms", told.figure("kills-ns")? / 1e6);
    if let Some(at) = all_out {
        add("last exit to last report ms", (at - told.figure("ended-at")?) / 1e6);
    }
    add("cut as clients saw", told.figure("orderly")? + told.figure("reset")?);
    for what in ["reports", "pods", "complete", "exact", "cut", "lost", "others"] {
        add(what, checked.figure(what)?);
    }
    add("records written", number(written));
    add("records dropped", number(dropped));
    add("rss KiB", number(rss));
    Ok(())
}

/// They come and go; then a storm, and more of them.
pub(super) fn one_after_the_other(setting: &Setting<'_>, store: &mut Store) -> Result<()> {
    let mut daemon = daemon(setting.binaries, setting.folder)?;
    let mut done = 0;
    while done < MANY {
        interrupted()?;
        kill(setting, FIRST_OF_MANY + done, BATCH, FEW)?;
        done += BATCH;
        eprint!("\r    pods in a row: {done} of {MANY}, {} MiB resident ", daemon.rss_kib() / 1024);
        if done % 1_000 == 0 {
            store.add(GRACETRACE, &format!("row rss KiB, {done} pods"), number(daemon.rss_kib()));
        }
    }
    eprintln!();
    reports_of(setting, &mut daemon, MANY)?;
    let checked = check(setting, FIRST_OF_MANY, MANY, FEW)?;
    for what in ["reports", "complete", "exact", "others"] {
        store.add(GRACETRACE, &format!("row {what}"), checked.figure(what)?);
    }
    for index in 0..=FURTHER {
        interrupted()?;
        let first = (FIRST_STORM + index).to_string();
        let load = setting.binaries.load.display().to_string();
        crowd(setting, &["storm", "--program", &load, "--first", &first, "--signals", &STORM.to_string()])?;
        reports_of(setting, &mut daemon, MANY + index + 1)?;
        sleep(SETTLED);
        let what = if index == 0 { AFTER_ALL } else { AFTER_FURTHER };
        store.add(GRACETRACE, what, number(daemon.rss_kib()));
        eprintln!("    a storm of {STORM} signals in a pod: {} MiB resident", daemon.rss_kib() / 1024);
    }
    daemon.stop(Signal::TERM)?;
    let [written, dropped] = records(setting)?;
    store.add(GRACETRACE, "row records written", number(written));
    // the counts are told at the end: at most so many of them are of the further storms
    store.add(GRACETRACE, BY_THEN, number(written) - f64::from(FURTHER) * number(STORM));
    store.add(GRACETRACE, "row records dropped", number(dropped));
    Ok(())
}

/// So many come up, and are killed.
fn kill(setting: &Setting<'_>, first: u32, pods: u32, connections: u32) -> Result<Figures> {
    let program = setting.binaries.victim.display().to_string();
    let [first, pods, connections] = [first, pods, connections].map(|number| number.to_string());
    let words = ["kill", "--program", &program, "--first", &first, "--pods", &pods, "--connections", &connections];
    crowd(setting, &words)
}

/// What the daemon has reported of killed pods.
fn check(setting: &Setting<'_>, first: u32, pods: u32, connections: u32) -> Result<Figures> {
    let reports = setting.folder.join("gracetrace.out").display().to_string();
    let [first, pods, connections] = [first, pods, connections].map(|number| number.to_string());
    let words = ["check", "--reports", &reports, "--first", &first, "--pods", &pods, "--connections", &connections];
    crowd(setting, &words)
}

/// Written and dropped, as the daemon tells when it ends.
fn records(setting: &Setting<'_>) -> Result<[u64; 2]> {
    all_records(&fs::read_to_string(setting.folder.join("gracetrace.err"))?).context("gracetrace told no counts")
}

/// Plays a scene to its end.
fn crowd(setting: &Setting<'_>, words: &[&str]) -> Result<Figures> {
    let results = setting.folder.join("crowd");
    let _stale = fs::remove_file(&results);
    let mut command = Command::new(&setting.binaries.crowd);
    command.args(words).arg("--root").arg(&setting.binaries.cgroup).arg("--results").arg(&results);
    let status = Agent::start(&mut command)?.wait(PATIENCE)?;
    if !status.success() {
        bail!("crowd {} failed ({status})", words.join(" "));
    }
    Figures::of(&results)
}

/// Waits until so many reports are out, and says when that was, in nanoseconds since boot. `None` once no further one has come
/// for a while: how many there are is for the check to tell.
fn reports_of(setting: &Setting<'_>, daemon: &mut Agent, count: u32) -> Result<Option<f64>> {
    let mut out = File::open(setting.folder.join("gracetrace.out"))?;
    let (mut seen, mut last, mut buffer) = (0, Instant::now(), vec![0; 1 << 20]);
    loop {
        let length = out.read(&mut buffer)?;
        let more = buffer[..length].split(|byte| *byte == b'\n').count() - 1;
        seen += more;
        if seen >= usize::try_from(count)? {
            let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
            return Ok(Some(number(now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned())));
        }
        if more > 0 {
            last = Instant::now();
        }
        if length == 0 {
            if last.elapsed() > NO_MORE {
                return Ok(None);
            }
            if !daemon.lives()? {
                bail!("gracetrace ended after {seen} reports");
            }
            interrupted()?;
            sleep(LOOK);
        }
    }
}

/// Of all kinds together: written and dropped, of `records: KIND N written, M dropped`.
fn all_records(said: &str) -> Option<[u64; 2]> {
    let lines = said.lines().filter_map(|line| line.split_once("records: ")?.1.split_once(' '));
    let counted = lines.filter_map(|(_, counts)| {
        let mut numbers = counts.split(' ').filter_map(|word| word.parse::<u64>().ok());
        Some([numbers.next()?, numbers.next()?])
    });
    counted.reduce(|[written, dropped], [more, lost]| [written + more, dropped + lost])
}

/// What `crowd` wrote down.
struct Figures(String);

impl Figures {
    fn of(path: &Path) -> Result<Self> {
        Ok(Self(fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?))
    }

    fn figure(&self, name: &str) -> Result<f64> {
        let told = self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        told.with_context(|| format!("crowd did not tell {name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Figures, all_records};

    #[test]
    fn sums_the_records_of_all_kinds() {
        let said = "INFO records: signal_generate 12 written, 3 dropped\nsomething else\nINFO records: cgroup 4 written, 0 dropped\n";
        assert_eq!(all_records(said), Some([16, 3]));
        assert_eq!(all_records("nothing of the kind"), None);
    }

    #[test]
    fn reads_what_crowd_wrote() {
        let figures = Figures("up-ns 12\nreports 500\n".to_owned());
        assert_eq!(figures.figure("reports").ok(), Some(500.0));
        assert!(figures.figure("pods").is_err());
    }
}
