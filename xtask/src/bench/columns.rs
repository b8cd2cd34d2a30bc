//! Who is measured: nobody, gracetrace in each of the states a pod can be in, and its peers.

use super::Binaries;
use super::agent::Agent;
use super::rounds::Setting;
use crate::process;
use anyhow::{Context, Result};
use rustix::process::Signal;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// A column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// No tracer.
    Bare,
    /// gracetrace for the whole node; the load is in nobody's pod.
    Untracked,
    /// The load is the command of `gracetrace run`, and runs.
    Healthy,
    /// It has got its stop signal and goes on.
    Terminating,
    /// sigsnoop, exitsnoop and tcpstates together, each into a file.
    Peers,
    /// tcplife, into a file.
    Lifetimes,
    /// Raw tracepoints that return at once on each hook that gracetrace has, as many as it has there.
    Floor,
    /// bpftrace with a program that does nothing on each of the same three hooks.
    Empty,
    /// bpftrace that counts on the same three hooks.
    Counting,
    /// bpftrace that prints a line an event.
    Printing,
}

pub(super) const ALL: [Column; 10] = [
    Column::Bare,
    Column::Untracked,
    Column::Healthy,
    Column::Terminating,
    Column::Peers,
    Column::Lifetimes,
    Column::Floor,
    Column::Empty,
    Column::Counting,
    Column::Printing,
];

/// How long after its programs are there a peer's have surely been attached.
const ATTACH: Duration = Duration::from_millis(200);
const READY: Duration = Duration::from_secs(20);
const COUNTS: &str = "tracepoint:signal:signal_generate { @s = count(); } tracepoint:sched:sched_process_exit { @e = count(); } \
    tracepoint:sock:inet_sock_set_state { @t = count(); }";
const NOTHING: &str = "tracepoint:signal:signal_generate { 1 } tracepoint:sched:sched_process_exit { 1 } \
    tracepoint:sock:inet_sock_set_state { 1 }";
const PRINTS: &str = "tracepoint:signal:signal_generate { printf(\"%d %s %d %d\\n\", pid, comm, args->sig, args->pid); } \
    tracepoint:sched:sched_process_exit { printf(\"%d %s\\n\", pid, comm); } \
    tracepoint:sock:inet_sock_set_state { printf(\"%d %s %d %d\\n\", pid, comm, args->oldstate, args->newstate); }";
/// Peers find tracepoints through tracefs, which need not be mounted: it is, for them alone.
const MOUNTS: &str = "mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing; \
    mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug; exec \"$@\"";

/// Goes into a cgroup, then becomes the load.
const ENTER: &str = "echo $$ > \"$1/cgroup.procs\" && shift && exec \"$@\"";

impl Column {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Untracked => "untracked",
            Self::Healthy => "healthy",
            Self::Terminating => "terminating",
            Self::Peers => "peers",
            Self::Lifetimes => "tcplife",
            Self::Floor => "floor",
            Self::Empty => "empty",
            Self::Counting => "bt-count",
            Self::Printing => "bt-printf",
        }
    }

    /// Whether gracetrace starts the load.
    pub(super) fn runs_the_load(self) -> bool {
        matches!(self, Self::Healthy | Self::Terminating)
    }

    /// Starts the tracers that stand beside the load.
    pub(super) fn tracers(self, setting: &Setting<'_>) -> Result<Vec<Agent>> {
        let Setting { binaries, folder, .. } = *setting;
        match self {
            Self::Bare | Self::Healthy | Self::Terminating => Ok(Vec::new()),
            Self::Untracked => Ok(vec![daemon(binaries, folder)?]),
            Self::Peers => ["sigsnoop", "exitsnoop", "tcpstates"].iter().map(|name| peer(&[name], folder, 1)).collect(),
            Self::Lifetimes => Ok(vec![peer(&["tcplife"], folder, 1)?]),
            Self::Floor => Ok(vec![floor(setting)?]),
            Self::Empty => Ok(vec![peer(&["bpftrace", "-e", NOTHING], folder, 3)?]),
            Self::Counting => Ok(vec![peer(&["bpftrace", "-e", COUNTS], folder, 3)?]),
            Self::Printing => Ok(vec![peer(&["bpftrace", "-e", PRINTS], folder, 3)?]),
        }
    }

    /// The command that puts this program there.
    pub(super) fn load(self, setting: &Setting<'_>, program: &Path, words: &[&str]) -> Result<Command> {
        let Setting { binaries, folder, .. } = *setting;
        let command = match self {
            Self::Healthy => traced(binaries, folder, &[], program, words)?,
            Self::Terminating => traced(binaries, folder, &["--stop-after", "100ms"], program, words)?,
            Self::Bare
            | Self::Untracked
            | Self::Peers
            | Self::Lifetimes
            | Self::Floor
            | Self::Empty
            | Self::Counting
            | Self::Printing => untraced(binaries, program, words),
        };
        Ok(command)
    }

    /// The hook of a peer's program; gracetrace's and the floor's are known by their links.
    pub(super) fn hook(self, program: &str) -> Option<&'static str> {
        if matches!(self, Self::Bare | Self::Untracked | Self::Healthy | Self::Terminating | Self::Floor) {
            return None;
        }
        // as the kernel has cut them
        match program {
            "sig_trace" | "signal_generate" => Some("signal_generate"),
            "sched_process_e" => Some("sched_process_exit"),
            "handle_set_stat" | "inet_sock_set_s" => Some("inet_sock_set_state"),
            _ => None,
        }
    }
}

/// A program that is nobody's pod, in a cgroup of its own, as everything on a node is.
pub(super) fn untraced(binaries: &Binaries, program: &Path, words: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", ENTER, "sh"]).arg(&binaries.cgroup).arg(program).args(words);
    command
}

/// `gracetrace run`, its report and its words in files.
pub(super) fn traced(
    binaries: &Binaries,
    folder: &Path,
    how: &[&str],
    program: &Path,
    words: &[&str],
) -> Result<Command> {
    let mut command = Command::new(&binaries.gracetrace);
    command.args(["run", "-v", "-o", "jsonl", "--grace-period", "300s"]).args(how).arg("--").arg(program);
    command.args(words);
    if how.contains(&"--stop-after") {
        command.arg("--after-term");
    }
    into_files(&mut command, folder, "gracetrace")?;
    Ok(command)
}

/// `gracetrace` for the node, attached.
pub(super) fn daemon(binaries: &Binaries, folder: &Path) -> Result<Agent> {
    let mut command = Command::new(&binaries.gracetrace);
    command.args(["-v", "-o", "jsonl"]);
    into_files(&mut command, folder, "gracetrace")?;
    let mut agent = Agent::start(&mut command)?;
    let said = folder.join("gracetrace.err");
    agent.wait_while("it traces", READY, |_| {
        !fs::read_to_string(&said).is_ok_and(|text| text.contains("tracing every pod"))
    })?;
    Ok(agent)
}

/// Programs that do nothing, attached.
fn floor(setting: &Setting<'_>) -> Result<Agent> {
    let mut command = Command::new(&setting.binaries.floor);
    command.args(setting.hooks);
    into_files(&mut command, setting.folder, "floor")?;
    let mut agent = Agent::start(&mut command)?;
    agent.wait_while("it is attached", READY, |agent| agent.tracepoints().len() < setting.hooks.len())?;
    Ok(agent)
}

/// The hooks of gracetrace's raw tracepoints, each as often as it has programs there.
pub(super) fn hooks(binaries: &Binaries, folder: &Path) -> Result<Vec<String>> {
    let mut agent = daemon(binaries, folder)?;
    let hooks = agent.tracepoints().into_values().collect();
    agent.stop(Signal::TERM)?;
    Ok(hooks)
}

/// A peer, once it has its programs.
pub(super) fn peer(words: &[&str], folder: &Path, programs: usize) -> Result<Agent> {
    let (name, _) = words.split_first().context("no peer")?;
    let path =
        process::find(name).with_context(|| format!("{name} is not installed; run: cargo xtask setup --for bench"))?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", MOUNTS, "sh"]).arg(path).args(&words[1..]);
    into_files(&mut command, folder, name)?;
    let mut agent = Agent::start(&mut command)?;
    agent.wait_while(&format!("{name} is attached"), READY, |agent| agent.programs().len() < programs)?;
    sleep(ATTACH);
    Ok(agent)
}

fn into_files(command: &mut Command, folder: &Path, name: &str) -> Result<()> {
    let file = |kind: &str| File::create(folder.join(format!("{name}.{kind}")));
    let what = || format!("can't write to {}", folder.display());
    command.stdin(Stdio::null()).stdout(file("out").with_context(what)?).stderr(file("err").with_context(what)?);
    Ok(())
}
