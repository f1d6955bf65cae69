//! What the worst messages of a peer cost on the heap, counted by the allocator, against the bounds of
//! [`limits`](rdma_migration_protocol::limits).
//!
//! Each test also asserts that its worst case comes near the bound: otherwise it would measure
//! nothing, or the bound would say nothing.

mod machine;

use machine::Peak;
use rdma_migration_protocol::address::{BlockIndex, BlockOffset, HostAddress, RamAddress, Rkey};
use rdma_migration_protocol::connection::PinAllOffer;
use rdma_migration_protocol::destination::{Destination, DestinationConfig, PlacedBlock};
use rdma_migration_protocol::limits::{
    COMMANDS_MAX, RAM_BLOCKS_MAX, STREAM_SETUP_HEAP_BYTES_MAX, heap_bytes_max,
};
use rdma_migration_protocol::source::{Source, SourceConfig};
use rdma_migration_protocol::stream::setup::ram_blocks;
use rdma_migration_protocol::stream::words;
use rdma_migration_protocol::wire::{
    Compress, Entries, Kind, Message, RamBlock, RegisterRequest, UnregisterRequest,
};

const MIB: u64 = 1 << 20;

/// A destination that has exchanged RAM blocks of these lengths.
fn destination(lengths: &[u64]) -> Peak<Destination> {
    let mut destination = Peak::new(Destination::new(DestinationConfig::default()));
    destination.request();
    destination.receive(&Message::QemuFile(&[7]));
    destination.call(|machine| machine.take_stream(1).unwrap());
    destination.receive(&Message::RamBlocksRequest);
    let placed = lengths.iter().map(|length| PlacedBlock {
        host_address: HostAddress::new(0x7000_0000_0000),
        ram_address: RamAddress::new(0),
        length: *length,
    });
    let placed: Vec<_> = placed.collect();
    destination.call(|machine| machine.place_blocks(&placed).unwrap());
    destination
}

fn assert_near(peak: usize, bound: usize) {
    assert!(peak <= bound, "{peak} bytes of heap, {bound} allowed");
    assert!(peak > bound / 2, "{peak} bytes of heap are far from {bound}: the bound says nothing");
}

#[test]
fn commands_cost_a_destination_no_more_than_the_bound() {
    let chunks = COMMANDS_MAX + 3;
    let mut destination = destination(&[MIB * u64::try_from(chunks).unwrap()]);
    let block = BlockIndex::new(0);
    let place = |chunk: u64| RamAddress::new(chunk * MIB);
    let numbers = 0..u64::try_from(COMMANDS_MAX).unwrap();
    let requests: Vec<_> = numbers
        .clone()
        .map(|chunk| RegisterRequest { address: place(chunk), block, chunks: 0 })
        .collect();
    destination.receive(&Message::RegisterRequest(Entries::new(&requests)));
    let runs: Vec<_> = numbers
        .clone()
        .map(|chunk| Compress { value: 0, block, offset: place(chunk), length: MIB })
        .collect();
    destination.receive(&Message::Compress(Entries::new(&runs)));
    let requests: Vec<_> = numbers.map(|chunk| UnregisterRequest { chunk, block }).collect();
    destination.receive(&Message::UnregisterRequest(Entries::new(&requests)));
    assert_near(destination.peak(), heap_bytes_max(1, chunks));
}

/// Claims that nobody will order any more are taken back one by one, in place.
#[test]
fn commands_that_are_given_up_cost_a_destination_no_more_than_the_bound() {
    let chunks = COMMANDS_MAX + 3;
    let mut destination = destination(&[MIB * u64::try_from(chunks).unwrap()]);
    let block = BlockIndex::new(0);
    let numbers = 0..u64::try_from(COMMANDS_MAX).unwrap();
    let requests: Vec<_> = numbers
        .map(|chunk| RegisterRequest { address: RamAddress::new(chunk * MIB), block, chunks: 0 })
        .collect();
    destination.receive_without_polling(&Message::RegisterRequest(Entries::new(&requests)));
    destination.call(|machine| machine.abort().unwrap());
    assert_near(destination.peak(), heap_bytes_max(1, chunks));
}

#[test]
fn ram_blocks_cost_either_side_no_more_than_the_bound() {
    let lengths = vec![0x1000; RAM_BLOCKS_MAX];
    let destination = destination(&lengths);
    assert_near(destination.peak(), heap_bytes_max(RAM_BLOCKS_MAX, RAM_BLOCKS_MAX));

    let config = SourceConfig { pin_all: PinAllOffer::Never, ..SourceConfig::default() };
    let mut source = Peak::new(Source::new(config).unwrap());
    source.call(|machine| machine.connect().unwrap());
    source.establish();
    // The most that an owner may hand over is counted as well.
    source.call(|machine| machine.write_stream(&[7; 20_000]).unwrap());
    source.call(|machine| machine.write_stream(&[7; 20_000]).unwrap());
    source.receive(&Message::Ready);
    source.call(|machine| machine.exchange_blocks(&lengths).unwrap());
    source.receive(&Message::Ready);
    assert_eq!(source.last_sent(), Some(Kind::RamBlocksRequest));
    let blocks = lengths.iter().map(|length| RamBlock {
        remote_address: HostAddress::new(0),
        offset: RamAddress::new(0),
        length: *length,
        rkey: Rkey::new(0),
    });
    let blocks: Vec<_> = blocks.collect();
    source.receive(&Message::RamBlocksResult(Entries::new(&blocks)));
    for block in 0..300 {
        source.call(|machine| {
            machine.write_ram(BlockIndex::new(block), BlockOffset::new(0), 0x1000).unwrap();
        });
    }
    let bound = heap_bytes_max(RAM_BLOCKS_MAX, RAM_BLOCKS_MAX);
    assert!(source.peak() <= bound, "{} bytes of heap, {bound} allowed", source.peak());
    assert!(source.peak() > bound / 3, "{} bytes of heap are far from {bound}", source.peak());
}

/// The worst list: every guest address looks like a page size, so that each block is a choice.
#[test]
fn the_list_of_ram_blocks_costs_its_reader_no_more_than_the_bound() {
    let mut stream = b"QEVM\0\0\0\x03".to_vec();
    stream.extend_from_slice(&[7, 0, 0, 0, 0, 5, 26]);
    stream.extend_from_slice(b"configuration/capabilities\0\0\0\x01\0\0\0\x01\x0fx-ignore-shared");
    stream.extend_from_slice(b"\x01\0\0\0\x02\x03ram\0\0\0\0\0\0\0\x04");
    let total = u64::try_from(RAM_BLOCKS_MAX + 1).unwrap() * 0x1000;
    stream.extend_from_slice(&(total | words::MEM_SIZE).to_be_bytes());
    for block in 0..RAM_BLOCKS_MAX {
        stream.push(3);
        stream.extend_from_slice(&u32::try_from(block).unwrap().to_be_bytes()[1..]);
        stream.extend_from_slice(&0x1000_u64.to_be_bytes());
        stream.extend_from_slice(&0x1000_u64.to_be_bytes());
    }
    stream.extend_from_slice(&words::HOOK.to_be_bytes());
    let used = allocation_counter::measure(|| drop(std::hint::black_box(ram_blocks(&stream))));
    let peak = usize::try_from(used.bytes_max).unwrap();
    assert!(peak <= STREAM_SETUP_HEAP_BYTES_MAX, "{peak} bytes of heap");
    assert!(peak > STREAM_SETUP_HEAP_BYTES_MAX / 3, "{peak} bytes of heap");
}
