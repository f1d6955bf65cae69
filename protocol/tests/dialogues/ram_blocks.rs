//! The chapter on the exchange of the RAM blocks.

use rdma_migration_protocol::address::{BlockIndex, HostAddress, RamAddress, Rkey};
use rdma_migration_protocol::connection::{Closed, GuestOwner, Negotiated, PinAllOffer};
use rdma_migration_protocol::destination::{DestinationConfig, DestinationEvent, PlacedBlock};
use rdma_migration_protocol::error::{Error, Misbehavior};
use rdma_migration_protocol::limits::RAM_BLOCKS_MAX;
use rdma_migration_protocol::source::{SourceConfig, SourceEvent};
use rdma_migration_protocol::transport::{
    Access, Completion, FailedOperation, Operation, RegionId, TransportError,
};
use rdma_migration_protocol::wire::{Entries, Flags, Kind, Malformed, Message, RamBlock};
use rdma_migration_transport_sim::{Scripted, ScriptedSource};

use crate::by_hand::{ByHand, Ending, Order, rkey};
use crate::layout::{LENGTHS, MIB, host_address, ram_address};
use crate::play::{destination_closed, place, source_closed};
use crate::{destination_phases, source_phases};

fn failed(error: impl Into<Error>) -> Closed {
    Closed { result: Err(error.into()), guest: GuestOwner::Source, regions_left: 0 }
}

fn register(region: u32, block: u32, length: u64, access: Access) -> Order {
    let (block, offset) = (BlockIndex::new(block), Default::default());
    Order::Do(Operation::RegisterMemory { region: RegionId(region), block, offset, length, access })
}

//= spec/text/04-ram-blocks.md#exchange
//= type=test
//# [BLK-10] A source MUST send RAM_BLOCKS_REQUEST exactly once.
#[test]
fn a_source_asks_for_the_ram_blocks_once() {
    let mut peer = Scripted::established();
    peer.source.exchange_blocks(&[MIB]).unwrap();
    peer.reply(Kind::Ready);
    peer.expect_send(Kind::RamBlocksRequest);
    let block = RamBlock {
        remote_address: HostAddress::new(0x1000),
        offset: RamAddress::new(0),
        length: MIB,
        rkey: Rkey::new(0),
    };
    peer.send(&Message::RamBlocksResult(Entries::new(&[block])));
    for _ in 0..2 {
        peer.source.finish_round().unwrap();
        peer.reply(Kind::Ready);
        peer.expect_send(Kind::RegisterFinished);
        assert!(peer.source.exchange_blocks(&[MIB]).is_err());
    }
    peer.reply(Kind::Ready);
    peer.expect_no_send();
    assert_eq!(peer.violations(), [""; 0]);
}

//= spec/text/04-ram-blocks.md#exchange
//= type=test
//# [BLK-11] A destination MUST answer RAM_BLOCKS_REQUEST with one descriptor for each RAM block, in
//# the order in which the stream has named them.
//= spec/text/04-ram-blocks.md#exchange
//= type=test
//# [BLK-17] Where chunks are registered as they are needed, a destination MUST send descriptors
//# whose key is zero.
//= spec/text/04-ram-blocks.md#layout
//= type=test
//# [BLK-1] A RAM block MUST be encoded as the 32 bytes of this table.
#[test]
fn a_destination_describes_its_blocks_byte_for_byte() {
    let mut peer = ScriptedSource::established();
    peer.reply(Kind::RamBlocksRequest);
    peer.expect_event(&DestinationEvent::Connected(Negotiated { pin_all: false }));
    peer.expect_event(&DestinationEvent::BlocksRequested);
    peer.expect_no_send();
    let block = |host, ram, length| PlacedBlock {
        host_address: HostAddress::new(host),
        ram_address: RamAddress::new(ram),
        length,
    };
    let placed =
        [block(0x7fc2_6820_0000, 0x100_0000, 0x1000), block(0x7fc2_0000_0000, 0, 0x2_0000_0000)];
    peer.destination.place_blocks(&placed).unwrap();
    let expected: [[u8; 16]; 5] = [
        *b"\0\0\0\x40\0\0\0\x05\0\0\0\x01\0\0\0\0",
        *b"\0\0\x7f\xc2\x68\x20\0\0\0\0\0\0\x01\0\0\0",
        *b"\0\0\0\0\0\0\x10\0\0\0\0\0\0\0\0\0",
        *b"\0\0\x7f\xc2\0\0\0\0\0\0\0\0\0\0\0\0",
        *b"\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0",
    ];
    assert_eq!(peer.expect_send(Kind::RamBlocksResult), expected.concat());
    peer.expect_send(Kind::Ready);
    assert_eq!(peer.violations(), [""; 0]);
}

//= spec/text/04-ram-blocks.md#exchange
//= type=test
//# [BLK-12] A destination MUST reject a second RAM_BLOCKS_REQUEST.
#[test]
fn a_second_request_for_the_ram_blocks_is_rejected() {
    let mut peer = ScriptedSource::established();
    peer.reply(Kind::RamBlocksRequest);
    let placed = place(&mut peer, &[&[0; 0x1000]]);
    peer.destination.place_blocks(&placed).unwrap();
    peer.expect_send(Kind::RamBlocksResult);
    peer.expect_send(Kind::Ready);
    peer.reply(Kind::RamBlocksRequest);
    peer.expect_send(Kind::Error);
    assert_eq!(destination_closed(&mut peer), failed(Misbehavior::RamBlocksRequestedTwice));
    assert_eq!(peer.violations(), [""; 0]);
}

/// What a source makes of these descriptors, which it has asked for.
fn judged(name: &str, blocks: &[RamBlock]) -> Ending {
    let mut hand = source_phases::phase(name);
    hand.receive(&Message::RamBlocksResult(Entries::new(blocks)));
    hand.end()
}

fn rejected(name: &str, blocks: &[RamBlock], misbehavior: Misbehavior) {
    let expected = Ending { closed: failed(misbehavior), peer_told: true, disconnected: true };
    assert_eq!(judged(name, blocks), expected);
}

//= spec/text/04-ram-blocks.md#exchange
//= type=test
//# [BLK-13] A source MUST reject a result whose number of RAM blocks differs from its own.
#[test]
fn a_result_with_another_number_of_blocks_is_rejected() {
    let blocks = source_phases::ram_blocks(&[LENGTHS[0], LENGTHS[1], MIB], 0);
    for received in [0, 1, 3] {
        let misbehavior = Misbehavior::RamBlockCount { received, expected: 2 };
        rejected("RAM blocks asked for", &blocks[..received], misbehavior);
    }
}

//= spec/text/04-ram-blocks.md#exchange
//= type=test
//# [BLK-14] A source MUST reject a result in which the length of a RAM block differs from its own.
#[test]
fn a_block_of_another_length_is_rejected_wherever_it_is_in_the_list() {
    for (index, received) in
        [(0, LENGTHS[0] - 1), (0, LENGTHS[0] + 1), (1, LENGTHS[1] - 1), (1, 0), (1, u64::MAX)]
    {
        let mut blocks = source_phases::ram_blocks(&LENGTHS, 0);
        blocks[index].length = received;
        let block = BlockIndex::new(u32::try_from(index).unwrap());
        let misbehavior = Misbehavior::RamBlockLength { block, received, expected: LENGTHS[index] };
        rejected("RAM blocks asked for", &blocks, misbehavior);
    }
}

//= spec/text/04-ram-blocks.md#exchange
//= type=test
//# [BLK-15] A source MUST reject a RAM block that wraps around the end of an address space.
#[test]
fn a_block_that_wraps_around_is_rejected_in_either_address_space() {
    let block = BlockIndex::new(1);
    let fits = LENGTHS[1].wrapping_neg();
    let at = |host, ram| {
        let mut blocks = source_phases::ram_blocks(&LENGTHS, 0);
        blocks[1].remote_address = HostAddress::new(host);
        blocks[1].offset = RamAddress::new(ram);
        blocks
    };
    for (host, ram) in [(fits + 1, 0), (0, fits + 1), (u64::MAX, 0), (0, u64::MAX)] {
        let misbehavior = Misbehavior::AddressOverflow { block, address: HostAddress::new(host) };
        rejected("RAM blocks asked for", &at(host, ram), misbehavior);
    }
    let mut hand = source_phases::phase("RAM blocks asked for");
    hand.receive(&Message::RamBlocksResult(Entries::new(&at(fits, fits))));
    assert_eq!(hand.events(), [SourceEvent::BlocksExchanged]);
}

//= spec/text/04-ram-blocks.md#layout
//= type=test
//# [BLK-2] A source MUST reject a `RAM_BLOCKS_RESULT` whose payload is not a whole number of RAM
//# blocks.
//= spec/text/04-ram-blocks.md#layout
//= type=test
//# [BLK-3] A source MUST ignore the padding of a RAM block.
#[test]
fn a_block_cut_short_is_rejected_and_one_with_garbage_in_its_padding_is_not() {
    let message = crate::by_hand::encode(&Message::RamBlocksResult(Entries::new(
        &source_phases::ram_blocks(&LENGTHS, 0),
    )));
    let mut cut = message.clone();
    cut.truncate(message.len() - 1);
    cut[3] -= 1;
    let mut hand = source_phases::phase("RAM blocks asked for");
    hand.receive_bytes(&cut);
    let malformed = Malformed::PartialRamBlock { block_bytes: 32, payload_bytes: 63 };
    assert_eq!(hand.end().closed, failed(malformed));

    let mut spoilt = message;
    spoilt[16 + 28..16 + 32].fill(0xaf);
    let mut hand = source_phases::phase("RAM blocks asked for");
    hand.receive_bytes(&spoilt);
    assert_eq!(hand.events(), [SourceEvent::BlocksExchanged]);
}

//= spec/text/04-ram-blocks.md#exchange
//= type=test
//# [BLK-16] Where all RAM is pinned, a destination MUST register every RAM block before it sends
//# RAM_BLOCKS_RESULT.
#[test]
fn a_destination_pins_every_block_before_it_answers() {
    let mut hand = destination_phases::connected(DestinationConfig::default(), Flags::PIN_ALL);
    hand.receive(&Message::RamBlocksRequest);
    assert_eq!(hand.orders(), []);
    hand.machine.place_blocks(&destination_phases::placed(&LENGTHS)).unwrap();
    let pins = [
        register(0, 0, LENGTHS[0], Access::RemoteWrite),
        register(2, 1, LENGTHS[1], Access::RemoteWrite),
    ];
    assert_eq!(hand.orders(), pins);
    for region in [2, 0].map(RegionId) {
        assert_eq!(hand.orders(), []);
        hand.complete(Completion::MemoryRegistered { region, rkey: rkey(region) });
    }
    assert_eq!(hand.orders(), [Kind::RamBlocksResult, Kind::Ready].map(Order::Send));
    let answer = hand.message(Kind::RamBlocksResult);
    let block = |index: u32, region| RamBlock {
        remote_address: host_address(index),
        offset: ram_address(index, 0),
        length: LENGTHS[usize::try_from(index).unwrap()],
        rkey: rkey(RegionId(region)),
    };
    let expected = [block(0, 0), block(1, 2)];
    assert_eq!(Message::parse(&answer), Ok(Message::RamBlocksResult(Entries::new(&expected))));
}

#[test]
fn a_block_that_cannot_be_pinned_ends_its_side_and_the_others_are_given_back() {
    let operation = FailedOperation::RegisterMemory { region: RegionId(0) };
    let error = TransportError::MemoryLimit;
    let expected = Ending {
        closed: failed(Error::Transport { operation, error }),
        peer_told: true,
        disconnected: true,
    };
    let mut hand = destination_phases::phase("pinning");
    hand.fail(operation, error);
    assert_eq!(hand.end(), expected);
    let mut hand = source_phases::phase("pinning");
    hand.fail(operation, error);
    assert_eq!(hand.end(), expected);
}

#[test]
fn a_source_pins_its_own_blocks_while_the_destination_pins_its() {
    let mut hand = source_phases::phase("pinning");
    let ram_blocks = source_phases::ram_blocks(&LENGTHS, 0x50);
    let answer = Message::RamBlocksResult(Entries::new(&ram_blocks));
    let pinned = |hand: &mut ByHand<_>, region| {
        let region = RegionId(region);
        hand.complete(Completion::MemoryRegistered { region, rkey: rkey(region) });
    };
    // Whichever comes last opens the round.
    let mut answered_last = hand.clone();
    pinned(&mut answered_last, 2);
    pinned(&mut answered_last, 0);
    assert_eq!(answered_last.events(), []);
    answered_last.receive(&answer);
    assert_eq!(answered_last.events(), [SourceEvent::BlocksExchanged]);
    hand.receive(&answer);
    pinned(&mut hand, 0);
    assert_eq!(hand.events(), []);
    pinned(&mut hand, 2);
    assert_eq!(hand.events(), [SourceEvent::BlocksExchanged]);
}

#[test]
fn what_a_source_pins_is_never_writable_by_its_peer() {
    let config = SourceConfig { pin_all: PinAllOffer::Preferred, ..SourceConfig::default() };
    let mut hand = source_phases::connected(config, Flags::PIN_ALL);
    hand.machine.exchange_blocks(&LENGTHS).unwrap();
    hand.receive(&Message::Ready);
    let expected = [
        Order::Send(Kind::RamBlocksRequest),
        register(0, 0, LENGTHS[0], Access::LocalRead),
        register(2, 1, LENGTHS[1], Access::LocalRead),
    ];
    assert_eq!(hand.orders(), expected);
}

//= spec/text/04-ram-blocks.md#exchange
//= type=test
//# [BLK-18] Where all RAM is pinned, a source MUST reject a RAM block whose key is zero.
#[test]
fn a_pinned_block_without_a_key_is_rejected() {
    for index in [0, 1] {
        let mut blocks = source_phases::ram_blocks(&LENGTHS, 0x50);
        blocks[index].rkey = Rkey::new(0);
        let block = BlockIndex::new(u32::try_from(index).unwrap());
        rejected("pinning", &blocks, Misbehavior::ZeroKey { block });
    }
}

#[test]
fn as_many_blocks_as_a_message_holds_are_exchanged() {
    let lengths = vec![0x1000; RAM_BLOCKS_MAX];
    let block = |index: usize| RamBlock {
        remote_address: HostAddress::new(0x1000_0000 + 0x1000 * u64::try_from(index).unwrap()),
        offset: RamAddress::new(0),
        length: 0x1000,
        rkey: Rkey::new(0),
    };
    let blocks: Vec<_> = (0..RAM_BLOCKS_MAX).map(block).collect();
    let mut peer = Scripted::established();
    peer.source.exchange_blocks(&lengths).unwrap();
    peer.reply(Kind::Ready);
    peer.expect_send(Kind::RamBlocksRequest);
    peer.events();
    peer.send(&Message::RamBlocksResult(Entries::new(&blocks)));
    peer.expect_event(&SourceEvent::BlocksExchanged);
    assert_eq!(peer.violations(), [""; 0]);

    let mut peer = ScriptedSource::established();
    peer.reply(Kind::RamBlocksRequest);
    let placed = blocks.iter().map(|block| PlacedBlock {
        host_address: block.remote_address,
        ram_address: block.offset,
        length: block.length,
    });
    peer.destination.place_blocks(&placed.collect::<Vec<_>>()).unwrap();
    let answer = peer.expect_send(Kind::RamBlocksResult);
    assert_eq!(Message::parse(&answer), Ok(Message::RamBlocksResult(Entries::new(&blocks))));
    assert_eq!(peer.violations(), [""; 0]);
}

#[test]
fn a_source_that_rejects_the_blocks_says_so_over_the_link() {
    let mut peer = Scripted::established();
    peer.source.exchange_blocks(&[MIB]).unwrap();
    peer.reply(Kind::Ready);
    peer.expect_send(Kind::RamBlocksRequest);
    peer.send(&Message::RamBlocksResult(Entries::new(&[])));
    peer.expect_send(Kind::Error);
    let misbehavior = Misbehavior::RamBlockCount { received: 0, expected: 1 };
    assert_eq!(source_closed(&mut peer), failed(misbehavior));
    assert!(peer.is_disconnected());
    assert_eq!(peer.violations(), [""; 0]);
}
