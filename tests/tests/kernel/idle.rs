//! What the thread that empties the ring does where nobody waits for it: it sleeps for up to a second, also while records come that nobody
//! is in a hurry for; and what it has not looked at yet is not lost when tracing ends.

use crate::pods::{self, Container};
use crate::storm::counts;
use anyhow::Context;
use gracetrace_tests::clock::wait_until;
use gracetrace_tests::command::Machine;
use gracetrace_tests::facts::Facts;
use gracetrace_tests::tracer::Tracer;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

const UID: &str = "7a6e0021-57f3-4222-8333-444455556666";
/// Waits for a word without a process, makes two that end at once, says so, and waits for ever.
const TWO: &str = "read word <\"$0\"; (exit 0); (exit 0); : >\"$1\"; read word <\"$0\"";
/// The same with as many as it is told, each another program, one after the other.
const ONE_AFTER_THE_OTHER: &str = "read count <\"$0\"; i=0; while [ $i -lt $count ]; do /bin/sleep 0.04; i=$((i+1)); done; : >\"$1\"; read word <\"$0\"";
const MANY: u64 = 100;
/// A reader that is busy wakes forty times a second, an idle one once, however slow the machine.
const QUIET: Duration = Duration::from_millis(300);
/// How long processes come and go before the reader is watched, and how long it is: the reader was busy for less than the one
/// after the last that somebody waited for.
const SETTLES: Duration = Duration::from_millis(1200);
const WATCHED: Duration = Duration::from_secs(2);
/// How often it goes to sleep meanwhile: once for each look, of which there may be another one when something came just after the last,
/// and once for a moment's rest after it. If it looked as often as a busy one it would be a hundred times.
const LOOKS: u64 = 20;
/// How long it is watched, and how often it sleeps at least, once something has come that somebody waits for (it would be sixteen times).
const QUICKENED: Duration = Duration::from_millis(400);
const QUICK: u64 = 4;

/// gracetrace, and a pod that does nothing yet.
struct Scene {
    tracer: Tracer,
    container: Container,
    /// Where the thread that empties the ring is told of.
    reader: PathBuf,
    word: PathBuf,
    done: PathBuf,
}

impl Scene {
    fn begin(machine: &Machine, name: &str, script: &str) -> anyhow::Result<Self> {
        let (hierarchy, root) = pods::place(&format!("gracetrace-tests-{name}"))?;
        let (word, done) = (machine.file(&format!("{name}.word")), machine.file(&format!("{name}.done")));
        mknodat(CWD, &word, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        let tracer_words = ["-v", "-o", "jsonl", "--cgroup-hierarchy", &hierarchy].map(str::to_owned);
        let mut tracer = Tracer::start(tracer_words)?;
        tracer.wait_for_line("tracing every pod")?;
        let pod = root.join(format!("pod{UID}"));
        std::fs::create_dir(&pod)?;
        let script = ["/bin/sh", "-c", script].map(str::to_owned).into_iter();
        let paths = [&word, &done].map(|path| path.display().to_string());
        let container = Container::start(&pod, script.chain(paths))?;
        let reader = reader_of(tracer.pid())?;
        wait_until("that nothing goes on", Duration::from_secs(20), || {
            // twice: a busy reader that got no processor for once is none that sleeps
            (0..2).all(|_| is_quiet(&reader).unwrap_or(false)).then_some(())
        })?;
        Ok(Self { tracer, container, reader, word, done })
    }

    /// Ends tracing; each of these kinds was written, and read, so many times.
    fn end(self, kinds: &[(&str, u64)]) -> anyhow::Result<Facts> {
        let finished = self.tracer.end()?;
        drop(self.container);
        let mut facts = Facts::of(Value::Null);
        facts.holds(finished.code == 0, "gracetrace ends", &finished.stderr);
        let mut found = 0;
        for count in counts(&finished.stderr)? {
            let Some((_, times)) = kinds.iter().copied().find(|(kind, _)| **kind == *count.kind) else { continue };
            let fact = format!("{times} records of {} have been written, and read", count.kind);
            facts.holds([count.written, count.dropped, count.read] == [times, 0, times], &fact, &format!("{count:?}"));
            found += 1;
        }
        facts.holds(found == kinds.len(), "each kind is accounted for", &finished.stderr);
        let complains = finished.stderr.contains("not as many records");
        facts.holds(!complains, "nothing is missing", &finished.stderr);
        Ok(facts)
    }
}

pub(crate) fn loses_nothing(machine: &Machine) -> anyhow::Result<Vec<String>> {
    let scene = Scene::begin(machine, "idle", TWO)?;
    // it has just gone to sleep: what is written now lies there longer than the end would wait
    let before = wake_ups(&scene.reader)?;
    wait_until("that the reader wakes", Duration::from_secs(5), || {
        (wake_ups(&scene.reader).ok()? > before).then_some(())
    })?;
    std::fs::write(&scene.word, "go\n")?;
    wait_until("two processes", Duration::from_secs(5), || scene.done.exists().then_some(()))?;
    let asleep = wake_ups(&scene.reader)?;
    let mut facts = scene.end(&[("process_fork", 2), ("process_exit", 2)])?;
    facts.holds(asleep <= before + 1, "nobody had looked at them", &format!("{} looks", asleep - before));
    facts.verdict()
}

pub(crate) fn is_in_no_hurry(machine: &Machine) -> anyhow::Result<Vec<String>> {
    let scene = Scene::begin(machine, "trickle", ONE_AFTER_THE_OTHER)?;
    std::fs::write(&scene.word, format!("{MANY}\n"))?;
    std::thread::sleep(SETTLES);
    let before = wake_ups(&scene.reader)?;
    std::thread::sleep(WATCHED);
    let looks = wake_ups(&scene.reader)? - before;
    let went_on = !scene.done.exists();
    wait_until("that the last one has gone", Duration::from_secs(60), || scene.done.exists().then_some(()))?;
    let after = wake_ups(&scene.reader)?;
    // a signal that means nothing, from outside: somebody waits for any
    kill_process(Pid::from_raw(scene.container.init.cast_signed()).context("no init")?, Signal::WINCH)?;
    std::thread::sleep(QUICKENED);
    let quick = wake_ups(&scene.reader)? - after;
    // one program is the container's own
    let mut facts = scene.end(&[("process_fork", MANY), ("process_exec", MANY + 1), ("process_exit", MANY)])?;
    facts.holds(went_on, "processes came and went meanwhile", "the last one had gone");
    facts.holds(
        quick >= QUICK,
        "a signal from outside is waited for",
        &format!("{quick} times asleep in {QUICKENED:?}"),
    );
    facts.holds(looks <= LOOKS, "nobody was in a hurry for them", &format!("{looks} times asleep in {WATCHED:?}"));
    facts.verdict()
}

/// Where the kernel tells of the thread that empties the ring.
fn reader_of(process: u32) -> anyhow::Result<PathBuf> {
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
