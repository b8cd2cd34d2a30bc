//! The harness's own clock readings, on the clock that the kernel side uses.

use rustix::process::{Pid, PidfdFlags};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Nanoseconds since boot, suspend included.
pub fn boot_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// Milliseconds from one reading to a later one; negative if it is an earlier one.
pub fn ms_between(from: u64, to: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "spans of hours are exact in 53 bits")]
    let ms = (i128::from(to) - i128::from(from)) as f64 / 1e6;
    ms
}

/// How many times slower than usual this machine is: `GRACETRACE_SLOW`, as in an emulated one; 1 without. Scales how long is
/// waited and how late something may be, never how often anything happens.
pub fn slow() -> f64 {
    static SLOW: OnceLock<f64> = OnceLock::new();
    let asked = || std::env::var("GRACETRACE_SLOW").ok()?.parse().ok();
    *SLOW.get_or_init(|| asked().filter(|slow| *slow >= 1.0).unwrap_or(1.0))
}

/// As long as that is on this machine.
pub fn scaled(usual: Duration) -> Duration {
    usual.mul_f64(slow())
}

/// Asks `ready` every few milliseconds until it answers; `timeout` is for a machine as fast as usual.
pub fn wait_until<T>(what: &str, timeout: Duration, mut ready: impl FnMut() -> Option<T>) -> anyhow::Result<T> {
    let timeout = scaled(timeout);
    let until = Instant::now() + timeout;
    loop {
        if let Some(answer) = ready() {
            return Ok(answer);
        }
        anyhow::ensure!(Instant::now() < until, "waited {timeout:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Reads the clock at the moment a process ends, in a thread of its own.
#[derive(Debug)]
pub struct ExitWatch(std::thread::JoinHandle<anyhow::Result<u64>>);

impl ExitWatch {
    /// Watches process `pid` as this PID namespace numbers it.
    pub fn on(pid: u32) -> anyhow::Result<Self> {
        let raw = Pid::from_raw(i32::try_from(pid)?).ok_or_else(|| anyhow::anyhow!("0 is no process"))?;
        let pidfd = rustix::process::pidfd_open(raw, PidfdFlags::empty())?;
        Ok(Self(std::thread::spawn(move || {
            let mut fds = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
            let limit = rustix::time::Timespec { tv_sec: 120, tv_nsec: 0 };
            anyhow::ensure!(rustix::event::poll(&mut fds, Some(&limit))? == 1, "process {pid} did not end");
            Ok(boot_ns())
        })))
    }

    /// Whether it has.
    pub fn has_ended(&self) -> bool {
        self.0.is_finished()
    }

    /// When it ended.
    pub fn ended_at(self) -> anyhow::Result<u64> {
        self.0.join().map_err(|_| anyhow::anyhow!("the watching thread panicked"))?
    }
}
