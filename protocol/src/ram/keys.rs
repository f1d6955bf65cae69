//! The source's table: for each chunk the destination's key, and our own registration of it.

use alloc::vec::Vec;

use super::block::Blocks;
use super::ledger::{Ledger, Released, index};
use super::pinning::{Bounded, Pinning, Room};
use crate::address::{BlockIndex, BlockOffset, Rkey};
use crate::transport::RegionId;

/// What the destination has granted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Remote {
    Unknown,
    /// Asked for; the answer is due.
    Requested,
    Granted(Rkey),
    /// The destination was asked to take it back.
    Unregistering,
}

/// Our own registration, from which the adapter reads.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Local {
    Absent,
    Registering,
    Registered,
    /// To be given back; the order has not been given yet.
    Surplus,
    Releasing,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Entry {
    /// The region that the chunk belongs to. What is known of that stands at its first chunk.
    region: RegionId,
    remote: Remote,
    local: Local,
}

const _: () = assert!(size_of::<Entry>() <= 16, "a chunk of a large guest costs at most 16 bytes");

/// Keys and registrations by region: a chunk; a span of them that was asked for at once; or the whole
/// block where all RAM is pinned. A region goes by its first chunk's number.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Keys {
    pin_all: bool,
    entries: Vec<Entry>,
    ledger: Ledger,
    /// The one region whose local state is `Surplus`, during the migration.
    surplus: Option<RegionId>,
    /// Where the owner has set a bound.
    pinning: Option<Pinning>,
}

impl Keys {
    pub(crate) fn new(blocks: &Blocks, pin_all: bool) -> Self {
        let (remote, local) = (Remote::Unknown, Local::Absent);
        let entry = |chunk| Entry { region: RegionId(chunk), remote, local };
        Self { pin_all, entries: (0..blocks.chunks()).map(entry).collect(), ..Self::default() }
    }

    /// With a bound on how many chunks are registered at a time.
    pub(crate) fn bounded(self, bounded: Bounded, chunks_max: usize) -> Self {
        let regions = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        Self { pinning: Some(Pinning::new(bounded, chunks_max, regions)), ..self }
    }

    /// Whether there is room for so many chunks more, where a bound is on this.
    pub(crate) fn room(&self, bounded: Bounded, chunks: usize) -> Room {
        let pinning = self.pinning.as_ref().filter(|pinning| pinning.bounded == bounded);
        pinning.map_or(Room::Enough, |pinning| pinning.room(chunks))
    }

    /// A region is written from.
    pub(crate) fn used(&mut self, region: RegionId) {
        if let Some(pinning) = &mut self.pinning {
            pinning.used(region);
        }
    }

    /// The region that holds this byte.
    pub(crate) fn region(
        &self,
        blocks: &Blocks,
        block: BlockIndex,
        offset: BlockOffset,
    ) -> Option<RegionId> {
        if self.pin_all {
            return blocks.chunk(block, BlockOffset::new(0));
        }
        let chunk = blocks.chunk(block, offset)?;
        Some(self.entries.get(index(chunk))?.region)
    }

    /// The region that holds a block's chunk, where chunks are registered as they are needed.
    pub(crate) fn region_of_chunk(
        &self,
        blocks: &Blocks,
        block: BlockIndex,
        chunk: u64,
    ) -> Option<RegionId> {
        let chunk = blocks.numbered_chunk(block, chunk)?;
        Some(self.entries.get(index(chunk))?.region)
    }

    /// How many chunks a region has.
    pub(crate) fn chunks(&self, region: RegionId) -> usize {
        let rest = self.entries.iter().skip(index(region));
        rest.take_while(|entry| entry.region == region).count()
    }

    /// Whether nothing is registered of a chunk on either side, and nothing is asked for.
    pub(crate) fn is_free(&self, chunk: RegionId) -> bool {
        let entry = self.entries.get(index(chunk));
        entry.is_some_and(|entry| {
            (entry.region, entry.remote, entry.local) == (chunk, Remote::Unknown, Local::Absent)
        })
    }

    /// Makes one region of chunks that the caller has found free.
    pub(crate) fn join(&mut self, first: RegionId, count: usize) {
        for entry in self.entries.iter_mut().skip(index(first)).take(count) {
            entry.region = first;
        }
    }

    pub(crate) fn state(&self, region: RegionId) -> Option<(Remote, Local)> {
        let entry = self.entries.get(index(region))?;
        Some((entry.remote, entry.local))
    }

    pub(crate) fn set_remote(&mut self, region: RegionId, remote: Remote) {
        let Some(entry) = self.entries.get_mut(index(region)) else { return };
        let before = core::mem::replace(&mut entry.remote, remote);
        match (before, remote) {
            (Remote::Unknown, Remote::Requested) => self.enter(Bounded::Both, region),
            (_, Remote::Unregistering) => self.leave(Bounded::Both, region),
            _ => {}
        }
        self.dissolve(region);
    }

    /// Registration of a region is ordered.
    pub(crate) fn register(&mut self, region: RegionId) {
        if self.change(region, Local::Absent, Local::Registering) {
            self.ledger.registration_began();
            self.enter(Bounded::Ours, region);
        }
    }

    /// A registration was answered. False where none was under way.
    pub(crate) fn registered(&mut self, region: RegionId, success: bool) -> bool {
        let to = if success { Local::Registered } else { Local::Absent };
        let changed = self.change(region, Local::Registering, to);
        if changed {
            self.ledger.registration_ended(region, success);
        }
        changed
    }

    /// A region is not needed any more.
    pub(crate) fn give_up(&mut self, region: RegionId) {
        if self.change(region, Local::Registered, Local::Surplus) {
            self.surplus = Some(region);
            self.leave(Bounded::Ours, region);
        }
    }

    /// The next region to deregister because it was given up.
    pub(crate) fn release_surplus(&mut self) -> Option<RegionId> {
        let region = self.surplus.take()?;
        self.release(region, Local::Surplus)
    }

    /// The next region to deregister at the end, when all of them go.
    pub(crate) fn release_next(&mut self) -> Option<RegionId> {
        self.surplus = None;
        while let Some(entry) = self.entries.get(self.ledger.released_before()) {
            let (local, at) = (entry.local, self.ledger.released_before());
            self.ledger.step();
            if matches!(local, Local::Registered | Local::Surplus) {
                return self.release(RegionId(u32::try_from(at).ok()?), local);
            }
        }
        None
    }

    /// A deregistration was answered. False where none was under way.
    pub(crate) fn released(&mut self, region: RegionId, success: bool) -> bool {
        let changed = self.change(region, Local::Releasing, Local::Absent);
        if changed && self.ledger.release_ended(region, success) == Released::Again {
            self.change(region, Local::Absent, Local::Registered);
        } else if changed {
            self.gone(Bounded::Ours, region);
        }
        self.dissolve(region);
        changed
    }

    pub(crate) const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Makes single chunks of a region that is registered on neither side any more.
    fn dissolve(&mut self, region: RegionId) {
        if self.state(region) != Some((Remote::Unknown, Local::Absent)) {
            return;
        }
        self.gone(Bounded::Both, region);
        let rest = self.entries.iter_mut().zip(0..).skip(index(region));
        for (entry, chunk) in rest.take_while(|(entry, _)| entry.region == region) {
            entry.region = RegionId(chunk);
        }
    }

    fn enter(&mut self, bounded: Bounded, region: RegionId) {
        let chunks = self.chunks(region);
        if let Some(pinning) = self.pinning(bounded) {
            pinning.enter(region, chunks);
        }
    }

    fn leave(&mut self, bounded: Bounded, region: RegionId) {
        let chunks = self.chunks(region);
        if let Some(pinning) = self.pinning(bounded) {
            pinning.leave(region, chunks);
        }
    }

    fn gone(&mut self, bounded: Bounded, region: RegionId) {
        let chunks = self.chunks(region);
        if let Some(pinning) = self.pinning(bounded) {
            pinning.gone(region, chunks);
        }
    }

    fn pinning(&mut self, bounded: Bounded) -> Option<&mut Pinning> {
        self.pinning.as_mut().filter(|pinning| pinning.bounded == bounded)
    }

    fn release(&mut self, region: RegionId, from: Local) -> Option<RegionId> {
        let changed = self.change(region, from, Local::Releasing);
        if changed {
            self.ledger.release_began();
        }
        changed.then_some(region)
    }

    fn change(&mut self, region: RegionId, from: Local, to: Local) -> bool {
        match self.entries.get_mut(index(region)) {
            Some(entry) if entry.local == from => {
                entry.local = to;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ram::ChunkSize;

    fn table(pin_all: bool) -> (Blocks, Keys) {
        let lengths = [2 << 20, 1 << 20_u64];
        let blocks = Blocks::new(ChunkSize::default(), lengths.into_iter()).unwrap();
        let keys = Keys::new(&blocks, pin_all);
        (blocks, keys)
    }

    #[test]
    fn a_region_is_a_chunk_or_where_all_is_pinned_a_block() {
        let (blocks, dynamic) = table(false);
        let (_, pinned) = table(true);
        let (block, offset) = (BlockIndex::new(0), BlockOffset::new(1 << 20));
        assert_eq!(dynamic.region(&blocks, block, offset), Some(RegionId(1)));
        assert_eq!(pinned.region(&blocks, block, offset), Some(RegionId(0)));
        assert_eq!(
            pinned.region(&blocks, BlockIndex::new(1), BlockOffset::new(0)),
            Some(RegionId(2))
        );
    }

    #[test]
    fn every_registered_region_is_released_once() {
        let (_, mut keys) = table(false);
        for region in [RegionId(0), RegionId(2)] {
            keys.register(region);
            assert!(keys.registered(region, true));
        }
        keys.register(RegionId(1));
        assert!(keys.registered(RegionId(1), false));
        keys.give_up(RegionId(2));
        assert_eq!(keys.ledger().left(), 2);
        assert_eq!(keys.release_next(), Some(RegionId(0)));
        assert_eq!(keys.release_next(), Some(RegionId(2)));
        assert_eq!(keys.release_next(), None);
        assert_eq!(keys.ledger().unanswered(), 2);
        assert!(keys.released(RegionId(0), true));
        assert!(!keys.released(RegionId(0), true));
        assert!(keys.released(RegionId(2), true));
        assert!(keys.ledger().all_released());
    }
}
