//! One kernel in qemu, from power-on to power-off, or to whatever else ends it.
//!
//! Always emulated (TCG): nested virtualisation may be there and hang. That is about 13 times slower than
//! the machine itself.

use crate::qemu::Qemu;
use anyhow::{Context, Result};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

const MEMORY: &str = "3G";
/// With more than one processor, older ones let kernels from 6.12 on panic (cmpxchg16b spoils the flags).
const FIRST_WITH_SOUND_PROCESSORS: u32 = 8;
/// An emulated processor needs no mitigation, and its time stamp counter is the only clock that is quick.
const PARAMETERS: &str = "console=ttyS0 loglevel=4 panic=-1 mitigations=off tsc=reliable random.trust_cpu=on";

/// What a kernel says when it cannot go on, or does not.
const LAST_WORDS: [&str; 6] =
    ["Kernel panic", "Oops:", "BUG: ", "rcu: INFO: rcu_", "soft lockup", "Unable to mount root"];

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It did all its jobs and powered off.
    Done,
    /// It did not, for this reason.
    Trouble(String),
}

/// What it printed, and how it ended.
pub(super) struct Run {
    pub(super) lines: Vec<String>,
    pub(super) end: End,
    pub(super) took: Duration,
}

/// A kernel, and what it is given.
pub(super) struct Guest<'a> {
    /// Its image.
    pub(super) kernel: &'a Path,
    pub(super) initramfs: &'a Path,
    /// File systems, in the order of their names there (`vda`, `vdb`); what is written to them is forgotten.
    pub(super) disks: &'a [&'a Path],
    /// On its command line beside ours.
    pub(super) parameters: &'a str,
    /// The longest that it may take.
    pub(super) limit: Duration,
}

/// qemu, as this machine has it.
pub(super) struct Emulator {
    program: Qemu,
    version: String,
}

impl Emulator {
    pub(super) fn find() -> Result<Self> {
        let program = Qemu::find().context("no qemu; run: cargo xtask setup --for vm")?;
        let version = super::archive::output(program.command().arg("--version"))?;
        Ok(Self { program, version: version.lines().next().unwrap_or_default().to_owned() })
    }

    /// As it names itself.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// How many a guest gets.
    pub(super) fn processors(&self) -> usize {
        if major(&self.version) >= FIRST_WITH_SOUND_PROCESSORS { 2 } else { 1 }
    }

    /// Boots it and waits for its end; each line of the console goes to `hear`, and what comes over the second serial
    /// line to the file `logs`.
    pub(super) fn boot(
        &self,
        guest: &Guest<'_>,
        logs: &Path,
        interrupted: &AtomicBool,
        hear: &mut dyn FnMut(&str),
    ) -> Result<Run> {
        let began = Instant::now();
        let mut machine = Machine(self.command(guest, logs).spawn().context("can't start qemu")?);
        let console = machine.0.stdout.take().context("its console is not piped")?;
        let (sender, receiver) = mpsc::channel();
        let reader = std::thread::spawn(move || read(console, &sender));
        let mut lines = Vec::new();
        let end = listen(&receiver, &mut lines, began + guest.limit, interrupted, hear);
        drop(machine);
        drop(receiver);
        let _panicked = reader.join();
        Ok(Run { lines, end, took: began.elapsed() })
    }

    fn command(&self, guest: &Guest<'_>, logs: &Path) -> Command {
        let mut command = self.program.command();
        command.args(["-accel", "tcg", "-cpu", "max", "-m", MEMORY, "-smp", &self.processors().to_string()]);
        command.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-monitor", "none"]);
        command.args(["-serial", "stdio", "-serial"]).arg(format!("file:{}", logs.display()));
        command
            .arg("-kernel")
            .arg(guest.kernel)
            .arg("-initrd")
            .arg(guest.initramfs)
            .args(["-append", &format!("{PARAMETERS} {}", guest.parameters)]);
        for disk in guest.disks {
            command.arg("-drive").arg(format!("file={},if=virtio,format=raw,snapshot=on", disk.display()));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }
}

fn read(console: impl Read, lines: &mpsc::Sender<String>) {
    for line in BufReader::new(console).split(b'\n') {
        let Ok(line) = line else { return };
        if lines.send(String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned()).is_err() {
            return;
        }
    }
}

/// Keeps the lines until the machine ends, or must.
fn listen(
    receiver: &mpsc::Receiver<String>,
    lines: &mut Vec<String>,
    deadline: Instant,
    interrupted: &AtomicBool,
    hear: &mut dyn FnMut(&str),
) -> End {
    loop {
        match receiver.recv_timeout(Duration::from_millis(200)) {
            Ok(line) => {
                hear(&line);
                lines.push(line.clone());
                if LAST_WORDS.iter().any(|word| line.contains(word)) {
                    // the rest of what it says helps to find out why
                    let until = Instant::now() + Duration::from_secs(3);
                    while let Ok(more) = receiver.recv_timeout(until.saturating_duration_since(Instant::now())) {
                        lines.push(more);
                    }
                    return End::Trouble(line);
                }
            }
            Err(RecvTimeoutError::Disconnected) if lines.iter().any(|line| line == "@vm done") => return End::Done,
            Err(RecvTimeoutError::Disconnected) => {
                return End::Trouble("it ended before its jobs were done".to_owned());
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if Instant::now() > deadline {
            return End::Trouble("it took too long (see --minutes)".to_owned());
        }
        if interrupted.load(Ordering::Relaxed) {
            return End::Trouble("interrupted".to_owned());
        }
    }
}

/// The emulator's process: it ends with this value.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Of `QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)`.
fn major(version: &str) -> u32 {
    let number = version.split_once("version ").and_then(|(_, rest)| rest.split('.').next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn the_version_of_qemu_is_read() {
        assert_eq!(major("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\n"), 7);
        assert_eq!(major("QEMU emulator version 10.0.2 (Debian)\n"), 10);
        assert_eq!(major("no"), 0);
    }
}
