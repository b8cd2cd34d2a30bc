//! Numbers by what they are of, a value for each round; and what is made of them: medians, and ratios of the same round.
//!
//! What was measured between two turns of nobody's is compared by what it was of those two: a machine changes more in the
//! half minute of a round than in the seconds between neighbours.

use std::collections::BTreeMap;

/// Everything measured: who ran, what was measured, a value for each round.
#[derive(Debug, Default)]
pub(super) struct Store(BTreeMap<(String, String), Vec<f64>>);

/// What stands behind the name of a measurement for what nobody's turns beside it were.
const BESIDE: &str = ", bare beside it";

impl Store {
    pub(super) fn add(&mut self, who: &str, what: &str, value: f64) {
        self.0.entry((who.to_owned(), what.to_owned())).or_default().push(value);
    }

    /// The same, and what it was without anybody just before and after.
    pub(super) fn add_beside(&mut self, who: &str, what: &str, value: f64, bare: f64) {
        self.add(who, what, value);
        self.add(who, &format!("{what}{BESIDE}"), bare);
    }

    /// In order of who and what.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &str, &[f64])> {
        self.0.iter().map(|((who, what), values)| (who.as_str(), what.as_str(), values.as_slice()))
    }

    pub(super) fn values(&self, who: &str, what: &str) -> &[f64] {
        self.0.get(&(who.to_owned(), what.to_owned())).map_or(&[], Vec::as_slice)
    }

    pub(super) fn median(&self, who: &str, what: &str) -> Option<f64> {
        median(self.values(who, what).to_vec())
    }

    /// Of one to the other, round by round.
    pub(super) fn ratios(&self, who: &str, to: &str, what: &str) -> Vec<f64> {
        let (own, other) = match (self.relative(who, what), self.relative(to, what)) {
            (Some(own), Some(other)) => (own, other),
            _ => (self.values(who, what).to_vec(), self.values(to, what).to_vec()),
        };
        own.iter().zip(other).map(|(own, other)| own / other).collect()
    }

    /// What it was of nobody's beside it, if that was measured.
    fn relative(&self, who: &str, what: &str) -> Option<Vec<f64>> {
        let beside = Some(self.values(who, &format!("{what}{BESIDE}"))).filter(|beside| !beside.is_empty())?;
        Some(self.values(who, what).iter().zip(beside).map(|(own, bare)| own / bare).collect())
    }
}

/// The one in the middle, or between the two there.
pub(super) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len() % 2 == 1 { upper } else { f64::midpoint(values[middle - 1], upper) })
}

/// Between which two values the median of ever more rounds would be, with 93 to 96 in a hundred (by order alone: whatever they are spread
/// like). Of five or fewer it is the lowest and the highest.
pub(super) fn range_of_median(mut values: Vec<f64>) -> Option<[f64; 2]> {
    values.sort_by(f64::total_cmp);
    // how many rounds may be left out on either side: n/2, less 1.96 of the standard deviations of how many lie below a median (√n/2)
    let beyond = (1..values.len()).rev().find(|&beyond| {
        let [all, beyond] = [values.len(), beyond].map(|count| u32::try_from(count).map_or(f64::MAX, f64::from));
        2.0 * beyond <= all - 1.96 * all.sqrt()
    });
    let beyond = beyond.unwrap_or(0);
    Some([*values.get(beyond)?, *values.get(values.len() - 1 - beyond)?])
}

/// The value below which so many hundredths of all lie; the largest of a few.
pub(super) fn percentile(mut values: Vec<f64>, hundredths: usize) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let index = (values.len() * hundredths).div_ceil(100).saturating_sub(1);
    values.get(index).copied()
}

#[cfg(test)]
mod tests {
    use super::{Store, median, percentile, range_of_median};

    #[test]
    fn takes_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(percentile((1..=200).map(f64::from).collect(), 99), Some(198.0));
        assert_eq!(percentile(vec![1.0, 2.0], 99), Some(2.0));
    }

    #[test]
    fn tells_how_sure_a_median_is() {
        let rounds = |count: u32| range_of_median((1..=count).map(f64::from).collect());
        assert_eq!(rounds(0), None);
        assert_eq!(rounds(1), Some([1.0, 1.0]));
        assert_eq!(rounds(5), Some([1.0, 5.0]));
        // 93 and 96 in a hundred, by the binomial distribution
        assert_eq!(rounds(11), Some([3.0, 9.0]));
        assert_eq!(rounds(25), Some([8.0, 18.0]));
    }

    #[test]
    fn compares_within_a_round() {
        let mut store = Store::default();
        for (bare, traced) in [(10.0, 11.0), (20.0, 24.0), (10.0, 13.0)] {
            store.add("bare", "kill", bare);
            store.add("traced", "kill", traced);
        }
        assert_eq!(median(store.ratios("traced", "bare", "kill")), Some(1.2));
        assert_eq!(median(store.ratios("traced", "bare", "fork")), None);
    }

    #[test]
    fn compares_with_what_was_measured_beside_it() {
        let mut store = Store::default();
        // a machine that is half as fast in the second half of each round
        for _ in 0..3 {
            store.add_beside("bare", "kill", 15.0, 15.0);
            store.add_beside("cheap", "kill", 11.0, 10.0);
            store.add_beside("dear", "kill", 33.0, 20.0);
        }
        assert_eq!(median(store.ratios("cheap", "bare", "kill")), Some(1.1));
        assert_eq!(median(store.ratios("dear", "bare", "kill")), Some(1.65));
        let between = median(store.ratios("dear", "cheap", "kill"));
        assert!(between.is_some_and(|ratio| (ratio - 1.5).abs() < 1e-9), "{between:?}");
    }
}
