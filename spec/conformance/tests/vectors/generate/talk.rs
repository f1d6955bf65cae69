//! How dialogues are put together.

use rdma_migration_conformance::codec::{Command, Kind};
use rdma_migration_conformance::vectors::bytes::{Bytes, Hex};
use rdma_migration_conformance::vectors::error_name::ErrorName;
use rdma_migration_conformance::vectors::reading::{MessageReading, Wide};
use rdma_migration_conformance::vectors::vector::{
    Accepted, Act, Case, Content, Dialogue, Expected, PrivateData, Reader, Side, Step, Vector,
    Verdict, Write,
};

use super::build::{self, Message};
use super::stream_parts;

/// The RAM block that most dialogues are about: three chunks, of which the last is short.
pub(super) const RAM: Place =
    Place { address: 0x7f00_0000_0000, offset: 0, length: 0x28_0000, rkey: 0x103 };
/// The other RAM block: less than a chunk.
pub(super) const BIOS: Place =
    Place { address: 0x7f10_0000_0000, offset: 0x100_0000, length: 0x4_0000, rkey: 0x104 };

/// A RAM block of the destination. The key is that of pin-all.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) address: u64,
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) rkey: u32,
}

/// A dialogue while it is put together.
#[derive(Clone)]
pub(super) struct Talk {
    places: Vec<Place>,
    pinned: bool,
    chunk_bytes: Option<u64>,
    steps: Vec<Step>,
}

impl Talk {
    /// Two sides that have not connected.
    pub(super) fn new() -> Self {
        Self { places: vec![RAM, BIOS], pinned: false, chunk_bytes: None, steps: Vec::new() }
    }

    /// Two sides that register chunk by chunk.
    pub(super) fn dynamic() -> Self {
        Self::new().connect(Side::Source, 1, 0).connect(Side::Destination, 1, 0)
    }

    /// Two sides of which the destination pins all RAM.
    pub(super) fn pinned() -> Self {
        let mut talk = Self::new().connect(Side::Source, 1, 1).connect(Side::Destination, 1, 1);
        talk.pinned = true;
        talk
    }

    /// With these RAM blocks; before any step that is about them.
    pub(super) fn places(mut self, places: &[Place]) -> Self {
        self.places = places.to_vec();
        self
    }

    pub(super) fn chunks_of(mut self, bytes: u64) -> Self {
        self.chunk_bytes = Some(bytes);
        self
    }

    pub(super) fn connect(self, from: Side, version: u32, flags: u32) -> Self {
        let (private_data, reading) = build::private_data(version, flags);
        let expected = Expected::Reading { reading };
        self.step(
            from,
            Act::Connect { input: PrivateData::PrivateData, hex: Hex(private_data), expected },
        )
    }

    /// Private data that is cut off.
    pub(super) fn connect_truncated(self, from: Side, bytes: usize) -> Self {
        let (mut private_data, _) = build::private_data(1, 0);
        private_data.truncate(bytes);
        let expected = build::wrong(&[ErrorName::PrivateDataTruncated]);
        self.step(
            from,
            Act::Connect { input: PrivateData::PrivateData, hex: Hex(private_data), expected },
        )
    }

    pub(super) fn source(self, message: Message) -> Self {
        self.say(Side::Source, message)
    }

    pub(super) fn destination(self, message: Message) -> Self {
        self.say(Side::Destination, message)
    }

    pub(super) fn case(self, from: Side, case: Case<MessageReading>) -> Self {
        self.step(from, Act::Message(case))
    }

    /// A malformed message.
    pub(super) fn malformed(self, from: Side, message: Message, errors: &[ErrorName]) -> Self {
        let bytes = Bytes::whole(&message.bytes);
        self.case(from, Case { bytes, expected: build::wrong(errors) })
    }

    pub(super) fn ready(self) -> Self {
        self.destination(Message::empty(Kind::Ready))
    }

    pub(super) fn stream(self, bytes: &[u8]) -> Self {
        self.source(Message::stream(bytes))
    }

    /// The first stream message: everything up to the hook word behind the list.
    pub(super) fn list(self) -> Self {
        let blocks: Vec<_> = self
            .places
            .iter()
            .zip(["pc.ram", "pc.bios", "pc.rom"])
            .map(|(place, name)| stream_parts::block(name, place.length))
            .collect();
        let stream = stream_parts::whole(&blocks);
        self.stream(&stream)
    }

    pub(super) fn blocks_request(self) -> Self {
        self.source(Message::empty(Kind::RamBlocksRequest))
    }

    /// The RAM blocks as they are.
    pub(super) fn blocks(&self) -> Vec<Command> {
        let rkey = |place: &Place| if self.pinned { place.rkey } else { 0 };
        let block = |p: &Place| build::ram_block(p.address, p.offset, p.length, rkey(p));
        self.places.iter().map(block).collect()
    }

    pub(super) fn blocks_result(self, blocks: &[Command]) -> Self {
        self.destination(Message::of(Kind::RamBlocksResult, blocks))
    }

    /// Up to the request for the RAM blocks.
    pub(super) fn up_to_blocks_request(self) -> Self {
        self.ready().list().ready().blocks_request()
    }

    /// Up to the READY behind the RAM blocks: the first round is open.
    pub(super) fn exchanged(self) -> Self {
        let talk = self.up_to_blocks_request();
        let blocks = talk.blocks();
        talk.blocks_result(&blocks).ready()
    }

    pub(super) fn register(self, requests: &[Command]) -> Self {
        self.source(Message::of(Kind::RegisterRequest, requests))
    }

    pub(super) fn results(self, results: &[Command]) -> Self {
        self.destination(Message::of(Kind::RegisterResult, results))
    }

    /// Registers the chunk of a place in a block, up to the next READY.
    pub(super) fn registered(self, block: u32, at: u64, rkey: u32) -> Self {
        let place = self.places[usize::try_from(block).unwrap()];
        self.register(&[build::register(place.offset + at, block, 0)])
            .results(&[build::result(rkey, place.address)])
            .ready()
    }

    pub(super) fn unregister(self, requests: &[Command]) -> Self {
        self.source(Message::of(Kind::UnregisterRequest, requests))
    }

    pub(super) fn compress(self, runs: &[Command]) -> Self {
        self.source(Message::of(Kind::Compress, runs))
    }

    /// A zero run at a place in a block, and the next READY.
    pub(super) fn zero(self, block: u32, at: u64, length: u64) -> Self {
        let place = self.places[usize::try_from(block).unwrap()];
        self.compress(&[build::compress(0, block, place.offset + at, length)]).ready()
    }

    /// A WRITE at a place in a block.
    pub(super) fn write(self, block: u32, at: u64, length: u64, rkey: u32) -> Self {
        let place = self.places[usize::try_from(block).unwrap()];
        self.write_to(place.address + at, length, rkey)
    }

    pub(super) fn write_to(self, address: u64, length: u64, rkey: u32) -> Self {
        let write = Write { address: Wide(address), rkey, length: Wide(length) };
        self.step(Side::Source, Act::Write { write })
    }

    /// REGISTER_FINISHED without the READY behind it.
    pub(super) fn finished(self) -> Self {
        self.source(Message::empty(Kind::RegisterFinished))
    }

    fn say(self, from: Side, message: Message) -> Self {
        let expected = Expected::Reading { reading: message.reading };
        self.case(from, Case { bytes: Bytes::whole(&message.bytes), expected })
    }

    fn step(mut self, from: Side, act: Act) -> Self {
        self.steps.push(Step { from, act });
        self
    }

    /// A dialogue that everybody accepts.
    pub(super) fn accepted(self, id: &str, requirements: &str, title: &str) -> Vector {
        self.vector(id, requirements, title, None, Verdict::Accepted(Accepted::Accepted))
    }

    /// A dialogue that this reader accepts.
    pub(super) fn accepted_by(
        self,
        reader: Reader,
        id: &str,
        requirements: &str,
        title: &str,
    ) -> Vector {
        let verdict = Verdict::Accepted(Accepted::Accepted);
        self.vector(id, requirements, title, Some(reader), verdict)
    }

    /// A dialogue whose last step this reader refuses, for the first of the requirements.
    pub(super) fn refused_by(
        self,
        reader: Reader,
        id: &str,
        requirements: &str,
        title: &str,
        error: ErrorName,
    ) -> Vector {
        let requirement = requirements.split_whitespace().next().unwrap().to_owned();
        let refused_at = self.steps.len();
        let verdict = Verdict::Refused { refused_at, errors: vec![error], requirement };
        self.vector(id, requirements, title, Some(reader), verdict)
    }

    fn vector(
        self,
        id: &str,
        requirements: &str,
        title: &str,
        reader: Option<Reader>,
        verdict: Verdict,
    ) -> Vector {
        let source_blocks = self.places.iter().map(|place| Wide(place.length)).collect();
        let chunk_bytes = self.chunk_bytes.map(Wide);
        let dialogue = Dialogue { chunk_bytes, source_blocks, steps: self.steps, verdict };
        let content = Content::Dialogue(dialogue);
        Vector { reader, ..build::vector(id, requirements, title, content) }
    }
}
