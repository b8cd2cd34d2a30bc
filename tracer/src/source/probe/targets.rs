//! Which cgroups are traced: the map that the probes look them up in, and the counts that spare them most look-ups.

use super::error::{self, ENOENT};
use aya::maps::{Array, HashMap, MapData, MapError};
use std::collections::BTreeMap;
use tracer_ebpf::target_slot;

/// Flags of a map's update: whether the key is there or not, only if it is not, only if it is.
const ANY: u64 = 0;
const NO_EXIST: u64 = 1;
const EXIST: u64 = 2;

/// The maps `TARGETS`, cgroup → pod, and `TARGETS_FOUND`.
pub(super) struct Targets {
    pods: HashMap<MapData, u64, u64>,
    /// As the probes read them.
    found: Array<MapData, u64>,
    /// The same, as nobody else writes them.
    counts: BTreeMap<u32, u64>,
}

impl Targets {
    pub(super) fn new(pods: HashMap<MapData, u64, u64>, found: Array<MapData, u64>) -> Self {
        Self { pods, found, counts: BTreeMap::new() }
    }

    /// Has a cgroup traced as part of a pod.
    pub(super) fn insert(&mut self, cgroup: u64, pod: u64) -> Result<(), MapError> {
        // before it is there: a probe that finds no count does not look
        self.count(cgroup, 1)?;
        if self.pods.insert(cgroup, pod, NO_EXIST).is_ok() {
            return Ok(());
        }
        if self.pods.insert(cgroup, pod, EXIST).is_ok() {
            // whoever put it there has counted it
            return self.count(cgroup, u64::MAX);
        }
        // it was taken out in between, or there is no room, and one too many is counted
        self.pods.insert(cgroup, pod, ANY)
    }

    /// Takes out what is part of a pod. Entries that come and go meanwhile do no harm.
    pub(super) fn remove_pod(&mut self, pod: u64) -> Result<(), MapError> {
        for cgroup in keys_of(&self.pods, pod)? {
            if remove(&mut self.pods, &cgroup)? {
                // after it is gone; the sum with the probes' counts is what matters, so one of theirs may be counted here
                self.count(cgroup, u64::MAX)?;
            }
        }
        Ok(())
    }

    fn count(&mut self, cgroup: u64, count: u64) -> Result<(), MapError> {
        let slot = target_slot(cgroup);
        let counted = self.counts.entry(slot).or_default();
        *counted = counted.wrapping_add(count);
        self.found.set(slot, *counted, 0)
    }
}

/// The keys of every entry that has this value.
pub(super) fn keys_of<K: aya::Pod>(map: &HashMap<MapData, K, u64>, value: u64) -> Result<Vec<K>, MapError> {
    let mut keys = Vec::new();
    for entry in map {
        let (key, found) = entry?;
        if found == value {
            keys.push(key);
        }
    }
    Ok(keys)
}

/// Removes an entry; false if it was gone already.
pub(super) fn remove<K: aya::Pod>(map: &mut HashMap<MapData, K, u64>, key: &K) -> Result<bool, MapError> {
    match map.remove(key) {
        Ok(()) => Ok(true),
        Err(MapError::KeyNotFound) => Ok(false),
        Err(error) if error::errno(&error) == Some(ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}
