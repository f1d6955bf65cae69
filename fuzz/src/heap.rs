//! The heap that a machine holds, counted call by call.

use crate::allocator::measure;

/// What one machine has on the heap.
#[derive(Debug)]
pub struct Heap {
    held: i64,
    max: i64,
}

impl Heap {
    /// Nothing yet, and never more than `max` bytes.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { held: 0, max: i64::try_from(max).unwrap_or(i64::MAX) }
    }

    /// Makes a call of the machine.
    ///
    /// # Panics
    ///
    /// If the machine holds more than it may, at the end of the call or within it.
    pub fn during<R>(&mut self, call: impl FnOnce() -> R) -> R {
        let mut result = None;
        let used = measure(|| result = Some(call()));
        let peak = self.held + i64::try_from(used.peak).unwrap_or(i64::MAX);
        self.held += used.held;
        assert!(peak <= self.max, "{peak} bytes of heap, {} allowed", self.max);
        result.expect("the call returned")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_counts_together_with_what_a_call_needs_for_a_moment() {
        let mut heap = Heap::new(3000);
        let held = heap.during(|| vec![0_u8; 2000]);
        heap.during(|| drop(std::hint::black_box(vec![0_u8; 1000])));
        assert_eq!(heap.held, 2000);
        heap.during(|| drop(held));
        assert_eq!(heap.held, 0);
    }

    #[test]
    #[should_panic(expected = "3001 bytes of heap, 3000 allowed")]
    fn more_than_is_allowed_is_noticed_though_it_is_given_back() {
        let mut heap = Heap::new(3000);
        let _held = heap.during(|| vec![0_u8; 2000]);
        heap.during(|| drop(std::hint::black_box(vec![0_u8; 1001])));
    }
}
