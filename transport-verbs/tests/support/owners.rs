//! The simplest owners of a guest that a migration can have: some RAM, a stream of a few bytes, and
//! a second round for the pages that have changed since the first.

use std::sync::Arc;

use rdma_migration_protocol::address::{BlockIndex, BlockOffset, RamAddress};
use rdma_migration_protocol::connection::Closed;
use rdma_migration_protocol::destination::{Destination, DestinationEvent, PlacedBlock};
use rdma_migration_protocol::source::{Source, SourceEvent};
use rdma_migration_protocol::transport::{Machine, Owner, Transport};
use rdma_migration_transport_verbs::{GuestRam, VerbsTransport};

/// The word after which RAM is written.
const HOOK: [u8; 8] = 0x80_u64.to_be_bytes();
const HEAD: &[u8] = b"the head of the stream";
const DEVICES: &[u8] = b"the state of the devices, and the end";

const PAGE_BYTES: usize = 4096;

/// Where RAM has to be written: block, offset, bytes.
type Range = (BlockIndex, u64, u64);

/// The owner of the guest that leaves.
pub(crate) struct Leaving {
    guest: Vec<Arc<GuestRam>>,
    /// What is to be written in this round, the last first.
    pending: Vec<Range>,
    rounds: u32,
    pub(crate) closed: Option<Closed>,
}

impl Leaving {
    pub(crate) fn new(guest: Vec<Arc<GuestRam>>) -> Self {
        Self { guest, pending: Vec::new(), rounds: 0, closed: None }
    }

    fn begin(&mut self, source: &mut Source, transport: &mut VerbsTransport) {
        for ram in &self.guest {
            transport.attach_ram(Arc::clone(ram));
        }
        write_all(source, HEAD);
        write_all(source, &HOOK);
        let lengths: Vec<_> = self.guest.iter().map(|ram| ram.len() as u64).collect();
        source.exchange_blocks(&lengths).unwrap();
        self.pending = self.numbered(|length| vec![(0, length)]);
    }

    /// The guest runs on: a page of every hundred changes, some to zero.
    fn second_round(&mut self, source: &mut Source) {
        let dirty = |length: u64| {
            let pages = (0..length / PAGE_BYTES as u64).step_by(100);
            pages.map(|page| (page * PAGE_BYTES as u64, PAGE_BYTES as u64)).collect()
        };
        self.pending = self.numbered(dirty);
        for (index, (block, offset, _)) in self.pending.iter().enumerate() {
            let ram = &self.guest[block.get() as usize];
            let contents = [if index % 3 == 0 { 0 } else { 0x5a }; PAGE_BYTES];
            assert!(ram.write(usize::try_from(*offset).unwrap(), &contents));
        }
        write_all(source, &HOOK);
    }

    fn numbered(&self, ranges: impl Fn(u64) -> Vec<(u64, u64)>) -> Vec<Range> {
        let blocks = (0..).map(BlockIndex::new).zip(&self.guest);
        let all = blocks.flat_map(|(block, ram)| {
            let of_block = ranges(ram.len() as u64);
            of_block.into_iter().map(move |(offset, length)| (block, offset, length))
        });
        let mut all: Vec<_> = all.collect();
        all.reverse();
        all
    }

    /// Hands over as much RAM as the source takes.
    fn write_ram(&mut self, source: &mut Source) {
        while let Some((block, offset, length)) = self.pending.pop() {
            let taken = source.write_ram(block, BlockOffset::new(offset), length).unwrap();
            if taken < length {
                self.pending.push((block, offset + taken, length - taken));
                return;
            }
        }
        source.finish_round().unwrap();
    }
}

impl Owner<Source, VerbsTransport> for Leaving {
    fn attend(&mut self, source: &mut Source, transport: &mut VerbsTransport) {
        while let Some(event) = source.poll_event() {
            match event {
                SourceEvent::Connected(_) => self.begin(source, transport),
                SourceEvent::BlocksExchanged | SourceEvent::RamWritable => self.write_ram(source),
                SourceEvent::RoundFinished => {
                    self.rounds += 1;
                    if self.rounds == 1 {
                        self.second_round(source);
                        self.write_ram(source);
                    } else {
                        write_all(source, DEVICES);
                        source.finish().unwrap();
                    }
                }
                SourceEvent::StreamWritable | SourceEvent::HandedOver => {}
                SourceEvent::Closed(closed) => self.closed = Some(closed),
            }
        }
    }
}

/// The owner of the place where the guest arrives.
pub(crate) struct Arriving {
    guest: Vec<Arc<GuestRam>>,
    stream: Vec<u8>,
    /// Ends the migration when the RAM blocks are asked for.
    pub(crate) aborts: bool,
    pub(crate) connected: bool,
    pub(crate) released: bool,
    pub(crate) closed: Option<Closed>,
}

impl Arriving {
    pub(crate) fn new(guest: Vec<Arc<GuestRam>>) -> Self {
        let stream = Vec::new();
        Self { guest, stream, aborts: false, connected: false, released: false, closed: None }
    }

    fn take_stream(&mut self, destination: &mut Destination, transport: &VerbsTransport) {
        if let Some(held) = destination.held_stream().cloned() {
            let bytes = &transport.receive_buffer(held.buffer)[held.range];
            self.stream.extend_from_slice(bytes);
            let count = bytes.len();
            destination.take_stream(count).unwrap();
        }
        if self.stream.ends_with(DEVICES) {
            destination.finish().unwrap();
        }
    }

    fn place(&mut self, destination: &mut Destination, transport: &mut VerbsTransport) {
        if self.aborts {
            destination.abort().unwrap();
            return;
        }
        let place = |ram: &Arc<GuestRam>| {
            let block = transport.attach_ram(Arc::clone(ram));
            PlacedBlock {
                host_address: transport.host_address(block).unwrap(),
                ram_address: RamAddress::new(u64::from(block.get()) << 40),
                length: ram.len() as u64,
            }
        };
        let placed: Vec<_> = self.guest.iter().map(place).collect();
        destination.place_blocks(&placed).unwrap();
    }
}

impl Owner<Destination, VerbsTransport> for Arriving {
    fn attend(&mut self, destination: &mut Destination, transport: &mut VerbsTransport) {
        while let Some(event) = destination.poll_event() {
            match event {
                DestinationEvent::StreamReadable => self.take_stream(destination, transport),
                DestinationEvent::BlocksRequested => self.place(destination, transport),
                DestinationEvent::StreamEnded => destination.abort().unwrap(),
                DestinationEvent::GuestReleased => self.released = true,
                DestinationEvent::Connected(_) => self.connected = true,
                DestinationEvent::RoundFinished => {}
                DestinationEvent::Closed(closed) => self.closed = Some(closed),
            }
        }
    }
}

fn write_all(source: &mut Source, bytes: &[u8]) {
    // So few bytes always find room.
    assert_eq!(source.write_stream(bytes).unwrap(), bytes.len());
}

/// A guest of some blocks, empty.
pub(crate) fn empty_guest(lengths: &[usize]) -> Vec<Arc<GuestRam>> {
    lengths.iter().map(|bytes| Arc::new(GuestRam::anonymous(*bytes).unwrap())).collect()
}

/// A guest of some blocks, with pages that are full, empty, or nearly empty, in stretches of all
/// lengths.
pub(crate) fn full_guest(lengths: &[usize]) -> Vec<Arc<GuestRam>> {
    let guest = empty_guest(lengths);
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for ram in &guest {
        let mut offset = 0;
        while offset < ram.len() {
            // xorshift64
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let stretch = (PAGE_BYTES << (random % 10)).min(ram.len() - offset);
            let mut contents = vec![0; stretch];
            match random >> 62 {
                0 => {}
                1 => contents[stretch / 2] = 1,
                _ => contents.iter_mut().zip(0_u64..).for_each(|(byte, index)| {
                    *byte = random.wrapping_mul(index | 1).to_le_bytes()[4];
                }),
            }
            assert!(ram.write(offset, &contents));
            offset += stretch;
        }
    }
    guest
}

/// Whether two guests have the same RAM.
pub(crate) fn same_ram(one: &[Arc<GuestRam>], other: &[Arc<GuestRam>]) -> bool {
    digests(one) == digests(other)
}

fn digests(guest: &[Arc<GuestRam>]) -> Vec<Vec<u8>> {
    use sha2::{Digest, Sha256};
    let digest = |ram: &Arc<GuestRam>| {
        let mut bytes = vec![0; ram.len()];
        assert!(ram.read(0, &mut bytes));
        Sha256::digest(&bytes).to_vec()
    };
    guest.iter().map(digest).collect()
}
