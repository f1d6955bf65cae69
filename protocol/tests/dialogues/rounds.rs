//! The chapter on rounds and the handover of the guest.

use core::time::Duration;

use rdma_migration_protocol::address::{BlockIndex, BlockOffset};
use rdma_migration_protocol::connection::{Closed, GuestOwner, Negotiated};
use rdma_migration_protocol::deadline::TimeoutReason;
use rdma_migration_protocol::destination::{DestinationConfig, DestinationEvent};
use rdma_migration_protocol::error::{Error, Misbehavior, Misuse};
use rdma_migration_protocol::limits::STREAM_MESSAGE_BYTES_MAX;
use rdma_migration_protocol::source::{SourceConfig, SourceEvent};
use rdma_migration_protocol::transport::{
    Completion, ConnectionEvent, FailedOperation, Operation, TransportError,
};
use rdma_migration_protocol::wire::{Flags, Kind, Message};

use crate::by_hand::{Ending, Order};
use crate::play::{
    destination_closed, destination_in_round, grant, source_closed, source_in_round,
};
use crate::{destination_phases, source_phases};

fn ended(result: Result<(), Error>, guest: GuestOwner) -> Closed {
    Closed { result, guest, regions_left: 0 }
}

//= spec/text/09-rounds.md#rounds
//= type=test
//# [RND-1] A source MUST end each round with REGISTER_FINISHED.
#[test]
fn every_round_ends_with_register_finished_even_an_empty_one() {
    let (mut peer, blocks) = source_in_round(SourceConfig::default(), &[&[7; 0x1000]]);
    for round in 0..3 {
        if round == 1 {
            peer.source.write_ram(BlockIndex::new(0), BlockOffset::new(0), 0x1000).unwrap();
        }
        peer.source.finish_round().unwrap();
        if round == 1 {
            peer.reply(Kind::Ready);
            peer.expect_send(Kind::RegisterRequest);
            grant(&mut peer, &blocks[0]);
        }
        peer.expect_no_send();
        assert_eq!(peer.events(), []);
        peer.reply(Kind::Ready);
        peer.expect_send(Kind::RegisterFinished);
        peer.expect_event(&SourceEvent::RoundFinished);
    }
    assert_eq!(peer.violations(), [""; 0]);
}

#[test]
fn a_round_in_which_all_was_given_takes_no_more() {
    let mut hand = source_phases::phase("round to finish");
    let refused = |call| Err(Misuse::WrongPhase { call });
    let (block, offset) = (BlockIndex::new(0), BlockOffset::new(0));
    assert_eq!(hand.machine.write_ram(block, offset, 1), refused("write_ram"));
    assert_eq!(hand.machine.finish_round(), Err(Misuse::WrongPhase { call: "finish_round" }));
}

//= spec/text/09-rounds.md#handover
//= type=test
//# [RND-5] A source MUST report the guest as its own until it has posted the last message of the
//# stream, whatever fails before.
//= spec/text/09-rounds.md#handover
//= type=test
//# [RND-3] From posting the last message of the stream until its completion a source MUST report the
//# guest as undecided.
#[test]
fn the_guest_is_undecided_from_posting_the_last_message_to_its_completion() {
    let mut hand = source_phases::phase("between rounds");
    hand.machine.write_stream(b"the last bytes").unwrap();
    assert_eq!(hand.machine.guest_owner(), GuestOwner::Source);
    hand.machine.finish().unwrap();
    assert_eq!(hand.orders(), []);
    assert_eq!(hand.machine.guest_owner(), GuestOwner::Source);
    hand.receive(&Message::Ready);
    assert_eq!(hand.machine.guest_owner(), GuestOwner::Source);
    assert_eq!(hand.orders(), [Order::Send(Kind::QemuFile)]);
    assert_eq!(hand.machine.guest_owner(), GuestOwner::Undecided);
    // A READY is no acknowledgement.
    hand.receive(&Message::Ready);
    assert_eq!(hand.machine.guest_owner(), GuestOwner::Undecided);
    assert_eq!(hand.events(), []);
    hand.complete(Completion::Sent);
    assert_eq!(hand.machine.guest_owner(), GuestOwner::Destination);
    assert_eq!(hand.events(), [SourceEvent::HandedOver]);
}

//= spec/text/09-rounds.md#handover
//= type=test
//# [RND-3] From posting the last message of the stream until its completion a source MUST report the
//# guest as undecided.
#[test]
fn only_the_last_message_makes_the_guest_undecided() {
    let mut hand = source_phases::phase("between rounds");
    let tail = vec![7; STREAM_MESSAGE_BYTES_MAX + 1];
    let taken = hand.machine.write_stream(&tail).unwrap();
    hand.receive(&Message::Ready);
    assert_eq!(hand.orders(), [Order::Send(Kind::QemuFile)]);
    assert_eq!(hand.machine.guest_owner(), GuestOwner::Source);
    assert_eq!(hand.events(), [SourceEvent::StreamWritable]);
    hand.machine.write_stream(&tail[taken..]).unwrap();
    hand.machine.finish().unwrap();
    hand.receive(&Message::Ready);
    assert_eq!(hand.orders(), [Order::Send(Kind::QemuFile)]);
    assert_eq!(hand.machine.guest_owner(), GuestOwner::Undecided);
    // This is the acknowledgement of the message before.
    hand.complete(Completion::Sent);
    assert_eq!(hand.machine.guest_owner(), GuestOwner::Undecided);
    hand.complete(Completion::Sent);
    assert_eq!(hand.machine.guest_owner(), GuestOwner::Destination);
}

#[test]
fn a_last_message_whose_fate_is_unknown_leaves_the_guest_undecided() {
    let mut hand = source_phases::phase("last message on its way");
    let (operation, error) = (FailedOperation::Send, TransportError::RetryExceeded);
    hand.fail(operation, error);
    hand.broken = true;
    let closed = ended(Err(Error::Transport { operation, error }), GuestOwner::Undecided);
    assert_eq!(hand.end(), Ending { closed, peer_told: false, disconnected: true });
}

//= spec/text/09-rounds.md#handover
//= type=test
//# [RND-7] After the last message has been acknowledged a source MUST give the destination time to
//# disconnect before it disconnects itself.
#[test]
fn a_source_waits_for_the_destination_to_disconnect_and_goes_in_the_end() {
    let mut hand = source_phases::phase("farewell");
    assert_eq!(hand.orders(), []);
    assert_eq!(hand.wait(), Some((TimeoutReason::Farewell, Duration::from_secs(2))));
    let mut patient = hand.clone();
    let expected = Ending {
        closed: ended(Ok(()), GuestOwner::Destination),
        peer_told: false,
        disconnected: true,
    };
    hand.connection(ConnectionEvent::Disconnected);
    assert_eq!(hand.end(), expected);
    assert_eq!(patient.expire(), TimeoutReason::Farewell);
    assert_eq!(patient.end(), expected);
}

//= spec/text/09-rounds.md#handover
//= type=test
//# [RND-8] From the acknowledgement of the last message of the stream on, a source MUST report the
//# guest as the destination's, whatever fails after.
#[test]
fn a_failure_after_the_handover_is_told_and_the_guest_stays_handed_over() {
    let mut hand = source_phases::phase("farewell");
    hand.receive(&Message::Error);
    let closed = ended(Err(Error::PeerReportedError), GuestOwner::Destination);
    assert_eq!(hand.end(), Ending { closed, peer_told: false, disconnected: true });
    let mut hand = source_phases::phase("farewell");
    hand.receive(&Message::Ready);
    assert_eq!(hand.orders(), []);
    hand.receive(&Message::Ready);
    let closed = ended(Err(Misbehavior::ReadyTwice.into()), GuestOwner::Destination);
    assert_eq!(hand.end(), Ending { closed, peer_told: true, disconnected: true });
}

//= spec/text/09-rounds.md#handover
//= type=test
//# [RND-6] A destination MUST NOT run the guest before its owner has found the stream complete.
#[test]
fn the_guest_runs_here_only_when_the_owner_says_that_the_stream_is_complete() {
    let mut peer = destination_in_round(DestinationConfig::default(), Flags::NONE, &[&[0; 0x1000]]);
    assert_eq!(peer.destination.finish(), Err(Misuse::WrongPhase { call: "finish" }));
    peer.reply(Kind::RegisterFinished);
    peer.expect_send(Kind::Ready);
    peer.send(&Message::QemuFile(b"the last bytes"));
    peer.expect_event(&DestinationEvent::RoundFinished);
    peer.expect_event(&DestinationEvent::StreamReadable);
    peer.disconnect();
    peer.expect_event(&DestinationEvent::StreamEnded);
    assert_eq!(peer.held_stream(), b"the last bytes");
    assert_eq!(peer.destination.guest_owner(), GuestOwner::Source);
    peer.destination.finish().unwrap();
    peer.expect_event(&DestinationEvent::GuestReleased);
    let closed = ended(Ok(()), GuestOwner::Destination);
    assert_eq!(destination_closed(&mut peer), closed);
    assert_eq!(peer.violations(), [""; 0]);
}

#[test]
fn a_finished_destination_is_not_harmed_by_what_its_source_still_says() {
    let mut hand = destination_phases::phase("between rounds");
    hand.machine.finish().unwrap();
    hand.receive(&Message::Error);
    hand.connection(ConnectionEvent::Disconnected);
    assert_eq!(hand.orders(), [Order::Do(Operation::Disconnect)]);
    hand.answer_all();
    assert_eq!(hand.events(), [DestinationEvent::GuestReleased]);
}

#[test]
fn a_whole_migration_as_its_source_tells_it() {
    let (mut peer, blocks) =
        source_in_round(SourceConfig::default(), &[&[7; 0x2000], &[0; 0x1000]]);
    peer.source.write_ram(BlockIndex::new(0), BlockOffset::new(0), 0x2000).unwrap();
    peer.source.write_ram(BlockIndex::new(1), BlockOffset::new(0), 0x1000).unwrap();
    peer.source.finish_round().unwrap();
    peer.reply(Kind::Ready);
    peer.expect_send(Kind::RegisterRequest);
    grant(&mut peer, &blocks[0]);
    peer.reply(Kind::Ready);
    peer.expect_send(Kind::Compress);
    peer.reply(Kind::Ready);
    peer.expect_send(Kind::RegisterFinished);
    assert_eq!(peer.peer_memory(blocks[0].block), [7; 0x2000]);
    peer.source.write_stream(b"the rest of the guest").unwrap();
    peer.source.finish().unwrap();
    peer.reply(Kind::Ready);
    peer.expect_send(Kind::QemuFile);
    peer.disconnect();
    let told = [SourceEvent::RoundFinished, SourceEvent::HandedOver];
    let closed = ended(Ok(()), GuestOwner::Destination);
    assert_eq!(peer.events(), [&told[..], &[SourceEvent::Closed(closed)]].concat());
    assert_eq!(peer.violations(), [""; 0]);
}

#[test]
fn a_destination_that_goes_in_the_middle_leaves_the_guest_at_its_source() {
    let (mut peer, _) = source_in_round(SourceConfig::default(), &[&[7; 0x1000]]);
    peer.disconnect();
    assert_eq!(source_closed(&mut peer), ended(Err(Error::PeerDisconnected), GuestOwner::Source));
    peer.expect_no_send();
    assert_eq!(peer.violations(), [""; 0]);
}

#[test]
fn what_was_agreed_is_told_once() {
    let mut peer = destination_in_round(DestinationConfig::default(), Flags::PIN_ALL, &[&[0; 1]]);
    assert_eq!(peer.events(), []);
    let mut peer = rdma_migration_transport_sim::ScriptedSource::established_with(
        DestinationConfig::default(),
        Flags::PIN_ALL,
    );
    let negotiated = Negotiated { pin_all: true };
    assert_eq!(peer.events(), [DestinationEvent::Connected(negotiated)]);
}
