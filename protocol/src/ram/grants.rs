//! The destination's table: for each chunk the region that it was registered in, and its key.

use alloc::vec;
use alloc::vec::Vec;

use super::block::Blocks;
use super::ledger::{Ledger, Released, index};
use crate::address::{BlockIndex, Rkey};
use crate::error::Misbehavior;
use crate::transport::RegionId;

/// What has been granted of one chunk. Each grant names the region by its first chunk.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Grant {
    Absent,
    Registering(RegionId),
    Held(RegionId, Rkey),
    Releasing(RegionId, Rkey),
}

const _: () = assert!(size_of::<Grant>() <= 16, "a chunk of a large guest costs at most 16 bytes");

impl Grant {
    const fn region(self) -> Option<RegionId> {
        match self {
            Self::Absent => None,
            Self::Registering(region) | Self::Held(region, _) | Self::Releasing(region, _) => {
                Some(region)
            }
        }
    }
}

/// What has to be done for a request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Wanted {
    /// The region has to be registered.
    New(RegionId),
    /// All of it lies in a region that is registered, or is being registered.
    Known(RegionId),
}

/// Registered regions by chunk.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Grants {
    entries: Vec<Grant>,
    /// Chunks that are registered, or on their way to it or from it.
    chunks: usize,
    ledger: Ledger,
}

impl Grants {
    pub(crate) fn new(blocks: &Blocks) -> Self {
        let chunks = usize::try_from(blocks.chunks()).unwrap_or(usize::MAX);
        Self { entries: vec![Grant::Absent; chunks], ..Self::default() }
    }

    /// Claims `count` chunks of a block from `chunk` on. The caller has checked that the block has
    /// them.
    pub(crate) fn want(
        &mut self,
        block: BlockIndex,
        chunk: u64,
        first: RegionId,
        count: usize,
    ) -> Result<Wanted, Misbehavior> {
        let overlap = Misbehavior::RegionsOverlap { block, chunk };
        let start = index(first);
        let end = start.saturating_add(count);
        let Some(entries) = self.entries.get_mut(start..end) else { return Err(overlap) };
        let known = entries.first().copied().and_then(Grant::region);
        //= spec/text/05-registration.md#request
        //# [REG-21] A destination MUST reject a request that covers a part of a registered region
        //# together with chunks outside it.
        if entries.iter().any(|entry| entry.region() != known) {
            return Err(overlap);
        }
        if let Some(region) = known {
            return Ok(Wanted::Known(region));
        }
        entries.fill(Grant::Registering(first));
        self.chunks += count;
        self.ledger.registration_began();
        Ok(Wanted::New(first))
    }

    /// A registration was answered: with a key, or not. False where none was under way.
    pub(crate) fn registered(&mut self, region: RegionId, rkey: Option<Rkey>) -> bool {
        let to = rkey.map_or(Grant::Absent, |rkey| Grant::Held(region, rkey));
        let changed = self.change(region, |grant| grant == Grant::Registering(region), to);
        if changed {
            self.ledger.registration_ended(region, rkey.is_some());
        }
        changed
    }

    /// How many chunks are registered, or on their way to it or from it.
    pub(crate) const fn chunks(&self) -> usize {
        self.chunks
    }

    /// The key of the registered region that starts at this chunk.
    pub(crate) fn rkey(&self, region: RegionId) -> Option<Rkey> {
        match self.entries.get(index(region)) {
            Some(Grant::Held(start, rkey)) if *start == region => Some(*rkey),
            _ => None,
        }
    }

    /// Begins to release the region that starts at this chunk. False where none does.
    pub(crate) fn release(&mut self, region: RegionId) -> bool {
        let Some(rkey) = self.rkey(region) else { return false };
        let held = Grant::Held(region, rkey);
        let changed = self.change(region, |grant| grant == held, Grant::Releasing(region, rkey));
        if changed {
            self.ledger.release_began();
        }
        changed
    }

    /// The next region to release at the end, when all of them go.
    pub(crate) fn release_next(&mut self) -> Option<RegionId> {
        while let Some(grant) = self.entries.get(self.ledger.released_before()) {
            let held = match grant {
                Grant::Held(region, _) => Some(*region),
                Grant::Absent | Grant::Registering(_) | Grant::Releasing(..) => None,
            };
            if let Some(region) = held.filter(|region| self.release(*region)) {
                return Some(region);
            }
            self.ledger.step();
        }
        None
    }

    /// A deregistration was answered. False where none was under way.
    pub(crate) fn released(&mut self, region: RegionId, success: bool) -> bool {
        let releasing = match self.entries.get(index(region)) {
            Some(Grant::Releasing(first, rkey)) if *first == region => Some(*rkey),
            _ => None,
        };
        let Some(rkey) = releasing else { return false };
        let to = match self.ledger.release_ended(region, success) {
            Released::Gone => Grant::Absent,
            Released::Again => Grant::Held(region, rkey),
        };
        self.change(region, |grant| grant == Grant::Releasing(region, rkey), to)
    }

    pub(crate) const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Changes the chunks of the region that starts at `region`, if `from` holds for them.
    fn change(&mut self, region: RegionId, from: impl Fn(Grant) -> bool, to: Grant) -> bool {
        let chunks = self.entries.iter_mut().skip(index(region));
        let mut changed = 0;
        for entry in chunks.take_while(|entry| from(**entry)) {
            *entry = to;
            changed += 1;
        }
        if to == Grant::Absent {
            self.chunks -= changed;
        }
        changed > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ram::ChunkSize;

    const BLOCK: BlockIndex = BlockIndex::new(0);

    fn grants() -> Grants {
        Grants::new(&Blocks::new(ChunkSize::default(), [8 << 20].into_iter()).unwrap())
    }

    fn want(grants: &mut Grants, chunk: u32, count: usize) -> Result<Wanted, Misbehavior> {
        grants.want(BLOCK, chunk.into(), RegionId(chunk), count)
    }

    #[test]
    fn a_request_inside_a_region_is_answered_with_its_key() {
        let mut grants = grants();
        assert_eq!(want(&mut grants, 2, 3), Ok(Wanted::New(RegionId(2))));
        assert_eq!(want(&mut grants, 3, 2), Ok(Wanted::Known(RegionId(2))));
        assert_eq!(grants.rkey(RegionId(2)), None);
        assert!(grants.registered(RegionId(2), Some(Rkey::new(7))));
        assert!(!grants.registered(RegionId(2), Some(Rkey::new(7))));
        assert_eq!(grants.rkey(RegionId(2)), Some(Rkey::new(7)));
        assert_eq!(want(&mut grants, 4, 1), Ok(Wanted::Known(RegionId(2))));
    }

    //= spec/text/05-registration.md#request
    //= type=test
    //# [REG-21] A destination MUST reject a request that covers a part of a registered region
    //# together with chunks outside it.
    #[test]
    fn a_request_across_the_edge_of_a_region_is_rejected() {
        let mut grants = grants();
        want(&mut grants, 2, 2).unwrap();
        for (chunk, count) in [(1, 2), (1, 4), (3, 2), (2, 3)] {
            let overlap = Misbehavior::RegionsOverlap { block: BLOCK, chunk: chunk.into() };
            assert_eq!(want(&mut grants, chunk, count), Err(overlap));
        }
        assert_eq!(want(&mut grants, 4, 1), Ok(Wanted::New(RegionId(4))));
    }

    #[test]
    fn a_region_is_released_by_its_first_chunk_and_only_once() {
        let mut grants = grants();
        want(&mut grants, 2, 2).unwrap();
        assert!(!grants.release(RegionId(2)));
        grants.registered(RegionId(2), Some(Rkey::new(7)));
        assert!(!grants.release(RegionId(3)));
        assert!(grants.release(RegionId(2)));
        assert!(!grants.release(RegionId(2)));
        assert!(!grants.released(RegionId(3), true));
        assert_eq!((grants.ledger().left(), grants.ledger().unanswered()), (1, 1));
        assert_eq!(grants.chunks(), 2);
        assert!(grants.released(RegionId(2), true));
        assert_eq!((grants.ledger().left(), grants.ledger().unanswered()), (0, 0));
        assert_eq!(grants.chunks(), 0);
    }

    #[test]
    fn everything_registered_is_released_at_the_end() {
        let mut grants = grants();
        for (chunk, count) in [(0, 1), (1, 3), (7, 1)] {
            want(&mut grants, chunk, count).unwrap();
            grants.registered(RegionId(chunk), Some(Rkey::new(7)));
        }
        assert!(grants.release(RegionId(7)));
        assert_eq!(grants.release_next(), Some(RegionId(0)));
        assert_eq!(grants.release_next(), Some(RegionId(1)));
        assert_eq!(grants.release_next(), None);
        assert_eq!(grants.ledger().unanswered(), 3);
    }
}
