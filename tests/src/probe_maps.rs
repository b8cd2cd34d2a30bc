//! What a running gracetrace keeps in the maps of its probes: for the tests of that alone, and nothing a report is compared with.

use crate::clock::scaled;
use crate::facts::Facts;
use aya::maps::{Array, HashMap, Map, MapData, MapInfo};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tracer_ebpf::filter;

/// How often it is looked again at what may have changed between a key and its count.
const LOOKS: usize = 5;
/// After each: who was interrupted between the two gets to run.
const PAUSE: Duration = Duration::from_millis(20);

/// The maps of one gracetrace.
pub struct ProbeMaps {
    targets: HashMap<MapData, u64, u64>,
    /// As `CgroupSlot` has them, words of 32 bits.
    cgroup_filter: Array<MapData, [u32; 4]>,
    stopping: HashMap<MapData, u64, u64>,
    /// As `PodSlot` has them.
    pod_filter: Array<MapData, [u32; 4]>,
    /// As `NodeSlot` has them.
    node_filter: Array<MapData, [u32; 2]>,
}

/// How many there are, and how many are counted.
#[derive(Debug)]
pub struct Seen {
    /// Cgroups that are traced.
    pub traced: usize,
    /// Of how many pods.
    pub pods: usize,
    /// Of whom it is known without a look-up whose they are.
    pub known: usize,
    /// Cgroups and pods of whom something else is known there than where they are looked up.
    mistaken: Vec<u64>,
    /// Pods that are being stopped.
    pub stopping: usize,
    /// Of whom that is known without a look-up.
    pub known_to_stop: usize,
    /// By slot; zeroes left out.
    traced_by_slot: BTreeMap<u32, u32>,
    traced_counted: BTreeMap<u32, u32>,
    stopping_by_slot: BTreeMap<u32, u32>,
    stopping_counted: BTreeMap<u32, u32>,
    /// Of all slots together.
    stopping_on_node: usize,
}

impl ProbeMaps {
    /// Those that this process has open.
    pub fn of(process: u32) -> anyhow::Result<Self> {
        Ok(Self {
            targets: Map::HashMap(held(process, "TARGETS")?).try_into()?,
            cgroup_filter: Map::Array(held(process, "CGROUP_FILTER")?).try_into()?,
            stopping: Map::HashMap(held(process, "STOPPING")?).try_into()?,
            pod_filter: Map::Array(held(process, "POD_FILTER")?).try_into()?,
            node_filter: Map::Array(held(process, "NODE_FILTER")?).try_into()?,
        })
    }

    /// What is in them, and how it is counted, which is read a moment later: it is looked again if somebody came or went meanwhile, and
    /// the last of some looks is given if they never agree.
    pub fn look(&self) -> anyhow::Result<Seen> {
        for _ in 0..LOOKS {
            let seen = self.glance()?;
            if seen.agrees() {
                return Ok(seen);
            }
            std::thread::sleep(scaled(PAUSE));
        }
        self.glance()
    }

    fn glance(&self) -> anyhow::Result<Seen> {
        let targets: BTreeMap<u64, u64> = self.targets.iter().collect::<Result<_, _>>()?;
        let stopping: Vec<u64> = self.stopping.keys().collect::<Result<_, _>>()?;
        let mut known = BTreeMap::new();
        for cgroup in targets.keys() {
            let [_, taken_out, low, high] = self.cgroup_filter.get(&filter::cgroup(*cgroup), 0)?;
            known.extend(filter::pod_in(long(low, high), *cgroup, taken_out).map(|pod| (*cgroup, pod)));
        }
        let pods: BTreeSet<u64> = targets.values().copied().collect();
        let (mut known_to_stop, mut mistaken_to_stop) = (0, Vec::new());
        for pod in pods.iter().chain(&stopping).collect::<BTreeSet<_>>() {
            let [now, _, low, high] = self.pod_filter.get(&filter::pod(*pod), 0)?;
            let says = filter::stops(now) > 0 && filter::is_stopped(long(low, high), *pod, now);
            match (says, stopping.contains(pod)) {
                (true, true) => known_to_stop += 1,
                (true, false) => mistaken_to_stop.push(*pod),
                (false, _) => {}
            }
        }
        let mistaken = known.iter().filter(|(cgroup, pod)| targets.get(cgroup) != Some(pod)).map(|(cgroup, _)| *cgroup);
        Ok(Seen {
            traced: targets.len(),
            pods: pods.len(),
            known: known.len(),
            known_to_stop,
            mistaken: mistaken.chain(mistaken_to_stop).collect(),
            stopping: stopping.len(),
            traced_by_slot: by(targets.into_keys(), filter::cgroup),
            traced_counted: counts(&self.cgroup_filter, |count| count)?,
            stopping_by_slot: by(stopping.into_iter(), filter::pod),
            stopping_counted: counts(&self.pod_filter, filter::stops)?,
            stopping_on_node: usize::try_from(self.node_filter.get(&0, 0)?[0])?,
        })
    }
}

/// A word of 64 bits in the halves that an array of shorter ones has.
fn long(low: u32, high: u32) -> u64 {
    u64::from(high) << u32::BITS | u64::from(low)
}

/// How many are counted in each slot, which its first word says; without zeroes.
fn counts<const WORDS: usize>(
    slots: &Array<MapData, [u32; WORDS]>,
    of: impl Fn(u32) -> u32,
) -> anyhow::Result<BTreeMap<u32, u32>>
where
    [u32; WORDS]: aya::Pod,
{
    let mut counted = BTreeMap::new();
    for slot in 0..slots.len() {
        let count = of(slots.get(&slot, 0)?[0]);
        counted.extend((count != 0).then_some((slot, count)));
    }
    Ok(counted)
}

impl Seen {
    fn agrees(&self) -> bool {
        self.traced_by_slot == self.traced_counted
            && self.stopping_by_slot == self.stopping_counted
            && self.stopping == self.stopping_on_node
            && self.mistaken.is_empty()
    }

    /// Each is counted once, and nobody is taken for somebody else's.
    pub fn adds_up(&self, facts: &mut Facts, when: &str) {
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
        facts.holds(
            self.stopping == self.stopping_on_node,
            &format!("{when} every pod that is being stopped is counted once for the node"),
            &format!("{self:?}"),
        );
    }
}

fn by(ids: impl Iterator<Item = u64>, slot: impl Fn(u64) -> u32) -> BTreeMap<u32, u32> {
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
