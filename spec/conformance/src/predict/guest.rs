//! The guest of a prediction: idle, one RAM block, part of its chunks zero throughout.

use rdma_migration_protocol::limits::CHUNK_BYTES_DEFAULT;
use rdma_migration_transport_sim::ZeroMap;
use serde::Serialize;

/// Bytes of a chunk.
pub const CHUNK_BYTES: u64 = CHUNK_BYTES_DEFAULT;

/// Bytes of the largest guest: 1 PiB.
pub const RAM_BYTES_MAX: u64 = 1 << 50;

/// An idle guest. Its chunks lie in runs: so many that hold something, then zero ones, and again.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Guest {
    ram_bytes: u64,
    zero_percent: u8,
    filled_run_chunks: u64,
}

/// A guest that cannot be.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum GuestError {
    /// Its RAM is not whole chunks, or none, or too much.
    #[error("the guest's RAM has to be whole MiB, at least one, at most 1 PiB")]
    Ram,
    /// More than all of it is zero.
    #[error("at most 100 % of the chunks can be zero")]
    Zero,
    /// Runs of no chunks.
    #[error("a run of chunks has at least one")]
    Run,
}

impl Guest {
    /// A guest of `ram_bytes`, of whose chunks `zero_percent` in a hundred are zero throughout. The
    /// others lie side by side in runs of `filled_run_chunks`, evenly spread over the RAM.
    ///
    /// # Errors
    /// [`GuestError`] names what cannot be.
    pub const fn new(
        ram_bytes: u64,
        zero_percent: u8,
        filled_run_chunks: u64,
    ) -> Result<Self, GuestError> {
        if ram_bytes == 0 || ram_bytes > RAM_BYTES_MAX || !ram_bytes.is_multiple_of(CHUNK_BYTES) {
            return Err(GuestError::Ram);
        }
        if zero_percent > 100 {
            return Err(GuestError::Zero);
        }
        if filled_run_chunks == 0 {
            return Err(GuestError::Run);
        }
        Ok(Self { ram_bytes, zero_percent, filled_run_chunks })
    }

    /// The same guest with so many bytes of RAM, rounded to whole chunks.
    #[must_use]
    pub(super) fn resized(self, ram_bytes: u64) -> Self {
        let chunks = (ram_bytes / CHUNK_BYTES).clamp(1, RAM_BYTES_MAX / CHUNK_BYTES);
        Self { ram_bytes: chunks * CHUNK_BYTES, ..self }
    }

    /// Bytes of RAM.
    #[must_use]
    pub const fn ram_bytes(&self) -> u64 {
        self.ram_bytes
    }

    /// Chunks in a hundred that are zero throughout.
    #[must_use]
    pub const fn zero_percent(&self) -> u8 {
        self.zero_percent
    }

    /// All chunks.
    #[must_use]
    pub const fn chunks(&self) -> u64 {
        self.ram_bytes / CHUNK_BYTES
    }

    /// Chunks that are zero throughout.
    #[must_use]
    pub fn zero_chunks(&self) -> u64 {
        self.chunks() * u64::from(self.zero_percent) / 100
    }

    /// Chunks that hold something.
    #[must_use]
    pub fn filled_chunks(&self) -> u64 {
        self.chunks() - self.zero_chunks()
    }

    /// Bytes of the chunks that hold something: what has to cross the link.
    #[must_use]
    pub fn filled_bytes(&self) -> u64 {
        self.filled_chunks() * CHUNK_BYTES
    }

    /// Chunks of one run that hold something: all that do, where none is zero; more than was asked
    /// for, where there are too few zero ones to part so many runs.
    #[must_use]
    pub fn run_chunks(&self) -> u64 {
        let (filled, zero) = (self.filled_chunks(), self.zero_chunks());
        if zero == 0 {
            filled
        } else {
            self.filled_run_chunks.min(filled).max(filled.div_ceil(zero))
        }
    }

    /// The runs that hold something, as offset and length in bytes. Zero ones lie behind each.
    pub fn filled_runs(&self) -> impl Iterator<Item = (u64, u64)> {
        let (filled, zero, run) = (self.filled_chunks(), self.zero_chunks(), self.run_chunks());
        let runs = if filled == 0 { 0 } else { filled.div_ceil(run) };
        (0..runs).map(move |number| {
            let filled_before = number * run;
            let first = filled_before + zero * number / runs;
            (first * CHUNK_BYTES, run.min(filled - filled_before) * CHUNK_BYTES)
        })
    }

    /// Which pages hold something.
    #[must_use]
    pub fn zero_map(&self) -> ZeroMap {
        let mut map = ZeroMap::zero(self.ram_bytes);
        for (offset, length) in self.filled_runs() {
            map.set(offset, length, false);
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runs_hold_as_many_chunks_as_are_filled_and_fit_the_ram() {
        for (chunks, zero, run) in [(8192, 90, 64), (8192, 10, 1), (10, 50, 3), (1, 100, 1)] {
            let guest = Guest::new(chunks * CHUNK_BYTES, zero, run).unwrap();
            let runs: Vec<_> = guest.filled_runs().collect();
            assert_eq!(runs.iter().map(|(_, length)| length).sum::<u64>(), guest.filled_bytes());
            assert!(runs.is_sorted_by(|one, next| one.0 + one.1 < next.0));
            assert!(runs.iter().all(|(offset, length)| offset + length <= guest.ram_bytes()));
            let map = guest.zero_map();
            let filled = (0..chunks).filter(|chunk| !map.is_zero(chunk * CHUNK_BYTES)).count();
            assert_eq!(u64::try_from(filled), Ok(guest.filled_chunks()));
        }
    }

    #[test]
    fn guests_that_cannot_be_are_refused() {
        assert_eq!(Guest::new(0, 0, 1), Err(GuestError::Ram));
        assert_eq!(Guest::new(CHUNK_BYTES + 1, 0, 1), Err(GuestError::Ram));
        assert_eq!(Guest::new(2 << 50, 0, 1), Err(GuestError::Ram));
        assert_eq!(Guest::new(CHUNK_BYTES, 101, 1), Err(GuestError::Zero));
        assert_eq!(Guest::new(CHUNK_BYTES, 0, 0), Err(GuestError::Run));
    }
}
