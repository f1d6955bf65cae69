//! A bound on how much may be registered at a time, at either side.

use rdma_migration_protocol::address::BlockIndex;
use rdma_migration_protocol::connection::PinAllOffer;
use rdma_migration_protocol::destination::DestinationConfig;
use rdma_migration_protocol::error::{Incompatibility, Misuse};
use rdma_migration_protocol::source::{Registration, Source, SourceConfig};
use rdma_migration_protocol::transport::{Completion, Operation, RegionId};
use rdma_migration_protocol::wire::{
    Entries, Flags, Kind, Message, RegisterRequest, UnregisterRequest,
};

use crate::by_hand::{ByHand, Ending, Order, encode, rkey};
use crate::destination_phases::{self, connected, placed, request, unregister};
use crate::layout::{MIB, ram_address};
use crate::registration::{self, ask, expect_answer, failed};
use crate::source_phases::{granted, in_round, receive_result, scanned, write};

const BLOCK: BlockIndex = BlockIndex::new(0);

fn bounded(registration: Registration, peer_unregisters: bool, chunks: u64) -> SourceConfig {
    let pinned_bytes_max = Some(chunks * MIB);
    SourceConfig { registration, peer_unregisters, pinned_bytes_max, ..SourceConfig::default() }
}

/// A READY arrives; the source asks for these chunks, and the destination grants them.
#[track_caller]
fn register(hand: &mut ByHand<Source>, chunk: u64, further: u64, key: u32) -> Vec<Order> {
    hand.receive(&Message::Ready);
    let mut orders = hand.run();
    let request =
        RegisterRequest { address: ram_address(0, chunk * MIB), block: BLOCK, chunks: further };
    let expected = encode(&Message::RegisterRequest(Entries::new(&[request])));
    assert_eq!(hand.message(Kind::RegisterRequest), expected);
    receive_result(hand, granted(0, key));
    orders.extend(hand.run());
    orders
}

/// A READY arrives; the source asks to give back the region of this chunk, and the destination does.
#[track_caller]
fn give_back(hand: &mut ByHand<Source>, chunk: u64) -> Vec<Order> {
    hand.receive(&Message::Ready);
    let mut orders = hand.run();
    let request = UnregisterRequest { chunk, block: BLOCK };
    let expected = encode(&Message::UnregisterRequest(Entries::new(&[request])));
    assert_eq!(hand.message(Kind::UnregisterRequest), expected);
    hand.receive(&Message::UnregisterFinished { repeat: 1 });
    orders.extend(hand.run());
    orders
}

fn written(orders: &[Order]) -> Vec<u64> {
    let written = orders.iter().filter_map(|order| match order {
        Order::Do(Operation::WriteRam(write)) => Some(write.offset.get() / MIB),
        _ => None,
    });
    written.collect()
}

fn deregistered(orders: &[Order]) -> Vec<u32> {
    let deregistered = orders.iter().filter_map(|order| match order {
        Order::Do(Operation::DeregisterMemory { region }) => Some(region.0),
        _ => None,
    });
    deregistered.collect()
}

#[test]
fn what_was_used_longest_ago_gives_way_on_both_sides() {
    let config = bounded(Registration::LookAhead { chunks_max: 64 }, true, 2);
    let mut hand = in_round(config, &[4 * MIB]);
    write(&mut hand, 0, 0, 2 * MIB);
    write(&mut hand, 0, 0, MIB);
    write(&mut hand, 0, 2 * MIB, 2 * MIB);
    hand.machine.finish_round().unwrap();
    assert_eq!(written(&register(&mut hand, 0, 0, 0x70)), [0]);
    // Chunk 0 is used again after chunk 1.
    assert_eq!(written(&register(&mut hand, 1, 0, 0x71)), [1, 0]);
    assert_eq!(deregistered(&give_back(&mut hand, 1)), [1]);
    assert_eq!(written(&register(&mut hand, 2, 0, 0x72)), [2]);
    assert_eq!(deregistered(&give_back(&mut hand, 0)), [0]);
    assert_eq!(written(&register(&mut hand, 3, 0, 0x73)), [3]);
}

#[test]
fn a_span_waits_until_there_is_room_for_all_of_it() {
    let config = bounded(Registration::Spans { chunks_max: 2 }, true, 2);
    let mut hand = in_round(config, &[4 * MIB]);
    write(&mut hand, 0, 0, MIB);
    hand.machine.finish_round().unwrap();
    assert_eq!(written(&register(&mut hand, 0, 0, 0x70)), [0]);
    hand.receive(&Message::Ready);
    hand.run();
    hand.message(Kind::RegisterFinished);
    hand.events();
    write(&mut hand, 0, 2 * MIB, 2 * MIB);
    hand.machine.finish_round().unwrap();
    assert_eq!(deregistered(&give_back(&mut hand, 0)), [0]);
    assert_eq!(written(&register(&mut hand, 2, 1, 0x72)), [2, 3]);
}

#[test]
fn only_our_own_registration_gives_way_where_the_peer_gives_nothing_back() {
    let config = bounded(Registration::LookAhead { chunks_max: 64 }, false, 2);
    let mut hand = in_round(config, &[4 * MIB]);
    write(&mut hand, 0, 0, 3 * MIB);
    write(&mut hand, 0, 0, MIB);
    hand.machine.finish_round().unwrap();
    assert_eq!(written(&register(&mut hand, 0, 0, 0x70)), [0]);
    assert_eq!(written(&register(&mut hand, 1, 0, 0x71)), [1]);
    let orders = register(&mut hand, 2, 0, 0x72);
    // Chunk 0 is registered again for its second run, and its key is still good.
    assert_eq!((deregistered(&orders), written(&orders)), (vec![0, 1], vec![2, 0]));
}

#[test]
fn a_region_stays_while_a_write_from_it_is_in_flight() {
    let config = bounded(Registration::Chunks, false, 1);
    let mut hand = in_round(config, &[2 * MIB]);
    write(&mut hand, 0, 0, 2 * MIB);
    hand.machine.finish_round().unwrap();
    hand.receive(&Message::Ready);
    hand.run();
    hand.message(Kind::RegisterRequest);
    receive_result(&mut hand, granted(0, 0x70));
    hand.orders();
    hand.complete(Completion::MemoryRegistered { region: RegionId(0), rkey: rkey(RegionId(0)) });
    let write_in_flight = hand.orders();
    assert_eq!(written(&write_in_flight), [0]);
    scanned(&mut hand, 0, MIB, false);
    hand.receive(&Message::Ready);
    assert_eq!(hand.orders(), [Order::Send(Kind::RegisterRequest)]);
    hand.complete(Completion::Sent);
    receive_result(&mut hand, granted(0, 0x71));
    assert_eq!(hand.orders(), []);
    hand.complete(Completion::RamWritten);
    let release = Operation::DeregisterMemory { region: RegionId(0) };
    assert_eq!(hand.orders(), [Order::Do(release)]);
}

#[test]
fn a_bound_below_what_is_needed_at_once_is_refused() {
    let refused = Err(Misuse::Limit { name: "pinned_bytes_max" });
    let look_ahead = Registration::default();
    let new = |config| Source::new(config).map(|_| ());
    assert_eq!(new(bounded(look_ahead, true, 1)), refused);
    assert_eq!(new(bounded(look_ahead, true, 2)), Ok(()));
    assert_eq!(new(bounded(Registration::Chunks, true, 1)), Ok(()));
    assert_eq!(new(bounded(Registration::Chunks, true, 0)), refused);
    let pin_all = PinAllOffer::Preferred;
    assert_eq!(new(SourceConfig { pin_all, ..bounded(look_ahead, true, 9) }), refused);
}

/// Its contents did not matter while its chunk was registered; then that gave way.
#[test]
fn a_run_is_scanned_after_all_where_its_region_gives_way_first() {
    let config = bounded(Registration::LookAhead { chunks_max: 1 }, true, 2);
    let mut hand = in_round(config, &[3 * MIB]);
    write(&mut hand, 0, 0, 3 * MIB);
    write(&mut hand, 0, 0, 0x1000);
    hand.machine.finish_round().unwrap();
    assert_eq!(written(&register(&mut hand, 0, 0, 0x70)), [0]);
    assert_eq!(written(&register(&mut hand, 1, 0, 0x71)), [1]);
    assert_eq!(deregistered(&give_back(&mut hand, 0)), [0]);
    assert_eq!(written(&register(&mut hand, 2, 0, 0x72)), [2]);
    assert_eq!(deregistered(&give_back(&mut hand, 1)), [1]);
    assert_eq!(written(&register(&mut hand, 0, 0, 0x74)), [0]);
}

#[test]
fn a_destination_refuses_what_goes_past_its_bound() {
    let config = DestinationConfig { pinned_bytes_max: Some(3 * MIB), ..Default::default() };
    let mut hand = destination_phases::in_round(config, &[8 * MIB]);
    ask(&mut hand, &[request(0, 0, 1), request(0, 2 * MIB, 0)]);
    hand.run();
    expect_answer(&mut hand, &[(0, 0), (2, 0)]);
    // A second request for the same is none too much.
    ask(&mut hand, &[request(0, MIB, 0)]);
    hand.run();
    expect_answer(&mut hand, &[(0, 0)]);
    // What is given back makes room.
    hand.receive(&Message::UnregisterRequest(Entries::new(&[unregister(0, 2)])));
    hand.run();
    hand.message(Kind::UnregisterFinished);
    hand.message(Kind::Ready);
    let mut other = hand.clone();
    ask(&mut hand, &[request(0, 7 * MIB, 0)]);
    hand.run();
    expect_answer(&mut hand, &[(7, 0)]);
    ask(&mut other, &[request(0, 6 * MIB, 1)]);
    let too_much = Incompatibility::PinnedTooMuch { bytes: 4 * MIB, bytes_max: 3 * MIB };
    let expected = Ending { closed: failed(too_much), peer_told: true, disconnected: true };
    assert_eq!(other.end(), expected);
}

#[test]
fn a_destination_does_not_pin_all_ram_past_its_bound() {
    let config = DestinationConfig { pinned_bytes_max: Some(3 * MIB), ..Default::default() };
    let mut hand = connected(config, Flags::PIN_ALL);
    hand.receive(&Message::RamBlocksRequest);
    hand.machine.place_blocks(&placed(&[2 * MIB, 2 * MIB])).unwrap();
    assert_eq!(hand.orders(), [registration::register(0, 0, 0, 2 * MIB), Order::Send(Kind::Error)]);
    let too_much = Incompatibility::PinnedTooMuch { bytes: 4 * MIB, bytes_max: 3 * MIB };
    assert_eq!(hand.end().closed, failed(too_much));
}
