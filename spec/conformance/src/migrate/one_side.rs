//! The source's side of a migration whose destination lives elsewhere.

use core::sync::atomic::AtomicBool;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use rdma_migration_protocol::connection::{Closed, PinAllOffer};
use rdma_migration_protocol::deadline::Timeouts;
use rdma_migration_protocol::error::Misuse;
use rdma_migration_protocol::source::{Source, SourceConfig};
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{BlockingTransport, drive};

use super::guest::{self, GuestBlock};
use super::host::Host;
use super::progress::Progress;
use super::source_owner::{GaveUp, SourceOwner};
use super::workload::Workload;
use super::{Plan, failure_of};
use crate::transfer::{processor_time, processor_time_since};

/// A guest that has left, or not.
#[derive(Clone, Debug)]
pub struct Departure {
    /// The end.
    pub closed: Option<Closed>,
    /// Why it did not leave.
    pub failure: Option<String>,
    /// Whether somebody interrupted it.
    pub interrupted: bool,
    /// Whether all RAM was pinned.
    pub pin_all: bool,
    /// Rounds of RAM.
    pub rounds: u32,
    /// From the first call to the connection.
    pub connect: Option<Duration>,
    /// From the connection until everything had arrived, or to the end of this side.
    pub time: Duration,
    /// From the stop of the guest until everything had arrived.
    pub downtime: Option<Duration>,
    /// Processor time of this process meanwhile, where the system tells.
    pub processor_nanoseconds: Option<u64>,
    /// The RAM blocks, in the order of their indices.
    pub blocks: Vec<GuestBlock>,
    /// All of the stream.
    pub stream: Vec<u8>,
}

/// Why a guest cannot even begin to leave.
#[derive(Debug, thiserror::Error)]
pub enum DepartError {
    /// There is no memory for it.
    #[error("no memory for the guest: {0}")]
    NoMemory(#[from] io::Error),
    /// The plan cannot be carried out.
    #[error("{0}")]
    Plan(#[from] Misuse),
}

/// Makes the synthetic guest of a plan on a host, and moves it to wherever the host's transport leads.
/// What the plan says of costs and faults is of the simulator, and does nothing here.
///
/// # Errors
/// [`DepartError`] if it cannot begin. A migration that fails has a [`Departure`].
pub fn depart<H: Host + BlockingTransport, P: Progress>(
    plan: &Plan,
    host: &mut H,
    interrupted: Arc<AtomicBool>,
    progress: P,
) -> Result<Departure, DepartError> {
    let blocks = guest::blocks(plan.guest_memory);
    for block in &blocks {
        let index = host.allocate(block.length)?;
        let contents = guest::contents(block, plan.seed);
        if !host.write(index, 0, &contents) {
            return Err(io::Error::other("the host gave less than was asked for").into());
        }
    }
    let mut owner = SourceOwner::new(
        plan.wishes.clone(),
        blocks.clone(),
        Workload::new(plan.dirty_rate, plan.seed),
        guest::device_state(plan.seed),
        interrupted,
        progress,
    );
    let mut source = Source::new(plan.registrations.set(SourceConfig {
        pin_all: if plan.pin_all { PinAllOffer::Required } else { PinAllOffer::Never },
        chunk_size: plan.chunk_size,
        timeouts: Timeouts::for_guest(blocks.iter().map(|block| block.length).sum()),
        ..SourceConfig::default()
    }))?;
    let before = processor_time();
    drive(&mut source, host, &mut owner);
    let processor_nanoseconds = processor_time_since(before);
    let outcome = owner.outcome();
    let end = outcome.handed_over.unwrap_or_else(|| host.now());
    let since = |(later, earlier): (Instant, Instant)| later.since(earlier);
    let gave_up = outcome.gave_up.map(|reason| reason.to_string());
    Ok(Departure {
        failure: failure_of(outcome.closed.as_ref(), gave_up),
        interrupted: outcome.gave_up == Some(GaveUp::Interrupted),
        pin_all: outcome.negotiated.is_some_and(|negotiated| negotiated.pin_all),
        rounds: outcome.rounds,
        connect: outcome.connected.zip(outcome.began).map(since),
        time: outcome.connected.map(|connected| end.since(connected)).unwrap_or_default(),
        downtime: outcome.handed_over.zip(outcome.stopped).map(since),
        processor_nanoseconds,
        closed: outcome.closed.clone(),
        stream: owner.stream().to_vec(),
        blocks,
    })
}
