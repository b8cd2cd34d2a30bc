//! A record that says what one of the last ones said is not written out anew: a runtime that interrupts its own threads by signals
//! (Go's by SIGURG) does so again and again, and so does a storm; and it is mostly the same process that closes one connection after
//! the other. What was written of those is kept; making the JSON is the dearest that the agent does with a record.

use crate::input::{Actor, Caller, What};
use serde::ser::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use std::cell::RefCell;

/// So many of each kind: processes that run at once, on a node's CPUs, are told of in turn.
const KEPT: usize = 8;

thread_local! {
    static ACTORS: RefCell<Said<Actor>> = const { RefCell::new(Said::NOTHING) };
    static CALLERS: RefCell<Said<Caller>> = const { RefCell::new(Said::NOTHING) };
    static SIGNALS: RefCell<Said<What>> = const { RefCell::new(Said::NOTHING) };
}

/// The last ones and their JSON.
struct Said<T> {
    last: Vec<(T, Box<RawValue>)>,
    /// Which one the next takes the place of.
    oldest: usize,
}

impl<T: Clone + PartialEq> Said<T> {
    const NOTHING: Self = Self { last: Vec::new(), oldest: 0 };

    /// The JSON of one, made by `write` unless it is one of the last.
    fn json(&mut self, one: &T, write: fn(&T) -> serde_json::Result<Box<RawValue>>) -> serde_json::Result<&RawValue> {
        let index = match self.last.iter().position(|(known, _)| known == one) {
            Some(index) => index,
            None => self.keep((one.clone(), write(one)?)),
        };
        Ok(&self.last[index].1)
    }

    /// Keeps one, if need be in place of the oldest; where.
    fn keep(&mut self, one: (T, Box<RawValue>)) -> usize {
        if self.last.len() < KEPT {
            self.last.push(one);
            return self.last.len() - 1;
        }
        let index = self.oldest;
        self.last[index] = one;
        self.oldest = (index + 1) % KEPT;
        index
    }
}

/// Written out, by what `#[serde(remote = "Self")]` makes.
struct WrittenOut<'a, T>(&'a T);

impl Serialize for WrittenOut<'_, Actor> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Actor::serialize(self.0, serializer)
    }
}

impl Serialize for WrittenOut<'_, Caller> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Caller::serialize(self.0, serializer)
    }
}

impl Serialize for WrittenOut<'_, What> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        What::serialize(self.0, serializer)
    }
}

impl Serialize for Actor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ACTORS.with_borrow_mut(|said| {
            let json = said.json(self, |one| to_raw_value(&WrittenOut(one))).map_err(S::Error::custom)?;
            json.serialize(serializer)
        })
    }
}

impl Serialize for Caller {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        CALLERS.with_borrow_mut(|said| {
            let json = said.json(self, |one| to_raw_value(&WrittenOut(one))).map_err(S::Error::custom)?;
            json.serialize(serializer)
        })
    }
}

impl Serialize for What {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !matches!(self, Self::SignalGenerated { .. }) {
            // each is another
            return Self::serialize(self, serializer);
        }
        SIGNALS.with_borrow_mut(|said| {
            let json = said.json(self, |one| to_raw_value(&WrittenOut(one))).map_err(S::Error::custom)?;
            json.serialize(serializer)
        })
    }
}

impl<'de> Deserialize<'de> for Actor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(deserializer)
    }
}

impl<'de> Deserialize<'de> for Caller {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(deserializer)
    }
}

impl<'de> Deserialize<'de> for What {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{BootNs, CgroupId, Disposition, Process, SignalResult};

    fn actor(tgid: u32, comm: &str) -> Actor {
        Actor {
            tgid,
            ns_tgid: 1,
            parent_tgid: 0,
            cgroup: CgroupId(7),
            comm: comm.into(),
            parent_comm: "\"\\\u{fffd}".into(),
            exiting: false,
            kernel_thread: false,
        }
    }

    fn sent(signal: i32, sender: Actor) -> What {
        let target = Process { tgid: 3, start: BootNs(5), ns_tgid: 1, parent_tgid: 0, comm: "app".into(), exe: None };
        let (result, disposition) = (SignalResult::Delivered, Disposition::Handler);
        What::SignalGenerated { target, sender, signal, code: 0, group: true, result, disposition }
    }

    #[test]
    fn so_it_is_with_who_used_a_socket() {
        let all = (0..20_u32).flat_map(|tgid| [(tgid, false), (tgid, false), (tgid, true)]);
        for (tgid, exiting) in all.clone().chain(all) {
            let caller = Caller { tgid, cgroup: CgroupId(7), comm: "app".into(), exiting, kernel_thread: false };
            let written_out = serde_json::to_string(&WrittenOut(&caller)).unwrap();
            assert_eq!(serde_json::to_string(&caller).unwrap(), written_out);
            assert_eq!(serde_json::from_str::<Caller>(&written_out).unwrap(), caller);
        }
        CALLERS.with_borrow(|said| assert_eq!(said.last.len(), KEPT));
        // as older logs have them
        let older = serde_json::to_string(&actor(5, "app")).unwrap();
        assert_eq!(serde_json::from_str::<Caller>(&older).unwrap().tgid, 5);
    }

    #[test]
    fn a_line_is_what_it_was_without_anything_kept() {
        // again at once, again while it is kept, and again when it is not any more; some differ in one thing only
        let tgids = (0..40_u32).chain((0..40).map(|number| number % 3)).chain((0..40).map(|number| number % 20));
        for (tgid, comm) in tgids.flat_map(|tgid| [(tgid, "a"), (tgid, "a"), (tgid, "b")]) {
            let actor = actor(tgid, comm);
            let written_out = serde_json::to_string(&WrittenOut(&actor)).unwrap();
            assert_eq!(serde_json::to_string(&actor).unwrap(), written_out);
            assert_eq!(serde_json::from_str::<Actor>(&written_out).unwrap(), actor);
            for what in [sent(15, actor.clone()), sent(23, actor)] {
                let written_out = serde_json::to_string(&WrittenOut(&what)).unwrap();
                assert_eq!(serde_json::to_string(&what).unwrap(), written_out);
                assert_eq!(serde_json::from_str::<What>(&written_out).unwrap(), what);
            }
        }
        ACTORS.with_borrow(|said| assert_eq!(said.last.len(), KEPT));
        SIGNALS.with_borrow(|said| assert_eq!(said.last.len(), KEPT));
    }
}
