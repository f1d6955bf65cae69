//! What an owner can choose about a source.

use crate::connection::PinAllOffer;
use crate::deadline::Timeouts;
use crate::error::Misuse;
use crate::limits::{SIGNAL_INTERVAL_DEFAULT, WRITES_IN_FLIGHT_DEFAULT};
use crate::ram::ChunkSize;

/// The configuration of a [`Source`](super::Source).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SourceConfig {
    /// Whether to ask the destination to pin all RAM. Default: never.
    pub pin_all: PinAllOffer,
    /// The chunk size, which the destination has to share. Default 1 MiB.
    pub chunk_size: ChunkSize,
    /// One write in so many asks for a completion. At least 1; default 64.
    pub signal_interval: u32,
    /// Writes in flight at the most, at least 1. The transport's send queue needs room for them and
    /// for two sends. Default 256.
    pub writes_in_flight_max: u32,
    /// Whether the destination takes UNREGISTER_REQUEST. Nothing on the wire tells; QEMU 11.2 and
    /// later do not. Default: it does not, and [`Source::unregister`](super::Source::unregister)
    /// is refused.
    pub peer_unregisters: bool,
    /// How long to wait for what.
    pub timeouts: Timeouts,
}

impl Default for SourceConfig {
    fn default() -> Self {
        Self {
            pin_all: PinAllOffer::Never,
            chunk_size: ChunkSize::default(),
            signal_interval: SIGNAL_INTERVAL_DEFAULT,
            writes_in_flight_max: WRITES_IN_FLIGHT_DEFAULT,
            peer_unregisters: false,
            timeouts: Timeouts::default(),
        }
    }
}

impl SourceConfig {
    pub(crate) fn check(&self) -> Result<(), Misuse> {
        if self.signal_interval == 0 {
            return Err(Misuse::Limit { name: "signal_interval" });
        }
        if self.writes_in_flight_max == 0 {
            return Err(Misuse::Limit { name: "writes_in_flight_max" });
        }
        Ok(())
    }
}
