//! A synthetic guest: RAM blocks as QEMU lays them out, part zero and part not, and device state.

use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Bytes of a guest page.
pub const PAGE_BYTES: u64 = 4096;

/// A RAM block of the guest.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GuestBlock {
    /// Its name in the stream.
    pub name: String,
    /// Its length in bytes.
    pub length: u64,
    /// How many of 256 runs of pages hold something.
    filled: u8,
}

impl GuestBlock {
    /// A block of which so many of 256 runs of pages hold something.
    #[must_use]
    pub fn new(name: &str, length: u64, filled: u8) -> Self {
        Self { name: name.to_owned(), length, filled }
    }
}

/// The blocks beside the guest's main memory, with the lengths that QEMU gives them for a PC: video
/// memory and firmware.
const OTHER_BLOCKS: [(&str, u64, u8); 6] = [
    ("vga.vram", 16 << 20, 16),
    ("pc.bios", 256 << 10, 250),
    ("/rom@etc/acpi/tables", 128 << 10, 64),
    ("pc.rom", 128 << 10, 0),
    ("/rom@etc/table-loader", 4 << 10, 255),
    ("/rom@etc/acpi/rsdp", 4 << 10, 255),
];

/// Of 256 runs of pages in main memory, so many hold something.
const MAIN_MEMORY_FILLED: u8 = 150;

/// Pages of the longest run that is zero, or is not, throughout.
const RUN_PAGES_MAX: u64 = 4096;

/// The RAM blocks of a guest with so many bytes of main memory, in QEMU's order: the largest first.
#[must_use]
pub fn blocks(main_memory_bytes: u64) -> Vec<GuestBlock> {
    let main = ("pc.ram", main_memory_bytes, MAIN_MEMORY_FILLED);
    let mut blocks: Vec<_> = core::iter::once(main)
        .chain(OTHER_BLOCKS)
        .map(|(name, length, filled)| GuestBlock::new(name, length, filled))
        .collect();
    blocks.sort_by_key(|block| core::cmp::Reverse(block.length));
    blocks
}

/// The contents of a block: runs of zero pages and of random ones, always the same for a seed.
#[must_use]
pub fn contents(block: &GuestBlock, seed: u64) -> Vec<u8> {
    let name = block.name.bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(31) + u64::from(byte));
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ name);
    let length = usize::try_from(block.length).unwrap_or(usize::MAX);
    let mut bytes = vec![0; length];
    let mut rest = bytes.as_mut_slice();
    while !rest.is_empty() {
        let run_bytes = random.random_range(1..=RUN_PAGES_MAX) * PAGE_BYTES;
        let run_bytes = usize::try_from(run_bytes).unwrap_or(usize::MAX).min(rest.len());
        let (run, after) = rest.split_at_mut(run_bytes);
        if random.random::<u8>() < block.filled {
            random.fill_bytes(run);
        }
        rest = after;
    }
    bytes
}

/// The state of the guest's devices: bytes that mean nothing, always the same for a seed.
#[must_use]
pub fn device_state(seed: u64) -> Vec<u8> {
    const BYTES: usize = 200_000;
    let mut state = vec![0; BYTES];
    ChaCha8Rng::seed_from_u64(!seed).fill_bytes(&mut state);
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_block_comes_first_and_all_lengths_are_whole_pages() {
        for main_memory in [1 << 20, 256 << 20] {
            let blocks = blocks(main_memory);
            assert!(blocks.is_sorted_by(|one, next| one.length >= next.length));
            assert!(blocks.iter().all(|block| block.length % PAGE_BYTES == 0));
            assert!(blocks.iter().any(|block| block.length == main_memory));
        }
    }

    #[test]
    fn a_guest_has_zero_pages_and_others_and_is_the_same_for_its_seed() {
        let main = &blocks(32 << 20)[0];
        let bytes = contents(main, 7);
        let zero = bytes.chunks(4096).filter(|page| page.iter().all(|byte| *byte == 0)).count();
        let pages = bytes.len() / 4096;
        assert!(zero > pages / 8 && zero < pages * 7 / 8, "{zero} of {pages} pages are zero");
        assert_eq!(contents(main, 7), bytes);
        assert_ne!(contents(main, 8), bytes);
    }
}
