//! A list that grows without moving what is in it: of a thousand pods that end at once each one's connections grow a little at a
//! time, and a `Vec` would copy all of them again and again to elsewhere in memory, and leave holes behind.

/// Elements of a chunk: few enough for a pod that has few, enough for one that has many.
const CHUNK: usize = 16;

/// A list in chunks.
#[derive(Clone, Debug)]
pub(super) struct Chunks<T> {
    full: Vec<Vec<T>>,
    last: Vec<T>,
}

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self { full: Vec::new(), last: Vec::new() }
    }
}

impl<T> Chunks<T> {
    pub(super) fn len(&self) -> usize {
        self.full.len() * CHUNK + self.last.len()
    }

    pub(super) fn push(&mut self, element: T) {
        if self.last.len() == CHUNK {
            self.full.push(std::mem::take(&mut self.last));
        }
        if self.last.is_empty() {
            self.last.reserve_exact(CHUNK);
        }
        self.last.push(element);
    }

    pub(super) fn get(&self, index: usize) -> Option<&T> {
        let chunk = if index / CHUNK == self.full.len() { &self.last } else { self.full.get(index / CHUNK)? };
        chunk.get(index % CHUNK)
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        let is_last = index / CHUNK == self.full.len();
        let chunk = if is_last { &mut self.last } else { self.full.get_mut(index / CHUNK)? };
        chunk.get_mut(index % CHUNK)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> + Clone {
        self.iter_from(0)
    }

    /// From an index on.
    pub(super) fn iter_from(&self, index: usize) -> impl Iterator<Item = &T> + Clone {
        let chunks = self.full.iter().chain([&self.last]).skip(index / CHUNK);
        chunks.flatten().skip(index % CHUNK)
    }

    /// The last ones of those that lie in a row, and the index of the first of these.
    pub(super) fn tail(&self) -> (usize, &[T]) {
        (self.full.len() * CHUNK, &self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_list_whatever_its_length() {
        let mut list = Chunks::default();
        for length in 0..3 * CHUNK + 2 {
            assert_eq!(list.len(), length);
            assert!(list.iter().copied().eq(0..length));
            for from in [0, length / 2, length.saturating_sub(1), length] {
                assert!(list.iter_from(from).copied().eq(from..length), "{from} of {length}");
            }
            assert_eq!((list.get(length).copied(), list.get_mut(length).copied()), (None, None));
            let (first, tail) = list.tail();
            assert!(tail.iter().copied().eq(first..length));
            list.push(length);
            assert_eq!((list.get(length).copied(), list.get_mut(length).copied()), (Some(length), Some(length)));
        }
    }
}
