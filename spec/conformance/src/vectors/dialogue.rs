//! A dialogue, watched step by step: the first rule that is broken, if one is.
//!
//! What it holds against a side depends on who reads: a source and a destination refuse what the
//! specification tells them to refuse; an observer sees more.

use super::error_name::ErrorName;
use super::message::{read_capabilities, read_message};
use super::reading::{CapabilitiesReading, Entry, MessageReading, Wide};
use super::regions::Regions;
use super::stream::read_stream;
use super::vector::{Act, Dialogue, Reader, Side, Write};
use crate::codec::Capabilities;

const HOOK_WORD: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 0x80];

/// The number of the first step that breaks a rule, from 1, and what is wrong with it. None if the
/// dialogue is accepted by this reader, or, without one, by everybody.
#[must_use]
pub fn first_breach(dialogue: &Dialogue, reader: Option<Reader>) -> Option<(usize, ErrorName)> {
    let mut watch = Watch::new(dialogue, reader);
    let mut steps = (1..).zip(&dialogue.steps);
    steps.find_map(|(number, step)| {
        let taken = match &step.act {
            Act::Connect { hex: private_data, .. } => watch.connect(step.from, &private_data.0),
            Act::Write { write } => watch.write(step.from, *write),
            Act::Message(case) => {
                watch.message(step.from, &case.bytes.expand(), case.bytes.is_abridged())
            }
        };
        Some((number, taken.err()?))
    })
}

/// A RAM block as the destination has described it.
#[derive(Clone, Copy, Debug)]
struct Block {
    host_address: u64,
    offset: u64,
    length: u64,
    rkey: u32,
}

/// The reply that is due, with what it answers.
#[derive(Clone, Debug)]
struct Due {
    reply: &'static str,
    repeat: u32,
    /// Block and chunk of each register request.
    requests: Vec<(u32, u64)>,
}

struct Watch<'a> {
    reader: Option<Reader>,
    source_blocks: &'a [Wide],
    chunk_bytes: u64,
    offered: u32,
    pin_all: bool,
    ready: bool,
    due: Option<Due>,
    blocks_requested: bool,
    blocks: Vec<Block>,
    regions: Regions,
    round_open: bool,
    stream: Vec<u8>,
    /// Some of the stream was left out of the dialogue.
    stream_abridged: bool,
}

impl<'a> Watch<'a> {
    fn new(dialogue: &'a Dialogue, reader: Option<Reader>) -> Self {
        Self {
            reader,
            source_blocks: &dialogue.source_blocks,
            chunk_bytes: dialogue.chunk_size(),
            offered: 0,
            pin_all: false,
            ready: false,
            due: None,
            blocks_requested: false,
            blocks: Vec::new(),
            regions: Regions::default(),
            round_open: false,
            stream: Vec::new(),
            stream_abridged: false,
        }
    }

    /// `error` if `broken`, where `by` is the reader or everybody is.
    fn refuse(&self, by: Reader, broken: bool, error: ErrorName) -> Result<(), ErrorName> {
        let judges = match self.reader {
            None | Some(Reader::Observer) => true,
            Some(reader) => reader == by,
        };
        if broken && judges { Err(error) } else { Ok(()) }
    }

    fn connect(&mut self, from: Side, private_data: &[u8]) -> Result<(), ErrorName> {
        let CapabilitiesReading { version, flags } = read_capabilities(private_data)?;
        match from {
            Side::Source => {
                self.offered = flags;
                self.refuse(Reader::Destination, version == 0, ErrorName::VersionZero)
            }
            Side::Destination => {
                let granted = flags & self.offered & Capabilities::PIN_ALL;
                self.pin_all = granted != 0;
                self.refuse(Reader::Source, version == 0, ErrorName::VersionZero)?;
                self.refuse(Reader::Observer, flags != granted, ErrorName::FlagNotOffered)
            }
        }
    }

    fn message(&mut self, from: Side, bytes: &[u8], abridged: bool) -> Result<(), ErrorName> {
        let message = read_message(bytes)?;
        match from {
            Side::Source => {
                let stream = bytes.get(bytes.len() - stream_bytes(&message)..).unwrap_or_default();
                self.command(&message, stream, abridged)
            }
            Side::Destination => self.answer(&message),
        }
    }

    fn command(
        &mut self,
        message: &MessageReading,
        stream: &[u8],
        abridged: bool,
    ) -> Result<(), ErrorName> {
        use Reader::{Destination, Observer};
        let kind = message.kind.as_str();
        self.refuse(Destination, kind == "ERROR", ErrorName::PeerError)?;
        self.refuse(Destination, !COMMANDS.contains(&kind), ErrorName::NotACommand)?;
        self.refuse(Destination, !self.ready, ErrorName::CommandWithoutReady)?;
        self.ready = false;
        if kind == "QEMU_FILE" {
            self.refuse(Observer, self.round_open, ErrorName::StreamInRound)?;
            self.stream.extend_from_slice(stream);
            self.stream_abridged |= abridged;
            return Ok(());
        }
        let at_hook = self.round_open || self.stream.ends_with(&HOOK_WORD);
        self.round_open = kind != "REGISTER_FINISHED";
        match kind {
            "RAM_BLOCKS_REQUEST" => self.ram_blocks_request()?,
            "REGISTER_FINISHED" => {}
            _ => self.ram_commands(message)?,
        }
        self.refuse(Observer, !at_hook, ErrorName::CommandBeforeHook)
    }

    fn ram_blocks_request(&mut self) -> Result<(), ErrorName> {
        let again = self.blocks_requested;
        self.refuse(Reader::Destination, again, ErrorName::BlocksRequestedTwice)?;
        self.blocks_requested = true;
        let list = if self.stream_abridged { None } else { read_stream(&self.stream).err() };
        if let Some(error) = list {
            self.refuse(Reader::Destination, true, error)?;
        }
        self.due = Some(Due { reply: "RAM_BLOCKS_RESULT", repeat: 0, requests: Vec::new() });
        Ok(())
    }

    fn ram_commands(&mut self, message: &MessageReading) -> Result<(), ErrorName> {
        let by = Reader::Destination;
        self.refuse(by, self.blocks.is_empty(), ErrorName::BeforeRamBlocks)?;
        let registers = matches!(message.kind.as_str(), "REGISTER_REQUEST" | "UNREGISTER_REQUEST");
        self.refuse(by, registers && self.pin_all, ErrorName::RegistrationWhilePinned)?;
        let mut requests = Vec::new();
        for entry in message.each_entry() {
            match entry {
                Entry::Compress { value, block, offset, length } => {
                    self.refuse(by, value != 0, ErrorName::NonzeroFill)?;
                    self.zero_run(block, offset.0, length.0)?;
                }
                Entry::RegisterRequest { address, block, chunks } => {
                    let chunk = self.register(block, address.0, chunks.0)?;
                    requests.push((block, chunk));
                }
                Entry::UnregisterRequest { chunk, block } => {
                    self.block(block)?;
                    let known = self.regions.take_back(block, chunk.0);
                    self.refuse(by, !known, ErrorName::NotRegistered)?;
                }
                Entry::RamBlock { .. } | Entry::RegisterResult { .. } => {}
            }
        }
        let repeat = message.repeat.unwrap_or_default();
        let several = message.kind == "COMPRESS" && repeat > 1;
        self.refuse(Reader::Observer, several, ErrorName::SeveralZeroRuns)?;
        self.due = match message.kind.as_str() {
            "REGISTER_REQUEST" => Some(Due { reply: "REGISTER_RESULT", repeat, requests }),
            "UNREGISTER_REQUEST" => Some(Due { reply: "UNREGISTER_FINISHED", repeat, requests }),
            _ => None,
        };
        Ok(())
    }

    fn zero_run(&mut self, block: u32, address: u64, length: u64) -> Result<(), ErrorName> {
        let start = self.place(block, address, length)?;
        let chunk = start / self.chunk_bytes;
        let last = (start + length - 1) / self.chunk_bytes;
        let by = Reader::Observer;
        self.refuse(by, chunk != last, ErrorName::RunAcrossChunks)?;
        let registered = self.pin_all || self.regions.of(block, chunk).is_some();
        self.refuse(by, registered, ErrorName::CompressOfRegisteredChunk)
    }

    /// Takes a register request and returns its first chunk.
    fn register(&mut self, block: u32, address: u64, further: u64) -> Result<u64, ErrorName> {
        let start = self.place(block, address, 1)?;
        let chunk = start / self.chunk_bytes;
        let there = self.block(block)?.length.div_ceil(self.chunk_bytes) - chunk;
        self.refuse(Reader::Destination, further >= there, ErrorName::TooManyChunks)?;
        let asked = self.regions.ask(block, chunk, further.saturating_add(1));
        self.refuse(Reader::Destination, asked.is_err(), ErrorName::RegionsOverlap)?;
        Ok(chunk)
    }

    fn block(&self, block: u32) -> Result<Block, ErrorName> {
        let index = usize::try_from(block).unwrap_or(usize::MAX);
        self.blocks.get(index).copied().ok_or(ErrorName::NoSuchBlock)
    }

    /// Where in its block a run lies that is not empty.
    fn place(&self, block: u32, address: u64, length: u64) -> Result<u64, ErrorName> {
        let block = self.block(block)?;
        let start = address.checked_sub(block.offset);
        let inside = |start: u64| {
            length > 0 && start.checked_add(length).is_some_and(|end| end <= block.length)
        };
        start.filter(|start| inside(*start)).ok_or(ErrorName::OutsideBlock)
    }

    fn answer(&mut self, message: &MessageReading) -> Result<(), ErrorName> {
        use Reader::{Observer, Source};
        let kind = message.kind.as_str();
        self.refuse(Source, kind == "ERROR", ErrorName::PeerError)?;
        if kind == "READY" {
            self.refuse(Source, self.due.is_some(), ErrorName::ReadyBeforeReply)?;
            self.refuse(Source, self.ready, ErrorName::ReadyTwice)?;
            self.ready = true;
            return Ok(());
        }
        let Some(due) = self.due.take().filter(|due| due.reply == kind) else {
            return self.refuse(Source, true, ErrorName::WrongReply);
        };
        match kind {
            "RAM_BLOCKS_RESULT" => self.ram_blocks_result(message)?,
            "REGISTER_RESULT" => self.register_result(message, &due)?,
            _ => {}
        }
        let copied = message.repeat.is_none_or(|repeat| repeat == due.repeat);
        self.refuse(Observer, !copied, ErrorName::RepeatNotOfRequest)
    }

    fn ram_blocks_result(&mut self, message: &MessageReading) -> Result<(), ErrorName> {
        use Reader::{Observer, Source};
        let theirs: Vec<_> = message.each_entry().collect();
        let (received, expected) = (theirs.len(), self.source_blocks.len());
        self.refuse(Source, received != expected, ErrorName::BlockCount)?;
        for (entry, Wide(expected)) in theirs.into_iter().zip(self.source_blocks) {
            let Entry::RamBlock { remote_address, offset, length, rkey } = entry else { continue };
            self.refuse(Source, length.0 != *expected, ErrorName::BlockLength)?;
            let wraps = wraps(remote_address.0, length.0) || wraps(offset.0, length.0);
            self.refuse(Source, wraps, ErrorName::AddressOverflow)?;
            self.refuse(Source, self.pin_all && rkey == 0, ErrorName::ZeroKey)?;
            self.refuse(Observer, !self.pin_all && rkey != 0, ErrorName::KeyWithoutPinAll)?;
            let (host_address, offset, length) = (remote_address.0, offset.0, length.0);
            self.blocks.push(Block { host_address, offset, length, rkey });
        }
        Ok(())
    }

    fn register_result(&mut self, message: &MessageReading, due: &Due) -> Result<(), ErrorName> {
        use Reader::{Observer, Source};
        let results: Vec<_> = message.each_entry().collect();
        let wrong_count = results.len() != 1 && results.len() != due.requests.len();
        self.refuse(Source, wrong_count, ErrorName::ResultCount)?;
        for (entry, (block, chunk)) in results.into_iter().zip(&due.requests) {
            let Entry::RegisterResult { rkey, host_address } = entry else { continue };
            self.refuse(Source, rkey == 0, ErrorName::ZeroKey)?;
            let other = !self.regions.grant(*block, *chunk, rkey);
            self.refuse(Observer, other, ErrorName::AnotherKey)?;
            let of = self.block(*block)?;
            self.refuse(Source, wraps(host_address.0, of.length), ErrorName::AddressOverflow)?;
            let of_block = of.host_address == host_address.0;
            self.refuse(Observer, !of_block, ErrorName::NotHostAddressOfBlock)?;
        }
        Ok(())
    }

    /// A WRITE of the source, or of the destination, which has no business to send one.
    fn write(&self, from: Side, write: Write) -> Result<(), ErrorName> {
        let (address, length) = (write.address.0, write.length.0);
        let inside = |block: &Block| {
            let start = address.checked_sub(block.host_address)?;
            let end = start.checked_add(length)?;
            (length > 0 && end <= block.length).then_some(start)
        };
        let mut numbered = (0..).zip(&self.blocks);
        let found = numbered.find_map(|(index, block)| Some((index, block, inside(block)?)));
        let Some((index, block, start)) = found.filter(|_| from == Side::Source) else {
            return self.refuse(Reader::Observer, true, ErrorName::WriteOutsideBlocks);
        };
        let chunk = start / self.chunk_bytes;
        let crosses = (start + length - 1) / self.chunk_bytes != chunk;
        self.refuse(Reader::Observer, crosses, ErrorName::RunAcrossChunks)?;
        let granted = if self.pin_all {
            Some(block.rkey)
        } else {
            self.regions.of(index, chunk).and_then(|region| region.rkey)
        };
        let other_key = granted != Some(write.rkey);
        self.refuse(Reader::Observer, other_key, ErrorName::WriteWithoutKey)
    }
}

/// Whether bytes of a block that starts here have no address, because its last one would lie past
/// 2^64 - 1.
fn wraps(address: u64, length: u64) -> bool {
    address.checked_add(length.saturating_sub(1)).is_none()
}

/// What only a source sends, ERROR aside.
const COMMANDS: [&str; 6] = [
    "QEMU_FILE",
    "RAM_BLOCKS_REQUEST",
    "COMPRESS",
    "REGISTER_REQUEST",
    "REGISTER_FINISHED",
    "UNREGISTER_REQUEST",
];

fn stream_bytes(message: &MessageReading) -> usize {
    if message.kind == "QEMU_FILE" { usize::try_from(message.length).unwrap_or(0) } else { 0 }
}
