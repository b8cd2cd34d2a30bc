//! Cgroups of other hierarchies that have the number of a traced one: every hierarchy counts for itself. What happens in
//! them is none of the command's.

use gracetrace_tests::clock::wait_until;
use gracetrace_tests::command::{Machine, Running};
use gracetrace_tests::counts::Counts;
use gracetrace_tests::facts::Facts;
use gracetrace_tests::recording;
use gracetrace_tests::stamps::StampFile;
use gracetrace_tests::suite::{self, NotPossible};
use rustix::process::{Pid, Signal, kill_process};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// What is made in a hierarchy that is not traced bears this name.
const NAME: &str = "gracetrace-tests-elsewhere";
/// So many cgroups are made in another hierarchy at most, to come to a number of the traced one …
const ELSEWHERE: u32 = 400_000;
/// … and inside the traced one, which records each of them.
const INSIDE: u32 = 2_000;

/// A process in a v1 hierarchy of the test's own, and in others where the numbers meet.
pub(crate) fn same_id_elsewhere(machine: &Machine) -> anyhow::Result<Vec<String>> {
    sweep()?;
    suite::at_end("cgroups in other hierarchies", sweep);
    let _own = Own::mount(machine)?;
    let mut lines = play(machine, "same-id-elsewhere", &[])?;
    // a hybrid node whose runtime keeps pods in v1 alone: sockets have v2 cgroups there, of all numbers
    let mounted = Hierarchy::mounted()?;
    if [None, Some("pids")].iter().all(|wanted| mounted.iter().any(|it| it.controller.as_deref() == *wanted)) {
        lines.extend(play(machine, "same-id-elsewhere-v1", &["--cgroup-hierarchy", "pids"])?);
    }
    Ok(lines)
}

fn play(machine: &Machine, name: &str, flags: &[&str]) -> anyhow::Result<Vec<String>> {
    let flags: Vec<String> = flags.iter().chain(&["--grace-period", "4s"]).map(|&flag| flag.to_owned()).collect();
    let victim = ["--listen", "127.0.0.1:0", "slow-drain", "1500"].map(str::to_owned);
    let mut running = Running::start(machine, name, &flags, &victim)?;
    let run = format!("gracetrace-run-{}", running.tracer.pid());
    let (traced, others): (Vec<Hierarchy>, _) =
        Hierarchy::mounted()?.into_iter().partition(|it| it.root.join(&run).is_dir());
    let [traced] = traced.as_slice() else { anyhow::bail!("the command is not in one hierarchy, but in {traced:?}") };
    let mut met = Vec::new();
    for other in others {
        // each with names of its own inside: of two that meet, the one inside stays
        let nested = format!("nested-{}", met.len());
        if let Some(place) = meet((&traced.root.join(&run), &nested), &other.root)? {
            met.push((other, place));
        }
    }
    let mut strangers = Vec::new();
    for (_, place) in &met {
        // a cgroup made, filled and removed below one with a traced number
        std::fs::create_dir(place.join("below"))?;
        strangers.push(Stranger::start(machine, &place.join("below"), place)?);
    }
    running.stop()?;
    let log = running.log.clone();
    let pids: Vec<u32> = strangers.iter().map(|stranger| stranger.child.id()).collect();
    strangers.into_iter().try_for_each(Stranger::end)?;
    for (_, place) in &met {
        std::fs::remove_dir(place.join("below"))?;
        std::fs::remove_dir(place)?;
    }
    let over = running.finish()?;

    let mut facts = Facts::of(over.finished.report()?).seeing(recording::sees(&log)?);
    let where_met: Vec<_> = met.iter().map(|(it, _)| it.name()).collect();
    let fact = format!("{}: the same numbers in {}", traced.name(), where_met.join(", "));
    if met.is_empty() {
        // each cgroup takes as many numbers as it has files, and two such rows need not have one in common
        return Err(NotPossible("no other hierarchy comes to a number of the traced one here".to_owned()).into());
    }
    facts.is("/outcome", "Graceful");
    facts.is("/containers/0/processes/seen", 1);
    facts.is("/containers/0/processes/signalled", 1);
    facts.counts(&Counts::default(), true);
    facts.complete();
    let inputs = recording::inputs(&log)?;
    for pid in pids {
        let named = [format!("\"tgid\":{pid},"), format!("\"tgid\":{pid}}}")];
        let about = inputs.iter().map(ToString::to_string).filter(|text| named.iter().any(|name| text.contains(name)));
        let first = about.take(1).collect::<String>();
        facts.holds(first.is_empty(), &format!("nothing recorded of process {pid} elsewhere"), &first);
    }
    let paths = inputs.iter().filter(|input| input.to_string().contains(NAME)).count();
    facts.holds(paths == 0, "nothing recorded of cgroups elsewhere", &format!("{paths} records"));
    recording::replays(&log, &over.finished, &format!("run-{name}"))?;
    let mut lines = facts.verdict()?;
    lines.insert(0, fact);
    Ok(lines)
}

/// Removes what a run that failed has left in other hierarchies, unless somebody is still in it.
fn sweep() -> anyhow::Result<()> {
    for it in Hierarchy::mounted()? {
        for entry in std::fs::read_dir(&it.root)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(NAME) {
                let _none = std::fs::remove_dir(entry.path().join("below"));
                let _filled = std::fs::remove_dir(entry.path());
            }
        }
    }
    Ok(())
}

/// Makes cgroups below `inside` and below `elsewhere` until one has the number of the other; the one elsewhere is left.
fn meet((inside, nested): (&Path, &str), elsewhere: &Path) -> anyhow::Result<Option<PathBuf>> {
    let (mut own, mut other) = (Made::new(inside, nested, 0)?, Made::new(elsewhere, NAME, 0)?);
    let (mut inside_made, mut elsewhere_made) = (1, 1);
    // the new one first: a number is not given again soon, but who knows
    while own.id != other.id && inside_made < INSIDE && elsewhere_made < ELSEWHERE {
        if own.id < other.id {
            let next = Made::new(inside, nested, inside_made)?;
            std::mem::replace(&mut own, next).remove()?;
            inside_made += 1;
        } else {
            let next = Made::new(elsewhere, NAME, elsewhere_made)?;
            std::mem::replace(&mut other, next).remove()?;
            elsewhere_made += 1;
        }
    }
    if own.id == other.id {
        // `gracetrace run` takes away what is inside its own
        return Ok(Some(other.path));
    }
    other.remove()?;
    own.remove()?;
    Ok(None)
}

/// A cgroup, and its number.
struct Made {
    path: PathBuf,
    id: u64,
}

impl Made {
    fn new(parent: &Path, name: &str, number: u32) -> anyhow::Result<Self> {
        let path = parent.join(format!("{name}-{number}"));
        std::fs::create_dir(&path)?;
        let id = std::fs::metadata(&path)?.ino();
        Ok(Self { path, id })
    }

    fn remove(self) -> anyhow::Result<()> {
        Ok(std::fs::remove_dir(self.path)?)
    }
}

/// A server that nobody traces, in a cgroup with a traced number, and a client of it.
struct Stranger {
    child: Child,
    client: TcpStream,
}

impl Stranger {
    /// It begins in a cgroup below, and moves: sockets are made where it ends up.
    fn start(machine: &Machine, below: &Path, place: &Path) -> anyhow::Result<Self> {
        let stamps = machine.file(&format!("stranger-{}.stamps", below.metadata()?.ino()));
        let enter = "echo $$ >\"$0/cgroup.procs\" && echo $$ >\"$1/cgroup.procs\" && shift && exec \"$@\"";
        let mut command = Command::new("sh");
        command.arg("-c").arg(enter).args([below, place]).arg(machine.victim()).arg("--stamps").arg(&stamps);
        let child = command.args(["--listen", "127.0.0.1:0", "graceful"]).stdin(Stdio::null()).spawn()?;
        let port: u16 = StampFile::at(&stamps).wait_for("ready")?.detail.parse()?;
        Ok(Self { child, client: TcpStream::connect(("127.0.0.1", port))? })
    }

    /// It is signalled, closes its connection and its listener, and leaves.
    fn end(mut self) -> anyhow::Result<()> {
        let pid = Pid::from_child(&self.child);
        for signal in [Signal::WINCH, Signal::TERM] {
            kill_process(pid, signal)?;
        }
        wait_until("the end of a stranger", Duration::from_secs(5), || self.child.try_wait().ok().flatten())?;
        drop(self.client);
        Ok(())
    }
}

/// A mounted hierarchy.
#[derive(Debug)]
pub(crate) struct Hierarchy {
    pub(crate) root: PathBuf,
    /// Of v1: the controller, or this test's name; `None` for v2.
    pub(crate) controller: Option<String>,
}

impl Hierarchy {
    /// v2's, those of v1 that gracetrace would trace, and the test's own.
    pub(crate) fn mounted() -> anyhow::Result<Vec<Self>> {
        let mounts = std::fs::read_to_string("/proc/self/mounts")?;
        let mut all: Vec<Self> = Vec::new();
        for line in mounts.lines() {
            let [_, root, kind, options, ..] = line.split(' ').collect::<Vec<_>>()[..] else { continue };
            let own = format!("name={NAME}");
            let controller = match kind {
                "cgroup2" => None,
                "cgroup" => match options.split(',').find(|it| ["pids", "memory", &own].contains(it)) {
                    Some(it) => Some(it.trim_start_matches("name=").to_owned()),
                    None => continue,
                },
                _ => continue,
            };
            if all.iter().all(|known| known.controller != controller) {
                all.push(Self { root: root.into(), controller });
            }
        }
        Ok(all)
    }

    fn name(&self) -> &str {
        self.controller.as_deref().unwrap_or("cgroup v2")
    }
}

/// A v1 hierarchy without any controller, as anybody may mount one beside v2: its numbers begin at 1.
struct Own(PathBuf);

impl Own {
    fn mount(machine: &Machine) -> anyhow::Result<Self> {
        let root = machine.file("hierarchy");
        std::fs::create_dir(&root)?;
        let own = Self(root.clone());
        suite::at_end("the test's own cgroup hierarchy", move || {
            // gone already, unless the run was interrupted
            let _gone = unmount(&root);
            Ok(())
        });
        let options = format!("none,name={NAME}");
        let status = Command::new("mount").args(["-t", "cgroup", "-o", &options, "cgroup"]).arg(&own.0).status()?;
        anyhow::ensure!(status.success(), "no v1 hierarchy without controllers can be mounted");
        Ok(own)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Err(error) = sweep().and_then(|()| unmount(&self.0)) {
            suite::say(&format!("    {error:#}"));
        }
    }
}

/// The hierarchy ends with its last cgroup and its last mount.
fn unmount(root: &Path) -> anyhow::Result<()> {
    let status = Command::new("umount").arg(root).stderr(Stdio::null()).status()?;
    anyhow::ensure!(status.success(), "{} cannot be unmounted", root.display());
    Ok(())
}
