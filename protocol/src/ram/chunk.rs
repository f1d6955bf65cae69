//! The chunk: the unit in which RAM is registered.

use core::fmt;

use crate::error::Misuse;
use crate::limits::{CHUNK_BYTES_DEFAULT, CHUNK_BYTES_MAX, CHUNK_BYTES_MIN};

/// The size of a chunk: a power of two from 1 MiB to 1 GiB, 1 MiB by default.
///
/// Both sides have to use the same; nothing on the wire tells. Chunks are counted from the first
/// byte of their RAM block, and the last one of a block ends with the block.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChunkSize {
    shift: u32,
}

impl ChunkSize {
    /// The chunk size of `bytes`.
    ///
    /// # Errors
    ///
    /// [`Misuse::ChunkBytes`] unless `bytes` is a power of two from 1 MiB to 1 GiB.
    pub const fn new(bytes: u64) -> Result<Self, Misuse> {
        //= spec/text/11-limits.md#chunks
        //# [LIM-10] The chunk size MUST be a power of two from 1 MiB to 1 GiB.
        if !bytes.is_power_of_two() || bytes < CHUNK_BYTES_MIN || bytes > CHUNK_BYTES_MAX {
            return Err(Misuse::ChunkBytes { bytes });
        }
        Ok(Self { shift: bytes.trailing_zeros() })
    }

    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        1 << self.shift
    }

    /// How many chunks hold `bytes` bytes; the last may be short.
    #[must_use]
    pub const fn count(self, bytes: u64) -> u64 {
        bytes.div_ceil(self.bytes())
    }

    /// The number of the chunk that holds the byte at `offset` of a block.
    pub(crate) const fn of(self, offset: u64) -> u64 {
        offset >> self.shift
    }

    /// The first byte of a chunk in its block.
    pub(crate) const fn start(self, chunk: u64) -> Option<u64> {
        chunk.checked_mul(self.bytes())
    }
}

impl Default for ChunkSize {
    fn default() -> Self {
        Self { shift: CHUNK_BYTES_DEFAULT.trailing_zeros() }
    }
}

impl fmt::Debug for ChunkSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ChunkSize({} bytes)", self.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= spec/text/11-limits.md#chunks
    //= type=test
    //# [LIM-10] The chunk size MUST be a power of two from 1 MiB to 1 GiB.
    #[test]
    fn chunk_sizes_are_powers_of_two_within_their_limits() {
        for bytes in [0, 1, 1 << 19, (1 << 20) + 1, 3 << 20, 1 << 31, u64::MAX] {
            assert_eq!(ChunkSize::new(bytes), Err(Misuse::ChunkBytes { bytes }));
        }
        for shift in 20..=30 {
            assert_eq!(ChunkSize::new(1 << shift).unwrap().bytes(), 1 << shift);
        }
        assert_eq!(alloc::format!("{:?}", ChunkSize::default()), "ChunkSize(1048576 bytes)");
    }

    #[test]
    fn chunks_are_counted_from_the_first_byte() {
        let size = ChunkSize::default();
        assert_eq!(size.of(0xf_ffff), 0);
        assert_eq!(size.of(0x10_0000), 1);
        assert_eq!(size.count(0x1000), 1);
        assert_eq!(size.count(0x10_0001), 2);
        assert_eq!(size.start(3), Some(0x30_0000));
        assert_eq!(size.start(u64::MAX), None);
    }
}
