//! The chapter on the stream: which bytes go when, and the windows in which commands on RAM may come.

use rdma_migration_protocol::connection::{Closed, GuestOwner};
use rdma_migration_protocol::destination::{DestinationConfig, DestinationEvent, Windows};
use rdma_migration_protocol::error::{Error, Misbehavior, Misuse};
use rdma_migration_protocol::limits::{HEADER_BYTES, STREAM_MESSAGE_BYTES_MAX};
use rdma_migration_protocol::source::{SourceConfig, SourceEvent};
use rdma_migration_protocol::transport::ConnectionEvent;
use rdma_migration_protocol::wire::{Entries, Flags, Kind, Message};
use rdma_migration_transport_sim::{Scripted, ScriptedSource};

use crate::by_hand::{ByHand, Ending, Order};
use crate::destination_phases::{self, placed, request};
use crate::layout::{LENGTHS, MIB};
use crate::play::{destination_closed, source_in_round};
use crate::source_phases;

fn failed(error: impl Into<Error>) -> Closed {
    Closed { result: Err(error.into()), guest: GuestOwner::Source, regions_left: 0 }
}

//= spec/text/08-stream.md#messages
//= type=test
//# [STR-1] A source MUST put 1 to 32768 bytes of the stream into a QEMU_FILE message.
#[test]
fn a_long_stream_leaves_in_messages_of_32_kib_and_the_rest() {
    let stream: Vec<u8> = (0_u8..=255).cycle().take(2 * STREAM_MESSAGE_BYTES_MAX + 5).collect();
    let mut peer = Scripted::established();
    peer.events();
    let mut written = 0;
    let mut received = Vec::new();
    while written < stream.len() {
        written += peer.source.write_stream(&stream[written..]).unwrap();
        if written < stream.len() {
            peer.reply(Kind::Ready);
            received.push(peer.expect_send(Kind::QemuFile));
            peer.expect_event(&SourceEvent::StreamWritable);
        }
    }
    // The rest is held back: it may be the last of the stream.
    peer.reply(Kind::Ready);
    peer.expect_no_send();
    peer.source.flush_stream().unwrap();
    received.push(peer.expect_send(Kind::QemuFile));
    let payloads: Vec<_> = received.iter().map(|message| &message[HEADER_BYTES..]).collect();
    let lengths: Vec<_> = payloads.iter().map(|payload| payload.len()).collect();
    assert_eq!(lengths, [STREAM_MESSAGE_BYTES_MAX, STREAM_MESSAGE_BYTES_MAX, 5]);
    assert_eq!(payloads.concat(), stream);
    assert_eq!(peer.events(), []);
    assert_eq!(peer.violations(), [""; 0]);
}

//= spec/text/08-stream.md#messages
//= type=test
//# [STR-1] A source MUST put 1 to 32768 bytes of the stream into a QEMU_FILE message.
#[test]
fn nothing_to_send_is_not_sent() {
    let mut peer = Scripted::established();
    peer.reply(Kind::Ready);
    peer.source.flush_stream().unwrap();
    peer.source.write_stream(b"").unwrap();
    peer.source.flush_stream().unwrap();
    peer.expect_no_send();
}

//= spec/text/08-stream.md#messages
//= type=test
//# [STR-2] A source MUST have sent all stream bytes up to the hook word before it sends the first other
//# command of a round.
#[test]
fn the_stream_leaves_before_the_first_command_of_a_round() {
    let (mut peer, _) = source_in_round(SourceConfig::default(), &[&[0; 0x1000]]);
    peer.source.finish_round().unwrap();
    peer.reply(Kind::Ready);
    peer.expect_send(Kind::RegisterFinished);
    peer.source.write_stream(b"hook").unwrap();
    peer.reply(Kind::Ready);
    peer.expect_no_send();
    peer.source.write_ram(Default::default(), Default::default(), 0x1000).unwrap();
    peer.source.finish_round().unwrap();
    assert_eq!(peer.expect_send(Kind::QemuFile)[HEADER_BYTES..], *b"hook");
    for kind in [Kind::Compress, Kind::RegisterFinished] {
        peer.expect_no_send();
        peer.reply(Kind::Ready);
        peer.expect_send(kind);
    }
    // The same for a round of nothing.
    peer.source.write_stream(b"hook").unwrap();
    peer.source.finish_round().unwrap();
    for kind in [Kind::QemuFile, Kind::RegisterFinished] {
        peer.reply(Kind::Ready);
        peer.expect_send(kind);
    }
    assert_eq!(peer.violations(), [""; 0]);
}

//= spec/text/08-stream.md#messages
//= type=test
//# [STR-2] A source MUST have sent all stream bytes up to the hook word before it sends the first other
//# command of a round.
#[test]
fn writes_wait_for_the_stream_as_well() {
    let mut hand = source_phases::phase("round to finish");
    hand.receive(&Message::Ready);
    assert_eq!(hand.run(), [Order::Send(Kind::RegisterFinished)]);
    hand.machine.write_stream(b"hook").unwrap();
    source_phases::write(&mut hand, 0, MIB, MIB);
    assert_eq!(hand.orders(), []);
    hand.receive(&Message::Ready);
    let orders = hand.orders();
    assert!(matches!(orders[..], [Order::Send(Kind::QemuFile), Order::Do(_)]), "{orders:?}");
}

//= spec/text/08-stream.md#messages
//= type=test
//# [STR-3] A source MUST NOT send QEMU_FILE from the first other command of a round until
//# REGISTER_FINISHED.
#[test]
fn no_stream_bytes_are_taken_while_a_round_is_open() {
    let (mut peer, _) = source_in_round(SourceConfig::default(), &[&[0; 0x1000]]);
    let refused = Err(Misuse::WrongPhase { call: "write_stream" });
    assert_eq!(peer.source.write_stream(b"early"), refused);
    peer.source.finish_round().unwrap();
    assert_eq!(peer.source.write_stream(b"early"), refused);
    peer.reply(Kind::Ready);
    peer.expect_send(Kind::RegisterFinished);
    assert_eq!(peer.source.write_stream(b"now"), Ok(3));
}

//= spec/text/08-stream.md#messages
//= type=test
//# [STR-4] A destination MUST NOT send READY while it holds stream bytes that its owner has not taken.
#[test]
fn ready_waits_for_the_last_held_byte() {
    let mut peer = ScriptedSource::established();
    peer.events();
    for bytes in [b"one".as_slice(), b"x", &[7; 100_000]] {
        peer.send(&Message::QemuFile(bytes));
        peer.expect_event(&DestinationEvent::StreamReadable);
        assert_eq!(peer.held_stream(), bytes);
        peer.destination.take_stream(bytes.len() - 1).unwrap();
        peer.expect_no_send();
        assert_eq!(peer.held_stream(), bytes[bytes.len() - 1..]);
        peer.destination.take_stream(1).unwrap();
        assert_eq!(peer.held_stream(), b"");
        peer.expect_send(Kind::Ready);
    }
    assert_eq!(peer.violations(), [""; 0]);
}

//= spec/text/09-rounds.md#loss-of-the-connection
//= type=test
//# [RND-10] A destination whose connection ends between rounds MUST let its owner take the stream
//# bytes that it holds before the migration ends.
#[test]
fn what_is_held_can_be_read_after_the_source_has_gone() {
    let mut hand = destination_phases::phase("tail held");
    hand.connection(ConnectionEvent::Disconnected);
    hand.broken = true;
    assert_eq!(hand.events(), [DestinationEvent::StreamEnded]);
    assert_eq!(hand.machine.held_stream().map(|held| held.range.len()), Some(4));
    hand.machine.take_stream(4).unwrap();
    hand.machine.finish().unwrap();
    let guest = GuestOwner::Destination;
    let closed = Closed { result: Ok(()), guest, regions_left: 0 };
    assert_eq!(hand.end(), Ending { closed, peer_told: false, disconnected: true });
}

fn announced(flags: Flags) -> ByHand<rdma_migration_protocol::destination::Destination> {
    let config = DestinationConfig { windows: Windows::Announced, ..Default::default() };
    destination_phases::connected(config, flags)
}

#[test]
fn with_announced_windows_commands_come_only_from_the_hook_to_register_finished() {
    for kind in [Kind::RamBlocksRequest, Kind::RegisterFinished, Kind::RegisterRequest] {
        let mut hand = announced(Flags::NONE);
        hand.receive_bytes(&crate::one_of_each::message(kind));
        assert_eq!(hand.end().closed, failed(Misbehavior::OutsideWindow(kind)));
    }
    let mut hand = announced(Flags::NONE);
    hand.machine.open_window().unwrap();
    hand.receive(&Message::RamBlocksRequest);
    hand.machine.place_blocks(&placed(&LENGTHS)).unwrap();
    hand.run();
    hand.receive(&Message::RegisterRequest(Entries::new(&[request(0, 0, 0)])));
    hand.run();
    let mut stream_inside = hand.clone();
    stream_inside.receive(&Message::QemuFile(b"early"));
    assert_eq!(stream_inside.end().closed, failed(Misbehavior::StreamInsideWindow));
    hand.receive(&Message::RegisterFinished);
    hand.run();
    hand.receive(&Message::QemuFile(b"now"));
    hand.machine.take_stream(3).unwrap();
    assert_eq!(hand.run(), [Order::Send(Kind::Ready)]);
    hand.receive(&Message::RegisterFinished);
    let outside = Misbehavior::OutsideWindow(Kind::RegisterFinished);
    assert_eq!(hand.end().closed, failed(outside));
}

#[test]
fn an_open_window_is_no_end_of_a_stream() {
    let mut hand = destination_phases::phase("between rounds");
    hand.machine.open_window().unwrap();
    assert_eq!(hand.machine.finish(), Err(Misuse::WrongPhase { call: "finish" }));
    hand.connection(ConnectionEvent::Disconnected);
    hand.broken = true;
    assert_eq!(hand.end().closed, failed(Error::PeerDisconnected));
}

#[test]
fn stream_bytes_in_the_middle_of_a_round_are_taken_unless_windows_are_announced() {
    let mut hand = destination_phases::phase("round open");
    hand.receive(&Message::QemuFile(b"what QEMU 8.1.0 sends"));
    assert_eq!(hand.events(), [DestinationEvent::StreamReadable]);
    // But the round is still open.
    assert_eq!(hand.machine.finish(), Err(Misuse::WrongPhase { call: "finish" }));
}

#[test]
fn a_source_that_goes_before_the_blocks_were_exchanged_has_sent_no_stream() {
    let mut peer = ScriptedSource::established();
    peer.send(&Message::QemuFile(b"a stream, but no guest"));
    peer.disconnect();
    assert_eq!(destination_closed(&mut peer), failed(Error::PeerDisconnected));
    assert_eq!(peer.violations(), [""; 0]);
}
