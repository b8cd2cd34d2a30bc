//! The counts that spare the probes a look-up are exact while pods come, are stopped and go: what is there is counted, or it would not be
//! seen, and what is gone is not.

use crate::pods::{self, Container, pid, sweep};
use gracetrace_tests::clock::wait_until;
use gracetrace_tests::command::Machine;
use gracetrace_tests::facts::Facts;
use gracetrace_tests::probe_maps::ProbeMaps;
use gracetrace_tests::tracer::Tracer;
use rustix::process::{Signal, kill_process};
use serde_json::Value;
use std::time::Duration;

/// Below it are the pods of this test.
const PODS: &str = "gracetrace-tests-presence";
/// The first is there before the tracer is.
const UIDS: [&str; 3] = [
    "7a6e0011-57f3-4222-8333-444455556666",
    "7a6e0012-57f3-4222-8333-444455556666",
    "7a6e0013-57f3-4222-8333-444455556666",
];
/// Ends some time after it is told to: once its report is out, which takes no time, it is being stopped no more.
const WAITS: [&str; 3] = ["/bin/sh", "-c", "trap 'sleep 1.5; exit 0' TERM; while :; do sleep 0.02; done"];

pub(crate) fn is_counted(_machine: &Machine) -> anyhow::Result<Vec<String>> {
    let (hierarchy, root) = pods::place(PODS)?;
    let pod = |uid: &str| root.join(format!("pod{uid}"));
    let start = |uid: &str| Container::start(&pod(uid), WAITS.map(str::to_owned).into_iter());
    std::fs::create_dir(pod(UIDS[0]))?;
    let found = start(UIDS[0])?;
    let mut tracer = Tracer::start(["-v", "-o", "jsonl", "--cgroup-hierarchy", &hierarchy].map(str::to_owned))?;
    tracer.wait_for_line("tracing every pod")?;
    let maps = ProbeMaps::of(tracer.pid())?;
    let mut facts = Facts::of(Value::Null);

    let before = maps.look()?;
    facts.holds(before.traced >= 2, "a pod that was there is traced", &format!("{before:?}"));
    before.adds_up(&mut facts, "at the start");
    UIDS[1..].iter().try_for_each(|uid| std::fs::create_dir(pod(uid)))?;
    let made = [start(UIDS[1])?, start(UIDS[2])?];
    let all = maps.look()?;
    // each pod's own, and its container's
    facts.holds(all.traced == before.traced + 4, "two pods more are traced", &format!("{all:?}"));
    facts.holds(all.stopping == before.stopping, "none is being stopped", &format!("{all:?}"));
    all.adds_up(&mut facts, "with two pods more");

    // a signal from outside, which means nothing: its pod goes on, and user space says so, the next time that it looks
    let called = tracer.while_still(|| {
        kill_process(pid(made[1].init)?, Signal::WINCH)?;
        maps.look()
    })?;
    facts.holds(called.stopping == before.stopping + 1, "a pod may be being stopped", &format!("{called:?}"));
    called.adds_up(&mut facts, "with one that may be being stopped");
    let calm = wait_until("that it is not being stopped after all", Duration::from_secs(10), || {
        maps.look().ok().filter(|seen| seen.stopping == before.stopping)
    })?;
    calm.adds_up(&mut facts, "when it goes on");

    let ends = tracer.while_still(|| {
        for container in [&found, &made[0]] {
            // the second time it is there already
            kill_process(pid(container.init)?, Signal::TERM)?;
            let _gone = kill_process(pid(container.init)?, Signal::TERM);
        }
        maps.look()
    })?;
    facts.holds(ends.stopping == before.stopping + 2, "two are being stopped", &format!("{ends:?}"));
    ends.adds_up(&mut facts, "with two being stopped");
    // by their signals
    facts.holds(ends.known >= 3, "the three containers are known without a look-up", &format!("{ends:?}"));
    found.end()?;
    let [second, third] = made;
    second.end()?;
    kill_process(pid(third.init)?, Signal::TERM)?;
    third.end()?;
    sweep(&root)?;
    // the kernel lets go of a cgroup some time after it was removed
    let gone = wait_until("that nothing is traced", Duration::from_secs(10), || {
        maps.look().ok().filter(|seen| seen.traced + 2 == before.traced && seen.stopping == before.stopping)
    })?;
    gone.adds_up(&mut facts, "when all are gone");
    tracer.end()?;
    facts.verdict()
}
