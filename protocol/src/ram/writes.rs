//! RDMA WRITEs in flight, and which of them ask for a completion.

use alloc::collections::VecDeque;

use crate::error::Misuse;
use crate::limits::WRITES_IN_FLIGHT_DEFAULT;
use crate::transport::RegionId;

/// Writes that have been issued and not acknowledged.
///
/// Only the last write of a batch is signaled; its completion stands for all before it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Writes {
    signal_interval: usize,
    in_flight_max: usize,
    /// The regions that the writes in flight read from, oldest first.
    in_flight: VecDeque<RegionId>,
    /// Writes since the last signaled one.
    unsignaled: usize,
    /// Sizes of the batches that end in a signaled write, oldest first.
    batches: VecDeque<usize>,
}

impl Writes {
    pub(crate) fn new(signal_interval: u32, in_flight_max: u32) -> Self {
        let count = |number| usize::try_from(number).unwrap_or(usize::MAX);
        let (signal_interval, in_flight_max) = (count(signal_interval), count(in_flight_max));
        let (in_flight, batches) = (VecDeque::new(), VecDeque::new());
        Self { signal_interval, in_flight_max, in_flight, unsignaled: 0, batches }
    }

    /// Allocates for as many as are in flight by default; for more than that, once they are.
    pub(crate) fn reserve(&mut self) {
        let default = usize::try_from(WRITES_IN_FLIGHT_DEFAULT).unwrap_or(usize::MAX);
        let writes = self.in_flight_max.min(default);
        self.in_flight.reserve(writes);
        self.batches.reserve(writes);
    }

    /// Whether one more may be issued.
    pub(crate) fn has_room(&self) -> bool {
        self.in_flight.len() < self.in_flight_max
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Whether a write in flight reads from this region.
    pub(crate) fn use_region(&self, region: RegionId) -> bool {
        self.in_flight.contains(&region)
    }

    /// Writes of which an acknowledgement will tell.
    pub(crate) fn acknowledgements_due(&self) -> usize {
        self.in_flight.len() - self.unsignaled
    }

    /// A write from a region is issued; returns whether it has to be signaled. `last`: no other
    /// follows at once.
    //= spec/text/06-ram-writes.md#completions
    //# [WRITE-3] A source MUST ask for the completion of the last write before it waits for writes.
    pub(crate) fn issued(&mut self, region: RegionId, last: bool) -> bool {
        self.in_flight.push_back(region);
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
        self.in_flight.drain(..batch);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGION: RegionId = RegionId(3);

    //= spec/text/06-ram-writes.md#completions
    //= type=test
    //# [WRITE-3] A source MUST ask for the completion of the last write before it waits for writes.
    #[test]
    fn the_last_write_of_a_batch_is_signaled_and_stands_for_all_of_it() {
        let mut writes = Writes::new(64, 256);
        assert!(!writes.issued(REGION, false));
        assert!(!writes.issued(REGION, false));
        assert!(writes.issued(RegionId(4), true));
        assert!(writes.use_region(REGION) && writes.use_region(RegionId(4)));
        assert_eq!(writes.completed(), Ok(()));
        assert!(writes.is_idle() && !writes.use_region(REGION));
        assert_eq!(writes.completed(), Err(Misuse::UnexpectedCompletion));
    }

    #[test]
    fn one_write_in_each_interval_is_signaled() {
        let mut writes = Writes::new(64, 1000);
        let signaled = (0..640).filter(|_| writes.issued(REGION, false)).count();
        assert_eq!(signaled, 10);
    }

    #[test]
    fn the_write_that_takes_the_last_room_is_signaled() {
        let mut writes = Writes::new(64, 3);
        assert_eq!([writes.issued(REGION, false), writes.issued(REGION, false)], [false, false]);
        assert!(writes.has_room());
        assert!(writes.issued(REGION, false));
        assert!(!writes.has_room());
        writes.completed().unwrap();
        assert!(writes.has_room() && writes.is_idle());
    }
}
