//! How the vectors of single inputs are put together.

use rdma_migration_conformance::codec::{
    Command, Compress, Header, Kind, RamBlock, RegisterRequest, RegisterResult, UnregisterRequest,
};
use rdma_migration_conformance::vectors::bytes::{Bytes, Hex, Part};
use rdma_migration_conformance::vectors::error_name::ErrorName;
use rdma_migration_conformance::vectors::reading::{
    CapabilitiesReading, Entries, Entry, MessageReading, Wide,
};
use rdma_migration_conformance::vectors::vector::{Case, Content, Expected, Reader, Vector};

/// A message and what is in it.
#[derive(Clone)]
pub(super) struct Message {
    pub(super) bytes: Vec<u8>,
    pub(super) reading: MessageReading,
}

impl Message {
    /// A message of these entries; `repeat` says how many there are where it counts, and else 1.
    pub(super) fn of(kind: Kind, commands: &[Command]) -> Self {
        let mut payload = Vec::new();
        for command in commands {
            command.encode(&mut payload);
        }
        let counted = kind != Kind::RamBlocksResult && !commands.is_empty();
        let repeat = if counted { number(commands.len()) } else { 1 };
        let entries = Entries::group(commands.iter().map(|command| entry(*command)));
        Self::new(kind, repeat, payload, kind.command_bytes().map(|_| entries))
    }

    pub(super) fn empty(kind: Kind) -> Self {
        Self::of(kind, &[])
    }

    pub(super) fn stream(bytes: &[u8]) -> Self {
        Self::new(Kind::QemuFile, 1, bytes.to_vec(), None)
    }

    fn new(kind: Kind, repeat: u32, payload: Vec<u8>, entries: Option<Vec<Entries>>) -> Self {
        let length = number(payload.len());
        let mut bytes = Vec::new();
        Header { length, kind, repeat }.encode(&mut bytes);
        bytes.extend(payload);
        let counts = !matches!(
            kind,
            Kind::None
                | Kind::Error
                | Kind::Ready
                | Kind::QemuFile
                | Kind::RamBlocksRequest
                | Kind::RamBlocksResult
                | Kind::RegisterFinished
        );
        let kind = kind.to_string();
        let repeat = counts.then_some(repeat);
        Self { bytes, reading: MessageReading { kind, length, repeat, entries } }
    }

    /// With another `repeat`, which the reading gives where it says something.
    pub(super) fn repeat(mut self, repeat: u32) -> Self {
        if self.reading.repeat.is_some() {
            self.reading.repeat = Some(repeat);
        }
        self.word(8, repeat)
    }

    /// With another `length` in the header alone.
    pub(super) fn length(self, length: u32) -> Self {
        self.word(0, length)
    }

    /// With this in the padding of the header.
    pub(super) fn padding(self, padding: u32) -> Self {
        self.word(12, padding)
    }

    /// With other 32 bits at this offset, of which the reading says nothing.
    pub(super) fn word(self, offset: usize, word: u32) -> Self {
        self.with(offset, &word.to_be_bytes())
    }

    /// With other bytes at this offset, of which the reading says nothing.
    pub(super) fn with(mut self, offset: usize, bytes: &[u8]) -> Self {
        self.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// Cut off or filled up with zeroes to so many bytes, while the header stays as it is.
    pub(super) fn resized(mut self, bytes: usize) -> Self {
        self.bytes.resize(bytes, 0);
        self
    }

    /// Cut off or filled up with zeroes to a payload of so many bytes, as the header says then.
    pub(super) fn payload(self, bytes: usize) -> Self {
        self.resized(Header::BYTES + bytes).length(number(bytes))
    }

    /// As a host of the other byte order would send it: every field of this many bytes turned
    /// around. The reading says nothing of that.
    pub(super) fn turned(mut self, from: usize, fields: &[usize]) -> Self {
        let mut rest = &mut self.bytes[from..];
        for bytes in fields {
            let (field, behind) = rest.split_at_mut(*bytes);
            field.reverse();
            rest = behind;
        }
        self
    }
}

/// A message of one entry that comes so many times.
pub(super) fn repeated(command: Command, kind: Kind, times: usize) -> Case<MessageReading> {
    let mut message = Message::of(kind, &[command]);
    let entry_bytes = message.bytes.split_off(Header::BYTES);
    let length = number(entry_bytes.len() * times);
    message.reading.length = length;
    let entries = message.reading.entries.iter_mut().flatten();
    entries.for_each(|entries| entries.times = times);
    let repeat = if kind == Kind::RamBlocksResult { 1 } else { number(times) };
    let message = message.length(length).repeat(repeat);
    let header = Part::Repeated { hex: Hex(message.bytes), times: 1 };
    let parts = vec![header, Part::Repeated { hex: Hex(entry_bytes), times }];
    let expected = Expected::Reading { reading: message.reading };
    Case { bytes: Bytes::Parts { parts }, expected }
}

pub(super) fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap()
}

fn entry(command: Command) -> Entry {
    match command {
        Command::RamBlock(RamBlock { remote_address, offset, length, rkey }) => Entry::RamBlock {
            remote_address: Wide(remote_address),
            offset: Wide(offset),
            length: Wide(length),
            rkey,
        },
        Command::Compress(Compress { value, block, offset, length }) => {
            Entry::Compress { value, block, offset: Wide(offset), length: Wide(length) }
        }
        Command::RegisterRequest(RegisterRequest { address, block, chunks }) => {
            Entry::RegisterRequest { address: Wide(address), block, chunks: Wide(chunks) }
        }
        Command::RegisterResult(RegisterResult { rkey, host_address }) => {
            Entry::RegisterResult { rkey, host_address: Wide(host_address) }
        }
        Command::UnregisterRequest(UnregisterRequest { chunk, block }) => {
            Entry::UnregisterRequest { chunk: Wide(chunk), block }
        }
    }
}

pub(super) fn ram_block(remote_address: u64, offset: u64, length: u64, rkey: u32) -> Command {
    Command::RamBlock(RamBlock { remote_address, offset, length, rkey })
}

pub(super) fn compress(value: u32, block: u32, offset: u64, length: u64) -> Command {
    Command::Compress(Compress { value, block, offset, length })
}

pub(super) fn register(address: u64, block: u32, chunks: u64) -> Command {
    Command::RegisterRequest(RegisterRequest { address, block, chunks })
}

pub(super) fn result(rkey: u32, host_address: u64) -> Command {
    Command::RegisterResult(RegisterResult { rkey, host_address })
}

pub(super) fn unregister(chunk: u64, block: u32) -> Command {
    Command::UnregisterRequest(UnregisterRequest { chunk, block })
}

/// A vector: its number in the chapter, its requirements, its title, what it holds.
pub(super) fn vector(id: &str, requirements: &str, title: &str, content: Content) -> Vector {
    Vector {
        id: id.to_owned(),
        title: title.to_owned(),
        requirements: requirements.split_whitespace().map(str::to_owned).collect(),
        reader: None,
        content,
    }
}

/// The same for one reader.
pub(super) fn read_by(reader: Reader, mut vectors: Vec<Vector>) -> Vec<Vector> {
    for vector in &mut vectors {
        vector.reader = Some(reader);
    }
    vectors
}

pub(super) fn reads(id: &str, requirements: &str, title: &str, message: Message) -> Vector {
    let expected = Expected::Reading { reading: message.reading };
    let case = Case { bytes: Bytes::whole(&message.bytes), expected };
    vector(id, requirements, title, Content::Message(case))
}

pub(super) fn fails(
    id: &str,
    requirements: &str,
    title: &str,
    message: Message,
    errors: &[ErrorName],
) -> Vector {
    let bytes = Bytes::whole(&message.bytes);
    vector(id, requirements, title, Content::Message(Case { bytes, expected: wrong(errors) }))
}

pub(super) fn wrong<Reading>(errors: &[ErrorName]) -> Expected<Reading> {
    Expected::Errors { errors: errors.to_vec() }
}

pub(super) fn private_data(version: u32, flags: u32) -> (Vec<u8>, CapabilitiesReading) {
    let capabilities = rdma_migration_conformance::codec::Capabilities { version, flags };
    (capabilities.encode().to_vec(), CapabilitiesReading { version, flags })
}
