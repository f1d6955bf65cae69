//! Virtual time: an agenda of what happens when.

use core::cmp::{Ordering, Reverse};
use core::time::Duration;
use std::collections::{BinaryHeap, VecDeque};

use rdma_migration_protocol::time::Instant;

/// Events in the order of their instants; of one instant, in the order in which they were added.
#[derive(Debug)]
pub(crate) struct Agenda<E> {
    now: Instant,
    added: u64,
    /// What was added for a later instant than that at which it was added.
    later: BinaryHeap<Reverse<Entry<E>>>,
    /// What was added for the present instant: after everything of [`Self::later`] that was added for
    /// it, when it was not yet the present.
    due: VecDeque<E>,
}

#[derive(Debug)]
struct Entry<E> {
    at: Instant,
    number: u64,
    event: E,
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl<E> Agenda<E> {
    pub(crate) fn new() -> Self {
        Self { now: Instant::ORIGIN, added: 0, later: BinaryHeap::new(), due: VecDeque::new() }
    }

    pub(crate) const fn now(&self) -> Instant {
        self.now
    }

    /// Adds an event; one in the past happens now.
    pub(crate) fn add(&mut self, at: Instant, event: E) {
        if at <= self.now {
            return self.due.push_back(event);
        }
        self.later.push(Reverse(Entry { at, number: self.added, event }));
        self.added += 1;
    }

    pub(crate) fn add_after(&mut self, delay: Duration, event: E) {
        self.add(self.now.after(delay), event);
    }

    /// When the next event happens.
    pub(crate) fn next(&self) -> Option<Instant> {
        let due = (!self.due.is_empty()).then_some(self.now);
        due.or_else(|| self.later.peek().map(|Reverse(entry)| entry.at))
    }

    /// The next event that happens no later than `until`, with the clock set to its instant.
    pub(crate) fn take(&mut self, until: Instant) -> Option<E> {
        let next = self.next().filter(|next| *next <= until)?;
        if self.later.peek().is_none_or(|Reverse(entry)| entry.at > next) {
            return self.due.pop_front();
        }
        let Reverse(entry) = self.later.pop()?;
        self.now = entry.at;
        Some(entry.event)
    }

    /// Sets the clock forward, never back.
    pub(crate) fn advance(&mut self, to: Instant) {
        self.now = self.now.max(to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_the_order_of_time_and_then_of_being_added() {
        let at = Instant::from_nanoseconds;
        let mut agenda = Agenda::new();
        agenda.add(at(5), "third");
        agenda.add(at(3), "first");
        agenda.add(at(3), "second");
        let taken: Vec<_> = core::iter::from_fn(|| agenda.take(at(9))).collect();
        assert_eq!(taken, ["first", "second", "third"]);
        assert_eq!(agenda.now(), at(5));
    }

    #[test]
    fn what_waited_for_an_instant_comes_before_what_is_added_at_it() {
        let at = Instant::from_nanoseconds;
        let mut agenda = Agenda::new();
        agenda.add(at(5), "first");
        agenda.add(at(5), "second");
        assert_eq!(agenda.take(at(5)), Some("first"));
        agenda.add(at(5), "third");
        agenda.add(at(6), "fifth");
        agenda.add(at(2), "fourth");
        assert_eq!((agenda.next(), agenda.take(at(4))), (Some(at(5)), None));
        let taken: Vec<_> = core::iter::from_fn(|| agenda.take(at(9))).collect();
        assert_eq!(taken, ["second", "third", "fourth", "fifth"]);
    }

    #[test]
    fn an_event_in_the_past_happens_now_and_one_in_the_future_waits() {
        let at = Instant::from_nanoseconds;
        let mut agenda = Agenda::new();
        agenda.advance(at(7));
        agenda.add(at(3), "late");
        agenda.add(at(9), "later");
        assert_eq!(agenda.take(at(8)), Some("late"));
        assert_eq!(agenda.now(), at(7));
        assert_eq!(agenda.take(at(8)), None);
        assert_eq!(agenda.next(), Some(at(9)));
    }
}
