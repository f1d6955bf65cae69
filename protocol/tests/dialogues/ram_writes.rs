//! The chapter on RAM writes: where they go, and which of them are acknowledged.

use rdma_migration_protocol::address::{BlockIndex, BlockOffset};
use rdma_migration_protocol::connection::PinAllOffer;
use rdma_migration_protocol::limits::RAM_WORK_QUEUED_MAX;
use rdma_migration_protocol::source::{Registration, Source, SourceConfig, SourceEvent};
use rdma_migration_protocol::transport::{Completion, Operation, WriteRam};
use rdma_migration_protocol::wire::{Entries, Flags, Kind, Message};

use crate::by_hand::{ByHand, Order};
use crate::layout::{MIB, host_address};
use crate::play::{send_ram_blocks, source_asked};
use crate::source_phases::{connected, granted, in_round, ram_blocks, receive_result, write};

fn pinned(config: SourceConfig, lengths: &[u64]) -> ByHand<Source> {
    let config = SourceConfig { pin_all: PinAllOffer::Required, ..config };
    let mut hand = connected(config, Flags::PIN_ALL);
    hand.machine.exchange_blocks(lengths).unwrap();
    hand.receive(&Message::Ready);
    hand.run();
    hand.receive(&Message::RamBlocksResult(Entries::new(&ram_blocks(lengths, 0x50))));
    hand.events();
    hand
}

/// Offset, length and whether it is signaled of each write among the orders.
fn writes(orders: &[Order]) -> Vec<(u64, u64, bool)> {
    let writes = orders.iter().filter_map(|order| match order {
        Order::Do(Operation::WriteRam(write)) => {
            Some((write.offset.get(), write.length, write.signaled))
        }
        _ => None,
    });
    writes.collect()
}

//= spec/text/06-ram-writes.md#runs
//= type=test
//# [WRITE-1] A source MUST write only inside its RAM blocks.
//= spec/text/06-ram-writes.md#runs
//= type=test
//# [WRITE-4] A run MUST NOT cross the end of a chunk.
#[test]
fn runs_end_with_their_chunk_and_their_block_in_either_mode() {
    let length = 2 * MIB + 0x3000;
    let expected = [(MIB - 0x1000, 0x1000, false), (MIB, MIB, false), (2 * MIB, 0x3000, true)];
    let mut hand = pinned(SourceConfig::default(), &[length]);
    write(&mut hand, 0, MIB - 0x1000, MIB + 0x4000);
    hand.machine.finish_round().unwrap();
    let orders = hand.orders();
    assert_eq!(writes(&orders), expected);
    for order in orders {
        let Order::Do(Operation::WriteRam(write)) = order else { panic!("{order:?}") };
        let WriteRam { remote_address, rkey, offset, .. } = write;
        assert_eq!(host_address(0).checked_add(offset.get()), Some(remote_address));
        assert_eq!(rkey.get(), 0x50);
    }

    let config = SourceConfig { registration: Registration::Chunks, ..SourceConfig::default() };
    let mut hand = in_round(config, &[length]);
    write(&mut hand, 0, MIB - 0x1000, MIB + 0x4000);
    hand.machine.finish_round().unwrap();
    let mut all = Vec::new();
    for key in 1..=3 {
        hand.receive(&Message::Ready);
        hand.run();
        hand.message(Kind::RegisterRequest);
        receive_result(&mut hand, granted(0, key));
        all.extend(writes(&hand.run()));
    }
    assert_eq!(all, expected.map(|(offset, length, _)| (offset, length, true)));
}

#[test]
fn pages_that_follow_each_other_go_in_one_write() {
    let mut hand = pinned(SourceConfig::default(), &[MIB]);
    for page in [3, 4, 5, 9, 8] {
        write(&mut hand, 0, page << 12, 0x1000);
    }
    hand.machine.finish_round().unwrap();
    let expected = [(0x3000, 0x3000, false), (0x9000, 0x1000, false), (0x8000, 0x1000, true)];
    assert_eq!(writes(&hand.orders()), expected);
}

#[test]
fn the_last_run_waits_for_more_pages_until_the_round_is_finished() {
    let mut hand = pinned(SourceConfig::default(), &[2 * MIB]);
    write(&mut hand, 0, 0, 0x1000);
    assert_eq!(hand.orders(), []);
    write(&mut hand, 0, 0x1000, 0x1000);
    assert_eq!(hand.orders(), []);
    // A run of another chunk ends it.
    write(&mut hand, 0, MIB, 0x1000);
    assert_eq!(writes(&hand.orders()), [(0, 0x2000, true)]);
    hand.machine.finish_round().unwrap();
    assert_eq!(writes(&hand.orders()), [(MIB, 0x1000, true)]);
}

//= spec/text/06-ram-writes.md#completions
//= type=test
//# [WRITE-2] A source MUST have the completion of every write of a round before it sends
//# REGISTER_FINISHED.
//= spec/text/06-ram-writes.md#completions
//= type=test
//# [WRITE-3] A source MUST ask for the completion of the last write before it waits for writes.
#[test]
fn a_round_is_finished_once_every_write_is_acknowledged() {
    let config = SourceConfig { signal_interval: 2, ..SourceConfig::default() };
    let mut hand = pinned(config, &[MIB]);
    hand.receive(&Message::Ready);
    for page in [0, 2, 4, 6, 8] {
        write(&mut hand, 0, page << 12, 0x1000);
    }
    hand.machine.finish_round().unwrap();
    let signals: Vec<_> = writes(&hand.orders()).iter().map(|write| write.2).collect();
    assert_eq!(signals, [false, true, false, true, true]);
    for _ in 0..2 {
        hand.complete(Completion::RamWritten);
        assert_eq!(hand.orders(), []);
        assert_eq!(hand.events(), []);
    }
    hand.complete(Completion::RamWritten);
    assert_eq!(hand.orders(), [Order::Send(Kind::RegisterFinished)]);
    assert_eq!(hand.events(), [SourceEvent::RoundFinished]);
}

#[test]
fn no_more_writes_are_in_flight_than_the_queue_has_room_for() {
    let config = SourceConfig { writes_in_flight_max: 3, ..SourceConfig::default() };
    let mut hand = pinned(config, &[MIB]);
    for page in [0, 2, 4, 6, 8] {
        write(&mut hand, 0, page << 12, 0x1000);
    }
    hand.machine.finish_round().unwrap();
    let signals = |orders: &[Order]| -> Vec<_> {
        writes(orders).iter().map(|(_, _, signaled)| *signaled).collect()
    };
    assert_eq!(signals(&hand.orders()), [false, false, true]);
    assert_eq!(hand.orders(), []);
    hand.complete(Completion::RamWritten);
    assert_eq!(signals(&hand.orders()), [false, true]);
}

#[test]
fn an_owner_that_offers_more_than_there_is_room_for_is_told_when_there_is_again() {
    let room = u64::try_from(RAM_WORK_QUEUED_MAX).unwrap() * MIB;
    let mut hand = pinned(SourceConfig::default(), &[room + 4 * MIB]);
    let block = BlockIndex::new(0);
    let offered = hand.machine.write_ram(block, BlockOffset::new(0), room + MIB);
    assert_eq!(offered, Ok(room));
    assert_eq!(hand.events(), []);
    hand.orders();
    assert_eq!(hand.events(), [SourceEvent::RamWritable]);
    write(&mut hand, 0, room, MIB);
    assert_eq!(hand.events(), []);
}

#[test]
fn an_unregistration_needs_room_as_well() {
    let room = u64::try_from(RAM_WORK_QUEUED_MAX).unwrap() * MIB;
    let config = SourceConfig { peer_unregisters: true, ..SourceConfig::default() };
    let mut hand = in_round(config, &[room]);
    write(&mut hand, 0, 0, room);
    assert_eq!(hand.machine.unregister(BlockIndex::new(0), 0), Ok(false));
    hand.receive(&Message::Ready);
    hand.run();
    receive_result(&mut hand, granted(0, 1));
    hand.run();
    assert_eq!(hand.events(), [SourceEvent::RamWritable]);
    assert_eq!(hand.machine.unregister(BlockIndex::new(0), 0), Ok(true));
}

#[test]
fn pinned_ram_moves_over_the_link_without_a_command() {
    let config = SourceConfig { pin_all: PinAllOffer::Required, ..SourceConfig::default() };
    let ram: Vec<u8> = (0_u8..=255).cycle().take(3 << 20).collect();
    let blocks: [&[u8]; 2] = [&ram, &[0; 0x3000]];
    let (mut peer, granted) = source_asked(config, Flags::PIN_ALL, &blocks);
    send_ram_blocks(&mut peer, &blocks, &granted);
    for (block, length) in [(0, 3 * MIB), (1, 0x3000)] {
        let block = BlockIndex::new(block);
        peer.source.write_ram(block, BlockOffset::new(0), length).unwrap();
    }
    peer.source.finish_round().unwrap();
    peer.expect_no_send();
    assert_eq!(peer.peer_memory(granted[0].block), ram);
    peer.reply(Kind::Ready);
    peer.expect_send(Kind::RegisterFinished);
    assert_eq!(peer.violations(), [""; 0]);
}
