//! `rdma-migration migrate`: the live migration of a synthetic guest.

mod destination_owner;
pub mod guest;
mod host;
mod one_side;
pub mod progress;
pub mod report;
mod source_owner;
pub mod stream;
mod workload;

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::registrations::Registrations;
use rdma_migration_protocol::address::BlockIndex;
use rdma_migration_protocol::connection::{Closed, GuestOwner, PinAllOffer};
use rdma_migration_protocol::deadline::Timeouts;
use rdma_migration_protocol::destination::{Destination, DestinationConfig};
use rdma_migration_protocol::error::{Error, Misuse};
use rdma_migration_protocol::ram::ChunkSize;
use rdma_migration_protocol::source::{Source, SourceConfig};
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::wire::Kind;
use rdma_migration_transport_sim::{
    Backing, CostPreset, Fabric, FabricConfig, FaultPlan, Opcode, Pair, Side, Sides, Stuck,
};
use sha2::{Digest, Sha256};

use destination_owner::DestinationOwner;
use guest::GuestBlock;
pub use host::Host;
pub use one_side::{DepartError, Departure, depart};
use progress::Progress;
use report::{AskedFault, BlockDigest, Digests, Failure, Pinning, Report, owner_name};
pub use source_owner::Wishes;
use source_owner::{GaveUp, SourceOwner};
use workload::Workload;

/// What is to be migrated, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Bytes of the guest's main memory, whole pages.
    pub guest_memory: u64,
    /// Whether to pin all RAM.
    pub pin_all: bool,
    /// The chunk size of both sides.
    pub chunk_size: ChunkSize,
    /// How chunks are registered where not all RAM is pinned.
    pub registrations: Registrations,
    /// Bytes that the guest dirties a second.
    pub dirty_rate: u64,
    /// What the owner at the source wants.
    pub wishes: Wishes,
    /// What things cost.
    pub cost: CostPreset,
    /// Where all chance comes from.
    pub seed: u64,
    /// What goes wrong.
    pub faults: FaultPlan,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The plan cannot be carried out.
    #[error("{0}")]
    Plan(#[from] Misuse),
    /// The run did not come to an end: a fault of this program.
    #[error("the migration did not come to an end: {0}")]
    Stuck(#[from] Stuck),
    /// The trace could not be written.
    #[error("cannot write the trace: {0}")]
    Trace(#[from] io::Error),
}

/// Runs a migration on the simulator to its end.
///
/// # Errors
/// [`MigrateError`] if there is nothing to report. A migration that fails has a report.
pub fn migrate<P: Progress>(
    plan: &Plan,
    trace: Option<Box<dyn Write + Send>>,
    interrupted: Arc<AtomicBool>,
    progress: P,
) -> Result<Report, MigrateError> {
    let blocks = guest::blocks(plan.guest_memory);
    let mut fabric = Fabric::new(FabricConfig {
        seed: plan.seed,
        cost: plan.cost.model(),
        faults: plan.faults.clone(),
        ..FabricConfig::default()
    });
    if let Some(output) = trace {
        fabric.recorder().start(output)?;
    }
    for block in &blocks {
        fabric.port(Side::Source).add_block(Backing::Bytes(guest::contents(block, plan.seed)));
    }
    let source_owner = SourceOwner::new(
        plan.wishes.clone(),
        blocks.clone(),
        Workload::new(plan.dirty_rate, plan.seed),
        guest::device_state(plan.seed),
        interrupted,
        progress,
    );
    let (source, destination) = machines(plan, &blocks)?;
    let owner = DestinationOwner::default();
    let mut pair = Pair::new(fabric, source, source_owner, destination, owner);
    let began = std::time::Instant::now();
    pair.run()?;
    let wall = began.elapsed();
    pair.fabric.recorder().finish()?;
    Ok(report(plan, &blocks, pair, wall))
}

fn machines(plan: &Plan, blocks: &[GuestBlock]) -> Result<(Source, Destination), Misuse> {
    let timeouts = Timeouts::for_guest(blocks.iter().map(|block| block.length).sum());
    let pin_all = if plan.pin_all { PinAllOffer::Required } else { PinAllOffer::Never };
    let chunk_size = plan.chunk_size;
    let source = Source::new(plan.registrations.set(SourceConfig {
        pin_all,
        chunk_size,
        timeouts: timeouts.clone(),
        ..SourceConfig::default()
    }))?;
    // It can keep to a bound only with a source that gives back what it does not need.
    let bounded = plan.registrations.peer_unregisters;
    let destination = Destination::new(DestinationConfig {
        chunk_size,
        timeouts,
        pinned_bytes_max: plan.registrations.pinned_bytes_max.filter(|_| bounded),
        ..DestinationConfig::default()
    });
    Ok((source, destination))
}

fn report<P: Progress>(
    plan: &Plan,
    blocks: &[GuestBlock],
    mut pair: Pair<SourceOwner<P>, DestinationOwner>,
    wall: Duration,
) -> Report {
    let source = pair.source_owner.outcome().clone();
    let destination = pair.destination_owner.outcome().clone();
    let ended_well =
        |closed: &Option<Closed>| matches!(closed, Some(Closed { result: Ok(()), .. }));
    let orderly =
        Sides { source: ended_well(&source.closed), destination: ended_well(&destination.closed) };
    let mut findings = pair.findings(orderly);
    let blocks = digests(blocks, &mut pair.fabric);
    let stream = Digests {
        source: sha256(pair.source_owner.stream()),
        destination: sha256(pair.destination_owner.stream()),
    };
    let arrived = stream.equal() && blocks.iter().all(|block| block.sha256.equal());
    let moved = orderly.source && orderly.destination;
    let failure = failure(&source, &destination, moved && !arrived);
    let began = source.began.unwrap_or(Instant::ORIGIN);
    let ended = destination.released.unwrap_or(pair.fabric.now());
    let downtime = source.stopped.zip(destination.released);
    let left = |closed: &Option<Closed>| closed.as_ref().map_or(0, |closed| closed.regions_left);
    let port = pair.fabric.port(Side::Source);
    let statistics = port.statistics().clone();
    // Undecided is a source only while its last message is on its way.
    let sent_whole =
        usize::try_from(statistics.stream_bytes) == Ok(pair.source_owner.stream().len());
    if pair.source.guest_owner() == GuestOwner::Undecided && !sent_whole {
        findings.push("the source is undecided before it has sent the last message".to_owned());
    }
    let pinning = |side| {
        let pinned = pair.fabric.pinned(side);
        let registered_bytes_peak = pinned.bytes_peak;
        Pinning { registrations: pinned.registrations, registered_bytes_peak }
    };
    let (pinned_source, pinned_destination) = (pinning(Side::Source), pinning(Side::Destination));
    let wire = pair.fabric.wire();
    Report {
        completed: moved && arrived && findings.is_empty(),
        interrupted: source.gave_up == Some(GaveUp::Interrupted),
        failure,
        guest_owner: owner_name(pair.final_owner()),
        regions_left: left(&source.closed) + left(&destination.closed),
        seed: plan.seed,
        pin_all: source.negotiated.is_some_and(|negotiated| negotiated.pin_all),
        rounds: source.rounds,
        total_nanoseconds: nanoseconds(ended.since(began)),
        downtime_nanoseconds: downtime
            .map(|(stopped, released)| nanoseconds(released.since(stopped))),
        wall_nanoseconds: nanoseconds(wall),
        writes: statistics.writes,
        bytes_written: statistics.bytes_written,
        bytes_zero: statistics.bytes_zero,
        stream_bytes: statistics.stream_bytes,
        source: pinned_source,
        destination: pinned_destination,
        control_messages: Kind::ALL
            .iter()
            .zip(statistics.messages_sent.iter().zip(statistics.messages_received))
            .map(|(kind, (sent, received))| (kind.name(), sent + received))
            .filter(|(_, count)| *count > 0)
            .collect(),
        packets: Opcode::ALL
            .iter()
            .map(|opcode| (opcode.to_string(), wire.packets(*opcode)))
            .filter(|(_, count)| *count > 0)
            .collect(),
        packets_repeated: wire.repeated(),
        blocks,
        stream,
        findings,
        faults: plan
            .faults
            .faults()
            .iter()
            .map(|fault| AskedFault {
                fault: fault.to_string(),
                struck: pair.fabric.faults_struck().contains(fault),
            })
            .collect(),
    }
}

fn failure(
    source: &source_owner::SourceOutcome,
    destination: &destination_owner::DestinationOutcome,
    altered: bool,
) -> Option<Failure> {
    let gave_up = source.gave_up.map(|gave_up| gave_up.to_string());
    let source = failure_of(source.closed.as_ref(), gave_up);
    let mut destination = failure_of(destination.closed.as_ref(), destination.gave_up.clone());
    if altered {
        destination = Some("what arrived is not what was sent".to_owned());
    }
    (source.is_some() || destination.is_some()).then_some(Failure { source, destination })
}

/// Why one side failed, if it did; `gave_up` is what its owner says.
fn failure_of(closed: Option<&Closed>, gave_up: Option<String>) -> Option<String> {
    match closed {
        Some(Closed { result: Ok(()), .. }) => None,
        Some(Closed { result: Err(Error::Aborted), .. }) if gave_up.is_some() => gave_up,
        Some(Closed { result: Err(error), .. }) => Some(match gave_up {
            Some(gave_up) => format!("{gave_up} ({error})"),
            None => error.to_string(),
        }),
        None => Some("has not ended".to_owned()),
    }
}

fn digests(blocks: &[GuestBlock], fabric: &mut Fabric) -> Vec<BlockDigest> {
    let numbered = (0..).map(BlockIndex::new).zip(blocks);
    let mut digest = |side, index| sha256(fabric.port(side).memory(index));
    numbered
        .map(|(index, block)| BlockDigest {
            name: block.name.clone(),
            length: block.length,
            sha256: Digests {
                source: digest(Side::Source, index),
                destination: digest(Side::Destination, index),
            },
        })
        .collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
