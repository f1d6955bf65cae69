//! How a source registers, and how much may be registered at a time.

use rdma_migration_protocol::connection::PinAllOffer;
use rdma_migration_protocol::limits::{COMMANDS_MAX, SPAN_CHUNKS_DEFAULT};
use rdma_migration_protocol::source::{Registration, SourceConfig};

use crate::guest::MIB;

/// A configuration with what this byte chooses; zero chooses the defaults. Its highest bit is left to
/// the caller.
pub(crate) fn registering(config: SourceConfig, choices: u8) -> SourceConfig {
    let requests_max = u32::try_from(COMMANDS_MAX).expect("a number of 32 bits");
    let registration = [
        Registration::default(),
        Registration::Chunks,
        Registration::Spans { chunks_max: 2 },
        Registration::Spans { chunks_max: u32::MAX },
        Registration::LookAhead { chunks_max: 1 },
        Registration::LookAhead { chunks_max: 2 },
        Registration::Batches { chunks_max: 1, requests_max: 2 },
        Registration::Batches { chunks_max: 2, requests_max },
    ][usize::from(choices & 7)];
    let least = match registration {
        Registration::Chunks | Registration::Spans { .. } => 1,
        Registration::LookAhead { .. } | Registration::Batches { .. } => 2,
    };
    let chunks_max = [None, Some(least), Some(least + 1), Some(4)][usize::from(choices >> 5 & 3)];
    SourceConfig {
        registration,
        zero_chunks_max: [SPAN_CHUNKS_DEFAULT, 1, 2, u32::MAX][usize::from(choices >> 3 & 3)],
        pinned_bytes_max: chunks_max.map(|chunks: u64| chunks * MIB),
        // Together they are refused.
        pin_all: if chunks_max.is_some() { PinAllOffer::Never } else { config.pin_all },
        ..config
    }
}

/// Chunks of a registered region, the last of its block as much as any other.
pub(crate) const fn chunks(length: u64) -> u64 {
    length.div_ceil(MIB)
}
