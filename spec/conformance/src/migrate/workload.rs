//! What the guest does to its memory while it is being moved.

use core::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rdma_migration_protocol::address::BlockIndex;
use rdma_migration_protocol::time::Instant;

use super::guest::PAGE_BYTES;
use crate::guest_memory::GuestMemory;

const ZERO_PAGE: [u8; 4096] = [0; 4096];

/// Pages of one block that have changed since they were last handed over.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct DirtyPages {
    dirty: Vec<bool>,
    count: u64,
}

impl DirtyPages {
    /// All pages of a block of `length` bytes are dirty.
    #[must_use]
    pub(super) fn all(length: u64) -> Self {
        let pages = usize::try_from(length.div_ceil(PAGE_BYTES)).unwrap_or(usize::MAX);
        Self { dirty: vec![true; pages], count: u64::try_from(pages).unwrap_or(u64::MAX) }
    }

    /// Dirty bytes.
    #[must_use]
    pub(super) fn bytes(&self) -> u64 {
        self.count * PAGE_BYTES
    }

    fn pages(&self) -> usize {
        self.dirty.len()
    }

    fn set(&mut self, page: usize) {
        if let Some(dirty) = self.dirty.get_mut(page).filter(|dirty| !**dirty) {
            *dirty = true;
            self.count += 1;
        }
    }

    /// Takes the dirty pages as runs of offset and length; after it none are dirty.
    pub(super) fn take_runs(&mut self) -> Vec<(u64, u64)> {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for (page, dirty) in (0_u64..).zip(&mut self.dirty) {
            if !core::mem::take(dirty) {
                continue;
            }
            let offset = page * PAGE_BYTES;
            match runs.last_mut() {
                Some((start, length)) if *start + *length == offset => *length += PAGE_BYTES,
                _ => runs.push((offset, PAGE_BYTES)),
            }
        }
        self.count = 0;
        runs
    }
}

/// A guest that writes to random pages of its largest block, at a constant rate.
#[derive(Clone, Debug)]
pub(super) struct Workload {
    bytes_per_second: u64,
    random: ChaCha8Rng,
    since: Option<Instant>,
    /// What is left over of the time that makes a page.
    carry: Duration,
}

/// The block that the guest works in.
const BLOCK: BlockIndex = BlockIndex::new(0);

/// One of so many writes clears a page.
const CLEARS: u32 = 16;

impl Workload {
    /// A workload that dirties so many bytes a second.
    #[must_use]
    pub(super) fn new(bytes_per_second: u64, seed: u64) -> Self {
        let random = ChaCha8Rng::seed_from_u64(seed.rotate_left(32));
        Self { bytes_per_second, random, since: None, carry: Duration::ZERO }
    }

    /// Lets the guest run up to `now`.
    pub(super) fn run(
        &mut self,
        now: Instant,
        memory: &mut impl GuestMemory,
        dirty: &mut DirtyPages,
    ) {
        let elapsed = now.since(*self.since.get_or_insert(now)) + self.carry;
        self.since = Some(now);
        let pages_per_second = self.bytes_per_second / PAGE_BYTES;
        if pages_per_second == 0 {
            return;
        }
        let pages = elapsed.as_nanos() * u128::from(pages_per_second) / 1_000_000_000;
        let used = pages * 1_000_000_000 / u128::from(pages_per_second);
        self.carry = elapsed - Duration::from_nanos(u64::try_from(used).unwrap_or(u64::MAX));
        let there = dirty.pages();
        // More writes than four for each page leave next to none clean.
        let pages = usize::try_from(pages).unwrap_or(usize::MAX).min(there.saturating_mul(4));
        for _ in 0..pages {
            let page = self.random.random_range(0..there);
            let offset = u64::try_from(page).unwrap_or(u64::MAX).saturating_mul(PAGE_BYTES);
            let written = if self.random.random_ratio(1, CLEARS) {
                memory.write(BLOCK, offset, &ZERO_PAGE)
            } else {
                memory.write(BLOCK, offset, &self.random.random::<u64>().to_le_bytes())
            };
            if written {
                dirty.set(page);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_dirty_pages_are_one_run() {
        let mut dirty = DirtyPages::all(4 * PAGE_BYTES);
        assert_eq!(dirty.bytes(), 4 * PAGE_BYTES);
        assert_eq!(dirty.take_runs(), [(0, 4 * PAGE_BYTES)]);
        assert_eq!((dirty.bytes(), dirty.take_runs()), (0, vec![]));
        for page in [3, 0, 1, 3] {
            dirty.set(page);
        }
        assert_eq!(dirty.bytes(), 3 * PAGE_BYTES);
        assert_eq!(dirty.take_runs(), [(0, 2 * PAGE_BYTES), (3 * PAGE_BYTES, PAGE_BYTES)]);
    }
}
