//! What a source that lives on needs of its host, simulated or real.

use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::Transport;
use rdma_migration_transport_sim::Port;

use crate::guest_memory::GuestMemory;
use crate::observed::Observed;

/// A host of a guest that runs while it is moved.
pub trait Host: Transport + GuestMemory {
    /// Has the owner called again at `instant`, whatever else happens.
    fn wake_at(&mut self, instant: Instant);

    /// Whether the fault of that name, which the owner acts out itself, is due now. True once. On real
    /// hosts never.
    fn fault_due(&mut self, _name: &str) -> bool {
        false
    }
}

impl Host for Port<'_> {
    fn wake_at(&mut self, instant: Instant) {
        Port::wake_at(self, instant);
    }

    fn fault_due(&mut self, name: &str) -> bool {
        Port::fault_due(self, name)
    }
}

impl<H: Host> Host for Observed<'_, H> {
    fn wake_at(&mut self, instant: Instant) {
        self.inner.wake_at(instant);
    }

    fn fault_due(&mut self, name: &str) -> bool {
        self.inner.fault_due(name)
    }
}
