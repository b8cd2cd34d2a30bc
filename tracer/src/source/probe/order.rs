//! Puts records of several CPUs in order: each is held until everything older has surely arrived.

use crate::input::{BootNs, Event};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Events waiting for older ones. Bounded by what one batch holds: the caller takes out, after each
/// batch, whatever is older than the batch's `complete_until`.
#[derive(Debug, Default)]
pub struct Order {
    waiting: BinaryHeap<Reverse<Waiting>>,
    pushed: u64,
}

/// Ordered by time, then by arrival: events of one CPU keep their order even within one clock tick.
#[derive(Debug)]
struct Waiting {
    at: BootNs,
    arrival: u64,
    event: Event,
}

impl Order {
    /// Takes an event.
    pub fn push(&mut self, event: Event) {
        self.waiting.push(Reverse(Waiting { at: event.at, arrival: self.pushed, event }));
        self.pushed += 1;
    }

    /// The oldest event that happened before `until`, if there is one.
    pub fn pop_before(&mut self, until: BootNs) -> Option<Event> {
        let Reverse(oldest) = self.waiting.peek()?;
        if oldest.at >= until {
            return None;
        }
        self.waiting.pop().map(|Reverse(waiting)| waiting.event)
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.arrival).cmp(&(other.at, other.arrival))
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiting {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{CgroupId, What};
    use proptest::prelude::*;

    /// An event that carries its place of arrival in its cgroup id.
    fn event(at: u64, arrival: usize) -> Event {
        let cgroup = Some(CgroupId(arrival as u64));
        Event { at: BootNs(at), cgroup, what: What::CgroupEmptied { pod: CgroupId(1) } }
    }

    fn drained(order: &mut Order, until: u64) -> Vec<(u64, u64)> {
        std::iter::from_fn(|| order.pop_before(BootNs(until)))
            .map(|event| (event.at.0, event.cgroup.map_or(0, |id| id.0)))
            .collect()
    }

    #[test]
    fn holds_back_what_may_still_be_overtaken() {
        let mut order = Order::default();
        order.push(event(30, 0));
        order.push(event(10, 1));
        assert_eq!(drained(&mut order, 30), [(10, 1)]);
        order.push(event(20, 2));
        assert_eq!(drained(&mut order, 31), [(20, 2), (30, 0)]);
        assert_eq!(order.pop_before(BootNs(u64::MAX)), None);
    }

    proptest! {
        #[test]
        fn sorts_by_time_and_keeps_the_order_of_arrival(times in proptest::collection::vec(0_u64..20, 0..60)) {
            let mut order = Order::default();
            for (arrival, at) in times.iter().enumerate() {
                order.push(event(*at, arrival));
            }
            let mut expected: Vec<(u64, u64)> = times.iter().enumerate().map(|(i, at)| (*at, i as u64)).collect();
            expected.sort_by_key(|(at, _)| *at);
            prop_assert_eq!(drained(&mut order, u64::MAX), expected);
        }
    }
}
