//! The same guest on the simulator: the real machines, with the same figures, on RAM without
//! backing.

use rdma_migration_protocol::connection::Closed;
use rdma_migration_protocol::deadline::Timeouts;
use rdma_migration_protocol::destination::{Destination, DestinationConfig};
use rdma_migration_protocol::error::Misuse;
use rdma_migration_protocol::source::{Source, SourceConfig};
use rdma_migration_protocol::time::Instant;
use rdma_migration_transport_sim::plain::{PlainDestination, PlainSource};
use rdma_migration_transport_sim::{
    Backing, CostModel, Fabric, FabricConfig, Pair, Side, Sides, Stuck, ZeroMap,
};

use super::guest::Guest;
use super::strategy::{Machines, ZERO_SPAN_CHUNKS};

/// How a migration went on the simulator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Simulated {
    /// From the first call until the guest may run at the destination, in virtual time.
    pub seconds: f64,
    /// Bytes of RAM that crossed the link.
    pub bytes: u64,
    /// The most bytes that the destination had registered at any one time.
    pub pinned_bytes: u64,
}

/// Why there is nothing to compare with.
#[derive(Debug, thiserror::Error)]
pub enum SimulationError {
    /// The machines cannot be configured so.
    #[error("{0}")]
    Configuration(#[from] Misuse),
    /// The run did not come to an end: a fault of this program.
    #[error("the simulated migration did not come to an end: {0}")]
    Stuck(#[from] Stuck),
    /// The run came to a bad end: a fault of this program.
    #[error("the simulated migration failed: {0}")]
    Failed(String),
}

/// Runs one migration to its end.
///
/// # Errors
/// [`SimulationError`] if the guest did not arrive, by the rules.
pub fn simulate(
    machines: Machines,
    guest: &Guest,
    cost: &CostModel,
) -> Result<Simulated, SimulationError> {
    let mut fabric = Fabric::new(FabricConfig { cost: cost.clone(), ..FabricConfig::default() });
    let bytes = guest.ram_bytes();
    let block = fabric.port(Side::Source).add_block(Backing::ZeroMap(guest.zero_map()));
    fabric.port(Side::Destination).add_block(Backing::ZeroMap(ZeroMap::zero(bytes)));
    let leaving = PlainSource::new(vec![bytes], []);
    let arriving = PlainDestination::new(vec![bytes], leaving.stream_length());
    let timeouts = Timeouts::for_guest(bytes);
    let source = Source::new(SourceConfig {
        pin_all: machines.pin_all,
        registration: machines.registration,
        timeouts: timeouts.clone(),
        zero_chunks_max: ZERO_SPAN_CHUNKS,
        ..SourceConfig::default()
    })?;
    let destination = Destination::new(DestinationConfig { timeouts, ..Default::default() });
    let mut pair = Pair::new(fabric, source, leaving, destination, arriving);
    pair.run()?;
    let findings = pair.findings(Sides { source: true, destination: true });
    let closed = [&pair.source_owner.closed, &pair.destination_owner.closed];
    let failure = closed.into_iter().find_map(|closed| match closed {
        Some(Closed { result: Ok(()), .. }) => None,
        Some(Closed { result: Err(error), .. }) => Some(error.to_string()),
        None => Some("a side has not closed".to_owned()),
    });
    if let Some(failure) = failure.or_else(|| findings.first().cloned()) {
        return Err(SimulationError::Failed(failure));
    }
    let Some(released) = pair.destination_owner.released_at else {
        return Err(SimulationError::Failed("the guest was not released".to_owned()));
    };
    let sent = pair.fabric.port(Side::Source).backing(block).cloned();
    if pair.fabric.port(Side::Destination).backing(block).cloned() != sent {
        return Err(SimulationError::Failed("what arrived is not what was sent".to_owned()));
    }
    Ok(Simulated {
        seconds: released.since(Instant::ORIGIN).as_secs_f64(),
        bytes: pair.fabric.port(Side::Source).statistics().bytes_written,
        pinned_bytes: pair.fabric.pinned(Side::Destination).bytes_peak,
    })
}
