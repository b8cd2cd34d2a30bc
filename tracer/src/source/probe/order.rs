//! Puts records of several CPUs in order: each is held until everything older has surely arrived.

use crate::input::{BootNs, Event, Input};
use std::collections::VecDeque;

/// Events waiting for older ones. Bounded by what one batch holds: the caller takes out, after each
/// batch, whatever is older than the batch's `complete_until`.
///
/// They come nearly in order (the ring has one, and a record's time is taken just before its place there), so a list
/// is kept sorted: of a million events a handful is put elsewhere than at its end.
///
/// An event is some three hundred bytes, whatever it tells: it is put where it waits as the input that it will be, and lent from there.
#[derive(Debug, Default)]
pub struct Order {
    /// By time, and by arrival where that is the same: events of one CPU keep their order even within one clock tick.
    waiting: VecDeque<(BootNs, Input)>,
}

impl Order {
    /// Takes an event.
    pub fn push(&mut self, event: Event) {
        let at = event.at;
        if self.waiting.back().is_none_or(|(last, _)| *last <= at) {
            self.waiting.push_back((at, Input::Event(event)));
        } else {
            let place = self.waiting.partition_point(|(before, _)| *before <= at);
            self.waiting.insert(place, (at, Input::Event(event)));
        }
    }

    /// The oldest event, if it happened before `until`.
    pub fn first_before(&self, until: BootNs) -> Option<&Input> {
        self.waiting.front().filter(|(first, _)| *first < until).map(|(_, input)| input)
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Gives up room that is not needed now.
    pub fn shrink(&mut self) {
        self.waiting.shrink_to(2 * self.waiting.len());
    }

    /// Takes the oldest event out.
    pub fn drop_first(&mut self) {
        self.waiting.pop_front();
    }
}

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
        let mut taken = Vec::new();
        while let Some(Input::Event(event)) = order.first_before(BootNs(until)) {
            taken.push((event.at.0, event.cgroup.map_or(0, |id| id.0)));
            order.drop_first();
        }
        taken
    }

    #[test]
    fn shrinks_to_what_waits() {
        let mut order = Order::default();
        for at in 0..1_000 {
            order.push(event(at, 0));
        }
        assert_eq!(drained(&mut order, 990).len(), 990);
        order.shrink();
        assert!(order.waiting.capacity() < 100, "{}", order.waiting.capacity());
        assert_eq!(drained(&mut order, 2_000).len(), 10);
    }

    #[test]
    fn holds_back_what_may_still_be_overtaken() {
        let mut order = Order::default();
        order.push(event(30, 0));
        order.push(event(10, 1));
        assert_eq!(drained(&mut order, 30), [(10, 1)]);
        order.push(event(20, 2));
        assert_eq!(drained(&mut order, 31), [(20, 2), (30, 0)]);
        assert_eq!(order.first_before(BootNs(u64::MAX)), None);
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
