//! The end of tracing on a node where nothing goes on: the thread that empties the ring sleeps for up to a second then, and what it
//! has not looked at yet is not lost for that.

use crate::pods::{self, Container};
use crate::storm::counts;
use anyhow::Context;
use gracetrace_tests::clock::wait_until;
use gracetrace_tests::command::Machine;
use gracetrace_tests::facts::Facts;
use gracetrace_tests::tracer::Tracer;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// Below it is the pod of this test.
const PODS: &str = "gracetrace-tests-idle";
const UID: &str = "7a6e0021-57f3-4222-8333-444455556666";
/// Waits for a word without a process, makes two that end at once, says so, and waits for ever.
const SCRIPT: &str = "read word <\"$0\"; (exit 0); (exit 0); : >\"$1\"; read word <\"$0\"";
/// A reader that is busy wakes forty times a second, an idle one once, however slow the machine.
const QUIET: Duration = Duration::from_millis(300);

pub(crate) fn loses_nothing(machine: &Machine) -> anyhow::Result<Vec<String>> {
    let (hierarchy, root) = pods::place(PODS)?;
    let (word, done) = (machine.file("idle.word"), machine.file("idle.done"));
    mknodat(CWD, &word, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
    let tracer_words = ["-v", "-o", "jsonl", "--cgroup-hierarchy", &hierarchy].map(str::to_owned);
    let mut tracer = Tracer::start(tracer_words)?;
    tracer.wait_for_line("tracing every pod")?;
    let pod = root.join(format!("pod{UID}"));
    std::fs::create_dir(&pod)?;
    let script = ["/bin/sh", "-c", SCRIPT].map(str::to_owned).into_iter();
    let paths = [&word, &done].map(|path| path.display().to_string());
    let container = Container::start(&pod, script.chain(paths))?;

    let reader = reader_of(tracer.pid())?;
    wait_until("that nothing goes on", Duration::from_secs(20), || {
        // twice: a busy reader that got no processor for once is none that sleeps
        (0..2).all(|_| is_quiet(&reader).unwrap_or(false)).then_some(())
    })?;
    // it has just gone to sleep: what is written now lies there longer than the end would wait
    let before = wake_ups(&reader)?;
    wait_until("that the reader wakes", Duration::from_secs(5), || (wake_ups(&reader).ok()? > before).then_some(()))?;
    std::fs::write(&word, "go\n")?;
    wait_until("two processes", Duration::from_secs(5), || done.exists().then_some(()))?;
    let asleep = wake_ups(&reader)?;
    tracer.terminate()?;
    let finished = tracer.finish()?;
    drop(container);

    let mut facts = Facts::of(Value::Null);
    facts.holds(finished.code == 0, "gracetrace ends", &finished.stderr);
    facts.holds(asleep <= before + 1, "nobody had looked at them", &format!("{} looks", asleep - before));
    let mut of_both = 0;
    for count in counts(&finished.stderr)?.iter().filter(|one| ["process_fork", "process_exit"].contains(&&*one.kind)) {
        let fact = format!("both records of {} have been read", count.kind);
        facts.holds([count.written, count.dropped, count.read] == [2, 0, 2], &fact, &format!("{count:?}"));
        of_both += 1;
    }
    facts.holds(of_both == 2, "both kinds are accounted for", &finished.stderr);
    let complains = finished.stderr.contains("not as many records");
    facts.holds(!complains, "nothing is missing", &finished.stderr);
    facts.verdict()
}

/// Where the kernel tells of the thread that empties the ring.
fn reader_of(process: u32) -> anyhow::Result<std::path::PathBuf> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task"))?;
    let mut paths = threads.filter_map(|thread| Some(thread.ok()?.path()));
    let reader = paths.find(|path| std::fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim() == "ring"));
    reader.context("no thread is called ring")
}

/// Whether a thread does not go to sleep meanwhile, or once as an idle one does.
fn is_quiet(thread: &Path) -> anyhow::Result<bool> {
    let before = wake_ups(thread)?;
    std::thread::sleep(QUIET);
    Ok(wake_ups(thread)? <= before + 1)
}

/// How often a thread has gone to sleep by itself.
fn wake_ups(thread: &Path) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(thread.join("status"))?;
    let number = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    Ok(number.context("no voluntary_ctxt_switches")?.trim().parse()?)
}
