//! What somebody wants of a source's registrations.

use rdma_migration_protocol::source::{Registration, SourceConfig};

/// How a source registers, and how much at a time.
#[derive(Clone, Debug, Default)]
pub struct Registrations {
    /// How chunks are asked for.
    pub strategy: Registration,
    /// Bytes of RAM that are registered at a time, at most.
    pub pinned_bytes_max: Option<u64>,
    /// Whether the destination takes UNREGISTER_REQUEST.
    pub peer_unregisters: bool,
}

impl Registrations {
    /// A configuration in which this is set.
    #[must_use]
    pub fn set(&self, config: SourceConfig) -> SourceConfig {
        SourceConfig {
            registration: self.strategy,
            pinned_bytes_max: self.pinned_bytes_max,
            peer_unregisters: self.peer_unregisters,
            ..config
        }
    }
}
