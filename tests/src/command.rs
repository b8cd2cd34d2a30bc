//! A victim under `gracetrace run`: started, stopped and seen to its end, without asking gracetrace
//! how it went.

use crate::client::{Stage, Stages};
use crate::clock::{ExitWatch, boot_ns, wait_until};
use crate::stamps::StampFile;
use crate::suite;
use crate::tracer::{Finished, Tracer};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long after the stop has had its effect clients go on, and how long they are quiet before it: what
/// happens in the same moment as the stop has no right order.
pub const QUIET: Duration = Duration::from_millis(40);

/// What the runs share: the victim, and a folder that is gone at the end.
#[derive(Debug)]
pub struct Machine {
    victim: PathBuf,
    folder: PathBuf,
}

/// A victim that is up.
#[derive(Debug)]
pub struct Running {
    /// gracetrace.
    pub tracer: Tracer,
    /// What the victim writes down.
    pub stamps: StampFile,
    /// The event log.
    pub log: PathBuf,
    /// The victim's process id on this host.
    pub init: u32,
    /// The port it listens on; 0 without.
    pub port: u16,
    /// How far this run is.
    pub stages: Stages,
    watch: ExitWatch,
    ordered: Option<u64>,
}

/// How it went.
#[derive(Debug)]
pub struct Over {
    /// gracetrace's exit and output.
    pub finished: Finished,
    /// What the victim has written down.
    pub stamps: StampFile,
    /// When the harness told gracetrace to stop it, in nanoseconds since boot.
    pub ordered: Option<u64>,
    /// When the victim was gone.
    pub ended: u64,
    /// When gracetrace was gone.
    pub reported: u64,
}

impl Machine {
    /// Makes the folder; its removal is remembered.
    pub fn new(victim: &Path) -> anyhow::Result<Self> {
        crate::tracer::binary()?;
        let folder = tempfile::Builder::new().prefix("gracetrace-kernel-").tempdir()?.keep();
        let removed = folder.clone();
        suite::at_end("the tier's folder", move || Ok(std::fs::remove_dir_all(removed)?));
        Ok(Self { victim: victim.to_owned(), folder })
    }

    /// The program that is stopped.
    pub fn victim(&self) -> &Path {
        &self.victim
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Starts `gracetrace run` with these flags and the victim with these arguments; `{self}` among them
    /// is the victim with stamps of its own.
    pub fn run<S: AsRef<str>>(&self, flags: &[S], victim: &[S], log: &Path, stamps: &Path) -> anyhow::Result<Tracer> {
        let mut args: Vec<String> = ["run", "-o", "json", "--record"].map(str::to_owned).to_vec();
        args.push(log.display().to_string());
        args.extend(flags.iter().map(|flag| flag.as_ref().to_owned()));
        let one = || [self.victim.display().to_string(), "--stamps".to_owned(), stamps.display().to_string()];
        args.push("--".to_owned());
        args.extend(one());
        for arg in victim.iter().map(AsRef::as_ref) {
            if arg == "{self}" { args.extend(one()) } else { args.push(arg.to_owned()) }
        }
        Tracer::start(args)
    }
}

impl Running {
    /// Starts it and waits until it is ready.
    pub fn start<S: AsRef<str>>(machine: &Machine, name: &str, flags: &[S], victim: &[S]) -> anyhow::Result<Self> {
        let (log, stamps) = (machine.file(&format!("{name}.jsonl")), machine.file(&format!("{name}.stamps")));
        let tracer = machine.run(flags, victim, &log, &stamps)?;
        let stamps = StampFile::at(&stamps);
        let port = stamps.wait_for("ready")?.detail.parse().unwrap_or(0);
        let init = wait_until("the victim among the processes", Duration::from_secs(5), || {
            victim_pid(tracer.pid(), stamps.path())
        })?;
        let watch = ExitWatch::on(init)?;
        Ok(Self { tracer, stamps, log, init, port, stages: Stages::default(), watch, ordered: None })
    }

    /// Where it is reached under this address.
    pub fn server(&self, ip: IpAddr) -> SocketAddr {
        SocketAddr::new(ip, self.port)
    }

    /// Orders the stop, and lets the clients go on once it has had its effect: the handler has run or the
    /// process has gone.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.ordered = Some(self.tracer.terminate()?);
        let effect = || (self.stamps.first("handler").is_ok() || self.watch.has_ended()).then_some(());
        wait_until("the stop's effect", Duration::from_secs(20), effect)?;
        std::thread::sleep(QUIET);
        self.stages.reach(Stage::Stopped);
        Ok(())
    }

    /// Waits for the end of the victim, then for the report.
    pub fn finish(self) -> anyhow::Result<Over> {
        let ended = self.watch.ended_at()?;
        self.stages.reach(Stage::Ended);
        let finished = self.tracer.finish()?;
        let reported = boot_ns();
        self.stages.reach(Stage::Reported);
        Ok(Over { finished, stamps: self.stamps, ordered: self.ordered, ended, reported })
    }
}

/// As any thread of a process has it: a first thread that has left the others has none any more.
fn command_line(process: &Path) -> Option<String> {
    let threads = std::fs::read_dir(process.join("task")).ok()?.flatten();
    let lines = threads.filter_map(|thread| std::fs::read(thread.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).into_owned()).find(|line| !line.is_empty())
}

/// The victim that gracetrace started: the oldest whose command line has these stamps.
fn victim_pid(tracer: u32, stamps: &Path) -> Option<u32> {
    let stamps = stamps.to_string_lossy();
    let mut pids: Vec<u32> = Vec::new();
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let command = command_line(&entry.path()).unwrap_or_default();
        let program = command.split('\0').next().unwrap_or_default();
        if pid != tracer && program.ends_with("/victim") && command.contains(&*stamps) {
            pids.push(pid);
        }
    }
    pids.into_iter().min()
}
