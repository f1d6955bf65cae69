//! The chapter on zero pages.

use rdma_migration_protocol::address::{BlockIndex, BlockOffset, RamAddress};
use rdma_migration_protocol::connection::{Closed, GuestOwner};
use rdma_migration_protocol::destination::DestinationConfig;
use rdma_migration_protocol::error::{Error, Misbehavior};
use rdma_migration_protocol::source::{Source, SourceConfig};
use rdma_migration_protocol::transport::{Completion, FailedOperation, Operation, TransportError};
use rdma_migration_protocol::wire::{Compress, Entries, Flags, Kind, Message};

use crate::by_hand::{ByHand, Ending, Order, encode};
use crate::destination_phases::{self, zero};
use crate::layout::{LENGTHS, MIB, ram_address};
use crate::play::{destination_in_round, ram_start};
use crate::source_phases::{self, granted, in_round, receive_result, scanned, write};

fn failed(error: impl Into<Error>) -> Closed {
    Closed { result: Err(error.into()), guest: GuestOwner::Source, regions_left: 0 }
}

fn scan(block: u32, offset: u64, length: u64) -> Order {
    let (block, offset) = (BlockIndex::new(block), BlockOffset::new(offset));
    Order::Do(Operation::ScanRam { block, offset, length })
}

fn fill(block: u32, offset: u64, length: u64) -> Order {
    let (block, offset) = (BlockIndex::new(block), BlockOffset::new(offset));
    Order::Do(Operation::ZeroRam { block, offset, length })
}

/// A source that is to send these runs and no more, and holds a READY.
fn with_runs(lengths: &[u64], runs: &[(u32, u64, u64)]) -> ByHand<Source> {
    let mut hand = in_round(SourceConfig::default(), lengths);
    for (block, offset, length) in runs {
        write(&mut hand, *block, *offset, *length);
    }
    hand.machine.finish_round().unwrap();
    hand.receive(&Message::Ready);
    hand
}

//= spec/text/07-zero-pages.md#use
//= type=test
//# [ZERO-11] A source MUST send COMPRESS with a `value` of 0.
//= spec/text/07-zero-pages.md#use
//= type=test
//# [ZERO-15] A source MUST put one command into a COMPRESS message.
#[test]
fn a_zero_run_is_named_and_not_registered() {
    let mut hand = with_runs(&LENGTHS, &[(1, 0x1000, 0x2000)]);
    assert_eq!(hand.orders(), [scan(1, 0x1000, 0x2000)]);
    scanned(&mut hand, 1, 0x1000, true);
    assert_eq!(hand.run(), [Order::Send(Kind::Compress)]);
    let run = Compress {
        value: 0,
        block: BlockIndex::new(1),
        offset: ram_address(1, 0x1000),
        length: 0x2000,
    };
    assert_eq!(hand.message(Kind::Compress), encode(&Message::Compress(Entries::new(&[run]))));
    hand.receive(&Message::Ready);
    assert_eq!(hand.run(), [Order::Send(Kind::RegisterFinished)]);
    assert_eq!(hand.registered.len(), 0);
}

//= spec/text/07-zero-pages.md#use
//= type=test
//# [ZERO-10] A source MUST NOT send COMPRESS for a chunk that is registered at the destination or whose
//# registration it has asked for.
#[test]
fn zero_pages_of_a_registered_chunk_are_written() {
    // Two runs of one chunk: the first makes it registered, the second is zero.
    let mut hand = with_runs(&LENGTHS, &[(0, 0, 0x1000), (0, 0x2000, 0x1000)]);
    assert_eq!(hand.orders(), [scan(0, 0, 0x1000)]);
    scanned(&mut hand, 0, 0, false);
    hand.run();
    hand.message(Kind::RegisterRequest);
    receive_result(&mut hand, granted(0, 7));
    let orders = hand.run();
    let write_offset = |order: &Order| match order {
        Order::Do(Operation::WriteRam(write)) => write.offset.get(),
        order => panic!("{order:?}"),
    };
    assert_eq!(orders.iter().map(write_offset).collect::<Vec<_>>(), [0, 0x2000]);
}

//= spec/text/07-zero-pages.md#use
//= type=test
//# [ZERO-10] A source MUST NOT send COMPRESS for a chunk that is registered at the destination or whose
//# registration it has asked for.
#[test]
fn a_run_of_a_chunk_that_is_being_registered_is_never_scanned() {
    let runs = [(0, 0, 0x1000), (0, MIB, 0x1000), (0, 0x2000, 0x1000)];
    let mut hand = with_runs(&LENGTHS, &runs);
    assert_eq!(hand.orders(), [scan(0, 0, 0x1000), scan(0, MIB, 0x1000)]);
    scanned(&mut hand, 0, MIB, true);
    scanned(&mut hand, 0, 0, false);
    hand.run();
    hand.message(Kind::RegisterRequest);
    receive_result(&mut hand, granted(0, 7));
    hand.run();
    hand.receive(&Message::Ready);
    let orders = hand.run();
    let compressed = encode(&Message::Compress(Entries::new(&[zero(0, MIB, 0x1000)])));
    assert_eq!(hand.message(Kind::Compress), compressed);
    let Some(Order::Do(Operation::WriteRam(write))) = orders.last() else { panic!("{orders:?}") };
    assert_eq!(write.offset, BlockOffset::new(0x2000));
}

#[test]
fn pages_of_a_zero_chunk_that_are_not_zero_later_register_it() {
    let mut hand = with_runs(&LENGTHS, &[(0, 0, 0x1000), (0, 0x2000, 0x1000)]);
    hand.orders();
    scanned(&mut hand, 0, 0, true);
    assert_eq!(hand.orders(), [Order::Send(Kind::Compress), scan(0, 0x2000, 0x1000)]);
    scanned(&mut hand, 0, 0x2000, false);
    hand.receive(&Message::Ready);
    assert_eq!(hand.orders()[..1], [Order::Send(Kind::RegisterRequest)]);
}

#[test]
fn scans_that_answer_in_any_order_are_told_apart() {
    // The first page, and in another chunk something else; then the first page again with the second.
    let runs = [(0, 0, 0x2000), (0, MIB, 0x1000), (0, 0, 0x1000)];
    let mut hand = with_runs(&LENGTHS, &runs);
    assert_eq!(hand.orders(), [scan(0, 0, 0x2000), scan(0, MIB, 0x1000)]);
    // The second page is not zero: were this the answer to the last run, the page would be lost.
    scanned(&mut hand, 0, MIB, true);
    assert_eq!(hand.orders(), []);
    scanned(&mut hand, 0, 0, false);
    assert_eq!(hand.orders()[..1], [Order::Send(Kind::RegisterRequest)]);
}

#[test]
fn a_scan_that_fails_ends_the_source() {
    let mut hand = source_phases::phase("scanning");
    let (block, offset) = (BlockIndex::new(0), BlockOffset::new(0));
    let (operation, error) = (FailedOperation::ScanRam { block, offset }, TransportError::Os(5));
    hand.fail(operation, error);
    let closed = failed(Error::Transport { operation, error });
    assert_eq!(hand.end(), Ending { closed, peer_told: true, disconnected: true });
}

fn receive(
    name: &str,
    runs: &[Compress],
) -> ByHand<rdma_migration_protocol::destination::Destination> {
    let mut hand = destination_phases::phase(name);
    hand.receive(&Message::Compress(Entries::new(runs)));
    hand
}

fn reject(runs: &[Compress], misbehavior: Misbehavior) {
    let expected = Ending { closed: failed(misbehavior), peer_told: true, disconnected: true };
    assert_eq!(receive("round open", runs).end(), expected, "{runs:?}");
}

//= spec/text/07-zero-pages.md#use
//= type=test
//# [ZERO-12] A destination MUST reject a COMPRESS whose `value` is not 0.
#[test]
fn any_other_fill_value_is_rejected() {
    for value in [1, 0xff, 0x0100_0000, u32::MAX] {
        let wrong = Compress { value, ..zero(0, 0, 0x1000) };
        reject(&[zero(0, 0, 0x1000), wrong], Misbehavior::NonZeroFill { value });
    }
}

//= spec/text/07-zero-pages.md#use
//= type=test
//# [ZERO-13] A destination MUST reject a COMPRESS whose run is empty or not inside its RAM block.
//= spec/text/05-registration.md#request
//= type=test
//# [REG-11] A destination MUST reject a command that names a RAM block which does not exist.
#[test]
fn a_run_that_is_empty_or_not_inside_its_block_is_rejected() {
    let start = ram_address(0, 0).get();
    let end = start + LENGTHS[0];
    let cases = [
        (start, 0),
        (start - 1, 1),
        (start - 1, 2),
        (0, start),
        (start, LENGTHS[0] + 1),
        (end - 1, 2),
        (end, 1),
        (end, 0),
        (start + 1, u64::MAX),
        (start, u64::MAX),
        (u64::MAX, 1),
        (u64::MAX, u64::MAX),
    ];
    for (address, length) in cases {
        let (block, address) = (BlockIndex::new(0), RamAddress::new(address));
        let wrong = Compress { value: 0, block, offset: address, length };
        reject(&[wrong], Misbehavior::OutsideBlock { block, address, length });
    }
    for block in [2, u32::MAX].map(BlockIndex::new) {
        let wrong = Compress { block, ..zero(0, 0, 0x1000) };
        reject(&[wrong], Misbehavior::UnknownBlock { block, blocks: 2 });
    }
    for (offset, length) in [(0, LENGTHS[0]), (LENGTHS[0] - 1, 1), (0, 1)] {
        let mut hand = receive("round open", &[zero(0, offset, length)]);
        assert_eq!(hand.orders(), [fill(0, offset, length)]);
    }
}

//= spec/text/07-zero-pages.md#use
//= type=test
//# [ZERO-14] A destination MUST have set the run to zero before it sends the next READY.
#[test]
fn ready_follows_once_every_run_is_zero() {
    let runs = [zero(0, 0, 0x1000), zero(1, 0x1000, 0x2000), zero(0, 0, 0x1000)];
    for name in ["round open", "pinned round"] {
        let mut hand = receive(name, &runs);
        let fills = [fill(0, 0, 0x1000), fill(1, 0x1000, 0x2000), fill(0, 0, 0x1000)];
        assert_eq!(hand.orders(), fills, "{name}");
        for (block, offset) in [(0, 0), (1, 0x1000), (0, 0)] {
            assert_eq!(hand.orders(), []);
            let (block, offset) = (BlockIndex::new(block), BlockOffset::new(offset));
            hand.complete(Completion::RamZeroed { block, offset });
        }
        assert_eq!(hand.orders(), [Order::Send(Kind::Ready)]);
    }
}

#[test]
fn a_fill_that_fails_ends_the_destination() {
    let mut hand = destination_phases::phase("zeroing");
    let (block, offset) = (BlockIndex::new(1), BlockOffset::new(0));
    let (operation, error) = (FailedOperation::ZeroRam { block, offset }, TransportError::Os(5));
    hand.fail(operation, error);
    let closed = failed(Error::Transport { operation, error });
    assert_eq!(hand.end(), Ending { closed, peer_told: true, disconnected: true });
}

#[test]
fn what_is_named_zero_becomes_zero_and_nothing_else() {
    let config = DestinationConfig::default();
    let mut peer = destination_in_round(config, Flags::NONE, &[&[0xee; 0x4000], &[0xee; 0x1000]]);
    let run = Compress {
        value: 0,
        block: BlockIndex::new(0),
        offset: ram_start(0).checked_add(0x1000).unwrap(),
        length: 0x2000,
    };
    peer.send(&Message::Compress(Entries::new(&[run])));
    peer.expect_send(Kind::Ready);
    let expected = [[0xee; 0x1000], [0; 0x1000], [0; 0x1000], [0xee; 0x1000]].concat();
    assert_eq!(peer.port().memory(BlockIndex::new(0)), expected);
    assert_eq!(peer.port().memory(BlockIndex::new(1)), [0xee; 0x1000]);
    assert_eq!(peer.violations(), [""; 0]);
}
