//! What a destination has registered for its source, as the messages between them tell.

use super::error_name::ErrorName;

/// Chunks of one RAM block that were registered together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Region {
    pub(super) block: u32,
    pub(super) first_chunk: u64,
    pub(super) chunks: u64,
    /// The destination's key, once it has answered.
    pub(super) rkey: Option<u32>,
}

impl Region {
    fn holds(&self, block: u32, chunk: u64) -> bool {
        self.block == block && chunk.checked_sub(self.first_chunk).is_some_and(|n| n < self.chunks)
    }
}

/// The regions of one migration.
#[derive(Clone, Debug, Default)]
pub(super) struct Regions {
    regions: Vec<Region>,
}

impl Regions {
    /// The region that holds a chunk.
    pub(super) fn of(&self, block: u32, chunk: u64) -> Option<&Region> {
        self.regions.iter().find(|region| region.holds(block, chunk))
    }

    /// Asks for chunks: they become a region, unless they lie in one.
    pub(super) fn ask(&mut self, block: u32, chunk: u64, chunks: u64) -> Result<(), ErrorName> {
        let last = chunk.saturating_add(chunks).saturating_sub(1);
        let touched = self.regions.iter().any(|region| {
            region.block == block
                && region.first_chunk <= last
                && chunk < region.first_chunk.saturating_add(region.chunks)
        });
        match self.of(block, chunk) {
            Some(region) if region.holds(block, last) => Ok(()),
            None if !touched => {
                self.regions.push(Region { block, first_chunk: chunk, chunks, rkey: None });
                Ok(())
            }
            _ => Err(ErrorName::RegionsOverlap),
        }
    }

    /// The destination's answer for the region that holds a chunk. False if it had given another
    /// key for it.
    pub(super) fn grant(&mut self, block: u32, chunk: u64, rkey: u32) -> bool {
        let region = self.regions.iter_mut().find(|region| region.holds(block, chunk));
        region.is_none_or(|region| *region.rkey.get_or_insert(rkey) == rkey)
    }

    /// Takes back the region that starts at a chunk. False if none does.
    pub(super) fn take_back(&mut self, block: u32, chunk: u64) -> bool {
        let before = self.regions.len();
        self.regions.retain(|region| {
            !(region.block == block && region.first_chunk == chunk && region.rkey.is_some())
        });
        self.regions.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_lies_in_one_region_or_touches_none() {
        let mut regions = Regions::default();
        assert_eq!(regions.ask(0, 2, 2), Ok(()));
        assert_eq!(regions.ask(0, 3, 1), Ok(()));
        assert_eq!(regions.ask(1, 1, 3), Ok(()));
        for (chunk, chunks) in [(1, 2), (3, 2), (0, 9)] {
            assert_eq!(regions.ask(0, chunk, chunks), Err(ErrorName::RegionsOverlap));
        }
        assert!(!regions.take_back(0, 2), "not granted yet");
        assert!(regions.grant(0, 3, 7) && regions.grant(0, 2, 7));
        assert!(!regions.grant(0, 2, 8));
        assert!(!regions.take_back(0, 3) && regions.take_back(0, 2));
        assert_eq!(regions.of(0, 2), None);
    }
}
