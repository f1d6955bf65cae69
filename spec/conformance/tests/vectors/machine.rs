//! What the machines of the protocol crate have in common when they play a dialogue: everything that
//! they order is done at once.

use std::collections::VecDeque;

use rdma_migration_conformance::vectors::error_name::ErrorName;
use rdma_migration_conformance::vectors::protocol_name::of_message;
use rdma_migration_conformance::vectors::reading::MessageReading;
use rdma_migration_conformance::vectors::vector::{Act, Case, Dialogue, Step, Verdict};
use rdma_migration_protocol::error::{Error, Incompatibility, Misbehavior};
use rdma_migration_protocol::limits::CONTROL_BUFFER_BYTES;
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{Completion, Machine, Operation, ReceiveBuffer};
use rdma_migration_protocol::wire::{Malformed, Message};

pub(crate) const NOW: Instant = Instant::ORIGIN;

/// What a machine has ordered.
pub(crate) struct Performed {
    pub(crate) send_buffer: Vec<u8>,
    posted: VecDeque<ReceiveBuffer>,
    pub(crate) sent: Vec<Vec<u8>>,
}

impl Performed {
    pub(crate) fn new() -> Self {
        let send_buffer = vec![0; CONTROL_BUFFER_BYTES];
        Self { send_buffer, posted: VecDeque::new(), sent: Vec::new() }
    }

    /// Does what both sides do alike; what only one does is returned.
    pub(crate) fn perform<M: Machine>(&mut self, machine: &mut M) -> Option<Operation> {
        let operation = machine.poll_operation(&mut self.send_buffer, NOW)?;
        match operation {
            Operation::PostReceive { buffer } => self.posted.push_back(buffer),
            Operation::Send { length } => {
                self.sent.push(self.send_buffer[..length].to_vec());
                machine.handle_completion(Completion::Sent, NOW);
            }
            Operation::Disconnect => machine.handle_completion(Completion::Disconnected, NOW),
            Operation::DeregisterMemory { region } => {
                machine.handle_completion(Completion::MemoryDeregistered { region }, NOW);
            }
            _ => {}
        }
        Some(operation)
    }

    pub(crate) fn receive<M: Machine>(&mut self, machine: &mut M, bytes: &[u8]) {
        let buffer = self.posted.pop_front().expect("a receive is posted");
        machine.handle_completion(Completion::Received { buffer, bytes }, NOW);
    }
}

/// How a machine was seen to take a dialogue: the step that it refused and why, or nothing.
pub(crate) type Taken = Option<(usize, ErrorName)>;

/// Compares how a machine took a dialogue with the verdict.
pub(crate) fn check(id: &str, dialogue: &Dialogue, taken: &Taken) {
    match (&dialogue.verdict, taken) {
        (Verdict::Accepted(_), None) => {}
        (Verdict::Refused { refused_at, errors, .. }, Some((step, error)))
            if refused_at == step && errors.contains(error) => {}
        (verdict, taken) => panic!("{id}: found {taken:?}, expected {verdict:?}"),
    }
}

/// The steps by their numbers.
pub(crate) fn numbered(dialogue: &Dialogue) -> impl Iterator<Item = (usize, &Step)> {
    (1..).zip(&dialogue.steps)
}

pub(crate) fn message(step: &Step) -> Option<&Case<MessageReading>> {
    match &step.act {
        Act::Message(case) => Some(case),
        Act::Connect { .. } | Act::Write { .. } => None,
    }
}

/// The RAM blocks that the destination of a dialogue has named.
pub(crate) fn ram_blocks(dialogue: &Dialogue) -> Vec<rdma_migration_protocol::wire::RamBlock> {
    let blocks = |step: &Step| {
        let bytes = message(step)?.bytes.expand();
        match Message::parse(&bytes) {
            Ok(Message::RamBlocksResult(blocks)) => Some(blocks.iter().collect()),
            _ => None,
        }
    };
    dialogue.steps.iter().find_map(blocks).unwrap_or_default()
}

/// A message without what a receiver ignores: padding, and `repeat` where it says nothing.
pub(crate) fn without_ignored(bytes: &[u8]) -> Vec<u8> {
    let message = Message::parse(bytes).unwrap();
    let mut again = vec![0; message.encoded_len()];
    message.encode(&mut again).unwrap();
    again
}

/// Asserts that a machine said what the dialogue has it say, stream bytes that were left out aside.
pub(crate) fn assert_said(id: &str, dialogue: &Dialogue, step: usize, ours: &[u8]) {
    let case = message(&dialogue.steps[step - 1]).unwrap();
    let theirs = case.bytes.expand();
    assert_eq!(
        without_ignored(ours),
        without_ignored(&theirs),
        "{id}: what the machine says at step {step}"
    );
}

/// The published name of what the protocol crate says.
pub(crate) fn name(error: &Error, at_source: bool) -> ErrorName {
    match error {
        Error::Malformed(malformed) => malformed_name(malformed),
        Error::PeerMisbehaved(misbehavior) => misbehavior_name(misbehavior, at_source),
        Error::PeerIncompatible(Incompatibility::Version { received: 0 }) => ErrorName::VersionZero,
        Error::PeerReportedError => ErrorName::PeerError,
        other => panic!("{other:?} has no name"),
    }
}

pub(crate) fn malformed_name(malformed: &Malformed) -> ErrorName {
    of_message(malformed).unwrap_or_else(|| panic!("{malformed:?} has no name"))
}

fn misbehavior_name(misbehavior: &Misbehavior, at_source: bool) -> ErrorName {
    match misbehavior {
        Misbehavior::CommandWithoutReady(_) => ErrorName::CommandWithoutReady,
        Misbehavior::ReadyTwice => ErrorName::ReadyTwice,
        Misbehavior::ReadyBeforeReply { .. } => ErrorName::ReadyBeforeReply,
        Misbehavior::Unexpected { .. } if at_source => ErrorName::WrongReply,
        Misbehavior::Unexpected { .. } => ErrorName::NotACommand,
        Misbehavior::RamBlocksRequestedTwice => ErrorName::BlocksRequestedTwice,
        Misbehavior::RamBeforeRamBlocks(_) => ErrorName::BeforeRamBlocks,
        Misbehavior::RegistrationWhilePinned(_) => ErrorName::RegistrationWhilePinned,
        Misbehavior::UnknownBlock { .. } => ErrorName::NoSuchBlock,
        Misbehavior::OutsideBlock { .. } => ErrorName::OutsideBlock,
        Misbehavior::TooManyChunks { .. } => ErrorName::TooManyChunks,
        Misbehavior::RegionsOverlap { .. } => ErrorName::RegionsOverlap,
        Misbehavior::NotRegistered { .. } => ErrorName::NotRegistered,
        Misbehavior::NonZeroFill { .. } => ErrorName::NonzeroFill,
        Misbehavior::RamBlockCount { .. } => ErrorName::BlockCount,
        Misbehavior::RamBlockLength { .. } => ErrorName::BlockLength,
        Misbehavior::AddressOverflow { .. } => ErrorName::AddressOverflow,
        Misbehavior::ZeroKey { .. } => ErrorName::ZeroKey,
        Misbehavior::ResultCount { .. } => ErrorName::ResultCount,
        other => panic!("{other:?} has no name"),
    }
}
