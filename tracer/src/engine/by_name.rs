//! What is known by name. A name's letters lie elsewhere in memory than the map that they are sought in: beside a thousand others
//! each comparison would fetch some. Uids and ids differ from their first letters on, so those are kept in the map itself, and
//! nearly always only the name that is meant is read.

use std::collections::BTreeMap;

/// So many bytes of a name are kept in the map: more than half of a uid's.
const HEAD: usize = 16;

/// Values by name.
#[derive(Debug)]
pub(super) struct ByName<T> {
    /// By how the names begin; several only where that is the same.
    heads: BTreeMap<[u8; HEAD], Vec<(String, T)>>,
    len: usize,
}

impl<T> Default for ByName<T> {
    fn default() -> Self {
        Self { heads: BTreeMap::new(), len: 0 }
    }
}

impl<T> ByName<T> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, name: &str) -> Option<&T> {
        let same_head = self.heads.get(&head(name))?;
        same_head.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut T> {
        let same_head = self.heads.get_mut(&head(name))?;
        same_head.iter_mut().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Adds one, in place of the one of the same name.
    pub(super) fn insert(&mut self, name: String, value: T) {
        if let Some(known) = self.get_mut(&name) {
            *known = value;
        } else {
            // one at a time: hardly ever two begin alike
            let same_head = self.heads.entry(head(&name)).or_default();
            same_head.reserve_exact(1);
            same_head.push((name, value));
            self.len += 1;
        }
    }

    /// Keeps those of which `is_wanted` says so.
    pub(super) fn retain(&mut self, is_wanted: impl Fn(&str, &T) -> bool) {
        self.heads.retain(|_, same_head| {
            same_head.retain(|(name, value)| is_wanted(name, value));
            !same_head.is_empty()
        });
        self.len = self.heads.values().map(Vec::len).sum();
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<T> {
        let same_head = self.heads.get_mut(&head(name))?;
        let index = same_head.iter().position(|(known, _)| known == name)?;
        let (_, value) = same_head.swap_remove(index);
        self.len -= 1;
        if same_head.is_empty() {
            self.heads.remove(&head(name));
        }
        Some(value)
    }
}

impl<T: Default> ByName<T> {
    /// What is known by this name, which is nothing yet if it is new.
    pub(super) fn get_or_default(&mut self, name: &str) -> &mut T {
        let same_head = self.heads.entry(head(name)).or_default();
        let index = same_head.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            same_head.reserve_exact(1);
            same_head.push((name.to_owned(), T::default()));
            self.len += 1;
            same_head.len() - 1
        });
        &mut same_head[index].1
    }
}

/// How a name begins; a shorter one is filled up.
fn head(name: &str) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    let bytes = &name.as_bytes()[..name.len().min(HEAD)];
    head[..bytes.len()].copy_from_slice(bytes);
    head
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Some that begin alike, some that end where others go on.
    fn name() -> impl Strategy<Value = String> {
        prop_oneof!["[ab]{0,2}", "0123456789abcdef[ab]{0,2}", "0123456789abcde[\0é]{0,2}"]
    }

    proptest! {
        #[test]
        fn is_a_map(steps in prop::collection::vec((0..4_u8, name(), 1..9_u32), 1..200)) {
            let mut map = ByName::default();
            let mut plain: BTreeMap<String, u32> = BTreeMap::new();
            for (step, name, value) in steps {
                match step {
                    0 if value > 7 => {
                        map.retain(|name, value| name.len() % 3 != (*value % 3) as usize);
                        plain.retain(|name, value| name.len() % 3 != (*value % 3) as usize);
                    }
                    0 => prop_assert_eq!(map.remove(&name), plain.remove(&name)),
                    1 => prop_assert_eq!(map.get_or_default(&name), plain.entry(name.clone()).or_default()),
                    _ => {
                        map.insert(name.clone(), value);
                        plain.insert(name.clone(), value);
                    }
                }
                prop_assert_eq!((map.get(&name), map.len()), (plain.get(&name), plain.len()));
                prop_assert_eq!(map.get_mut(&name), plain.get_mut(&name));
            }
            for name in plain.keys() {
                map.remove(name);
            }
            prop_assert!(map.len() == 0 && map.heads.is_empty());
        }
    }
}
