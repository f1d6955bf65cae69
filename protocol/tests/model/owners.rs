//! The owners of the guest on both sides: hypervisors as simple as they can be.
//!
//! A prompt owner reacts at once to what its machine tells it; a late one at any later time, so that
//! RAM blocks are placed, stream bytes taken and rounds begun while other things happen. A machine
//! that is closing takes no calls; why it closes comes as an event.

use std::collections::VecDeque;

use rdma_migration_protocol::address::{HostAddress, RamAddress};
use rdma_migration_protocol::connection::Closed;
use rdma_migration_protocol::destination::{Destination, DestinationEvent, PlacedBlock};
use rdma_migration_protocol::error::Misuse;
use rdma_migration_protocol::source::{Source, SourceEvent};

use crate::guest::{Guest, Ram, Work, block_index, stream_byte};

/// Where the destination has the first byte of a block.
pub(crate) const fn host_address(block: u32) -> HostAddress {
    HostAddress::new(0x7f00_0000_0000 + ((block as u64) << 32))
}

/// The owner of the source.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct SourceOwner {
    /// The round that is being played, or comes next.
    round: usize,
    /// The last bytes of the stream were given: the guest has stopped here.
    pub(crate) finishing: bool,
    /// What it was told and has not attended to.
    pub(crate) events: VecDeque<SourceEvent>,
    pub(crate) closed: Option<Closed>,
}

impl SourceOwner {
    /// Does what follows from everything that it was told.
    pub(crate) fn attend(&mut self, source: &mut Source, guest: &Guest, ram: &mut Ram) {
        while let Some(event) = self.events.pop_front() {
            let _closing = self.take(event, source, guest, ram);
        }
    }

    fn take(
        &mut self,
        event: SourceEvent,
        source: &mut Source,
        guest: &Guest,
        ram: &mut Ram,
    ) -> Result<(), Misuse> {
        match event {
            SourceEvent::Connected(_) => {
                source.write_stream(&[stream_byte(0)])?;
                source.exchange_blocks(&guest.lengths())
            }
            SourceEvent::BlocksExchanged => self.play_round(source, guest),
            SourceEvent::RoundFinished => {
                self.round += 1;
                source.write_stream(&[stream_byte(self.round)])?;
                if self.round < guest.rounds.len() {
                    self.run_guest(guest, ram);
                    self.play_round(source, guest)
                } else {
                    source.finish()?;
                    self.finishing = true;
                    Ok(())
                }
            }
            SourceEvent::Closed(closed) => {
                self.closed = Some(closed);
                Ok(())
            }
            SourceEvent::StreamWritable | SourceEvent::RamWritable | SourceEvent::HandedOver => {
                Ok(())
            }
        }
    }

    fn play_round(&self, source: &mut Source, guest: &Guest) -> Result<(), Misuse> {
        for work in &guest.rounds[self.round] {
            match *work {
                Work::Write(cells) => {
                    source.write_ram(cells.block(), cells.offset(), cells.bytes())?;
                }
                Work::Unregister { block, chunk } => {
                    source.unregister(block_index(block), chunk)?;
                }
            }
        }
        source.finish_round()
    }

    /// The guest writes to what the round is going to send.
    fn run_guest(&self, guest: &Guest, ram: &mut Ram) {
        for work in &guest.rounds[self.round] {
            if let Work::Write(cells) = work {
                for version in cells.slice_mut(ram) {
                    *version += 1;
                }
            }
        }
    }
}

/// The owner of the destination.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct DestinationOwner {
    /// The stream so far.
    pub(crate) stream: Vec<u8>,
    /// It was told that the guest may run here.
    pub(crate) released: bool,
    /// What it was told and has not attended to.
    pub(crate) events: VecDeque<DestinationEvent>,
    /// The message whose stream bytes the machine holds.
    pub(crate) held: Vec<u8>,
    pub(crate) closed: Option<Closed>,
}

impl DestinationOwner {
    /// Does what follows from everything that it was told.
    pub(crate) fn attend(&mut self, destination: &mut Destination, guest: &Guest) {
        while let Some(event) = self.events.pop_front() {
            let _closing = self.take(event, destination, guest);
        }
    }

    fn take(
        &mut self,
        event: DestinationEvent,
        destination: &mut Destination,
        guest: &Guest,
    ) -> Result<(), Misuse> {
        match event {
            DestinationEvent::StreamReadable => self.read(destination, guest),
            DestinationEvent::BlocksRequested => destination.place_blocks(&place(guest)),
            DestinationEvent::StreamEnded if self.is_complete(guest) => destination.finish(),
            DestinationEvent::StreamEnded => destination.abort(),
            DestinationEvent::GuestReleased => {
                self.released = true;
                Ok(())
            }
            DestinationEvent::Closed(closed) => {
                self.closed = Some(closed);
                Ok(())
            }
            DestinationEvent::Connected(_) | DestinationEvent::RoundFinished => Ok(()),
        }
    }

    fn read(&mut self, destination: &mut Destination, guest: &Guest) -> Result<(), Misuse> {
        let held = std::mem::take(&mut self.held);
        let Some(range) = destination.held_stream().map(|held| held.range.clone()) else {
            return Ok(());
        };
        let bytes = &held[range];
        self.stream.extend_from_slice(bytes);
        destination.take_stream(bytes.len())?;
        if self.is_complete(guest) { destination.finish() } else { Ok(()) }
    }

    fn is_complete(&self, guest: &Guest) -> bool {
        self.stream.len() == guest.stream().len()
    }
}

/// The destination's blocks: far from each other in its virtual memory, one after the other in its
/// RAM address space.
fn place(guest: &Guest) -> Vec<PlacedBlock> {
    let mut ram_address = 0;
    let placed = guest.lengths().into_iter().zip(0..).map(|(length, block)| {
        let start = RamAddress::new(ram_address);
        ram_address += length;
        PlacedBlock { host_address: host_address(block), ram_address: start, length }
    });
    placed.collect()
}
