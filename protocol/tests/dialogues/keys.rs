//! The chapter on registration, at the source: no write without a key, none with an old one.

use rdma_migration_protocol::address::{BlockIndex, BlockOffset, HostAddress, Rkey};
use rdma_migration_protocol::connection::{Closed, GuestOwner};
use rdma_migration_protocol::error::{Error, Misbehavior};
use rdma_migration_protocol::source::{Source, SourceConfig};
use rdma_migration_protocol::transport::{
    Access, Completion, FailedOperation, Operation, RegionId, TransportError, WriteRam,
};
use rdma_migration_protocol::wire::{
    Entries, Kind, Message, RegisterRequest, RegisterResult, UnregisterRequest,
};

use crate::by_hand::{ByHand, Ending, Order, encode, rkey};
use crate::layout::{LENGTHS, MIB, host_address, ram_address};
use crate::play::{grant, source_in_round};
use crate::source_phases::{self, granted, in_round, receive_result, scanned, write};

const BLOCK: BlockIndex = BlockIndex::new(0);

fn source() -> ByHand<Source> {
    let config = SourceConfig { peer_unregisters: true, ..SourceConfig::default() };
    in_round(config, &LENGTHS)
}

fn failed(error: impl Into<Error>) -> Closed {
    Closed { result: Err(error.into()), guest: GuestOwner::Source, regions_left: 0 }
}

fn write_order(region: u32, block: u32, offset: u64, length: u64, key: u32) -> Order {
    Order::Do(Operation::WriteRam(WriteRam {
        region: RegionId(region),
        block: BlockIndex::new(block),
        offset: BlockOffset::new(offset),
        length,
        remote_address: host_address(block).checked_add(offset).unwrap(),
        rkey: Rkey::new(key),
        signaled: true,
    }))
}

fn register_order(region: u32, block: u32, offset: u64, length: u64) -> Order {
    let (block, offset) = (BlockIndex::new(block), BlockOffset::new(offset));
    let (region, access) = (RegionId(region), Access::LocalRead);
    Order::Do(Operation::RegisterMemory { region, block, offset, length, access })
}

fn unregister(hand: &mut ByHand<Source>, chunk: u64) {
    assert_eq!(hand.machine.unregister(BLOCK, chunk), Ok(true));
}

/// A source that has written one chunk, and holds no READY.
fn chunk_written() -> ByHand<Source> {
    let mut hand = source();
    write(&mut hand, 0, 0, MIB);
    hand.receive(&Message::Ready);
    hand.run();
    hand.message(Kind::RegisterRequest);
    receive_result(&mut hand, granted(0, 0x77));
    assert_eq!(hand.run(), [write_order(0, 0, 0, MIB, 0x77)]);
    hand
}

//= spec/text/05-registration.md#keys
//= type=test
//# [REG-10] A source MUST hold the destination's key for the place that it writes to.
//= spec/text/06-ram-writes.md#addresses
//= type=test
//# [WRITE-5] A source MUST write each run to the address of its RAM block at the destination plus
//# the run's place in the block.
#[test]
fn a_source_writes_once_it_has_the_key_and_its_own_registration() {
    for result_first in [true, false] {
        let mut hand = source();
        write(&mut hand, 1, 0x1000, 0x2000);
        hand.machine.finish_round().unwrap();
        hand.receive(&Message::Ready);
        hand.orders();
        scanned(&mut hand, 1, 0x1000, false);
        let expected = [Order::Send(Kind::RegisterRequest), register_order(2, 1, 0, LENGTHS[1])];
        assert_eq!(hand.orders(), expected);
        let request = RegisterRequest {
            address: ram_address(1, 0x1000),
            block: BlockIndex::new(1),
            chunks: 0,
        };
        let expected = encode(&Message::RegisterRequest(Entries::new(&[request])));
        assert_eq!(hand.message(Kind::RegisterRequest), expected);
        hand.complete(Completion::Sent);
        let region = RegionId(2);
        if result_first {
            receive_result(&mut hand, granted(1, 0x66));
            assert_eq!(hand.orders(), []);
            hand.complete(Completion::MemoryRegistered { region, rkey: rkey(region) });
        } else {
            hand.complete(Completion::MemoryRegistered { region, rkey: rkey(region) });
            assert_eq!(hand.orders(), []);
            receive_result(&mut hand, granted(1, 0x66));
        }
        assert_eq!(hand.orders(), [write_order(2, 1, 0x1000, 0x2000, 0x66)]);
    }
}

#[test]
fn a_key_serves_its_chunk_and_no_other() {
    let mut hand = chunk_written();
    write(&mut hand, 0, 0x3000, 0x1000);
    write(&mut hand, 0, MIB, 0x1000);
    hand.machine.finish_round().unwrap();
    let orders = hand.run();
    let scan = Operation::ScanRam { block: BLOCK, offset: BlockOffset::new(MIB), length: 0x1000 };
    assert_eq!(orders, [Order::Do(scan), write_order(0, 0, 0x3000, 0x1000, 0x77)]);
    hand.receive(&Message::Ready);
    assert_eq!(hand.orders()[..1], [Order::Send(Kind::RegisterRequest)]);
}

//= spec/text/06-ram-writes.md#addresses
//= type=test
//# [WRITE-6] A source MUST take the address of a RAM block from the last REGISTER_RESULT for that
//# block, and from RAM_BLOCKS_RESULT before the first.
#[test]
fn a_result_says_anew_where_the_block_is() {
    let mut hand = chunk_written();
    write(&mut hand, 0, MIB, MIB);
    hand.receive(&Message::Ready);
    hand.run();
    let moved = HostAddress::new(0x5555_0000_0000);
    receive_result(&mut hand, RegisterResult { rkey: Rkey::new(0x78), host_address: moved });
    let orders = hand.run();
    let [Order::Do(Operation::WriteRam(write))] = orders[..] else { panic!("{orders:?}") };
    assert_eq!(write.remote_address, moved.checked_add(MIB).unwrap());
}

//= spec/text/05-registration.md#result
//= type=test
//# [REG-23] A source MUST reject a result whose host address makes the RAM block wrap around the
//# end of the address space.
#[test]
fn a_result_whose_block_would_wrap_around_is_rejected() {
    let fits = LENGTHS[0].wrapping_neg();
    let result =
        |address| RegisterResult { host_address: HostAddress::new(address), ..granted(0, 7) };
    let mut hand = source_phases::phase("registration asked for");
    receive_result(&mut hand, result(fits + 1));
    let address = HostAddress::new(fits + 1);
    let closed = failed(Misbehavior::AddressOverflow { block: BLOCK, address });
    assert_eq!(hand.end(), Ending { closed, peer_told: true, disconnected: true });

    let mut hand = source_phases::phase("registration asked for");
    receive_result(&mut hand, result(fits));
    let orders = hand.run();
    let [Order::Do(Operation::WriteRam(write))] = orders[..] else { panic!("{orders:?}") };
    assert_eq!(write.remote_address, HostAddress::new(fits));
}

//= spec/text/05-registration.md#result
//= type=test
//# [REG-19] A source MUST reject a result whose key is zero.
#[test]
fn a_key_of_zero_is_no_key() {
    let mut hand = source_phases::phase("registration asked for");
    receive_result(&mut hand, granted(0, 0));
    let closed = failed(Misbehavior::ZeroKey { block: BLOCK });
    assert_eq!(hand.end(), Ending { closed, peer_told: true, disconnected: true });
}

//= spec/text/05-registration.md#layout
//= type=test
//# [REG-4] A source MUST ignore the padding of a result.
#[test]
fn garbage_in_the_padding_of_a_result_is_ignored() {
    let mut hand = source_phases::phase("registration asked for");
    let results = [granted(0, 0x77)];
    let mut bytes = encode(&Message::RegisterResult { repeat: 1, results: Entries::new(&results) });
    bytes[20..24].fill(0xaf);
    hand.receive_bytes(&bytes);
    assert_eq!(hand.run(), [write_order(0, 0, 0, MIB, 0x77)]);
}

#[test]
fn a_chunk_that_cannot_be_registered_here_ends_the_source() {
    let mut hand = source_phases::phase("registration asked for");
    let operation = FailedOperation::RegisterMemory { region: RegionId(0) };
    let error = TransportError::MemoryLimit;
    hand.fail(operation, error);
    let closed = failed(Error::Transport { operation, error });
    assert_eq!(hand.end(), Ending { closed, peer_told: true, disconnected: true });
}

//= spec/text/05-registration.md#unregistration
//= type=test
//# [REG-30] A source MUST NOT ask to unregister a chunk while a write into it is in flight.
#[test]
fn a_chunk_is_unregistered_once_the_writes_into_it_are_acknowledged() {
    let mut hand = chunk_written();
    write(&mut hand, 0, 0x1000, 0x1000);
    unregister(&mut hand, 0);
    hand.receive(&Message::Ready);
    assert_eq!(hand.orders(), [write_order(0, 0, 0x1000, 0x1000, 0x77)]);
    assert_eq!(hand.orders(), []);
    hand.complete(Completion::RamWritten);
    assert_eq!(hand.orders(), [Order::Send(Kind::UnregisterRequest)]);
    let request = UnregisterRequest { chunk: 0, block: BLOCK };
    let expected = encode(&Message::UnregisterRequest(Entries::new(&[request])));
    assert_eq!(hand.message(Kind::UnregisterRequest), expected);
}

//= spec/text/05-registration.md#unregistration
//= type=test
//# [REG-34] A source MUST NOT use a key whose unregistration it has asked for.
#[test]
fn a_key_is_not_used_from_the_request_to_give_it_back_on() {
    let mut hand = chunk_written();
    unregister(&mut hand, 0);
    write(&mut hand, 0, 0, 0x1000);
    hand.machine.finish_round().unwrap();
    hand.receive(&Message::Ready);
    assert_eq!(hand.run(), [Order::Send(Kind::UnregisterRequest)]);
    hand.receive(&Message::UnregisterFinished { repeat: 1 });
    hand.receive(&Message::Ready);
    let written = hand.run();
    let written = written.iter().find(|order| matches!(order, Order::Do(Operation::WriteRam(_))));
    assert_eq!(written, None);
    hand.message(Kind::UnregisterRequest);
    // The key has to be asked for again.
    hand.message(Kind::RegisterRequest);
}

#[test]
fn our_own_registration_goes_with_the_key_and_comes_back_with_it() {
    let mut hand = chunk_written();
    unregister(&mut hand, 0);
    write(&mut hand, 0, 0, 0x1000);
    hand.machine.finish_round().unwrap();
    hand.receive(&Message::Ready);
    hand.run();
    hand.message(Kind::UnregisterRequest);
    hand.receive(&Message::UnregisterFinished { repeat: 1 });
    let region = RegionId(0);
    let scan = Operation::ScanRam { block: BLOCK, offset: BlockOffset::new(0), length: 0x1000 };
    let expected = [Operation::DeregisterMemory { region }, scan].map(Order::Do);
    assert_eq!(hand.orders(), expected);
    scanned(&mut hand, 0, 0, false);
    hand.receive(&Message::Ready);
    // The old registration is not gone yet.
    assert_eq!(hand.orders(), []);
    hand.complete(Completion::MemoryDeregistered { region });
    let expected = [Order::Send(Kind::RegisterRequest), register_order(0, 0, 0, MIB)];
    assert_eq!(hand.orders(), expected);
    hand.answer_all();
    receive_result(&mut hand, granted(0, 0x99));
    assert_eq!(hand.run(), [write_order(0, 0, 0, 0x1000, 0x99)]);
}

#[test]
fn the_unregistration_of_what_is_not_registered_is_passed_over() {
    let mut hand = chunk_written();
    unregister(&mut hand, 1);
    unregister(&mut hand, 0);
    unregister(&mut hand, 0);
    unregister(&mut hand, 1);
    hand.machine.finish_round().unwrap();
    hand.receive(&Message::Ready);
    assert_eq!(hand.run(), [Order::Send(Kind::UnregisterRequest)]);
    hand.receive(&Message::UnregisterFinished { repeat: 1 });
    let region = RegionId(0);
    assert_eq!(hand.run(), [Order::Do(Operation::DeregisterMemory { region })]);
    hand.receive(&Message::Ready);
    assert_eq!(hand.run(), [Order::Send(Kind::RegisterFinished)]);
}

#[test]
fn what_comes_behind_an_unregistration_that_is_passed_over_is_scanned() {
    let mut hand = source();
    unregister(&mut hand, 1);
    let (block, offset, length) = (BLOCK, BlockOffset::new(0), MIB);
    assert_eq!(hand.machine.write_ram(block, offset, length), Ok(length));
    assert_eq!(hand.run(), [Order::Do(Operation::ScanRam { block, offset, length })]);
}

#[test]
fn a_chunk_moves_again_after_its_unregistration_over_the_link() {
    let config = SourceConfig { peer_unregisters: true, ..SourceConfig::default() };
    let (mut peer, blocks) = source_in_round(config, &[&[7; 1 << 20]]);
    peer.source.write_ram(BLOCK, BlockOffset::new(0), MIB).unwrap();
    peer.reply(Kind::Ready);
    peer.expect_send(Kind::RegisterRequest);
    grant(&mut peer, &blocks[0]);
    peer.source.unregister(BLOCK, 0).unwrap();
    peer.reply(Kind::Ready);
    peer.expect_send(Kind::UnregisterRequest);
    assert_eq!(peer.peer_memory(blocks[0].block), vec![7; 1 << 20]);
    peer.send(&Message::UnregisterFinished { repeat: 1 });
    peer.port().memory_mut(BLOCK).fill(8);
    peer.source.write_ram(BLOCK, BlockOffset::new(0), MIB).unwrap();
    peer.source.finish_round().unwrap();
    peer.reply(Kind::Ready);
    peer.expect_send(Kind::RegisterRequest);
    grant(&mut peer, &blocks[0]);
    peer.reply(Kind::Ready);
    peer.expect_send(Kind::RegisterFinished);
    assert_eq!(peer.peer_memory(blocks[0].block), vec![8; 1 << 20]);
    assert_eq!(peer.violations(), [""; 0]);
}
