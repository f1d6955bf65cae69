//! Several chunks in one request, and requests that leave ahead of writes.

use rdma_migration_protocol::address::{BlockIndex, BlockOffset};
use rdma_migration_protocol::error::Misbehavior;
use rdma_migration_protocol::source::{Registration, Source, SourceConfig};
use rdma_migration_protocol::transport::{Access, Operation, RegionId};
use rdma_migration_protocol::wire::{Compress, Entries, Kind, Message, RegisterRequest};

use crate::by_hand::{ByHand, Order, encode};
use crate::layout::{MIB, ram_address};
use crate::source_phases::{granted, in_round, receive_result, scanned, write};

/// What a scan finds in a run of RAM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Found {
    Zero,
    Something,
}
use Found::{Something, Zero};

fn config(registration: Registration) -> SourceConfig {
    SourceConfig { registration, ..SourceConfig::default() }
}

/// A source with a READY, that is to send all of one RAM block, whose chunks hold this.
fn holding(config: SourceConfig, chunks: &[Found]) -> ByHand<Source> {
    let length = u64::try_from(chunks.len()).unwrap() * MIB;
    let mut hand = in_round(config, &[length]);
    write(&mut hand, 0, 0, length);
    hand.machine.finish_round().unwrap();
    hand.receive(&Message::Ready);
    hand.orders();
    for (offset, found) in (0..).step_by(1 << 20).zip(chunks) {
        scanned(&mut hand, 0, offset, *found == Zero);
    }
    hand
}

#[track_caller]
fn expect_request(hand: &mut ByHand<Source>, chunk: u64, further: u64) {
    let address = ram_address(0, chunk * MIB);
    let request = RegisterRequest { address, block: BlockIndex::new(0), chunks: further };
    let expected = encode(&Message::RegisterRequest(Entries::new(&[request])));
    assert_eq!(hand.message(Kind::RegisterRequest), expected);
}

#[track_caller]
fn expect_zero(hand: &mut ByHand<Source>, chunk: u64, chunks: u64) {
    let (offset, length) = (ram_address(0, chunk * MIB), chunks * MIB);
    let zero = Compress { value: 0, block: BlockIndex::new(0), offset, length };
    let expected = encode(&Message::Compress(Entries::new(&[zero])));
    assert_eq!(hand.message(Kind::Compress), expected);
}

fn register(chunk: u32, chunks: u64) -> Order {
    let (region, block) = (RegionId(chunk), BlockIndex::new(0));
    let (offset, length) = (BlockOffset::new(u64::from(chunk) * MIB), chunks * MIB);
    let access = Access::LocalRead;
    Order::Do(Operation::RegisterMemory { region, block, offset, length, access })
}

/// Region, chunk and key of each write.
fn writes(orders: &[Order]) -> Vec<(u32, u64, u32)> {
    let writes = orders.iter().filter_map(|order| match order {
        Order::Do(Operation::WriteRam(write)) => {
            Some((write.region.0, write.offset.get() / MIB, write.rkey.get()))
        }
        _ => None,
    });
    writes.collect()
}

#[test]
fn adjacent_chunks_are_asked_for_at_once_and_share_a_region_and_its_key() {
    let spans = Registration::Spans { chunks_max: 64 };
    let mut hand = holding(config(spans), &[Something; 3]);
    assert_eq!(hand.orders(), [Order::Send(Kind::RegisterRequest), register(0, 3)]);
    expect_request(&mut hand, 0, 2);
    hand.answer_all();
    receive_result(&mut hand, granted(0, 0x77));
    assert_eq!(writes(&hand.run()), [(0, 0, 0x77), (0, 1, 0x77), (0, 2, 0x77)]);
}

#[test]
fn a_span_ends_where_it_has_to() {
    let spans = |chunks_max| config(Registration::Spans { chunks_max });
    // At the most chunks, and before a chunk of zero.
    for (chunks_max, chunks, further) in [
        (2, [Something, Something, Something], 1),
        (1, [Something, Something, Something], 0),
        (64, [Something, Something, Zero], 1),
        (64, [Something, Zero, Something], 0),
    ] {
        let mut hand = holding(spans(chunks_max), &chunks);
        hand.orders();
        expect_request(&mut hand, 0, further);
    }
    // At the end of a RAM block, and where the work goes on elsewhere.
    for works in [[(0, MIB), (1, 0)], [(0, 0), (1, MIB)], [(0, 0), (0, 2 * MIB)]] {
        let mut hand = in_round(spans(64), &[3 * MIB, 2 * MIB]);
        for (block, offset) in works {
            write(&mut hand, block, offset, 0x1000);
        }
        hand.machine.finish_round().unwrap();
        hand.receive(&Message::Ready);
        hand.orders();
        for (block, offset) in works {
            scanned(&mut hand, block, offset, false);
        }
        hand.orders();
        let (block, offset) = works[0];
        let address = ram_address(block, offset);
        let request = RegisterRequest { address, block: BlockIndex::new(block), chunks: 0 };
        let expected = encode(&Message::RegisterRequest(Entries::new(&[request])));
        assert_eq!(hand.message(Kind::RegisterRequest), expected, "{works:?}");
    }
}

#[test]
fn a_span_ends_before_a_chunk_that_is_registered() {
    let mut hand = in_round(config(Registration::Spans { chunks_max: 64 }), &[3 * MIB]);
    write(&mut hand, 0, 2 * MIB, MIB);
    write(&mut hand, 0, 0, 3 * MIB);
    hand.machine.finish_round().unwrap();
    hand.receive(&Message::Ready);
    hand.run();
    expect_request(&mut hand, 2, 0);
    receive_result(&mut hand, granted(0, 0x72));
    hand.run();
    hand.receive(&Message::Ready);
    hand.run();
    expect_request(&mut hand, 0, 1);
    receive_result(&mut hand, granted(0, 0x70));
    assert_eq!(writes(&hand.run()), [(0, 0, 0x70), (0, 1, 0x70), (2, 2, 0x72)]);
}

#[test]
fn a_request_waits_until_it_is_known_how_far_it_goes() {
    let mut hand = in_round(config(Registration::Spans { chunks_max: 64 }), &[3 * MIB]);
    write(&mut hand, 0, 0, 3 * MIB);
    hand.machine.finish_round().unwrap();
    hand.receive(&Message::Ready);
    hand.orders();
    scanned(&mut hand, 0, 0, false);
    scanned(&mut hand, 0, 2 * MIB, false);
    assert_eq!(hand.orders(), []);
    scanned(&mut hand, 0, MIB, false);
    hand.orders();
    expect_request(&mut hand, 0, 2);
}

#[test]
fn with_look_ahead_the_next_request_leaves_before_the_writes() {
    let look_ahead = Registration::LookAhead { chunks_max: 2 };
    let mut hand = holding(config(look_ahead), &[Something; 4]);
    hand.run();
    expect_request(&mut hand, 0, 1);
    receive_result(&mut hand, granted(0, 0x70));
    hand.receive(&Message::Ready);
    let orders = hand.orders();
    assert_eq!(orders[..2], [Order::Send(Kind::RegisterRequest), register(2, 2)]);
    assert_eq!(writes(&orders), [(0, 0, 0x70), (0, 1, 0x70)]);
    expect_request(&mut hand, 2, 1);
    hand.answer_all();
    receive_result(&mut hand, granted(0, 0x72));
    assert_eq!(writes(&hand.run()), [(2, 2, 0x72), (2, 3, 0x72)]);
}

#[test]
fn while_a_request_waits_for_its_ready_few_writes_go_before_it() {
    let look_ahead = Registration::LookAhead { chunks_max: 3 };
    let mut hand = holding(config(look_ahead), &[Something; 4]);
    hand.run();
    expect_request(&mut hand, 0, 2);
    receive_result(&mut hand, granted(0, 0x70));
    // READY is on its way.
    assert_eq!(writes(&hand.orders()), [(0, 0, 0x70), (0, 1, 0x70)]);
    hand.receive(&Message::Ready);
    let orders = hand.orders();
    assert_eq!(orders[0], Order::Send(Kind::RegisterRequest));
    assert_eq!(writes(&orders), [(0, 2, 0x70)]);
}

#[test]
fn chunk_by_chunk_one_thing_comes_after_the_other() {
    let mut hand = in_round(config(Registration::Chunks), &[2 * MIB]);
    write(&mut hand, 0, 0, 2 * MIB);
    hand.machine.finish_round().unwrap();
    hand.receive(&Message::Ready);
    let scan = |offset| {
        let (block, offset) = (BlockIndex::new(0), BlockOffset::new(offset));
        Order::Do(Operation::ScanRam { block, offset, length: MIB })
    };
    assert_eq!(hand.orders(), [scan(0)]);
    scanned(&mut hand, 0, 0, false);
    assert_eq!(hand.orders(), [Order::Send(Kind::RegisterRequest)]);
    expect_request(&mut hand, 0, 0);
    hand.answer_all();
    receive_result(&mut hand, granted(0, 0x70));
    hand.receive(&Message::Ready);
    assert_eq!(hand.orders(), [register(0, 1)]);
    hand.answer_all();
    let orders = hand.orders();
    assert_eq!((writes(&orders), orders.last()), (vec![(0, 0, 0x70)], Some(&scan(MIB))));
}

#[test]
fn one_command_tells_adjacent_runs_of_zero() {
    let of_two = SourceConfig { zero_chunks_max: 2, ..SourceConfig::default() };
    for (config, chunks, told) in [
        (SourceConfig::default(), [Zero, Zero, Zero], 3),
        (of_two, [Zero, Zero, Zero], 2),
        (SourceConfig::default(), [Zero, Zero, Something], 2),
        (SourceConfig::default(), [Zero, Something, Zero], 1),
    ] {
        let mut hand = holding(config, &chunks);
        assert_eq!(hand.orders(), [Order::Send(Kind::Compress)]);
        expect_zero(&mut hand, 0, told);
    }
}

#[test]
fn zero_behind_what_is_not_written_yet_is_told_first() {
    let mut hand = holding(SourceConfig::default(), &[Something, Zero, Zero]);
    hand.run();
    expect_request(&mut hand, 0, 0);
    receive_result(&mut hand, granted(0, 0x70));
    hand.receive(&Message::Ready);
    let orders = hand.orders();
    assert_eq!(orders[0], Order::Send(Kind::Compress));
    assert_eq!(writes(&orders), [(0, 0, 0x70)]);
    expect_zero(&mut hand, 1, 2);
    hand.answer_all();
    hand.receive(&Message::Ready);
    hand.run();
    hand.message(Kind::RegisterFinished);
}

fn requests(chunks: &[u64]) -> Vec<u8> {
    let request = |chunk| RegisterRequest {
        address: ram_address(0, chunk * MIB),
        block: BlockIndex::new(0),
        chunks: 0,
    };
    let requests: Vec<_> = chunks.iter().map(|chunk| request(*chunk)).collect();
    encode(&Message::RegisterRequest(Entries::new(&requests)))
}

/// A source with batches that is to send every second of ten chunks.
fn with_batches(requests_max: u32) -> ByHand<Source> {
    let batches = Registration::Batches { chunks_max: 64, requests_max };
    let mut hand = in_round(config(batches), &[10 * MIB]);
    for chunk in [0, 2, 4, 6, 8] {
        write(&mut hand, 0, chunk * MIB, MIB);
    }
    hand.machine.finish_round().unwrap();
    hand.receive(&Message::Ready);
    hand
}

#[test]
fn a_batch_asks_for_several_spans_and_takes_all_results() {
    let mut hand = with_batches(4);
    let registered = |orders: &[Order]| {
        let register =
            |order: &&Order| matches!(order, Order::Do(Operation::RegisterMemory { .. }));
        orders.iter().filter(register).count()
    };
    assert_eq!(registered(&hand.run()), 4);
    assert_eq!(hand.message(Kind::RegisterRequest), requests(&[0, 2, 4, 6]));
    let results = [0x70, 0x72, 0x74, 0x76].map(|key| granted(0, key));
    hand.receive(&Message::RegisterResult { repeat: 4, results: Entries::new(&results) });
    hand.receive(&Message::Ready);
    let orders = hand.run();
    assert_eq!(hand.message(Kind::RegisterRequest), requests(&[8]));
    let expected = [(0, 0, 0x70), (2, 2, 0x72), (4, 4, 0x74), (6, 6, 0x76)];
    assert_eq!(writes(&orders), expected);
}

#[test]
fn after_a_peer_has_answered_only_the_first_each_request_goes_alone() {
    let mut hand = with_batches(4);
    hand.run();
    assert_eq!(hand.message(Kind::RegisterRequest), requests(&[0, 2, 4, 6]));
    let first = [granted(0, 0x70)];
    hand.receive(&Message::RegisterResult { repeat: 4, results: Entries::new(&first) });
    let mut written = writes(&hand.run());
    for (chunk, key) in [(2, 0x72), (4, 0x74), (6, 0x76), (8, 0x78)] {
        hand.receive(&Message::Ready);
        written.extend(writes(&hand.run()));
        assert_eq!(hand.message(Kind::RegisterRequest), requests(&[chunk]));
        receive_result(&mut hand, granted(0, key));
        written.extend(writes(&hand.run()));
    }
    let expected = [(0, 0, 0x70), (2, 2, 0x72), (4, 4, 0x74), (6, 6, 0x76), (8, 8, 0x78)];
    assert_eq!(written, expected);
}

#[test]
fn a_batch_is_answered_by_all_results_or_by_one() {
    for results in [2, 3, 5] {
        let mut hand = with_batches(4);
        hand.run();
        hand.message(Kind::RegisterRequest);
        let keys: Vec<_> = (0..results).map(|key| granted(0, 0x70 + key)).collect();
        let repeat = results;
        hand.receive(&Message::RegisterResult { repeat, results: Entries::new(&keys) });
        let received = usize::try_from(results).unwrap();
        let wrong = Misbehavior::ResultCount { received, expected: 4 };
        assert_eq!(hand.end().closed.result, Err(wrong.into()), "{results} results");
    }
}

#[test]
fn a_number_of_requests_that_no_message_carries_is_refused() {
    for (requests_max, result) in [(1, Ok(())), (4096, Ok(())), (0, Err(())), (4097, Err(()))] {
        let batches = Registration::Batches { chunks_max: 1, requests_max };
        let made = Source::new(config(batches));
        assert_eq!(made.map(|_| ()).map_err(|_| ()), result, "{requests_max}");
    }
}
