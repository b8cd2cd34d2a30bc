//! The command's main process, from its start until its exit status is taken. It is not waited for
//! before the end, so its pid is its own as long as this is there, and can be signalled safely.

use super::spawn;
use anyhow::{Context, anyhow};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::process::Child;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How long the end waits for the process to be gone after SIGKILL.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(5);

/// The main process.
#[derive(Debug)]
pub(super) struct Main {
    child: Child,
    pid: Pid,
}

impl Main {
    /// Starts it; gives also what tells when it has gone.
    pub(super) fn start(
        words: &[OsString],
        door: File,
        pid_namespace: bool,
    ) -> anyhow::Result<(Self, oneshot::Receiver<()>)> {
        let child = spawn::spawn(words, door, pid_namespace).map_err(|error| refusal(words, &error))?;
        let pid = Pid::from_child(&child);
        let main = Self { child, pid };
        let (sender, gone) = oneshot::channel();
        std::thread::Builder::new()
            .name("command".to_owned())
            .spawn(move || {
                // it stays a zombie, so that its pid cannot be another's
                let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
                while matches!(waitid(WaitId::Pid(pid), options), Err(rustix::io::Errno::INTR)) {}
                // nobody listens any more when gracetrace has given up
                let _ = sender.send(());
            })
            .context("cannot start a thread")?;
        Ok((main, gone))
    }

    /// Sends a signal to this process alone, as a container runtime does.
    pub(super) fn signal(&self, number: i32) -> anyhow::Result<()> {
        let signal = spawn::signal(number).ok_or_else(|| anyhow!("signal {number} cannot be sent"))?;
        kill_process(self.pid, signal).with_context(|| format!("cannot send {}", crate::signal::name(number)))
    }
}

impl Drop for Main {
    fn drop(&mut self) {
        // a no-op where it has gone already
        let _ = kill_process(self.pid, Signal::KILL);
        // a process that hangs in the kernel is not worth hanging for
        let end = Instant::now() + PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(LOOK);
        }
    }
}

fn refusal(words: &[OsString], error: &io::Error) -> anyhow::Error {
    let program = words.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    let advice = if error.kind() == io::ErrorKind::NotFound {
        "is it spelt right, and in $PATH?"
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        "is it executable?"
    } else {
        "does it run without gracetrace?"
    };
    let text = error.to_string();
    let reason = text.split(" (os error").next().unwrap_or(&text);
    anyhow!("cannot run {}: {reason}: {advice}", crate::text::clean(&program))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_cannot_run_is_one_line() {
        let error = refusal(&["foo".into()], &io::Error::from_raw_os_error(2));
        assert_eq!(error.to_string(), "cannot run foo: No such file or directory: is it spelt right, and in $PATH?");
    }
}
