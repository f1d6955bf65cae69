//! How much may be registered at a time where that is bounded, and which region gives way.

use super::recency::Recency;
use crate::transport::RegionId;

/// What the bound is on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Bounded {
    /// Our own registrations.
    Ours,
    /// Those of both sides: the destination gives back what it is asked to.
    Both,
}

/// Whether there is room for a region.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Room {
    Enough,
    /// There will be, once what is on its way out has gone.
    Soon,
    /// Only if this region, the one that was used longest ago, goes.
    After(RegionId),
    /// Only if something is used less.
    None,
}

/// A bound on the chunks that are registered at a time. A chunk at the end of its block counts as
/// much as any other.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Pinning {
    pub(crate) bounded: Bounded,
    chunks_max: usize,
    chunks: usize,
    /// Those of `chunks` that are on their way out.
    leaving: usize,
    recency: Recency,
}

impl Pinning {
    pub(crate) fn new(bounded: Bounded, chunks_max: usize, regions: u32) -> Self {
        let recency = Recency::new(regions);
        Self { bounded, chunks_max, chunks: 0, leaving: 0, recency }
    }

    /// Whether there is room for this many chunks more.
    pub(crate) fn room(&self, more: usize) -> Room {
        let needed = self.chunks.saturating_add(more);
        if needed <= self.chunks_max {
            return Room::Enough;
        }
        if needed.saturating_sub(self.leaving) <= self.chunks_max {
            return Room::Soon;
        }
        self.recency.oldest().map_or(Room::None, Room::After)
    }

    /// A region of so many chunks is registered from now on, if it was not before.
    pub(crate) fn enter(&mut self, region: RegionId, chunks: usize) {
        if !self.recency.touch(region) {
            self.chunks += chunks;
        }
    }

    pub(crate) fn used(&mut self, region: RegionId) {
        self.recency.touch(region);
    }

    /// A region is about to go.
    pub(crate) fn leave(&mut self, region: RegionId, chunks: usize) {
        if self.recency.remove(region) {
            self.leaving += chunks;
        }
    }

    /// A region has gone.
    pub(crate) fn gone(&mut self, region: RegionId, chunks: usize) {
        self.leave(region, chunks);
        self.chunks = self.chunks.saturating_sub(chunks);
        self.leaving = self.leaving.saturating_sub(chunks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_that_was_used_longest_ago_gives_way() {
        let mut pinning = Pinning::new(Bounded::Ours, 10, 20);
        assert_eq!(pinning.room(11), Room::None);
        pinning.enter(RegionId(0), 4);
        pinning.enter(RegionId(4), 4);
        pinning.enter(RegionId(4), 4);
        assert_eq!(pinning.room(2), Room::Enough);
        assert_eq!(pinning.room(3), Room::After(RegionId(0)));
        pinning.used(RegionId(0));
        assert_eq!(pinning.room(3), Room::After(RegionId(4)));
        pinning.leave(RegionId(4), 4);
        assert_eq!(pinning.room(6), Room::Soon);
        assert_eq!(pinning.room(7), Room::After(RegionId(0)));
        pinning.gone(RegionId(4), 4);
        assert_eq!(pinning.room(6), Room::Enough);
        // Without notice, as at the end.
        pinning.gone(RegionId(0), 4);
        assert_eq!(pinning.room(10), Room::Enough);
    }
}
