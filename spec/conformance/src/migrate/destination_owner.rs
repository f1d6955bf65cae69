//! The owner at the destination: gives its RAM when asked, and finds out whether the stream is complete.

use rdma_migration_protocol::connection::Closed;
use rdma_migration_protocol::destination::{Destination, DestinationEvent, PlacedBlock};
use rdma_migration_protocol::stream::{end, setup};
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{Machine, Owner, Transport};
use rdma_migration_transport_sim::{Backing, Port};

/// How a destination's side went.
#[derive(Clone, Debug, Default)]
pub(super) struct DestinationOutcome {
    /// When the guest was released.
    pub(super) released: Option<Instant>,
    /// Why the owner gave up, if it did.
    pub(super) gave_up: Option<String>,
    /// The end.
    pub(super) closed: Option<Closed>,
}

/// The owner at the destination.
#[derive(Debug, Default)]
pub(super) struct DestinationOwner {
    stream: Vec<u8>,
    outcome: DestinationOutcome,
}

impl DestinationOwner {
    /// How it went.
    pub(super) fn outcome(&self) -> &DestinationOutcome {
        &self.outcome
    }

    /// All stream bytes that arrived.
    pub(super) fn stream(&self) -> &[u8] {
        &self.stream
    }

    fn take_event(
        &mut self,
        event: DestinationEvent,
        destination: &mut Destination,
        port: &mut Port<'_>,
    ) {
        match event {
            DestinationEvent::StreamReadable => self.take_stream(destination, port),
            DestinationEvent::BlocksRequested => self.place_blocks(destination, port),
            DestinationEvent::StreamEnded => {
                if !self.finish_if_complete(destination) {
                    self.give_up("the source left before the stream was complete", destination);
                }
            }
            DestinationEvent::GuestReleased => self.outcome.released = Some(port.now()),
            DestinationEvent::Closed(closed) => self.outcome.closed = Some(closed),
            DestinationEvent::Connected(_) | DestinationEvent::RoundFinished => {}
        }
    }

    fn take_stream(&mut self, destination: &mut Destination, port: &Port<'_>) {
        let Some(held) = destination.held_stream().cloned() else { return };
        let bytes = port.receive_buffer(held.buffer).get(held.range.clone()).unwrap_or_default();
        self.stream.extend_from_slice(bytes);
        if destination.take_stream(held.range.len()).is_ok() {
            self.finish_if_complete(destination);
        }
    }

    fn finish_if_complete(&self, destination: &mut Destination) -> bool {
        end::vm_description(&self.stream).is_some() && destination.finish().is_ok()
    }

    fn place_blocks(&mut self, destination: &mut Destination, port: &mut Port<'_>) {
        let found = match setup::ram_blocks(&self.stream) {
            Ok(setup) => setup.blocks.iter().map(|block| block.length).collect::<Vec<_>>(),
            Err(error) => return self.give_up(&error.to_string(), destination),
        };
        let place = |length| {
            let block = port.add_block(Backing::zeroed(length));
            let host_address = port.host_address(block).unwrap_or_default();
            PlacedBlock { host_address, ram_address: Default::default(), length }
        };
        let placed: Vec<_> = found.into_iter().map(place).collect();
        if let Err(misuse) = destination.place_blocks(&placed) {
            self.give_up(&misuse.to_string(), destination);
        }
    }

    fn give_up(&mut self, why: &str, destination: &mut Destination) {
        if self.outcome.gave_up.is_none() && destination.abort().is_ok() {
            self.outcome.gave_up = Some(why.to_owned());
        }
    }
}

impl<'f> Owner<Destination, Port<'f>> for DestinationOwner {
    fn attend(&mut self, destination: &mut Destination, port: &mut Port<'f>) {
        if port.fault_due("destination-aborts") {
            self.give_up("the owner at the destination was told to abort", destination);
        }
        while let Some(event) = destination.poll_event() {
            self.take_event(event, destination, port);
        }
    }
}
