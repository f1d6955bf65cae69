//! Regions in the order of their last use.

use alloc::vec::Vec;

use super::ledger::index;
use crate::transport::RegionId;

/// Two neighbours in the order. Those of a region that is not in it are itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Link {
    older: RegionId,
    newer: RegionId,
}

/// A ring of regions, the one that was used last before the one that was used first. Each change
/// takes the same time, however many there are.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Recency {
    /// One for each region there may be, and one more for where the ring begins and ends.
    links: Vec<Link>,
    end: RegionId,
}

impl Recency {
    pub(crate) fn new(regions: u32) -> Self {
        let alone = |at| Link { older: RegionId(at), newer: RegionId(at) };
        Self { links: (0..=regions).map(alone).collect(), end: RegionId(regions) }
    }

    /// The region that was used longest ago.
    pub(crate) fn oldest(&self) -> Option<RegionId> {
        let oldest = self.links.get(index(self.end))?.newer;
        (oldest != self.end).then_some(oldest)
    }

    /// A region is used: it is the newest. False where it was not in before.
    pub(crate) fn touch(&mut self, region: RegionId) -> bool {
        let was_in = self.remove(region);
        if let Some(end) = self.links.get(index(self.end)).copied() {
            self.join(end.older, region);
            self.join(region, self.end);
        }
        was_in
    }

    /// Takes a region out. False where it was not in.
    pub(crate) fn remove(&mut self, region: RegionId) -> bool {
        let Some(link) = self.links.get(index(region)).copied() else { return false };
        if link.older == region {
            return false;
        }
        self.join(link.older, link.newer);
        self.join(region, region);
        true
    }

    fn join(&mut self, older: RegionId, newer: RegionId) {
        if let Some(link) = self.links.get_mut(index(older)) {
            link.newer = newer;
        }
        if let Some(link) = self.links.get_mut(index(newer)) {
            link.older = older;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_the_one_that_was_not_used_for_longest() {
        let mut recency = Recency::new(4);
        assert_eq!(recency.oldest(), None);
        for region in [2, 0, 3, 2, 0] {
            recency.touch(RegionId(region));
        }
        assert!(recency.touch(RegionId(0)));
        assert_eq!(recency.oldest(), Some(RegionId(3)));
        assert!(recency.remove(RegionId(2)));
        assert!(!recency.remove(RegionId(2)));
        assert!(!recency.remove(RegionId(1)));
        for expected in [3, 0] {
            let oldest = recency.oldest().unwrap();
            assert_eq!(oldest, RegionId(expected));
            assert!(recency.remove(oldest));
        }
        assert_eq!(recency.oldest(), None);
    }
}
