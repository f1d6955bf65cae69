//! The owner at the destination: knows the stream's length and where its hooks are.

use core::time::Duration;
use std::collections::VecDeque;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rdma_migration_protocol::address::{BlockIndex, RamAddress};
use rdma_migration_protocol::connection::Closed;
use rdma_migration_protocol::destination::{Destination, DestinationEvent, PlacedBlock};
use rdma_migration_protocol::error::Misuse;
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{Machine, Owner, Transport};
use rdma_migration_transport_sim::Port;

use crate::guest;
use crate::plan::Plan;
use crate::watch::Watched;

/// The owner at the destination.
#[derive(Debug)]
pub(crate) struct DestinationOwner {
    lengths: Vec<u64>,
    stream_bytes: usize,
    hooks: VecDeque<usize>,
    taken_at_once: usize,
    finishes_late: bool,
    pause: Duration,
    chance: ChaCha8Rng,
    pub(crate) paused_until: Option<Instant>,
    /// What the machine has said and the owner not acted on.
    events: VecDeque<DestinationEvent>,
    /// The stream as it has arrived.
    pub(crate) stream: Vec<u8>,
    pub(crate) rounds: usize,
    /// Whether the owner has called the stream complete.
    pub(crate) finished: bool,
    pub(crate) released: bool,
    pub(crate) closed: Vec<Closed>,
}

impl DestinationOwner {
    pub(crate) fn new(plan: &Plan) -> Self {
        let rounds = if plan.windows_announced { plan.rounds } else { 0 };
        Self {
            lengths: plan.lengths(),
            stream_bytes: plan.stream_bytes(),
            hooks: (1..=rounds).map(|round| round * plan.head_bytes).collect(),
            taken_at_once: plan.taken_at_once,
            finishes_late: plan.finishes_late,
            pause: plan.pause,
            chance: guest::random(plan, "destination pauses", 0),
            paused_until: None,
            events: VecDeque::new(),
            stream: Vec::new(),
            rounds: 0,
            finished: false,
            released: false,
            closed: Vec::new(),
        }
    }

    fn is_complete(&self) -> bool {
        self.stream.len() >= self.stream_bytes
    }

    fn act(
        &mut self,
        event: DestinationEvent,
        destination: &mut Watched<Destination>,
        port: &Port<'_>,
    ) -> Result<(), Misuse> {
        match event {
            DestinationEvent::Connected(_) => {}
            DestinationEvent::StreamReadable => self.read(destination, port)?,
            DestinationEvent::BlocksRequested => {
                let placed = self.place(port);
                destination.call(|destination| destination.place_blocks(&placed))?;
            }
            DestinationEvent::RoundFinished => self.rounds += 1,
            DestinationEvent::StreamEnded if self.is_complete() => self.finish(destination)?,
            DestinationEvent::StreamEnded => destination.call(Destination::abort)?,
            DestinationEvent::GuestReleased => self.released = true,
            DestinationEvent::Closed(closed) => self.closed.push(closed),
        }
        Ok(())
    }

    fn read(
        &mut self,
        destination: &mut Watched<Destination>,
        port: &Port<'_>,
    ) -> Result<(), Misuse> {
        while let Some(held) = destination.machine().held_stream().cloned() {
            let bytes = &port.receive_buffer(held.buffer)[held.range];
            let bytes = &bytes[..bytes.len().min(self.taken_at_once)];
            self.stream.extend_from_slice(bytes);
            destination.call(|destination| destination.take_stream(bytes.len()))?;
        }
        if self.hooks.front() == Some(&self.stream.len()) {
            self.hooks.pop_front();
            destination.call(Destination::open_window)?;
        }
        if self.is_complete() && !self.finishes_late { self.finish(destination) } else { Ok(()) }
    }

    fn finish(&mut self, destination: &mut Watched<Destination>) -> Result<(), Misuse> {
        destination.call(Destination::finish)?;
        self.finished = true;
        Ok(())
    }

    /// The blocks, one after the other in the RAM address space, the last one first.
    fn place(&self, port: &Port<'_>) -> Vec<PlacedBlock> {
        let mut end: u64 = self.lengths.iter().sum();
        let placed = self.lengths.iter().zip(0..).map(|(length, index)| {
            end -= length;
            PlacedBlock {
                host_address: port.host_address(BlockIndex::new(index)).expect("a block"),
                ram_address: RamAddress::new(end),
                length: *length,
            }
        });
        placed.collect()
    }

    /// Whether the owner does nothing just now.
    fn pauses(&mut self, port: &mut Port<'_>) -> bool {
        let now = port.now();
        if self.paused_until.is_some_and(|until| until <= now) {
            self.paused_until = None;
            return false;
        }
        let may = self.paused_until.is_none() && !self.events.is_empty() && !self.pause.is_zero();
        if may && self.chance.random_ratio(1, 4) {
            let until = now.after(self.pause.mul_f64(self.chance.random()));
            port.wake_at(until);
            self.paused_until = Some(until);
        }
        self.paused_until.is_some()
    }
}

impl<'f> Owner<Watched<Destination>, Port<'f>> for DestinationOwner {
    fn attend(&mut self, destination: &mut Watched<Destination>, port: &mut Port<'f>) {
        while let Some(event) = destination.poll_event() {
            self.events.push_back(event);
        }
        while !self.pauses(port) {
            let Some(event) = self.events.pop_front() else { break };
            // A machine that is closing takes no calls; why it closes comes as an event.
            let _closing = self.act(event, destination, port);
        }
        if port.fault_due("destination-aborts") {
            let _too_late = destination.call(Destination::abort);
        }
    }
}
