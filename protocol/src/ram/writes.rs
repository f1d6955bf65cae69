//! RDMA WRITEs in flight, and which of them ask for a completion.

use alloc::collections::VecDeque;

use crate::error::Misuse;

/// Writes that have been issued and not acknowledged.
///
/// Only the last write of a batch is signaled; its completion stands for all before it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Writes {
    signal_interval: u32,
    in_flight_max: u32,
    in_flight: u32,
    /// Writes since the last signaled one.
    unsignaled: u32,
    /// Sizes of the batches that end in a signaled write, oldest first.
    batches: VecDeque<u32>,
}

impl Writes {
    pub(crate) fn new(signal_interval: u32, in_flight_max: u32) -> Self {
        let batches = VecDeque::new();
        Self { signal_interval, in_flight_max, in_flight: 0, unsignaled: 0, batches }
    }

    /// Whether one more may be issued.
    pub(crate) const fn has_room(&self) -> bool {
        self.in_flight < self.in_flight_max
    }

    pub(crate) const fn is_idle(&self) -> bool {
        self.in_flight == 0
    }

    /// Writes of which an acknowledgement will tell.
    pub(crate) const fn acknowledgements_due(&self) -> u32 {
        self.in_flight - self.unsignaled
    }

    /// A write is issued; returns whether it has to be signaled. `last`: no other follows at once.
    //= spec/text/06-ram-writes.md#completions
    //# [WRITE-3] A source MUST ask for the completion of the last write before it waits for writes.
    pub(crate) fn issued(&mut self, last: bool) -> bool {
        self.in_flight += 1;
        self.unsignaled += 1;
        let signaled = last || self.unsignaled >= self.signal_interval || !self.has_room();
        if signaled {
            self.batches.push_back(self.unsignaled);
            self.unsignaled = 0;
        }
        signaled
    }

    /// The oldest signaled write was acknowledged.
    pub(crate) fn completed(&mut self) -> Result<(), Misuse> {
        let batch = self.batches.pop_front().ok_or(Misuse::UnexpectedCompletion)?;
        self.in_flight -= batch;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= spec/text/06-ram-writes.md#completions
    //= type=test
    //# [WRITE-3] A source MUST ask for the completion of the last write before it waits for writes.
    #[test]
    fn the_last_write_of_a_batch_is_signaled_and_stands_for_all_of_it() {
        let mut writes = Writes::new(64, 256);
        assert!(!writes.issued(false));
        assert!(!writes.issued(false));
        assert!(writes.issued(true));
        assert_eq!(writes.completed(), Ok(()));
        assert!(writes.is_idle());
        assert_eq!(writes.completed(), Err(Misuse::UnexpectedCompletion));
    }

    #[test]
    fn one_write_in_each_interval_is_signaled() {
        let mut writes = Writes::new(64, 1000);
        let signaled = (0..640).filter(|_| writes.issued(false)).count();
        assert_eq!(signaled, 10);
    }

    #[test]
    fn the_write_that_takes_the_last_room_is_signaled() {
        let mut writes = Writes::new(64, 3);
        assert_eq!([writes.issued(false), writes.issued(false)], [false, false]);
        assert!(writes.has_room());
        assert!(writes.issued(false));
        assert!(!writes.has_room());
        writes.completed().unwrap();
        assert!(writes.has_room() && writes.is_idle());
    }
}
