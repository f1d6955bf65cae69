//! The chapter on the control channel: credit, receives, and messages that are none.

use rdma_migration_protocol::address::BlockIndex;
use rdma_migration_protocol::connection::{Closed, GuestOwner};
use rdma_migration_protocol::destination::DestinationConfig;
use rdma_migration_protocol::error::{Error, Misbehavior};
use rdma_migration_protocol::limits::{COMMANDS_MAX, HEADER_BYTES, PAYLOAD_BYTES_MAX};
use rdma_migration_protocol::source::{Registration, SourceConfig};
use rdma_migration_protocol::transport::{Completion, Operation, ReceiveBuffer};
use rdma_migration_protocol::wire::{Entries, Flags, Header, Kind, Malformed, Message};
use rdma_migration_transport_sim::{Scripted, ScriptedSource};

use crate::by_hand::{Order, encode};
use crate::destination_phases::{self, request, unregister, zero};
use crate::layout::{LENGTHS, MIB};
use crate::one_of_each;
use crate::play::{destination_closed, grant, source_closed, source_in_round};
use crate::source_phases::{self, granted};

fn failed(error: impl Into<Error>) -> Closed {
    Closed { result: Err(error.into()), guest: GuestOwner::Source, regions_left: 0 }
}

//= spec/text/03-control-channel.md#ready
//= type=test
//# [CTL-20] A source MUST NOT send a command before it has received a READY that no earlier
//# command has used.
#[test]
fn a_source_stays_silent_until_ready_and_after_each_command() {
    let mut peer = Scripted::established();
    peer.source.write_stream(b"the setup of the guest").unwrap();
    peer.source.exchange_blocks(&[MIB]).unwrap();
    peer.expect_no_send();
    peer.reply(Kind::Ready);
    peer.expect_send(Kind::QemuFile);
    peer.expect_no_send();
    peer.reply(Kind::Ready);
    peer.expect_send(Kind::RamBlocksRequest);
    peer.expect_no_send();
    assert_eq!(peer.violations(), [""; 0]);
}

//= spec/text/03-control-channel.md#ready
//= type=test
//# [CTL-20] A source MUST NOT send a command before it has received a READY that no earlier
//# command has used.
#[test]
fn a_reply_is_no_ready() {
    let config = SourceConfig { registration: Registration::Chunks, ..SourceConfig::default() };
    let (mut peer, blocks) = source_in_round(config, &[&[7; 2 << 20]]);
    peer.source.write_ram(BlockIndex::new(0), Default::default(), 2 * MIB).unwrap();
    peer.reply(Kind::Ready);
    peer.expect_send(Kind::RegisterRequest);
    grant(&mut peer, &blocks[0]);
    peer.expect_no_send();
    peer.reply(Kind::Ready);
    peer.expect_send(Kind::RegisterRequest);
    assert_eq!(peer.violations(), [""; 0]);
}

//= spec/text/03-control-channel.md#ready
//= type=test
//# [CTL-21] A destination MUST NOT send a READY while an earlier one is unused.
//= spec/text/03-control-channel.md#ready
//= type=test
//# [CTL-33] A destination that holds no stream bytes MUST send READY of its own accord: once the
//# connection is made, and after each command that it has carried out.
#[test]
fn a_destination_says_ready_once_for_each_command() {
    let mut peer = ScriptedSource::established();
    for _ in 0..3 {
        peer.expect_no_send();
        peer.reply(Kind::RegisterFinished);
        peer.expect_send(Kind::Ready);
    }
    peer.expect_no_send();
    assert_eq!(peer.violations(), [""; 0]);
}

//= spec/text/03-control-channel.md#ready
//= type=test
//# [CTL-22] A destination MUST send the reply to a command before the next READY.
//= spec/text/03-control-channel.md#receives
//= type=test
//# [CTL-29] A destination MUST have posted the receive for the command before it sends READY.
#[test]
fn a_destination_posts_the_receive_and_sends_the_reply_and_then_ready() {
    let post = Order::Do(Operation::PostReceive { buffer: ReceiveBuffer(0) });
    let mut hand = destination_phases::connected(DestinationConfig::default(), Flags::NONE);
    hand.receive(&Message::RamBlocksRequest);
    assert_eq!(hand.all_orders(), [post]);
    hand.machine.place_blocks(&destination_phases::placed(&LENGTHS)).unwrap();
    assert_eq!(hand.all_orders(), [Kind::RamBlocksResult, Kind::Ready].map(Order::Send));
    hand.answer_all();
    hand.receive(&Message::RegisterRequest(Entries::new(&[request(0, 0, 0)])));
    hand.all_orders();
    hand.answer_all();
    assert_eq!(hand.all_orders(), [Kind::RegisterResult, Kind::Ready].map(Order::Send));
    hand.answer_all();
    hand.receive(&Message::UnregisterRequest(Entries::new(&[unregister(0, 0)])));
    hand.all_orders();
    hand.answer_all();
    assert_eq!(hand.all_orders(), [Kind::UnregisterFinished, Kind::Ready].map(Order::Send));
    hand.answer_all();
    let buffer = hand.posted[0];
    hand.receive(&Message::RegisterFinished);
    let post = Order::Do(Operation::PostReceive { buffer });
    assert_eq!(hand.all_orders(), [post, Order::Send(Kind::Ready)]);
}

#[test]
fn a_reply_waits_until_one_of_two_sends_has_left() {
    let mut hand = destination_phases::in_round(DestinationConfig::default(), &LENGTHS);
    hand.receive(&Message::RegisterFinished);
    assert_eq!(hand.orders(), [Order::Send(Kind::Ready)]);
    // The source has the READY; the news that it has left is late, for both.
    hand.receive(&Message::RegisterFinished);
    assert_eq!(hand.orders(), [Order::Send(Kind::Ready)]);
    hand.receive(&Message::RegisterFinished);
    assert_eq!(hand.orders(), []);
    hand.complete(Completion::Sent);
    assert_eq!(hand.orders(), [Order::Send(Kind::Ready)]);
}

//= spec/text/03-control-channel.md#receives
//= type=test
//# [CTL-30] A source MUST have posted the receives for the reply and for the next READY before it
//# sends a command.
#[test]
fn a_source_posts_the_receives_before_each_command() {
    let mut hand = source_phases::phase("RAM blocks to ask for");
    let buffer = hand.posted[0];
    hand.receive(&Message::Ready);
    let post = Order::Do(Operation::PostReceive { buffer });
    assert_eq!(hand.all_orders(), [post, Order::Send(Kind::RamBlocksRequest)]);
    // The reply, the next READY, and an ERROR.
    assert_eq!(hand.posted.len(), 3);
}

//= spec/text/03-control-channel.md#receives
//= type=test
//# [CTL-28] Either side MUST keep a receive posted for ERROR, besides those for the messages that
//# its peer may send next.
#[test]
fn a_receive_for_error_is_always_posted() {
    for mut phase in source_phases::all() {
        phase.hand.all_orders();
        let messages = match phase.due {
            source_phases::Due::Reply(_) => 2,
            source_phases::Due::Ready => 1,
            source_phases::Due::Nothing => 0,
            source_phases::Due::Deaf | source_phases::Due::Ignored => continue,
        };
        assert!(phase.hand.posted.len() > messages, "{}", phase.name);
    }
    for mut phase in destination_phases::all() {
        phase.hand.all_orders();
        let messages = match phase.due {
            destination_phases::Due::Command => 1,
            destination_phases::Due::Nothing => 0,
            destination_phases::Due::Deaf | destination_phases::Due::Ignored => continue,
        };
        assert!(phase.hand.posted.len() > messages, "{}", phase.name);
    }
}

//= spec/text/03-control-channel.md#error
//= type=test
//# [CTL-27] Either side MAY send ERROR at any time, without a READY.
//= spec/text/02-connection.md#closing
//= type=test
//# [CON-31] A side MUST NOT send ERROR after it has received ERROR.
#[test]
fn error_is_heard_while_the_stream_is_held_and_while_a_reply_is_due() {
    let mut peer = ScriptedSource::established();
    peer.send(&Message::QemuFile(b"held"));
    peer.reply(Kind::Error);
    assert_eq!(destination_closed(&mut peer), failed(Error::PeerReportedError));
    peer.expect_no_send();
    assert_eq!(peer.violations(), [""; 0]);

    let mut peer = Scripted::established();
    peer.source.exchange_blocks(&[MIB]).unwrap();
    peer.reply(Kind::Ready);
    peer.expect_send(Kind::RamBlocksRequest);
    peer.reply(Kind::Error);
    assert_eq!(source_closed(&mut peer), failed(Error::PeerReportedError));
    peer.expect_no_send();
    assert_eq!(peer.violations(), [""; 0]);
}

/// A header and so many payload bytes.
fn raw(length: u32, kind: u32, repeat: u32, payload: usize) -> Vec<u8> {
    let words = [length, kind, repeat, 0];
    let header = words.into_iter().flat_map(u32::to_be_bytes);
    header.chain(core::iter::repeat_n(0, payload)).collect()
}

//= spec/text/03-control-channel.md#header
//= type=test
//# [CTL-2] A receiver MUST reject a message that is shorter than its header.
//= spec/text/03-control-channel.md#header
//= type=test
//# [CTL-3] A receiver MUST reject a header whose `length` is more than 524272.
//= spec/text/03-control-channel.md#header
//= type=test
//# [CTL-4] A receiver MUST reject a header whose `length` does not match the number of bytes
//# received after it.
//= spec/text/03-control-channel.md#kinds
//= type=test
//# [CTL-6] A receiver MUST reject a message whose `type` is not in this table.
//= spec/text/03-control-channel.md#kinds
//= type=test
//# [CTL-7] A receiver MUST reject a payload where this table has none.
//= spec/text/03-control-channel.md#kinds
//= type=test
//# [CTL-8] A receiver MUST reject a `QEMU_FILE` without payload.
//= spec/text/03-control-channel.md#repeat
//= type=test
//# [CTL-10] A receiver MUST reject a counted `repeat` that is 0 or more than 4096.
//= spec/text/03-control-channel.md#repeat
//= type=test
//# [CTL-11] A receiver MUST reject a payload that is not as long as the commands that `repeat`
//# counts.
#[test]
fn bytes_that_are_no_message_end_either_side() {
    let kind = Kind::RegisterRequest;
    let not_repeat = |repeat, payload_bytes| Malformed::PayloadNotRepeat {
        kind,
        repeat,
        command_bytes: 24,
        payload_bytes,
    };
    let too_many = u32::try_from(COMMANDS_MAX).unwrap() + 1;
    let cases = [
        (vec![0; HEADER_BYTES - 1], Malformed::HeaderTruncated { received: HEADER_BYTES - 1 }),
        (raw(0, 12, 1, 0), Malformed::UnknownKind { number: 12 }),
        (raw(0, u32::MAX, 1, 0), Malformed::UnknownKind { number: u32::MAX }),
        (
            raw(524_273, 3, 1, 1),
            Malformed::PayloadTooLong { kind: Kind::QemuFile, declared: 524_273 },
        ),
        (
            raw(2, 3, 1, 1),
            Malformed::LengthMismatch { kind: Kind::QemuFile, declared: 2, received: 1 },
        ),
        (
            raw(1, 3, 1, 2),
            Malformed::LengthMismatch { kind: Kind::QemuFile, declared: 1, received: 2 },
        ),
        (raw(1, 2, 1, 1), Malformed::UnexpectedPayload { kind: Kind::Ready, payload_bytes: 1 }),
        (
            raw(1, 9, 1, 1),
            Malformed::UnexpectedPayload { kind: Kind::RegisterFinished, payload_bytes: 1 },
        ),
        (raw(0, 3, 1, 0), Malformed::EmptyStream),
        (raw(24, 7, 0, 24), Malformed::RepeatOutOfRange { kind, repeat: 0 }),
        (raw(24, 7, too_many, 24), Malformed::RepeatOutOfRange { kind, repeat: too_many }),
        (raw(24, 7, 2, 24), not_repeat(2, 24)),
        (raw(48, 7, 1, 48), not_repeat(1, 48)),
        (raw(23, 7, 1, 23), not_repeat(1, 23)),
    ];
    for (bytes, malformed) in cases {
        let mut peer = ScriptedSource::established();
        peer.send_bytes(&bytes);
        assert_eq!(destination_closed(&mut peer), failed(malformed), "{malformed}");
        peer.expect_send(Kind::Error);
        let mut peer = Scripted::established();
        peer.send_bytes(&bytes);
        assert_eq!(source_closed(&mut peer), failed(malformed), "{malformed}");
        peer.expect_send(Kind::Error);
        assert_eq!(peer.violations(), [""; 0]);
    }
}

//= spec/text/03-control-channel.md#header
//= type=test
//# [CTL-5] A receiver MUST ignore the padding of a header.
//= spec/text/03-control-channel.md#repeat
//= type=test
//# [CTL-9] A receiver MUST ignore `repeat` in a message whose commands it does not count.
#[test]
fn garbage_in_padding_and_in_uncounted_repeats_is_ignored() {
    for (repeat, padding) in [(0, 0), (3_638_950_032, 0x0000_567f), (u32::MAX, u32::MAX)] {
        let spoil = |kind| {
            let mut bytes = one_of_each::message(kind);
            bytes[8..12].copy_from_slice(&u32::to_be_bytes(repeat));
            bytes[12..16].copy_from_slice(&u32::to_be_bytes(padding));
            bytes
        };
        let mut hand = destination_phases::phase("stream awaited");
        hand.receive_bytes(&spoil(Kind::QemuFile));
        assert!(hand.machine.held_stream().is_some());
        hand.machine.take_stream(1).unwrap();
        hand.run();
        hand.receive_bytes(&spoil(Kind::RamBlocksRequest));
        assert_eq!(hand.machine.place_blocks(&destination_phases::placed(&[MIB])), Ok(()));
        hand.run();
        hand.receive_bytes(&spoil(Kind::RegisterFinished));
        assert_eq!(hand.run(), [Order::Send(Kind::Ready)]);

        let mut hand = source_phases::phase("RAM blocks to ask for");
        hand.receive_bytes(&spoil(Kind::Ready));
        assert_eq!(hand.run(), [Order::Send(Kind::RamBlocksRequest)]);
        hand.receive_bytes(&spoil(Kind::RamBlocksResult));
        assert_eq!(hand.machine.finish_round(), Ok(()));
    }
}

//= spec/text/03-control-channel.md#repeat
//= type=test
//# [CTL-13] A source MUST accept a `REGISTER_RESULT` that carries one result, whatever its counted
//# `repeat`.
//= spec/text/05-registration.md#result
//= type=test
//# [REG-24] A source MUST reject a REGISTER_RESULT that carries more results than it has sent
//# requests.
#[test]
fn one_result_is_enough_whatever_its_repeat_and_no_other_number_is() {
    for repeat in [1, 2, 4096] {
        let mut hand = source_phases::phase("registration asked for");
        let results = [granted(0, 0x77)];
        hand.receive(&Message::RegisterResult { repeat, results: Entries::new(&results) });
        assert!(matches!(hand.run()[..], [Order::Do(Operation::WriteRam(_))]));
    }
    let mut hand = source_phases::phase("registration asked for");
    let results = [granted(0, 0x77), granted(0, 0x78)];
    hand.receive(&Message::RegisterResult { repeat: 2, results: Entries::new(&results) });
    let wrong = Misbehavior::ResultCount { received: 2, expected: 1 };
    assert_eq!(hand.end().closed, failed(wrong));
}

//= spec/text/03-control-channel.md#repeat
//= type=test
//# [CTL-12] A sender MUST set `repeat` to 1 in a message whose commands it does not count.
#[test]
fn everything_that_either_side_sends_has_a_repeat_of_1() {
    let header = |mut message: Vec<u8>| {
        message.truncate(HEADER_BYTES);
        (Header::parse(&message).unwrap().repeat, message[12..].to_vec())
    };
    let expected = (1, vec![0; 4]);
    let mut peer = ScriptedSource::established_with(DestinationConfig::default(), Flags::NONE);
    assert_eq!(header(peer.expect_send(Kind::Ready)), expected);
    peer.reply(Kind::RamBlocksRequest);
    let placed = crate::play::place(&mut peer, &[&[0; 0x1000]]);
    peer.destination.place_blocks(&placed).unwrap();
    assert_eq!(header(peer.expect_send(Kind::RamBlocksResult)), expected);
    peer.destination.abort().unwrap();
    peer.expect_send(Kind::Ready);
    assert_eq!(header(peer.expect_send(Kind::Error)), expected);

    let mut peer = Scripted::established();
    peer.source.write_stream(b"x").unwrap();
    peer.source.exchange_blocks(&[MIB]).unwrap();
    peer.reply(Kind::Ready);
    assert_eq!(header(peer.expect_send(Kind::QemuFile)), expected);
    peer.reply(Kind::Ready);
    assert_eq!(header(peer.expect_send(Kind::RamBlocksRequest)), expected);
}

//= spec/text/11-limits.md#control-messages
//= type=test
//# [LIM-7] A receiver MUST post receives that have room for 524288 bytes.
#[test]
fn the_longest_messages_are_taken() {
    let mut peer = ScriptedSource::established();
    peer.send(&Message::QemuFile(&vec![7; PAYLOAD_BYTES_MAX]));
    assert_eq!(peer.held_stream(), vec![7; PAYLOAD_BYTES_MAX]);
    peer.destination.take_stream(PAYLOAD_BYTES_MAX).unwrap();
    peer.expect_send(Kind::Ready);
    assert_eq!(peer.violations(), [""; 0]);

    let mut hand = destination_phases::in_round(DestinationConfig::default(), &[16 << 20]);
    let runs: Vec<_> = (0_u64..4096).map(|page| zero(0, page << 12, 1)).collect();
    hand.receive(&Message::Compress(Entries::new(&runs)));
    assert_eq!(hand.orders().len(), COMMANDS_MAX);
    hand.answer_all();
    assert_eq!(hand.orders(), [Order::Send(Kind::Ready)]);
    assert_eq!(encode(&Message::Compress(Entries::new(&runs))).len(), 16 + 24 * COMMANDS_MAX);
}
