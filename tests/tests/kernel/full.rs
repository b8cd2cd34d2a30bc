//! Where reports go takes nothing: a full disk, and a pipe that nobody reads from.

use crate::pods::{self, Container};
use gracetrace_tests::clock::wait_until;
use gracetrace_tests::command::Machine;
use gracetrace_tests::facts::Facts;
use gracetrace_tests::tracer::Tracer;
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
use serde_json::Value;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

const UID: &str = "7a6e0022-57f3-4222-8333-444455556666";
/// Its stdout is what `$0` names.
const INTO: &str = "exec \"$@\" >\"$0\"";

/// A daemon whose stdout is this, and a pod whose only container has ended.
fn with_an_end(name: &str, stdout: &Path) -> anyhow::Result<(Tracer, PathBuf)> {
    let (hierarchy, root) = pods::place(&format!("gracetrace-tests-{name}"))?;
    let stdout = stdout.display().to_string();
    let through = ["sh", "-c", INTO, &stdout].map(str::to_owned);
    let mut tracer =
        Tracer::start_through(&through, &["-o", "jsonl", "--cgroup-hierarchy", &hierarchy].map(str::to_owned))?;
    tracer.wait_for_line("tracing every pod")?;
    let pod = root.join(format!("pod{UID}"));
    std::fs::create_dir(&pod)?;
    Container::start(&pod, ["/bin/sleep", "0.3"].map(str::to_owned).into_iter())?.end()?;
    pods::sweep(&root)?;
    Ok((tracer, root))
}

pub(crate) fn disk(_machine: &Machine) -> anyhow::Result<Vec<String>> {
    let (mut tracer, _root) = with_an_end("full", Path::new("/dev/full"))?;
    tracer.wait_for_line("stdout took no report")?;
    let finished = tracer.end()?;
    let mut facts = Facts::of(Value::Null);
    let told = finished.stderr.contains("1 report could not be written to stdout");
    facts.holds(told, "what was lost is counted", &finished.stderr);
    facts.holds(finished.code == 1, "gracetrace ends with 1", &format!("it ended with {}", finished.code));
    facts.verdict()
}

pub(crate) fn pipe(machine: &Machine) -> anyhow::Result<Vec<String>> {
    let path = machine.file("unread");
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
    // whoever opens it to write need not wait for a reader, and there is no room in it
    let mut unread = File::from(open(&path, OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?);
    while !matches!(unread.write(&[0; 4096]), Err(error) if error.kind() == ErrorKind::WouldBlock) {}
    let (tracer, _root) = with_an_end("unread", &path)?;
    wait_until("that gracetrace waits for a reader", Duration::from_secs(20), || {
        let at = std::fs::read_to_string(format!("/proc/{}/syscall", tracer.pid())).ok()?;
        // write(1, …) on x86-64 and elsewhere
        (at.starts_with("1 0x1 ") || at.starts_with("64 0x1 ")).then_some(())
    })?;
    tracer.terminate()?;
    // it cannot: what was seen is still to be told
    std::thread::sleep(Duration::from_millis(300));
    let finished = tracer.end()?;
    let mut facts = Facts::of(Value::Null);
    facts.holds(finished.code == 143, "a second SIGTERM ends it", &format!("it ended with {}", finished.code));
    facts.verdict()
}
