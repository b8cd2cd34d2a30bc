//! What interrupts do while they break in on the probes: each event that the kernel passes a hook's first program over for is
//! made up for by its second one, and nothing else is.

use crate::types;
use anyhow::Context;
use gracetrace_tests::clock::scaled;
use gracetrace_tests::command::Machine;
use gracetrace_tests::facts::Facts;
use gracetrace_tests::stamps::StampFile;
use gracetrace_tests::storm::Storm;
use gracetrace_tests::suite::{self, NotPossible};
use std::time::Duration;

/// How long connections are made on every CPU.
const TIME: Duration = Duration::from_millis(2500);
/// The lock that tracepoints are under from 7.0 on, where a task can be preempted in the middle of a program.
const PREEMPTIBLE: &str = "class_srcu_fast_notrace_t";

/// The processors that packets of the loopback device are handed to, as a mask: to another one they go by an interrupt.
const STEERING: &str = "/sys/class/net/lo/queues/rx-0/rps_cpus";

/// Where a processor's processes and interrupts can be told apart, both numbers are the same. They are of the whole node.
pub(crate) fn is_made_up_for(machine: &Machine) -> anyhow::Result<Vec<String>> {
    if types::have(PREEMPTIBLE)? {
        let why =
            "a task can be preempted in a probe, so its second program cannot know exactly what the first one missed";
        return Err(NotPossible(why.to_owned()).into());
    }
    let before = std::fs::read_to_string(STEERING).context(STEERING)?;
    let restored = before.clone();
    suite::at_end("how packets of the loopback device are handed out", move || Ok(std::fs::write(STEERING, restored)?));
    let processors = std::thread::available_parallelism()?.get().min(32);
    std::fs::write(STEERING, format!("{:x}", (1_u64 << processors) - 1)).context(STEERING)?;
    let (log, stamps) = (machine.file("nesting.jsonl"), machine.file("nesting.stamps"));
    // it leaves by itself when all is quiet again
    let duration = (TIME + scaled(Duration::from_secs(1))).as_millis().to_string();
    let tracer = machine.run(&["-v", "--grace-period", "2s"], &["complete", &duration], &log, &stamps)?;
    StampFile::at(&stamps).wait_for("ready")?;
    let storms = [(); 2].map(|()| Storm::start(TIME));
    let connections: u64 = storms.map(Storm::end).iter().map(|[_signals, _forks, connections]| connections).sum();
    std::fs::write(STEERING, &before).context(STEERING)?;
    let finished = tracer.finish()?;
    let mut facts = Facts::of(finished.report()?);
    facts.is("/outcome", "Completed");
    facts.complete();
    facts.holds(connections > 100, "connections were made", &format!("{connections}"));
    let passed_over = passed_over(&finished.stderr)?;
    let missed: u64 = passed_over.iter().map(|(_, missed, _)| missed).sum();
    let seen = format!("{missed} events, {processors} processors");
    if !is_guarded()? {
        facts.holds(missed == 0, "no program is passed over on this kernel", &seen);
    } else if processors > 1 {
        facts.holds(missed > 0, "interrupts broke in on the probes", &seen);
    }
    for (hook, missed, made_up) in &passed_over {
        let fact = format!("{hook}: what was missed was made up for, and no more");
        facts.holds(missed == made_up, &fact, &format!("{missed} missed, {made_up} made up for"));
    }
    let mut lines = facts.verdict()?;
    lines.push(format!("{connections} connections, passed over: {passed_over:?}"));
    Ok(lines)
}

/// Whether the kernel passes a raw tracepoint's program over while it runs (6.1 and later).
fn is_guarded() -> anyhow::Result<bool> {
    let uname = rustix::system::uname();
    let release = uname.release().to_str()?;
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    let version = numbers.next().zip(numbers.next()).with_context(|| format!("no version in {release}"))?;
    Ok(version >= (6, 1))
}

/// Hook, missed, made up for; of the line `passed over: HOOK N times, M made up for; …` or `passed over: nothing`.
fn passed_over(said: &str) -> anyhow::Result<Vec<(String, u64, u64)>> {
    let line = said.lines().find_map(|line| Some(line.split_once("passed over: ")?.1));
    let line = line.ok_or_else(|| anyhow::anyhow!("nothing about what was passed over in {said}"))?;
    if line == "nothing" {
        return Ok(Vec::new());
    }
    let one = |text: &str| -> Option<(String, u64, u64)> {
        let (hook, rest) = text.split_once(' ')?;
        let mut numbers = rest.split(' ').filter_map(|word| word.parse().ok());
        Some((hook.to_owned(), numbers.next()?, numbers.next()?))
    };
    let all = line.split("; ").map(|text| one(text).ok_or_else(|| anyhow::anyhow!("cannot read {text:?}")));
    all.collect()
}
