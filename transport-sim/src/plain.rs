//! Owners as simple as they can be, for tests: the guest's RAM, a list of rounds, a stream.

use std::collections::VecDeque;

use rdma_migration_protocol::address::{BlockIndex, BlockOffset, RamAddress};
use rdma_migration_protocol::connection::{Closed, Negotiated};
use rdma_migration_protocol::destination::{Destination, DestinationEvent, PlacedBlock};
use rdma_migration_protocol::error::Misuse;
use rdma_migration_protocol::source::{Source, SourceEvent};
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{Machine, Owner, Transport};

use crate::port::Port;

/// A piece of guest RAM.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Piece {
    /// The RAM block.
    pub block: BlockIndex,
    /// First byte in the block.
    pub offset: BlockOffset,
    /// Bytes, at least 1.
    pub length: u64,
}

/// What the guest does to a piece of its RAM before a round that sends it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Touch {
    /// The piece.
    pub piece: Piece,
    /// The byte that fills it, where the block has bytes.
    pub fill: u8,
}

/// What a plain source does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Connect,
    Stream { then: After },
    Ram,
    Wait,
    Finish,
    Done,
}

/// What follows stream bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum After {
    Exchange,
    Round,
    Finish,
}

/// An owner at the source that sends all RAM in the first round and what was touched in each later
/// one, with a few stream bytes in front of each round and its last ones at the end.
#[derive(Clone, Debug)]
pub struct PlainSource {
    /// Lengths of the RAM blocks, in bytes.
    pub blocks: Vec<u64>,
    /// Bytes of each block that the first round sends at the most. Default: no limit.
    pub first_round_bytes_max: Option<u64>,
    /// Rounds after the first, each with what the guest touches before it.
    pub rounds: VecDeque<Vec<Touch>>,
    /// Stream bytes in front of the exchange and of each round.
    pub head: Vec<u8>,
    /// The last stream bytes, at least one.
    pub tail: Vec<u8>,
    /// What was agreed.
    pub negotiated: Option<Negotiated>,
    /// How it ended.
    pub closed: Option<Closed>,
    step: Step,
    stream: VecDeque<u8>,
    ram: VecDeque<Piece>,
}

impl PlainSource {
    /// Sends `blocks` in one round and `rounds.len()` more.
    #[must_use]
    pub fn new(blocks: Vec<u64>, rounds: impl IntoIterator<Item = Vec<Touch>>) -> Self {
        Self {
            blocks,
            first_round_bytes_max: None,
            rounds: rounds.into_iter().collect(),
            head: b"head".to_vec(),
            tail: b"the rest of the guest".to_vec(),
            negotiated: None,
            closed: None,
            step: Step::Connect,
            stream: VecDeque::new(),
            ram: VecDeque::new(),
        }
    }

    /// Bytes of the whole stream.
    #[must_use]
    pub fn stream_length(&self) -> usize {
        // Before the exchange, and before each round but the first, which follows the exchange.
        self.head.len() * (1 + self.rounds.len()) + self.tail.len()
    }

    fn stream(&mut self, bytes: &[u8], then: After) {
        self.stream = bytes.iter().copied().collect();
        self.step = Step::Stream { then };
    }

    fn next_round(&mut self, transport: &mut Port<'_>) {
        let Some(touches) = self.rounds.pop_front() else {
            let mut tail = self.tail.clone();
            if transport.fault_due("stream-truncated") {
                tail.truncate(tail.len().div_ceil(2));
            }
            return self.stream(&tail, After::Finish);
        };
        for touch in &touches {
            touch_memory(transport, touch);
        }
        self.ram = touches.iter().map(|touch| touch.piece).collect();
        let head = self.head.clone();
        self.stream(&head, After::Round);
    }

    fn take(&mut self, event: SourceEvent, transport: &mut Port<'_>) {
        match event {
            SourceEvent::Connected(negotiated) => {
                self.negotiated = Some(negotiated);
                let head = self.head.clone();
                self.stream(&head, After::Exchange);
            }
            SourceEvent::BlocksExchanged => {
                let blocks = self.blocks.iter().zip(0..);
                self.ram = blocks
                    .map(|(length, index)| Piece {
                        block: BlockIndex::new(index),
                        offset: BlockOffset::new(0),
                        length: self.first_round_bytes_max.map_or(*length, |max| max.min(*length)),
                    })
                    .collect();
                self.step = Step::Ram;
            }
            SourceEvent::RoundFinished => self.next_round(transport),
            SourceEvent::Closed(closed) => {
                self.closed = Some(closed);
                self.step = Step::Done;
            }
            SourceEvent::StreamWritable | SourceEvent::RamWritable | SourceEvent::HandedOver => {}
        }
    }

    /// Does one step. False if there is nothing to do before the next event.
    fn act(&mut self, source: &mut Source) -> Result<bool, Misuse> {
        match self.step {
            Step::Connect => {
                source.connect()?;
                self.step = Step::Wait;
            }
            Step::Stream { then } => {
                let bytes = self.stream.make_contiguous();
                let taken = source.write_stream(bytes)?;
                self.stream.drain(..taken);
                if !self.stream.is_empty() {
                    return Ok(false);
                }
                self.step = match then {
                    After::Exchange => {
                        source.exchange_blocks(&self.blocks)?;
                        Step::Wait
                    }
                    After::Round => Step::Ram,
                    After::Finish => Step::Finish,
                };
            }
            Step::Ram => match self.ram.front_mut() {
                Some(Piece { block, offset, length }) => {
                    let taken = source.write_ram(*block, *offset, *length)?;
                    *length -= taken;
                    *offset = BlockOffset::new(offset.get() + taken);
                    if *length > 0 {
                        return Ok(false);
                    }
                    self.ram.pop_front();
                }
                None => {
                    source.finish_round()?;
                    self.step = Step::Wait;
                }
            },
            Step::Finish => {
                source.finish()?;
                self.step = Step::Wait;
            }
            Step::Wait | Step::Done => return Ok(false),
        }
        Ok(true)
    }
}

impl<'f> Owner<Source, Port<'f>> for PlainSource {
    fn attend(&mut self, source: &mut Source, transport: &mut Port<'f>) {
        while let Some(event) = source.poll_event() {
            self.take(event, transport);
        }
        if transport.fault_due("source-aborts") {
            // Refused once the guest is handed over, which is as it should be.
            let _too_late = source.abort();
        }
        // A machine that is closing takes no calls; why it closes comes as an event.
        while let Ok(true) = self.act(source) {}
    }
}

/// An owner at the destination that knows how long the stream is.
#[derive(Clone, Debug)]
pub struct PlainDestination {
    /// Lengths of the RAM blocks, in bytes.
    pub blocks: Vec<u64>,
    /// Bytes of the whole stream.
    pub stream_length: usize,
    /// The stream so far.
    pub stream: Vec<u8>,
    /// What was agreed.
    pub negotiated: Option<Negotiated>,
    /// Since when the guest may run here.
    pub released_at: Option<Instant>,
    /// How it ended.
    pub closed: Option<Closed>,
}

impl PlainDestination {
    /// Receives `blocks` and a stream of `stream_length` bytes.
    #[must_use]
    pub const fn new(blocks: Vec<u64>, stream_length: usize) -> Self {
        Self {
            blocks,
            stream_length,
            stream: Vec::new(),
            negotiated: None,
            released_at: None,
            closed: None,
        }
    }

    fn is_complete(&self) -> bool {
        self.stream.len() >= self.stream_length
    }

    fn read(&mut self, destination: &mut Destination, transport: &Port<'_>) -> Result<(), Misuse> {
        let Some(held) = destination.held_stream().cloned() else { return Ok(()) };
        let bytes = transport.receive_buffer(held.buffer).get(held.range).unwrap_or_default();
        self.stream.extend_from_slice(bytes);
        destination.take_stream(bytes.len())?;
        if self.is_complete() { destination.finish() } else { Ok(()) }
    }

    fn take(
        &mut self,
        event: DestinationEvent,
        destination: &mut Destination,
        transport: &Port<'_>,
    ) -> Result<(), Misuse> {
        match event {
            DestinationEvent::Connected(negotiated) => {
                self.negotiated = Some(negotiated);
                Ok(())
            }
            DestinationEvent::StreamReadable => self.read(destination, transport),
            DestinationEvent::BlocksRequested => {
                destination.place_blocks(&place(&self.blocks, transport))
            }
            DestinationEvent::StreamEnded if self.is_complete() => destination.finish(),
            DestinationEvent::StreamEnded => destination.abort(),
            DestinationEvent::GuestReleased => {
                self.released_at = Some(transport.now());
                Ok(())
            }
            DestinationEvent::Closed(closed) => {
                self.closed = Some(closed);
                Ok(())
            }
            DestinationEvent::RoundFinished => Ok(()),
        }
    }
}

impl<'f> Owner<Destination, Port<'f>> for PlainDestination {
    fn attend(&mut self, destination: &mut Destination, transport: &mut Port<'f>) {
        while let Some(event) = destination.poll_event() {
            // A machine that is closing takes no calls; why it closes comes as an event.
            let _closing = self.take(event, destination, transport);
        }
        if transport.fault_due("destination-aborts") {
            let _too_late = destination.abort();
        }
    }
}

/// The destination's blocks at their host addresses, and one after the other in its RAM addresses.
fn place(blocks: &[u64], transport: &Port<'_>) -> Vec<PlacedBlock> {
    let mut ram_address = 0;
    let placed = blocks.iter().zip(0..).map(|(length, index)| {
        let host_address = transport.host_address(BlockIndex::new(index)).unwrap_or_default();
        let block = PlacedBlock {
            host_address,
            ram_address: RamAddress::new(ram_address),
            length: *length,
        };
        ram_address += length;
        block
    });
    placed.collect()
}

fn touch_memory(transport: &mut Port<'_>, touch: &Touch) {
    let Piece { block, offset, length } = touch.piece;
    let (Ok(start), Ok(length)) = (usize::try_from(offset.get()), usize::try_from(length)) else {
        return;
    };
    let bytes = transport.memory_mut(block).get_mut(start..start + length);
    bytes.unwrap_or_default().fill(touch.fill);
}
