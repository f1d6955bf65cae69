//! What an owner can choose about a source.

use crate::connection::PinAllOffer;
use crate::deadline::Timeouts;
use crate::error::Misuse;
use crate::limits::{
    COMMANDS_MAX, SIGNAL_INTERVAL_DEFAULT, SPAN_CHUNKS_DEFAULT, WRITES_IN_FLIGHT_DEFAULT,
};
use crate::ram::ChunkSize;

/// How a source asks for registrations where chunks are registered as they are needed. On the wire
/// each of them is what every destination of version 1 takes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Registration {
    /// One chunk a request, when its turn has come, and one thing after the other, as QEMU does: scan,
    /// the destination's registration, our own, write.
    Chunks,
    /// Adjacent chunks by one request, when their turn has come.
    Spans {
        /// The most chunks of one request, at least 1.
        chunks_max: u32,
    },
    /// Adjacent chunks by one request, which leaves before what was granted earlier is written:
    /// both sides register while the link is busy.
    LookAhead {
        /// The most chunks of one request, at least 1.
        chunks_max: u32,
    },
    /// The same with several requests in a message, for spans that are not adjacent. QEMU's
    /// destinations answer only the first; once one has done so, each request goes alone.
    Batches {
        /// The most chunks of one request, at least 1.
        chunks_max: u32,
        /// The most requests in a message, 1 to [`COMMANDS_MAX`].
        requests_max: u32,
    },
}

impl Registration {
    /// The most chunks of one request.
    pub(super) const fn chunks_max(self) -> u32 {
        match self {
            Self::Chunks => 1,
            Self::Spans { chunks_max }
            | Self::LookAhead { chunks_max }
            | Self::Batches { chunks_max, .. } => chunks_max,
        }
    }

    /// The most requests in a message.
    pub(super) fn requests_max(self) -> usize {
        match self {
            Self::Chunks | Self::Spans { .. } | Self::LookAhead { .. } => 1,
            Self::Batches { requests_max, .. } => {
                usize::try_from(requests_max).unwrap_or(usize::MAX)
            }
        }
    }

    /// Whether nothing is done for a chunk before everything is done for the one before, and our own
    /// registration waits for the destination's.
    pub(super) const fn is_one_by_one(self) -> bool {
        matches!(self, Self::Chunks)
    }

    pub(super) const fn looks_ahead(self) -> bool {
        matches!(self, Self::LookAhead { .. } | Self::Batches { .. })
    }
}

impl Default for Registration {
    fn default() -> Self {
        Self::LookAhead { chunks_max: SPAN_CHUNKS_DEFAULT }
    }
}

/// The configuration of a [`Source`](super::Source).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SourceConfig {
    /// Whether to ask the destination to pin all RAM. Default: never.
    pub pin_all: PinAllOffer,
    /// The chunk size, which the destination has to share. Default 1 MiB.
    pub chunk_size: ChunkSize,
    /// How chunks are registered where not all RAM is pinned. Default: spans of up to 64 chunks, with
    /// look-ahead.
    pub registration: Registration,
    /// The most chunks of zero that one COMPRESS tells, at least 1. QEMU's destinations take any
    /// number; QEMU's sources send no more than 1. Default 64.
    pub zero_chunks_max: u32,
    /// One write in so many asks for a completion. At least 1; default 64.
    pub signal_interval: u32,
    /// Writes in flight at the most, at least 1. The transport's send queue needs room for them and
    /// for two sends. Default 256.
    pub writes_in_flight_max: u32,
    /// Whether the destination takes UNREGISTER_REQUEST. Nothing on the wire tells; QEMU 11.2 and
    /// later do not. Default: it does not, and [`Source::unregister`](super::Source::unregister)
    /// is refused.
    pub peer_unregisters: bool,
    /// Bytes of RAM that are registered at a time, at most: what was used longest ago is given back
    /// for what is needed next. It bounds the destination as well where [`Self::peer_unregisters`];
    /// else nothing can. At least one chunk, with look-ahead two; not together with pin-all.
    /// Default: no bound.
    pub pinned_bytes_max: Option<u64>,
    /// How long to wait for what.
    pub timeouts: Timeouts,
}

impl Default for SourceConfig {
    fn default() -> Self {
        Self {
            pin_all: PinAllOffer::Never,
            chunk_size: ChunkSize::default(),
            registration: Registration::default(),
            zero_chunks_max: SPAN_CHUNKS_DEFAULT,
            signal_interval: SIGNAL_INTERVAL_DEFAULT,
            writes_in_flight_max: WRITES_IN_FLIGHT_DEFAULT,
            peer_unregisters: false,
            pinned_bytes_max: None,
            timeouts: Timeouts::default(),
        }
    }
}

impl SourceConfig {
    pub(crate) fn check(&self) -> Result<(), Misuse> {
        let requests_max = self.registration.requests_max();
        if self.registration.chunks_max() == 0 || !(1..=COMMANDS_MAX).contains(&requests_max) {
            return Err(Misuse::Limit { name: "registration" });
        }
        if self.zero_chunks_max == 0 {
            return Err(Misuse::Limit { name: "zero_chunks_max" });
        }
        if self.signal_interval == 0 {
            return Err(Misuse::Limit { name: "signal_interval" });
        }
        if self.writes_in_flight_max == 0 {
            return Err(Misuse::Limit { name: "writes_in_flight_max" });
        }
        let too_small = self.pinned_chunks_max().is_some_and(|max| max < self.regions_at_once());
        if too_small || self.pinned_bytes_max.is_some() && self.pin_all != PinAllOffer::Never {
            return Err(Misuse::Limit { name: "pinned_bytes_max" });
        }
        Ok(())
    }

    /// Bytes that one COMPRESS tells, at most.
    pub(super) fn zero_bytes_max(&self) -> u64 {
        u64::from(self.zero_chunks_max).saturating_mul(self.chunk_size.bytes())
    }

    /// Chunks that are registered at a time, at most.
    pub(super) fn pinned_chunks_max(&self) -> Option<usize> {
        let chunks = self.pinned_bytes_max? / self.chunk_size.bytes();
        Some(usize::try_from(chunks).unwrap_or(usize::MAX))
    }

    /// The most chunks of one request: as many as fit the bound together with those that are written
    /// meanwhile.
    pub(super) fn span_chunks_max(&self) -> usize {
        let chunks = usize::try_from(self.registration.chunks_max()).unwrap_or(usize::MAX);
        self.pinned_chunks_max().map_or(chunks, |max| chunks.min(max / self.regions_at_once()))
    }

    /// Regions that are needed at once: what is written, and with look-ahead what is registered
    /// meanwhile.
    const fn regions_at_once(&self) -> usize {
        if self.registration.looks_ahead() { 2 } else { 1 }
    }
}
