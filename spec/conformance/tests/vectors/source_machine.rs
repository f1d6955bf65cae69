//! The source of the protocol crate in the place of the source of a dialogue.

use std::collections::VecDeque;

use rdma_migration_conformance::vectors::reading::Wide;
use rdma_migration_conformance::vectors::vector::{Act, Dialogue, Side, Step, Write};
use rdma_migration_protocol::address::{BlockIndex, BlockOffset, Rkey};
use rdma_migration_protocol::connection::PinAllOffer;
use rdma_migration_protocol::ram::ChunkSize;
use rdma_migration_protocol::source::{Source, SourceConfig, SourceEvent};
use rdma_migration_protocol::transport::{
    Completion, ConnectionEvent, Machine, Operation, WriteRam,
};
use rdma_migration_protocol::wire::{Message, RamBlock};

use crate::machine::{NOW, Performed, Taken, assert_said, message, name, numbered, ram_blocks};

const PAGE: u64 = 0x1000;

/// How our source takes a dialogue, driven by an owner that wants what the source of the dialogue
/// did. What it says and writes itself has to be what the dialogue says.
pub(crate) fn play(id: &str, dialogue: &Dialogue) -> Taken {
    let mut player = Player::new(dialogue);
    let mut theirs = numbered(dialogue)
        .filter(|(_, step)| step.from == Side::Source)
        .filter(|(_, step)| message(step).is_some());
    let mut answers: VecDeque<_> = answers(dialogue);
    let mut calls: VecDeque<_> = calls(dialogue).into();
    loop {
        player.perform();
        while player.checked < player.performed.sent.len() {
            let Some((number, _)) = theirs.next() else { break };
            assert_said(id, dialogue, number, &player.performed.sent[player.checked]);
            player.checked += 1;
        }
        let sent = player.performed.sent.len();
        if let Some((_, number, step)) = answers.pop_front_if(|(after, ..)| *after <= sent) {
            player.hear(step);
            if let Some(error) = player.refusal() {
                assert!(answers.is_empty(), "{id}: refused before the end");
                assert_eq!(theirs.count(), 0, "{id}: refused before everything was said");
                return Some((number, error));
            }
        } else if let Some(call) = calls.front() {
            assert!(player.call(call), "{id}: {call:?} in {:?}", player.source);
            calls.pop_front();
        } else {
            break;
        }
    }
    assert!(answers.is_empty(), "{id}: {} answers left", answers.len());
    assert_eq!(theirs.count(), 0, "{id}: messages that our source did not send");
    assert_eq!(player.written, writes(dialogue), "{id}");
    None
}

/// What the destination says, and how many messages the source has sent by then.
fn answers(dialogue: &Dialogue) -> VecDeque<(usize, usize, &Step)> {
    let mut sent = 0;
    let mut answers = VecDeque::new();
    for (number, step) in numbered(dialogue) {
        match step.from {
            Side::Source => sent += usize::from(message(step).is_some()),
            Side::Destination => answers.push_back((sent, number, step)),
        }
    }
    answers
}

/// What the owner of the source wants.
#[derive(Debug)]
enum Call {
    Stream(Vec<u8>),
    ExchangeBlocks(Vec<u64>),
    Ram { block: BlockIndex, offset: BlockOffset, length: u64 },
    Unregister { block: BlockIndex, chunk: u64 },
    FinishRound,
}

fn calls(dialogue: &Dialogue) -> Vec<Call> {
    let blocks = ram_blocks(dialogue);
    let mut calls = Vec::new();
    let mut round_open = false;
    for (number, step) in numbered(dialogue).filter(|(_, step)| step.from == Side::Source) {
        if let Act::Write { write } = &step.act {
            let (block, offset) = place(&blocks, write.address.0);
            calls.push(Call::Ram { block, offset, length: write.length.0 });
        }
        let Some(bytes) = message(step).map(|case| case.bytes.expand()) else { continue };
        match Message::parse(&bytes).unwrap() {
            Message::QemuFile(stream) => calls.push(Call::Stream(stream.to_vec())),
            Message::RamBlocksRequest => {
                let lengths = dialogue.source_blocks.iter().map(|Wide(length)| *length);
                calls.push(Call::ExchangeBlocks(lengths.collect()));
            }
            Message::RegisterFinished => calls.push(Call::FinishRound),
            Message::Compress(runs) => {
                let run = runs.first().unwrap();
                let offset = inside(&blocks, run.block, run.offset.get());
                calls.push(Call::Ram { block: run.block, offset, length: run.length });
            }
            // A write that follows calls for it. Where none does, a page would have.
            Message::RegisterRequest(requests) if !writes_follow(dialogue, number) => {
                let request = requests.first().unwrap();
                let offset = inside(&blocks, request.block, request.address.get());
                calls.push(Call::Ram { block: request.block, offset, length: PAGE });
            }
            Message::UnregisterRequest(requests) => {
                let request = requests.first().unwrap();
                calls.push(Call::Unregister { block: request.block, chunk: request.chunk });
            }
            _ => {}
        }
        let kind = Message::parse(&bytes).unwrap().kind();
        round_open = !matches!(
            kind,
            rdma_migration_protocol::wire::Kind::QemuFile
                | rdma_migration_protocol::wire::Kind::RegisterFinished
        );
    }
    // A run may grow until the round ends, so one that the dialogue ends with is only sent then.
    if round_open && !blocks.is_empty() {
        calls.push(Call::FinishRound);
    }
    calls
}

fn writes_follow(dialogue: &Dialogue, number: usize) -> bool {
    let mut later = dialogue.steps[number..].iter().filter(|step| step.from == Side::Source);
    later.next().is_some_and(|step| matches!(step.act, Act::Write { .. }))
}

fn place(blocks: &[RamBlock], address: u64) -> (BlockIndex, BlockOffset) {
    let inside = |block: &RamBlock| {
        let offset = address.checked_sub(block.remote_address.get())?;
        (offset < block.length).then_some(BlockOffset::new(offset))
    };
    let mut numbered = (0..).map(BlockIndex::new).zip(blocks);
    numbered.find_map(|(index, block)| Some((index, inside(block)?))).unwrap()
}

fn inside(blocks: &[RamBlock], block: BlockIndex, address: u64) -> BlockOffset {
    let start = blocks[usize::try_from(block.get()).unwrap()].offset.get();
    BlockOffset::new(address - start)
}

fn writes(dialogue: &Dialogue) -> Vec<Write> {
    let write = |step: &Step| match &step.act {
        Act::Write { write } => Some(*write),
        Act::Connect { .. } | Act::Message(_) => None,
    };
    dialogue.steps.iter().filter_map(write).collect()
}

struct Player {
    source: Source,
    performed: Performed,
    /// So many of its messages were compared with the dialogue.
    checked: usize,
    zero: Vec<(BlockIndex, BlockOffset)>,
    written: Vec<Write>,
}

impl Player {
    fn new(dialogue: &Dialogue) -> Self {
        let offer = dialogue.steps.iter().find_map(|step| match &step.act {
            Act::Connect { expected, .. } => expected.reading(),
            Act::Write { .. } | Act::Message(_) => None,
        });
        let offered = offer.is_some_and(|offer| offer.flags == 1);
        let config = SourceConfig {
            pin_all: if offered { PinAllOffer::Preferred } else { PinAllOffer::Never },
            chunk_size: ChunkSize::new(dialogue.chunk_size()).unwrap(),
            peer_unregisters: true,
            ..SourceConfig::default()
        };
        let mut source = Source::new(config).unwrap();
        source.connect().unwrap();
        let (zero, written) = (zero_runs(dialogue), Vec::new());
        Self { source, performed: Performed::new(), checked: 0, zero, written }
    }

    fn perform(&mut self) {
        while let Some(operation) = self.performed.perform(&mut self.source) {
            let completion = match operation {
                Operation::WriteRam(write) => {
                    self.written.push(seen(&write));
                    if !write.signaled {
                        continue;
                    }
                    Completion::RamWritten
                }
                Operation::ScanRam { block, offset, .. } => {
                    let zero = self.zero.contains(&(block, offset));
                    Completion::RamScanned { block, offset, zero }
                }
                Operation::RegisterMemory { region, .. } => {
                    Completion::MemoryRegistered { region, rkey: Rkey::new(1) }
                }
                _ => continue,
            };
            self.source.handle_completion(completion, NOW);
        }
    }

    fn hear(&mut self, step: &Step) {
        match &step.act {
            Act::Connect { hex: private_data, .. } => {
                let private_data = &private_data.0;
                let event = ConnectionEvent::Established { private_data };
                self.source.handle_connection(event, NOW);
            }
            Act::Message(case) => {
                self.performed.receive(&mut self.source, &case.bytes.expand());
            }
            Act::Write { .. } => panic!("a WRITE of the destination"),
        }
    }

    /// Whether the source took the call.
    fn call(&mut self, call: &Call) -> bool {
        match call {
            Call::Stream(stream) => {
                self.source.write_stream(stream) == Ok(stream.len())
                    && self.source.flush_stream().is_ok()
            }
            Call::ExchangeBlocks(lengths) => self.source.exchange_blocks(lengths).is_ok(),
            Call::Ram { block, offset, length } => {
                self.source.write_ram(*block, *offset, *length) == Ok(*length)
            }
            Call::Unregister { block, chunk } => self.source.unregister(*block, *chunk) == Ok(true),
            Call::FinishRound => self.source.finish_round().is_ok(),
        }
    }

    /// Why the source has ended the migration, if it has.
    fn refusal(&mut self) -> Option<rdma_migration_conformance::vectors::error_name::ErrorName> {
        self.source.clone().abort().is_err().then(|| {
            let mut performed = Performed::new();
            while performed.perform(&mut self.source).is_some() {}
            let events = std::iter::from_fn(|| self.source.poll_event());
            let Some(SourceEvent::Closed(closed)) = events.last() else {
                panic!("{:?} is not closed", self.source)
            };
            name(&closed.result.unwrap_err(), true)
        })
    }
}

fn seen(write: &WriteRam) -> Write {
    Write {
        address: Wide(write.remote_address.get()),
        rkey: write.rkey.get(),
        length: Wide(write.length),
    }
}

/// Where the zero runs of a dialogue begin.
fn zero_runs(dialogue: &Dialogue) -> Vec<(BlockIndex, BlockOffset)> {
    let blocks = ram_blocks(dialogue);
    let run = |step: &Step| match Message::parse(&message(step)?.bytes.expand()) {
        Ok(Message::Compress(runs)) => {
            let run = runs.first()?;
            Some((run.block, inside(&blocks, run.block, run.offset.get())))
        }
        _ => None,
    };
    dialogue.steps.iter().filter_map(run).collect()
}
