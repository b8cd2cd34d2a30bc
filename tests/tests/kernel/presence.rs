//! The counts that spare the probes a look-up are exact while pods come, are stopped and go: what is there is counted, or it would not be
//! seen, and what is gone is not.

use crate::pods::{self, Container, pid, sweep};
use aya::maps::{Array, HashMap, Map, MapData, MapInfo};
use gracetrace_tests::clock::wait_until;
use gracetrace_tests::command::Machine;
use gracetrace_tests::facts::Facts;
use gracetrace_tests::tracer::Tracer;
use rustix::process::{Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tracer_ebpf::filter::{self, BY_PROBES, BY_USER_SPACE, TAKEN_OUT, TRACED};

/// Below it are the pods of this test.
const PODS: &str = "gracetrace-tests-presence";
/// The first is there before the tracer is.
const UIDS: [&str; 3] = [
    "7a6e0011-57f3-4222-8333-444455556666",
    "7a6e0012-57f3-4222-8333-444455556666",
    "7a6e0013-57f3-4222-8333-444455556666",
];
/// Ends when it is told to.
const WAITS: [&str; 3] = ["/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.02; done"];

pub(crate) fn is_counted(_machine: &Machine) -> anyhow::Result<Vec<String>> {
    let (hierarchy, root) = pods::place(PODS)?;
    let pod = |uid: &str| root.join(format!("pod{uid}"));
    let start = |uid: &str| Container::start(&pod(uid), WAITS.map(str::to_owned).into_iter());
    std::fs::create_dir(pod(UIDS[0]))?;
    let found = start(UIDS[0])?;
    let mut tracer = Tracer::start(["-v", "-o", "jsonl", "--cgroup-hierarchy", &hierarchy].map(str::to_owned))?;
    tracer.wait_for_line("tracing every pod")?;
    let maps = Maps::of(tracer.pid())?;
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

    // a signal from outside, which means nothing: its pod goes on, and user space says so
    kill_process(pid(made[1].init)?, Signal::WINCH)?;
    let called = maps.look()?;
    facts.holds(called.stopping == before.stopping + 1, "a pod may be being stopped", &format!("{called:?}"));
    called.adds_up(&mut facts, "with one that may be being stopped");
    let calm = wait_until("that it is not being stopped after all", Duration::from_secs(10), || {
        maps.look().ok().filter(|seen| seen.stopping == before.stopping)
    })?;
    calm.adds_up(&mut facts, "when it goes on");

    for container in [&found, &made[0]] {
        // the second time it is there already
        kill_process(pid(container.init)?, Signal::TERM)?;
        let _gone = kill_process(pid(container.init)?, Signal::TERM);
    }
    let ends = maps.look()?;
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
    tracer.terminate()?;
    tracer.finish()?;
    facts.verdict()
}

/// The maps of one gracetrace.
struct Maps {
    targets: HashMap<MapData, u64, u64>,
    cgroup_filter: Array<MapData, u64>,
    stopping: HashMap<MapData, u64, u64>,
    pod_filter: Array<MapData, u64>,
}

/// How many there are, and how many are counted.
#[derive(Debug)]
struct Seen {
    traced: usize,
    /// Of whom it is known without a look-up whose they are.
    known: usize,
    /// Of whom something else is known there than where they are looked up.
    mistaken: Vec<u64>,
    stopping: usize,
    /// By slot; zeroes left out.
    traced_by_slot: BTreeMap<u32, u64>,
    traced_counted: BTreeMap<u32, u64>,
    stopping_by_slot: BTreeMap<u32, u64>,
    stopping_counted: BTreeMap<u32, u64>,
}

impl Maps {
    fn of(process: u32) -> anyhow::Result<Self> {
        Ok(Self {
            targets: Map::HashMap(held(process, "TARGETS")?).try_into()?,
            cgroup_filter: Map::Array(held(process, "CGROUP_FILTER")?).try_into()?,
            stopping: Map::HashMap(held(process, "STOPPING")?).try_into()?,
            pod_filter: Map::Array(held(process, "POD_FILTER")?).try_into()?,
        })
    }

    fn look(&self) -> anyhow::Result<Seen> {
        let targets: BTreeMap<u64, u64> = self.targets.iter().collect::<Result<_, _>>()?;
        let stopping: Vec<u64> = self.stopping.keys().collect::<Result<_, _>>()?;
        let mut known = BTreeMap::new();
        for cgroup in targets.keys() {
            let word = |word| self.cgroup_filter.get(&filter::cgroup(*cgroup, word), 0);
            known.extend(filter::pod_in(word(TRACED)?, *cgroup, word(TAKEN_OUT)?).map(|pod| (*cgroup, pod)));
        }
        let mistaken = known.iter().filter(|(cgroup, pod)| targets.get(cgroup) != Some(pod)).map(|(cgroup, _)| *cgroup);
        Ok(Seen {
            traced: targets.len(),
            known: known.len(),
            mistaken: mistaken.collect(),
            stopping: stopping.len(),
            traced_by_slot: by(targets.into_keys(), |cgroup| filter::cgroup(cgroup, 0)),
            traced_counted: counts(&self.cgroup_filter, filter::cgroup)?,
            stopping_by_slot: by(stopping.into_iter(), |pod| filter::pod(pod, 0)),
            stopping_counted: counts(&self.pod_filter, filter::pod)?,
        })
    }
}

/// How many are counted in each slot, by its first word; without zeroes.
fn counts(words: &Array<MapData, u64>, index: impl Fn(u64, u32) -> u32) -> anyhow::Result<BTreeMap<u32, u64>> {
    let mut counted = BTreeMap::new();
    // any ids that are as many as there are slots
    for slot in 0..u64::from(words.len() / filter::WORDS) {
        let word = |word| words.get(&index(slot, word), 0);
        let count = word(BY_PROBES)?.wrapping_add(word(BY_USER_SPACE)?);
        counted.extend((count != 0).then_some((index(slot, 0), count)));
    }
    Ok(counted)
}

impl Seen {
    fn adds_up(&self, facts: &mut Facts, when: &str) {
        facts.holds(
            self.traced_by_slot == self.traced_counted,
            &format!("{when} every cgroup is counted once"),
            &format!("{self:?}"),
        );
        facts.holds(
            self.mistaken.is_empty(),
            &format!("{when} whoever is known without a look-up is whose a look-up says"),
            &format!("{self:?}"),
        );
        facts.holds(
            self.stopping_by_slot == self.stopping_counted,
            &format!("{when} every pod that is being stopped is counted once"),
            &format!("{self:?}"),
        );
    }
}

fn by(ids: impl Iterator<Item = u64>, slot: impl Fn(u64) -> u32) -> BTreeMap<u32, u64> {
    let mut counts = BTreeMap::new();
    for id in ids {
        *counts.entry(slot(id)).or_default() += 1;
    }
    counts
}

/// A map that a process has open, by its name.
fn held(process: u32, name: &str) -> anyhow::Result<MapData> {
    for entry in std::fs::read_dir(format!("/proc/{process}/fdinfo"))? {
        // one may be closed meanwhile
        let text = std::fs::read_to_string(entry?.path()).unwrap_or_default();
        let id = text.lines().find_map(|line| line.strip_prefix("map_id:")?.trim().parse::<u32>().ok());
        if let Some(id) = id
            && MapInfo::from_id(id)?.name_as_str() == Some(name)
        {
            return Ok(MapData::from_id(id)?);
        }
    }
    anyhow::bail!("process {process} has no map {name}")
}
