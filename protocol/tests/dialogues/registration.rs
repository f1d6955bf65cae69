//! The chapter on registration, at the destination: which requests are taken, what is registered for
//! them, what is answered.

use rdma_migration_protocol::address::{BlockIndex, BlockOffset, RamAddress, Rkey};
use rdma_migration_protocol::connection::{Closed, GuestOwner};
use rdma_migration_protocol::destination::{Destination, DestinationConfig};
use rdma_migration_protocol::error::{Error, Misbehavior};
use rdma_migration_protocol::limits::COMMANDS_MAX;
use rdma_migration_protocol::ram::ChunkSize;
use rdma_migration_protocol::transport::{
    Access, Completion, ConnectionEvent, FailedOperation, Operation, RegionId, TransportError,
};
use rdma_migration_protocol::wire::{
    Entries, Flags, Kind, Message, RegisterRequest, RegisterResult, UnregisterRequest,
};

use crate::by_hand::{ByHand, Ending, Order, encode, rkey};
use crate::destination_phases::{in_round, request};
use crate::layout::{LENGTHS, MIB, host_address, ram_address};
use crate::play::{destination_closed, destination_in_round, ram_start};

pub(crate) fn failed(error: impl Into<Error>) -> Closed {
    Closed { result: Err(error.into()), guest: GuestOwner::Source, regions_left: 0 }
}

pub(crate) fn destination(lengths: &[u64]) -> ByHand<Destination> {
    in_round(DestinationConfig::default(), lengths)
}

pub(crate) fn ask(hand: &mut ByHand<Destination>, requests: &[RegisterRequest]) {
    hand.receive(&Message::RegisterRequest(Entries::new(requests)));
}

pub(crate) fn register(region: u32, block: u32, offset: u64, length: u64) -> Order {
    let (block, offset) = (BlockIndex::new(block), BlockOffset::new(offset));
    let (region, access) = (RegionId(region), Access::RemoteWrite);
    Order::Do(Operation::RegisterMemory { region, block, offset, length, access })
}

/// The answer with the keys of these regions, each in a block.
#[track_caller]
pub(crate) fn expect_answer(hand: &mut ByHand<Destination>, regions: &[(u32, u32)]) {
    let results: Vec<_> = regions
        .iter()
        .map(|(region, block)| RegisterResult {
            rkey: rkey(RegionId(*region)),
            host_address: host_address(*block),
        })
        .collect();
    let repeat = u32::try_from(results.len()).unwrap();
    let expected = Message::RegisterResult { repeat, results: Entries::new(&results) };
    assert_eq!(hand.message(Kind::RegisterResult), encode(&expected));
    hand.message(Kind::Ready);
}

/// A request is rejected, and nothing is registered for it.
#[track_caller]
fn reject(mut hand: ByHand<Destination>, requests: &[RegisterRequest], misbehavior: Misbehavior) {
    ask(&mut hand, requests);
    let expected = Ending { closed: failed(misbehavior), peer_told: true, disconnected: true };
    assert_eq!(hand.end(), expected);
}

//= spec/text/05-registration.md#request
//= type=test
//# [REG-11] A destination MUST reject a command that names a RAM block which does not exist.
#[test]
fn a_command_about_a_block_that_does_not_exist_is_rejected() {
    for block in [2, 3, u32::MAX].map(BlockIndex::new) {
        let unknown = Misbehavior::UnknownBlock { block, blocks: 2 };
        let wrong = RegisterRequest { block, ..request(0, 0, 0) };
        reject(destination(&LENGTHS), &[wrong], unknown.clone());

        let mut hand = destination(&LENGTHS);
        let wrong = UnregisterRequest { block, chunk: 0 };
        hand.receive(&Message::UnregisterRequest(Entries::new(&[wrong])));
        assert_eq!(hand.end().closed, failed(unknown));
    }
}

//= spec/text/05-registration.md#request
//= type=test
//# [REG-12] A destination MUST reject a request whose address is not inside its RAM block.
#[test]
fn an_address_outside_its_block_is_rejected() {
    let start = ram_address(0, 0).get();
    let end = start + LENGTHS[0];
    for address in [0, start - 1, end, u64::MAX].map(RamAddress::new) {
        let block = BlockIndex::new(0);
        let outside = Misbehavior::OutsideBlock { block, address, length: 1 };
        reject(destination(&LENGTHS), &[RegisterRequest { address, block, chunks: 0 }], outside);
    }
    // An address of the other block.
    let (address, block) = (ram_address(1, 0), BlockIndex::new(0));
    let outside = Misbehavior::OutsideBlock { block, address, length: 1 };
    reject(destination(&LENGTHS), &[RegisterRequest { address, block, chunks: 0 }], outside);
    for offset in [0, LENGTHS[0] - 1] {
        let mut hand = destination(&LENGTHS);
        ask(&mut hand, &[request(0, offset, 0)]);
        assert!(matches!(hand.orders()[..], [Order::Do(Operation::RegisterMemory { .. })]));
    }
}

//= spec/text/05-registration.md#request
//= type=test
//# [REG-13] A destination MUST reject a request for more chunks than the RAM block has from the
//# address on.
#[test]
fn more_chunks_than_the_block_has_are_rejected() {
    let lengths = [4 * MIB + 1, MIB];
    let cases = [
        (0, 0, 5),
        (0, 3 * MIB, 2),
        (0, 4 * MIB, 1),
        (1, 0, 1),
        (0, 0, u64::MAX),
        (0, MIB, u64::MAX),
    ];
    for (block, offset, further) in cases {
        let chunk = offset / MIB;
        let too_many = Misbehavior::TooManyChunks { block: BlockIndex::new(block), chunk, further };
        reject(destination(&lengths), &[request(block, offset, further)], too_many);
    }
    for (block, offset, further, length) in
        [(0, 0, 4, 4 * MIB + 1), (0, 3 * MIB, 1, MIB + 1), (0, 4 * MIB, 0, 1), (1, 0, 0, MIB)]
    {
        let mut hand = destination(&lengths);
        ask(&mut hand, &[request(block, offset, further)]);
        let region = if block == 1 { 5 } else { u32::try_from(offset / MIB).unwrap() };
        assert_eq!(hand.orders(), [register(region, block, offset, length)]);
    }
}

//= spec/text/05-registration.md#request
//= type=test
//# [REG-14] A destination MUST register whole chunks: from the first byte of the chunk that holds the
//# address to the end of the last chunk asked for.
#[test]
fn whole_chunks_are_registered_wherever_the_address_is_in_them() {
    let lengths = [3 * MIB + 0x5000];
    for (offset, further, start, length) in [
        (0, 0, 0, MIB),
        (MIB - 1, 0, 0, MIB),
        (MIB + 0x7fff, 1, MIB, 2 * MIB),
        (3 * MIB + 0x4fff, 0, 3 * MIB, 0x5000),
        (2 * MIB + 1, 1, 2 * MIB, MIB + 0x5000),
    ] {
        let mut hand = destination(&lengths);
        ask(&mut hand, &[request(0, offset, further)]);
        let region = u32::try_from(start / MIB).unwrap();
        assert_eq!(hand.orders(), [register(region, 0, start, length)]);
    }
    let chunk_size = ChunkSize::new(2 * MIB).unwrap();
    let mut hand = in_round(DestinationConfig { chunk_size, ..Default::default() }, &lengths);
    ask(&mut hand, &[request(0, MIB, 0)]);
    assert_eq!(hand.orders(), [register(0, 0, 0, 2 * MIB)]);
}

//= spec/text/05-registration.md#request
//= type=test
//# [REG-15] A destination MUST answer a request for chunks of a region that is registered already with
//# the key of that region.
#[test]
fn chunks_of_a_registered_region_get_its_key_without_registration() {
    let mut hand = destination(&[8 * MIB]);
    ask(&mut hand, &[request(0, 2 * MIB, 3)]);
    hand.run();
    expect_answer(&mut hand, &[(2, 0)]);
    for (offset, further) in [(2 * MIB, 3), (2 * MIB, 0), (5 * MIB + 1, 0), (3 * MIB, 1)] {
        ask(&mut hand, &[request(0, offset, further)]);
        assert_eq!(hand.run(), [Kind::RegisterResult, Kind::Ready].map(Order::Send));
        expect_answer(&mut hand, &[(2, 0)]);
    }
}

#[test]
fn the_same_chunk_twice_in_one_message_is_registered_once() {
    let mut hand = destination(&LENGTHS);
    ask(&mut hand, &[request(0, 0, 1), request(0, MIB, 0), request(0, 0, 1), request(1, 0, 0)]);
    assert_eq!(hand.orders(), [register(0, 0, 0, 2 * MIB), register(2, 1, 0, LENGTHS[1])]);
    hand.run();
    expect_answer(&mut hand, &[(0, 0), (0, 0), (0, 0), (2, 1)]);
}

//= spec/text/05-registration.md#request
//= type=test
//# [REG-21] A destination MUST reject a request that covers a part of a registered region together with
//# chunks outside it.
#[test]
fn a_request_across_the_edge_of_a_region_is_rejected() {
    let block = BlockIndex::new(0);
    for (chunk, further) in [(1, 1), (1, 3), (3, 1), (2, 2), (0, 7)] {
        let mut hand = destination(&[8 * MIB]);
        ask(&mut hand, &[request(0, 2 * MIB, 1)]);
        hand.run();
        let overlap = Misbehavior::RegionsOverlap { block, chunk };
        reject(hand, &[request(0, chunk * MIB, further)], overlap);
    }
    // Two regions side by side are no region.
    let mut hand = destination(&[8 * MIB]);
    ask(&mut hand, &[request(0, 2 * MIB, 0), request(0, 3 * MIB, 0)]);
    hand.run();
    let overlap = Misbehavior::RegionsOverlap { block, chunk: 2 };
    reject(hand, &[request(0, 2 * MIB, 1)], overlap);
    // Nor within one message.
    let overlap = Misbehavior::RegionsOverlap { block, chunk: 0 };
    reject(destination(&[8 * MIB]), &[request(0, MIB, 0), request(0, 0, 1)], overlap);
}

#[test]
fn a_message_with_one_wrong_request_registers_nothing() {
    let block = BlockIndex::new(2);
    let wrong = RegisterRequest { block, ..request(0, 0, 0) };
    let unknown = Misbehavior::UnknownBlock { block, blocks: 2 };
    reject(destination(&LENGTHS), &[request(0, 0, 0), request(1, 0, 0), wrong], unknown);
}

#[test]
fn what_was_asked_for_and_not_ordered_yet_is_not_waited_for_at_the_end() {
    let mut hand = destination(&LENGTHS);
    ask(&mut hand, &[request(0, 0, 0), request(1, 0, 0)]);
    // Both arrive in one batch of inputs, before anything is ordered.
    hand.connection(ConnectionEvent::Disconnected);
    hand.broken = true;
    let closed = failed(Error::PeerDisconnected);
    assert_eq!(hand.end(), Ending { closed, peer_told: false, disconnected: true });
}

//= spec/text/05-registration.md#result
//= type=test
//# [REG-16] A destination MUST answer a REGISTER_REQUEST with as many results as it has requests, in
//# their order.
//= spec/text/05-registration.md#result
//= type=test
//# [REG-17] The host address of a result MUST be that of the first byte of the RAM block.
//= spec/text/05-registration.md#layout
//= type=test
//# [REG-3] A register result MUST be encoded as the 16 bytes of this table.
#[test]
fn several_requests_are_answered_together_in_their_order() {
    let mut hand = destination(&LENGTHS);
    ask(&mut hand, &[request(1, 0x2000, 0), request(0, MIB + 5, 0), request(0, 0, 0)]);
    let expected =
        [register(2, 1, 0, LENGTHS[1]), register(1, 0, MIB, MIB), register(0, 0, 0, MIB)];
    assert_eq!(hand.orders(), expected);
    for region in [0, 2, 1].map(RegionId) {
        assert_eq!(hand.orders(), [], "no answer before the last registration");
        hand.complete(Completion::MemoryRegistered { region, rkey: rkey(region) });
    }
    hand.run();
    let answer = hand.message(Kind::RegisterResult);
    let mut expected = b"\0\0\0\x30\0\0\0\x08\0\0\0\x03\0\0\0\0".to_vec();
    for (key, block) in [(0x102_u32, 1), (0x101, 0), (0x100, 0)] {
        expected.extend(key.to_be_bytes());
        expected.extend([0; 4]);
        expected.extend(host_address(block).get().to_be_bytes());
    }
    assert_eq!(answer, expected);
}

#[test]
fn as_many_requests_as_a_message_carries_are_answered() {
    let mut hand = destination(&[4096 * MIB]);
    let requests: Vec<_> = (0..4096).map(|chunk| request(0, chunk * MIB, 0)).collect();
    assert_eq!(requests.len(), COMMANDS_MAX);
    ask(&mut hand, &requests);
    assert_eq!(hand.orders().len(), COMMANDS_MAX);
    hand.run();
    let regions: Vec<_> = (0..4096).map(|region| (region, 0)).collect();
    expect_answer(&mut hand, &regions);
    hand.machine.abort().unwrap();
    assert_eq!(hand.end().closed, failed(Error::Aborted));
}

#[test]
fn a_chunk_that_cannot_be_registered_ends_the_destination() {
    let mut hand = destination(&LENGTHS);
    ask(&mut hand, &[request(0, 0, 0), request(0, MIB, 0)]);
    hand.orders();
    let (region, error) = (RegionId(0), TransportError::MemoryLimit);
    let operation = FailedOperation::RegisterMemory { region };
    hand.fail(operation, error);
    let closed = failed(Error::Transport { operation, error });
    assert_eq!(hand.end(), Ending { closed, peer_told: true, disconnected: true });
}

#[test]
fn what_a_destination_grants_is_what_a_source_can_write() {
    let mut peer = destination_in_round(Default::default(), Flags::NONE, &[&[0xee; 3 << 20]]);
    let block = BlockIndex::new(0);
    let asked = RegisterRequest { address: ram_start(0), block, chunks: 1 };
    peer.send(&Message::RegisterRequest(Entries::new(&[asked])));
    let answer = peer.expect_send(Kind::RegisterResult);
    let Ok(Message::RegisterResult { repeat: 1, results }) = Message::parse(&answer) else {
        panic!("{answer:?}")
    };
    let result = results.first().unwrap();
    let last = result.host_address.checked_add(2 * MIB - 4).unwrap();
    peer.write(last, result.rkey, b"last");
    assert_eq!(peer.port().memory(block)[(2 << 20) - 5..][..6], *b"\xeelast\xee");
    assert_eq!(peer.violations(), [""; 0]);
    // A byte further on is not granted.
    peer.write(last.checked_add(1).unwrap(), result.rkey, b"last");
    assert_eq!(peer.port().memory(block)[2 << 20], 0xee);
    assert_eq!(destination_closed(&mut peer).regions_left, 0);
    assert_eq!(peer.violations().len(), 1);
}

//= spec/text/05-registration.md#layout
//= type=test
//# [REG-2] A destination MUST ignore the padding of a request.
#[test]
fn garbage_in_the_padding_of_a_request_is_ignored() {
    let mut hand = destination(&LENGTHS);
    let mut bytes = encode(&Message::RegisterRequest(Entries::new(&[request(0, 0, 0)])));
    bytes[16 + 12..16 + 16].copy_from_slice(&[0xaf, 0x7f, 0, 0]);
    hand.receive_bytes(&bytes);
    assert_eq!(hand.orders(), [register(0, 0, 0, MIB)]);
}

#[test]
fn keys_are_those_of_the_transport() {
    let mut hand = destination(&LENGTHS);
    ask(&mut hand, &[request(0, 0, 0)]);
    hand.orders();
    let key = Rkey::new(u32::MAX);
    hand.complete(Completion::MemoryRegistered { region: RegionId(0), rkey: key });
    hand.run();
    let answer = hand.message(Kind::RegisterResult);
    assert_eq!(answer[16..20], [0xff; 4]);
}
