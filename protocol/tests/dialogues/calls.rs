//! What owners may call when, and that a call that is refused has no effect.

use rdma_migration_protocol::address::{BlockIndex, BlockOffset, HostAddress, RamAddress};
use rdma_migration_protocol::destination::{Destination, DestinationConfig, PlacedBlock};
use rdma_migration_protocol::error::Misuse;
use rdma_migration_protocol::limits::{HEADER_BYTES, RAM_BLOCKS_MAX, STREAM_MESSAGE_BYTES_MAX};
use rdma_migration_protocol::source::{Source, SourceConfig};
use rdma_migration_protocol::wire::{Flags, Kind, Message};

use crate::by_hand::ByHand;
use crate::layout::{LENGTHS, MIB};
use crate::{destination_phases, source_phases};

const BLOCK: BlockIndex = BlockIndex::new(0);
const START: BlockOffset = BlockOffset::new(0);

fn call_source(source: &mut Source, call: &'static str) -> Result<(), Misuse> {
    match call {
        "connect" => source.connect(),
        "write_stream" => source.write_stream(b"x").map(|_| ()),
        "flush_stream" => source.flush_stream(),
        "exchange_blocks" => source.exchange_blocks(&LENGTHS),
        "write_ram" => source.write_ram(BLOCK, START, 1).map(|_| ()),
        "unregister" => source.unregister(BLOCK, 0).map(|_| ()),
        "finish_round" => source.finish_round(),
        "finish" => source.finish(),
        "abort" => source.abort(),
        _ => unreachable!("no such call"),
    }
}

fn call_destination(destination: &mut Destination, call: &'static str) -> Result<(), Misuse> {
    match call {
        "open_window" => destination.open_window(),
        "place_blocks" => destination.place_blocks(&destination_phases::placed(&LENGTHS)),
        "finish" => destination.finish(),
        "abort" => destination.abort(),
        _ => unreachable!("no such call"),
    }
}

//= spec/text/08-stream.md#messages
//= type=test
//# [STR-3] A source MUST NOT send QEMU_FILE from the first other command of a round until
//# REGISTER_FINISHED.
//= spec/text/04-ram-blocks.md#exchange
//= type=test
//# [BLK-10] A source MUST send RAM_BLOCKS_REQUEST exactly once.
#[test]
fn a_source_refuses_every_call_that_does_not_fit_its_phase() {
    const CALLS: [&str; 9] = [
        "connect",
        "write_stream",
        "flush_stream",
        "exchange_blocks",
        "write_ram",
        "unregister",
        "finish_round",
        "finish",
        "abort",
    ];
    for phase in source_phases::all() {
        for call in CALLS {
            let mut source = phase.hand.machine.clone();
            let answer = call_source(&mut source, call);
            let context = format!("{call} in {}", phase.name);
            if phase.calls.contains(&call) {
                assert_eq!(answer, Ok(()), "{context}");
                continue;
            }
            // Between rounds it is not the phase that is wrong: all stream bytes have left.
            let refusal = if (call, phase.name) == ("finish", "between rounds") {
                Misuse::NothingLeftToFinish
            } else {
                Misuse::WrongPhase { call }
            };
            assert_eq!(answer, Err(refusal), "{context}");
            assert_eq!(source, phase.hand.machine, "{context}: no effect");
        }
    }
}

#[test]
fn a_destination_refuses_every_call_that_does_not_fit_its_phase() {
    for phase in destination_phases::all() {
        for call in ["open_window", "place_blocks", "finish", "abort"] {
            let mut destination = phase.hand.machine.clone();
            let answer = call_destination(&mut destination, call);
            let context = format!("{call} in {}", phase.name);
            if phase.calls.contains(&call) {
                assert_eq!(answer, Ok(()), "{context}");
                continue;
            }
            assert_eq!(answer, Err(Misuse::WrongPhase { call }), "{context}");
            assert_eq!(destination, phase.hand.machine, "{context}: no effect");
        }
    }
}

#[test]
fn a_source_that_has_closed_takes_no_call() {
    let mut hand = ByHand::new(Source::new(SourceConfig::default()).unwrap());
    hand.machine.abort().unwrap();
    hand.end();
    for call in ["connect", "write_stream", "write_ram", "finish", "abort"] {
        let before = hand.machine.clone();
        assert_eq!(call_source(&mut hand.machine, call), Err(Misuse::WrongPhase { call }));
        assert_eq!(hand.machine, before);
    }
}

#[test]
fn a_source_that_is_finishing_holds_back_nothing_and_needs_something_to_send() {
    let mut hand = source_phases::phase("between rounds");
    let nothing = Misuse::NothingLeftToFinish;
    assert_eq!(hand.machine.finish(), Err(nothing.clone()));
    hand.machine.write_stream(b"tail").unwrap();
    hand.machine.flush_stream().unwrap();
    hand.receive(&Message::Ready);
    hand.run();
    assert_eq!(hand.message(Kind::QemuFile)[HEADER_BYTES..], *b"tail");
    // The guest may run at the destination by now: no last message can be named any more.
    assert_eq!(hand.machine.finish(), Err(nothing));
}

#[test]
fn ranges_have_to_be_inside_their_block() {
    let hand = source_phases::phase("round open");
    let offset = BlockOffset::new;
    let outside = [
        (0, 0, 0),
        (0, 2 * MIB, 1),
        (0, 2 * MIB - 1, 2),
        (0, 1, 2 * MIB),
        (0, u64::MAX, 1),
        (0, 1, u64::MAX),
        (1, 0x3000, 1),
        (2, 0, 1),
        (u32::MAX, 0, 1),
    ];
    for (block, at, length) in outside {
        let mut source = hand.machine.clone();
        let block = BlockIndex::new(block);
        let refusal = Err(Misuse::Range { block, offset: at, length });
        assert_eq!(source.write_ram(block, offset(at), length), refusal);
        assert_eq!(source, hand.machine);
    }
    for (block, at, length) in [(0, 0, 2 * MIB), (0, 2 * MIB - 1, 1), (1, 0x2fff, 1)] {
        let mut source = hand.machine.clone();
        assert_eq!(source.write_ram(BlockIndex::new(block), offset(at), length), Ok(length));
    }
}

#[test]
fn only_a_chunk_of_the_block_can_be_unregistered() {
    let hand = source_phases::phase("round open");
    for (block, chunk, at) in
        [(0, 2, 2 * MIB), (1, 1, MIB), (2, 0, 0), (0, u64::MAX, u64::MAX), (0, 1 << 44, u64::MAX)]
    {
        let mut source = hand.machine.clone();
        let block = BlockIndex::new(block);
        let refusal = Err(Misuse::Range { block, offset: at, length: MIB });
        assert_eq!(source.unregister(block, chunk), refusal);
        assert_eq!(source, hand.machine);
    }
    let mut source = hand.machine;
    assert_eq!(source.unregister(BLOCK, 1), Ok(true));
}

#[test]
fn a_destination_that_may_not_know_unregistration_is_not_asked_for_it() {
    let config = SourceConfig { peer_unregisters: false, ..SourceConfig::default() };
    let mut hand = source_phases::in_round(config, &LENGTHS);
    let before = hand.machine.clone();
    let refusal = Err(Misuse::WrongPhase { call: "unregister" });
    assert_eq!(hand.machine.unregister(BLOCK, 0), refusal);
    assert_eq!(hand.machine, before);
}

#[test]
fn ram_blocks_that_cannot_be_described_are_refused_on_both_sides() {
    let source = source_phases::connected(SourceConfig::default(), Flags::NONE);
    let destination = destination_phases::phase("RAM blocks asked for");
    let too_many = vec![1; RAM_BLOCKS_MAX + 1];
    let last = BlockIndex::new(1);
    let cases: [(&[u64], Misuse); 4] = [
        (&[], Misuse::RamBlocks { blocks: 0 }),
        (&too_many, Misuse::RamBlocks { blocks: RAM_BLOCKS_MAX + 1 }),
        (&[MIB, 0], Misuse::RamBlock { block: last }),
        // More chunks than one table numbers.
        (&[1 << 52, 1 << 52], Misuse::RamBlocks { blocks: 2 }),
    ];
    for (lengths, refusal) in cases {
        let mut hand = source.clone();
        assert_eq!(hand.machine.exchange_blocks(lengths), Err(refusal.clone()));
        assert_eq!(hand.machine, source.machine);
        let mut hand = destination.clone();
        let blocks = destination_phases::placed(lengths);
        assert_eq!(hand.machine.place_blocks(&blocks), Err(refusal));
        assert_eq!(hand.machine, destination.machine);
    }
    let mut hand = source;
    assert_eq!(hand.machine.exchange_blocks(&too_many[1..]), Ok(()));
    let mut hand = destination;
    let most = destination_phases::placed(&too_many[1..]);
    assert_eq!(hand.machine.place_blocks(&most), Ok(()));
}

#[test]
fn a_placed_block_that_wraps_around_is_refused() {
    let hand = destination_phases::phase("RAM blocks asked for");
    let fits = LENGTHS[1].wrapping_neg();
    let place = |host: u64, ram: u64| {
        let [first, mut second] = destination_phases::placed(&LENGTHS).try_into().unwrap();
        second = PlacedBlock {
            host_address: HostAddress::new(host),
            ram_address: RamAddress::new(ram),
            ..second
        };
        [first, second]
    };
    for (host, ram) in [(fits + 1, 0), (0, fits + 1), (u64::MAX, u64::MAX)] {
        let mut destination = hand.machine.clone();
        let refusal = Err(Misuse::RamBlock { block: BlockIndex::new(1) });
        assert_eq!(destination.place_blocks(&place(host, ram)), refusal);
        assert_eq!(destination, hand.machine);
    }
    let mut destination = hand.machine;
    assert_eq!(destination.place_blocks(&place(fits, fits)), Ok(()));
}

#[test]
fn no_more_of_the_stream_can_be_taken_than_is_held() {
    let mut hand = destination_phases::phase("stream held");
    let before = hand.machine.clone();
    let refusal = Err(Misuse::ConsumedTooMuch { asked: 5, available: 4 });
    assert_eq!(hand.machine.take_stream(5), refusal);
    assert_eq!(hand.machine, before);
    hand.machine.take_stream(1).unwrap();
    let refusal = Err(Misuse::ConsumedTooMuch { asked: 4, available: 3 });
    assert_eq!(hand.machine.take_stream(4), refusal);
    hand.machine.take_stream(3).unwrap();
    let refusal = Err(Misuse::ConsumedTooMuch { asked: 1, available: 0 });
    assert_eq!(hand.machine.take_stream(1), refusal);
    assert_eq!(hand.machine.take_stream(0), Ok(()));
}

#[test]
fn a_source_takes_a_message_of_stream_bytes_at_a_time() {
    let mut hand = source_phases::connected(SourceConfig::default(), Flags::NONE);
    let stream = vec![7; STREAM_MESSAGE_BYTES_MAX + 1];
    assert_eq!(hand.machine.write_stream(&stream), Ok(STREAM_MESSAGE_BYTES_MAX));
    assert_eq!(hand.machine.write_stream(&stream), Ok(0));
    assert_eq!(hand.machine.write_stream(&[]), Ok(0));
}

#[test]
fn limits_of_zero_are_refused() {
    let refused = |config| Source::new(config).map(|_| ());
    let config = SourceConfig { signal_interval: 0, ..SourceConfig::default() };
    assert_eq!(refused(config), Err(Misuse::Limit { name: "signal_interval" }));
    let config = SourceConfig { writes_in_flight_max: 0, ..SourceConfig::default() };
    assert_eq!(refused(config), Err(Misuse::Limit { name: "writes_in_flight_max" }));
}

#[test]
fn a_machine_that_has_not_been_called_waits_for_nothing() {
    let mut destination = ByHand::new(Destination::new(DestinationConfig::default()));
    assert_eq!((destination.all_orders(), destination.wait()), (vec![], None));
    let mut source = ByHand::new(Source::new(SourceConfig::default()).unwrap());
    assert_eq!((source.all_orders(), source.wait()), (vec![], None));
}
