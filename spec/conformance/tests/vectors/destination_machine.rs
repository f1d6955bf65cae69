//! The destination of the protocol crate in the place of the destination of a dialogue.

use std::collections::{BTreeSet, VecDeque};

use rdma_migration_conformance::vectors::error_name::ErrorName;
use rdma_migration_conformance::vectors::vector::{Act, Dialogue, Side, Step};
use rdma_migration_protocol::address::{BlockIndex, Rkey};
use rdma_migration_protocol::destination::{
    Destination, DestinationConfig, DestinationEvent, PlacedBlock,
};
use rdma_migration_protocol::ram::ChunkSize;
use rdma_migration_protocol::stream::setup;
use rdma_migration_protocol::transport::{Completion, ConnectionEvent, Machine, Operation};
use rdma_migration_protocol::wire::{Message, RamBlock};

use crate::machine::{NOW, Performed, Taken, assert_said, message, name, numbered, ram_blocks};
use crate::protocol_crate::fault_name;

/// How our destination takes a dialogue. What it says itself has to be what the dialogue says.
pub(crate) fn play(id: &str, dialogue: &Dialogue) -> Taken {
    let mut player = Player::new(dialogue);
    for (number, step) in numbered(dialogue) {
        let refusal = match (step.from, &step.act) {
            (Side::Source, Act::Connect { hex: private_data, .. }) => {
                let private_data = &private_data.0;
                let event = ConnectionEvent::Requested { private_data };
                player.destination.handle_connection(event, NOW);
                player.answer_connection()
            }
            (Side::Destination, Act::Connect { hex: private_data, .. }) => {
                assert_eq!(player.accepted.as_deref(), private_data.0.get(..8), "{id}");
                let event = ConnectionEvent::Established { private_data: &[] };
                player.destination.handle_connection(event, NOW);
                None
            }
            (Side::Source, Act::Message(case)) => player.hear(&case.bytes.expand()),
            (Side::Destination, Act::Message(_)) => {
                let said = player.say();
                assert_said(id, dialogue, number, &said);
                None
            }
            (_, Act::Write { .. }) => None,
        };
        if let Some(error) = refusal.or_else(|| player.refusal()) {
            return Some((number, error));
        }
    }
    None
}

struct Player {
    destination: Destination,
    performed: Performed,
    accepted: Option<Vec<u8>>,
    blocks: Vec<RamBlock>,
    pin_all: bool,
    /// The keys of the regions, in the order in which they are registered.
    keys: VecDeque<u32>,
    stream: Vec<u8>,
}

impl Player {
    fn new(dialogue: &Dialogue) -> Self {
        let chunk_size = ChunkSize::new(dialogue.chunk_size()).unwrap();
        let config = DestinationConfig { chunk_size, ..DestinationConfig::default() };
        Self {
            destination: Destination::new(config),
            performed: Performed::new(),
            accepted: None,
            blocks: ram_blocks(dialogue),
            pin_all: false,
            keys: keys(dialogue),
            stream: Vec::new(),
        }
    }

    fn answer_connection(&mut self) -> Option<ErrorName> {
        while let Some(operation) = self.performed.perform(&mut self.destination) {
            match operation {
                Operation::Accept { private_data } => self.accepted = Some(private_data.to_vec()),
                Operation::PostReceive { .. } | Operation::Reject | Operation::Disconnect => {}
                unexpected => panic!("{unexpected:?}"),
            }
        }
        self.refusal()
    }

    /// A message arrives. Nothing is said to it before the dialogue says so.
    fn hear(&mut self, bytes: &[u8]) -> Option<ErrorName> {
        self.performed.receive(&mut self.destination, bytes);
        while let Some(event) = self.destination.poll_event() {
            match event {
                DestinationEvent::BlocksRequested => {
                    if let Err(error) = setup::ram_blocks(&self.stream) {
                        return Some(fault_name(&error.fault));
                    }
                    self.place_blocks();
                }
                DestinationEvent::StreamReadable => {
                    self.stream.extend_from_slice(&bytes[16..]);
                }
                DestinationEvent::Connected(negotiated) => self.pin_all = negotiated.pin_all,
                DestinationEvent::RoundFinished => {}
                unexpected => panic!("{unexpected:?}"),
            }
        }
        None
    }

    fn place_blocks(&mut self) {
        let place = |block: &RamBlock| PlacedBlock {
            host_address: block.remote_address,
            ram_address: block.offset,
            length: block.length,
        };
        let placed: Vec<_> = self.blocks.iter().map(place).collect();
        if !placed.is_empty() {
            self.destination.place_blocks(&placed).unwrap();
        }
    }

    /// The next message of the destination: what it holds of the stream is taken for it.
    fn say(&mut self) -> Vec<u8> {
        if let Some(held) = self.destination.held_stream() {
            let bytes = held.range.len();
            self.destination.take_stream(bytes).unwrap();
        }
        let said = self.performed.sent.len();
        while self.performed.sent.len() == said {
            let operation = self.performed.perform(&mut self.destination);
            match operation.expect("the destination has something to say") {
                Operation::RegisterMemory { region, block, .. } => {
                    let rkey = self.rkey(block);
                    let completion = Completion::MemoryRegistered { region, rkey };
                    self.destination.handle_completion(completion, NOW);
                }
                Operation::ZeroRam { block, offset, .. } => {
                    let completion = Completion::RamZeroed { block, offset };
                    self.destination.handle_completion(completion, NOW);
                }
                _ => {}
            }
        }
        self.performed.sent[said].clone()
    }

    fn rkey(&mut self, block: BlockIndex) -> Rkey {
        let index = usize::try_from(block.get()).unwrap();
        if self.pin_all {
            self.blocks[index].rkey
        } else {
            Rkey::new(self.keys.pop_front().unwrap())
        }
    }

    /// Why the destination has ended the migration, if it has.
    fn refusal(&mut self) -> Option<ErrorName> {
        let mut copy = self.destination.clone();
        let mut performed = Performed::new();
        copy.abort().is_err().then(|| {
            while performed.perform(&mut self.destination).is_some() {}
            let events = std::iter::from_fn(|| self.destination.poll_event());
            let Some(DestinationEvent::Closed(closed)) = events.last() else {
                panic!("{:?} is not closed", self.destination)
            };
            name(&closed.result.unwrap_err(), false)
        })
    }
}

/// The keys that the destination of a dialogue has given for chunks, each once.
fn keys(dialogue: &Dialogue) -> VecDeque<u32> {
    let given = |step: &Step| match Message::parse(&message(step)?.bytes.expand()) {
        Ok(Message::RegisterResult { results, .. }) => {
            Some(results.iter().map(|result| result.rkey.get()).collect::<Vec<_>>())
        }
        _ => None,
    };
    let mut seen = BTreeSet::new();
    let keys = dialogue.steps.iter().filter_map(given).flatten();
    keys.filter(|rkey| seen.insert(*rkey)).collect()
}
