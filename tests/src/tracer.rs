//! gracetrace, started as a person starts it: the binary, its streams and its exit code.

use crate::clock::{boot_ns, scaled, wait_until};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The binary under test: `$GRACETRACE_BIN`, else what `cargo xtask build` leaves.
pub fn binary() -> anyhow::Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let path = std::env::var_os("GRACETRACE_BIN").map_or_else(|| root.join("target/release/gracetrace"), PathBuf::from);
    anyhow::ensure!(
        path.is_file(),
        "no gracetrace at {}: run `cargo xtask build` first or set GRACETRACE_BIN",
        path.display()
    );
    Ok(path)
}

/// How long it may take to end once it is told to, on a machine as fast as usual.
const AT_THE_END: Duration = Duration::from_secs(2);

/// A gracetrace that is running.
#[derive(Debug)]
pub struct Tracer {
    child: Child,
    stdout: Stream,
    stderr: Stream,
    /// When it was started, in nanoseconds since boot.
    pub started_at: u64,
}

/// Those that run, for an interrupted run to end: its threads drop nothing. None once it is ending: then no
/// other starts.
static RUNNING: Mutex<Option<Vec<(u32, OwnedFd)>>> = Mutex::new(Some(Vec::new()));

/// Tells every gracetrace that runs to end, and waits for that.
pub(crate) fn end_all() {
    let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
    for (_, pidfd) in &running {
        // one that has just gone needs no signal; `gracetrace run` has a command and a cgroup to clear away
        let _gone = pidfd_send_signal(pidfd, Signal::TERM);
    }
    for (_, pidfd) in &running {
        let mut fds = [rustix::event::PollFd::new(pidfd, rustix::event::PollFlags::IN)];
        let limit = rustix::time::Timespec { tv_sec: 8, tv_nsec: 0 };
        if !matches!(rustix::event::poll(&mut fds, Some(&limit)), Ok(1)) {
            let _gone = pidfd_send_signal(pidfd, Signal::KILL);
        }
    }
}

/// Whether the run has been interrupted: what is seen from then on says nothing.
pub fn interrupted() -> bool {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner).is_none()
}

/// What it left.
#[derive(Debug)]
pub struct Finished {
    /// Exit code; 128+signal if a signal ended it.
    pub code: i32,
    /// Everything on stdout.
    pub stdout: String,
    /// Everything on stderr.
    pub stderr: String,
}

impl Tracer {
    /// Starts it with these arguments.
    pub fn start<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> anyhow::Result<Self> {
        let mut command = Command::new(binary()?);
        command.args(args);
        Self::spawn(command)
    }

    /// The same through a program that becomes it: `through` is that program and its arguments, after which come gracetrace's own.
    pub fn start_through(through: &[String], args: &[String]) -> anyhow::Result<Self> {
        let (program, first) = through.split_first().ok_or_else(|| anyhow::anyhow!("no program"))?;
        let mut command = Command::new(program);
        command.args(first).arg(binary()?).args(args);
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> anyhow::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for (name, _) in std::env::vars_os() {
            // the caller's settings are not what is tested
            let name_shown = name.to_string_lossy();
            if name_shown.starts_with("GRACETRACE_") || name_shown == "CLICOLOR_FORCE" {
                command.env_remove(name);
            }
        }
        if let Some(hierarchy) = std::env::var_os("GRACETRACE_TEST_HIERARCHY") {
            command.env("GRACETRACE_CGROUP_HIERARCHY", hierarchy);
        }
        let started_at = boot_ns();
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let all = running.as_mut().ok_or_else(|| anyhow::anyhow!("the run is being interrupted"))?;
        let mut child = command.spawn()?;
        all.push((child.id(), pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?));
        drop(running);
        let (stdout, stderr) = (Stream::of(child.stdout.take()), Stream::of(child.stderr.take()));
        Ok(Self { child, stdout, stderr, started_at })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line on stderr that contains `text`.
    pub fn wait_for_line(&mut self, text: &str) -> anyhow::Result<()> {
        let (stderr, child) = (self.stderr.clone(), &mut self.child);
        wait_until(&format!("{text:?} on gracetrace's stderr"), Duration::from_secs(10), || {
            let seen = stderr.text().lines().any(|line| line.contains(text));
            (seen || !matches!(child.try_wait(), Ok(None))).then_some(())
        })
        .map_err(|error| anyhow::anyhow!("{error}; stderr: {}", self.stderr.text()))?;
        let seen = self.stderr.text();
        anyhow::ensure!(
            seen.lines().any(|line| line.contains(text)),
            "gracetrace ended without {text:?}; stderr: {seen}"
        );
        Ok(())
    }

    /// Waits until stdout has that many whole lines.
    pub fn wait_for_reports(&self, lines: usize) -> anyhow::Result<()> {
        self.wait_for(&format!("{lines} lines of report"), |stdout| stdout.matches('\n').count() >= lines)
    }

    /// Waits until what it has written on stdout will do.
    pub fn wait_for(&self, what: &str, will_do: impl Fn(&str) -> bool) -> anyhow::Result<()> {
        wait_until(what, Duration::from_secs(30), || will_do(&self.stdout.text()).then_some(()))
            .map_err(|error| anyhow::anyhow!("{error}; stdout: {}; stderr: {}", self.stdout.text(), self.stderr.text()))
    }

    /// Sends it SIGTERM; the reading is taken just before.
    pub fn terminate(&self) -> anyhow::Result<u64> {
        let at = boot_ns();
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        Ok(at)
    }

    /// Tells a gracetrace that follows pods to end, and waits for that: it may take two seconds, whatever it still has to read and to tell.
    pub fn end(self) -> anyhow::Result<Finished> {
        let told = self.terminate()?;
        let finished = self.finish()?;
        let took = Duration::from_nanos(boot_ns().saturating_sub(told));
        anyhow::ensure!(took <= scaled(AT_THE_END), "gracetrace took {took:?} to end after SIGTERM");
        Ok(finished)
    }

    /// Does something while it stands still and only its probes run: what they write stays as it is, for however long that takes.
    pub fn while_still<T>(&self, what: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::STOP)?;
        let done = wait_until("that gracetrace stands still", Duration::from_secs(10), || {
            stands_still(self.child.id()).then_some(())
        })
        .and_then(|()| what());
        // also where something failed: it is to end
        kill_process(pid, Signal::CONT)?;
        done
    }

    /// Waits for its end, for at most a minute.
    pub fn finish(mut self) -> anyhow::Result<Finished> {
        let status = wait_until("gracetrace's end", Duration::from_secs(60), || self.child.try_wait().transpose());
        let status = match status {
            Ok(status) => status?,
            Err(error) => anyhow::bail!("{error}; stdout: {}; stderr: {}", self.stdout.text(), self.stderr.text()),
        };
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        Ok(Finished { code, stdout: self.stdout.to_end(), stderr: self.stderr.to_end() })
    }
}

/// Whether every thread of a process is stopped.
fn stands_still(process: u32) -> bool {
    let Ok(mut threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { return false };
    threads.all(|thread| {
        let status = thread.and_then(|thread| std::fs::read_to_string(thread.path().join("status")));
        status.is_ok_and(|status| status.lines().any(|line| line.starts_with("State:\tT")))
    })
}

impl Drop for Tracer {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // SIGTERM first: `gracetrace run` has a command and a cgroup to clear away
            let _gone = self.terminate();
            let ended = wait_until("gracetrace's end", Duration::from_secs(8), || self.child.try_wait().ok().flatten());
            if ended.is_err() {
                let _gone = self.child.kill();
            }
        }
        let _reaped = self.child.wait();
        if let Some(running) = RUNNING.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            running.retain(|(pid, _)| *pid != self.child.id());
        }
    }
}

impl Finished {
    /// The one report on stdout, after an exit with code 0.
    pub fn report(&self) -> anyhow::Result<serde_json::Value> {
        anyhow::ensure!(self.code == 0, "gracetrace ended with {}; stderr: {}", self.code, self.stderr);
        serde_json::from_str(&self.stdout)
            .map_err(|error| anyhow::anyhow!("stdout is no JSON object: {error}\n{}\n{}", self.stdout, self.stderr))
    }

    /// One report a line.
    pub fn reports(&self) -> anyhow::Result<Vec<serde_json::Value>> {
        anyhow::ensure!(self.code == 0, "gracetrace ended with {}; stderr: {}", self.code, self.stderr);
        Ok(self.stdout.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
    }
}

/// A stream that a thread reads, so that it never fills.
#[derive(Debug, Clone)]
struct Stream {
    text: Arc<Mutex<Vec<u8>>>,
    reader: Arc<Mutex<Option<std::thread::JoinHandle<()>>>>,
}

impl Stream {
    fn of(pipe: Option<impl Read + Send + 'static>) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&text);
        let reader = std::thread::spawn(move || {
            let (Some(mut pipe), mut buffer) = (pipe, [0; 4096]) else { return };
            while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                sink.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..count]);
            }
        });
        Self { text, reader: Arc::new(Mutex::new(Some(reader))) }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// Everything, once the other end is closed (by whatever inherited it, so not for ever).
    fn to_end(&self) -> String {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reader) = reader {
            let _late =
                wait_until("the end of a stream", Duration::from_secs(2), || reader.is_finished().then_some(()));
        }
        self.text()
    }
}
