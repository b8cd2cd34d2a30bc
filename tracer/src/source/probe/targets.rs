//! Which cgroups are traced and which pods are being stopped: the maps that the probes look them up in, and what spares them most look-ups.

use super::error::{self, ENOENT};
use super::presence::Presence;
use aya::maps::{HashMap, MapData, MapError};
use tracer_ebpf::filter;

/// Flags of a map's update: whether the key is there or not, only if it is not, only if it is.
const ANY: u64 = 0;
const NO_EXIST: u64 = 1;
const EXIST: u64 = 2;

/// The maps `TARGETS`, cgroup → pod, and `CGROUP_FILTER`.
pub(super) struct Targets {
    pods: HashMap<MapData, u64, u64>,
    presence: Presence,
}

impl Targets {
    pub(super) fn new(pods: HashMap<MapData, u64, u64>, presence: Presence) -> Self {
        Self { pods, presence }
    }

    /// Has a cgroup traced as part of a pod.
    pub(super) fn insert(&mut self, cgroup: u64, pod: u64) -> Result<(), MapError> {
        // before it is there: a probe that finds no count does not look
        let count = filter::targets_word(cgroup);
        self.presence.more(count);
        if self.pods.insert(cgroup, pod, NO_EXIST).is_ok() {
            return Ok(());
        }
        if self.pods.insert(cgroup, pod, EXIST).is_ok() {
            // whoever put it there has counted it
            self.presence.less(count);
            return Ok(());
        }
        // it was taken out in between, or there is no room
        let result = self.pods.insert(cgroup, pod, ANY);
        if result.is_err() {
            self.presence.less(count);
        }
        result
    }

    /// Takes out what is part of a pod. Entries that come and go meanwhile do no harm.
    pub(super) fn remove_pod(&mut self, pod: u64) -> Result<(), MapError> {
        for cgroup in keys_of(&self.pods, pod)? {
            if remove(&mut self.pods, &cgroup)? {
                // after it is gone, so that who finds it still knows it for no longer than this
                self.presence.more(filter::taken_out_word(cgroup));
                self.presence.less(filter::targets_word(cgroup));
            }
        }
        Ok(())
    }
}

/// The maps `STOPPING`, pod → when it was last seen to be stopped, `POD_FILTER` and `NODE_FILTER`.
pub(super) struct Stopping {
    since: HashMap<MapData, u64, u64>,
    presence: Presence,
    any: Presence,
}

impl Stopping {
    pub(super) fn new(since: HashMap<MapData, u64, u64>, presence: Presence, any: Presence) -> Self {
        Self { since, presence, any }
    }

    /// Those of before a time (boot clock, ns).
    pub(super) fn before(&self, until_ns: u64) -> Vec<u64> {
        let old = self.since.iter().filter_map(Result::ok).filter(|(_, since)| *since < until_ns);
        old.map(|(pod, _)| pod).collect()
    }

    /// Takes a pod out, if it is still there as of before a time; whether it was. One that stays is found again the next time that it is asked
    /// who is there.
    pub(super) fn let_be(&mut self, pod: u64, until_ns: u64) -> bool {
        let is_old = self.since.get(&pod, 0).is_ok_and(|since| since < until_ns);
        let removed = if is_old { self.remove(pod) } else { Ok(()) };
        if let Err(error) = &removed {
            tracing::warn!("cannot let the sockets of the pod of cgroup {pod} be, which is tried again: {error}");
        }
        is_old && removed.is_ok()
    }

    fn remove(&mut self, pod: u64) -> Result<(), MapError> {
        if remove(&mut self.since, &pod)? {
            self.presence.add(filter::stopping_word(pod), filter::LET_BE);
            self.any.less(filter::ANY_STOPPING_WORD);
        }
        Ok(())
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
