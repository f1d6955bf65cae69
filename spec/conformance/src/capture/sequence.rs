//! Each side's requests, in the order in which their receiver takes them.

use std::collections::VecDeque;

/// The most packets that are held back while one before them is missing.
pub const HELD_PACKETS_MAX: usize = 4096;
/// The most bytes of payload that are held back with them.
pub const HELD_BYTES_MAX: usize = 1 << 20;

/// The most runs of missing packets that are remembered, in case they turn up.
const MISSING_RUNS_MAX: usize = 64;

const SEQUENCE_BITS: u32 = 24;
const SEQUENCE_MASK: u32 = (1 << SEQUENCE_BITS) - 1;

/// How far a packet sequence number lies ahead of another; negative when it lies behind.
#[must_use]
pub fn distance(from: u32, to: u32) -> i32 {
    let unused_bits = u32::BITS - SEQUENCE_BITS;
    (to.wrapping_sub(from) << unused_bits).cast_signed() >> unused_bits
}

/// What becomes of a packet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step<T> {
    /// It is the next that its receiver takes.
    InOrder(T),
    /// It was there before.
    Again(T),
    /// So many packets before the next one are not in the capture.
    Missing(u32),
}

/// Puts the packets of one direction of a connection in order.
///
/// A packet ahead of its turn is held back until the one before it comes: it was lost on the way
/// and is sent again, or the capture has swapped them. If the receiver acknowledges it first, the
/// missing one did arrive and was only not captured; should it turn up all the same, it is taken
/// then.
#[derive(Clone, Debug)]
pub struct Sequence<T> {
    next: Option<u32>,
    begun: bool,
    /// The latest numbers that were given up as missing: first and count.
    missing: VecDeque<(u32, u32)>,
    /// Ordered by sequence number, none of them the next.
    held: Vec<Held<T>>,
    held_bytes: usize,
}

#[derive(Clone, Debug)]
struct Held<T> {
    sequence_number: u32,
    bytes: usize,
    packet: T,
}

impl<T> Sequence<T> {
    /// Begins with this number, or, without one, with the first packet that is seen.
    #[must_use]
    pub fn new(first: Option<u32>) -> Self {
        Self {
            next: first,
            begun: false,
            missing: VecDeque::new(),
            held: Vec::new(),
            held_bytes: 0,
        }
    }

    /// Takes the packet with this number, which holds so many bytes of memory.
    pub fn take(&mut self, sequence_number: u32, bytes: usize, packet: T) -> Vec<Step<T>> {
        let ahead = self.next.map_or(0, |next| distance(next, sequence_number));
        if ahead == 0 || (ahead < 0 && !self.begun) {
            // Before the connection's own first number there can be nothing: then that was wrong.
            self.advance(sequence_number);
            let mut steps = vec![Step::InOrder(packet)];
            self.release_next(&mut steps);
            return steps;
        }
        if ahead < 0 {
            let late = self.find_missing(sequence_number);
            return vec![if late { Step::InOrder(packet) } else { Step::Again(packet) }];
        }
        let position =
            self.held.partition_point(|held| distance(held.sequence_number, sequence_number) > 0);
        if self.held.get(position).is_some_and(|held| held.sequence_number == sequence_number) {
            return vec![Step::Again(packet)];
        }
        self.held.insert(position, Held { sequence_number, bytes, packet });
        self.held_bytes += bytes;
        let mut steps = Vec::new();
        if self.held.len() > HELD_PACKETS_MAX || self.held_bytes > HELD_BYTES_MAX {
            self.skip_missing(&mut steps);
        }
        steps
    }

    /// The receiver has everything up to and including this number.
    pub fn acknowledge(&mut self, sequence_number: u32) -> Vec<Step<T>> {
        let mut steps = Vec::new();
        while let Some(next) = self.next
            && distance(next, sequence_number) >= 0
        {
            let arrived = sequence_number.wrapping_add(1) & SEQUENCE_MASK;
            let held = self.held.first().map_or(arrived, |held| held.sequence_number);
            let until = if distance(held, arrived) > 0 { held } else { arrived };
            self.give_up(next, until, &mut steps);
        }
        steps
    }

    /// Nothing more comes.
    pub fn end(&mut self) -> Vec<Step<T>> {
        let mut steps = Vec::new();
        while !self.held.is_empty() {
            self.skip_missing(&mut steps);
        }
        steps
    }

    /// The last number that came in order, or the one before the first.
    #[must_use]
    pub fn last(&self) -> Option<u32> {
        self.next.map(|next| next.wrapping_sub(1) & SEQUENCE_MASK)
    }

    /// Takes any number as the next one: some operations use more numbers than packets.
    pub fn forget(&mut self) {
        *self = Self::new(None);
    }

    fn skip_missing(&mut self, steps: &mut Vec<Step<T>>) {
        let Some(first) = self.held.first().map(|held| held.sequence_number) else { return };
        self.give_up(self.next.unwrap_or(first), first, steps);
    }

    /// The packets from `next` on are missing; those from `until` on are not.
    fn give_up(&mut self, next: u32, until: u32, steps: &mut Vec<Step<T>>) {
        let count = distance(next, until).unsigned_abs();
        if count > 0 {
            steps.push(Step::Missing(count));
            self.missing.push_back((next, count));
        }
        if self.missing.len() > MISSING_RUNS_MAX {
            self.missing.pop_front();
        }
        self.begun = true;
        self.next = Some(until);
        self.release_next(steps);
    }

    /// Whether this number was given up as missing; from now on it no longer is.
    fn find_missing(&mut self, sequence_number: u32) -> bool {
        let offset_in = |(first, count): (u32, u32)| {
            u32::try_from(distance(first, sequence_number)).ok().filter(|offset| *offset < count)
        };
        let found = self
            .missing
            .iter()
            .enumerate()
            .find_map(|(index, run)| Some((index, *run, offset_in(*run)?)));
        let Some((index, (first, count), offset)) = found else { return false };
        self.missing.remove(index);
        let rest = (sequence_number.wrapping_add(1) & SEQUENCE_MASK, count - offset - 1);
        let parts = [(first, offset), rest].into_iter().filter(|(_, count)| *count > 0);
        self.missing.extend(parts);
        true
    }

    fn release_next(&mut self, steps: &mut Vec<Step<T>>) {
        let next_in_line = |next: &mut Option<u32>, held: &Held<T>| {
            let is_next = *next == Some(held.sequence_number);
            if is_next {
                *next = Some(held.sequence_number.wrapping_add(1) & SEQUENCE_MASK);
            }
            is_next
        };
        let mut next = self.next;
        let count = self.held.iter().take_while(|held| next_in_line(&mut next, held)).count();
        for held in self.held.drain(..count) {
            self.held_bytes -= held.bytes;
            steps.push(Step::InOrder(held.packet));
        }
        self.next = next;
    }

    fn advance(&mut self, sequence_number: u32) {
        self.begun = true;
        self.next = Some(sequence_number.wrapping_add(1) & SEQUENCE_MASK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Step::{Again, InOrder, Missing};

    fn take(sequence: &mut Sequence<u32>, number: u32) -> Vec<Step<u32>> {
        sequence.take(number, 100, number)
    }

    #[test]
    fn numbers_wrap_at_24_bits() {
        assert_eq!(distance(0xff_ffff, 0), 1);
        assert_eq!(distance(0, 0xff_ffff), -1);
        let mut sequence = Sequence::new(Some(0xff_ffff));
        assert_eq!(take(&mut sequence, 0xff_ffff), [InOrder(0xff_ffff)]);
        assert_eq!(take(&mut sequence, 0), [InOrder(0)]);
    }

    #[test]
    fn a_packet_seen_before_comes_again() {
        let mut sequence = Sequence::new(None);
        assert_eq!(take(&mut sequence, 7), [InOrder(7)]);
        assert_eq!(take(&mut sequence, 7), [Again(7)]);
        assert_eq!(take(&mut sequence, 8), [InOrder(8)]);
        assert_eq!(take(&mut sequence, 6), [Again(6)]);
    }

    #[test]
    fn a_lost_packet_that_is_sent_again_takes_its_place() {
        let mut sequence = Sequence::new(Some(1));
        assert_eq!(take(&mut sequence, 1), [InOrder(1)]);
        assert_eq!(take(&mut sequence, 3), []);
        assert_eq!(take(&mut sequence, 4), []);
        assert_eq!(take(&mut sequence, 4), [Again(4)]);
        assert_eq!(take(&mut sequence, 2), [InOrder(2), InOrder(3), InOrder(4)]);
        assert_eq!(take(&mut sequence, 3), [Again(3)]);
        assert_eq!(take(&mut sequence, 5), [InOrder(5)]);
    }

    #[test]
    fn an_acknowledgement_shows_that_a_packet_was_only_not_captured() {
        let mut sequence = Sequence::new(Some(1));
        assert_eq!(take(&mut sequence, 4), []);
        assert_eq!(take(&mut sequence, 6), []);
        assert_eq!(sequence.acknowledge(2), [Missing(2)]);
        assert_eq!(sequence.acknowledge(4), [Missing(1), InOrder(4)]);
        assert_eq!(sequence.end(), [Missing(1), InOrder(6)]);
        assert_eq!(sequence.held_bytes, 0);
    }

    #[test]
    fn an_acknowledged_packet_that_turns_up_late_is_taken_then() {
        let mut sequence = Sequence::new(Some(1));
        assert_eq!(take(&mut sequence, 1), [InOrder(1)]);
        assert_eq!(sequence.acknowledge(1), []);
        assert_eq!(sequence.acknowledge(4), [Missing(3)]);
        assert_eq!(take(&mut sequence, 3), [InOrder(3)]);
        assert_eq!(take(&mut sequence, 3), [Again(3)]);
        assert_eq!(take(&mut sequence, 2), [InOrder(2)]);
        assert_eq!(take(&mut sequence, 4), [InOrder(4)]);
        assert_eq!(take(&mut sequence, 1), [Again(1)]);
        assert_eq!(take(&mut sequence, 5), [InOrder(5)]);
        assert!(sequence.missing.is_empty());
    }

    #[test]
    fn what_is_held_back_is_bounded() {
        let mut sequence = Sequence::new(Some(0));
        let steps: usize = (1..20_000).map(|number| take(&mut sequence, number).len()).sum();
        assert!(sequence.held.len() <= HELD_PACKETS_MAX);
        // All but the missing one come out, and one step says that it is missing.
        assert_eq!(steps, 20_000);
    }

    #[test]
    fn a_first_number_that_cannot_be_right_is_corrected() {
        let mut sequence = Sequence::new(Some(100));
        assert_eq!(take(&mut sequence, 50), [InOrder(50)]);
        assert_eq!(take(&mut sequence, 51), [InOrder(51)]);
    }
}
