//! How a destination ends, whatever happens in whatever phase.

use rdma_migration_protocol::connection::{Closed, GuestOwner};
use rdma_migration_protocol::deadline::TimeoutReason;
use rdma_migration_protocol::destination::DestinationEvent;
use rdma_migration_protocol::error::{Error, Misbehavior};
use rdma_migration_protocol::limits::HEADER_BYTES;
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{
    ConnectionEvent, FailedOperation, Machine, Operation, TransportError,
};
use rdma_migration_protocol::wire::{Kind, Malformed};

use crate::by_hand::{ByHand, Ending, Order};
use crate::destination_phases::{DestinationPhase, Due, all, phase};
use crate::one_of_each::message;

fn failed(error: Error) -> Closed {
    Closed { result: Err(error), guest: GuestOwner::Source, regions_left: 0 }
}

fn is_closing(phase: &DestinationPhase) -> bool {
    let last = ["ERROR to send", "ERROR on its way", "disconnecting", "releasing"];
    last.contains(&phase.name)
}

/// Whether the RAM blocks have been exchanged.
fn has_blocks(phase: &DestinationPhase) -> bool {
    let without = ["READY on its way", "stream awaited"];
    !without.contains(&phase.name)
}

/// What a destination has to say of a message of this kind.
fn judgement(phase: &DestinationPhase, received: Kind) -> Result<(), Error> {
    let kind = received;
    let (has_blocks, pinned) = (has_blocks(phase), phase.name == "pinned round");
    let nothing_registered = phase.name == "round open";
    let wrong = match (phase.due, kind) {
        (Due::Ignored, _) => return Ok(()),
        (_, Kind::Error) => return Err(Error::PeerReportedError),
        (
            _,
            Kind::None
            | Kind::Ready
            | Kind::RamBlocksResult
            | Kind::RegisterResult
            | Kind::UnregisterFinished,
        ) => Misbehavior::Unexpected { received, expected: None },
        (Due::Nothing, kind) => Misbehavior::CommandWithoutReady(kind),
        (Due::Command, Kind::RamBlocksRequest) if has_blocks => {
            Misbehavior::RamBlocksRequestedTwice
        }
        (Due::Command, Kind::Compress | Kind::RegisterRequest | Kind::UnregisterRequest)
            if !has_blocks =>
        {
            Misbehavior::RamBeforeRamBlocks(kind)
        }
        (Due::Command, Kind::RegisterRequest | Kind::UnregisterRequest) if pinned => {
            Misbehavior::RegistrationWhilePinned(kind)
        }
        (Due::Command, Kind::UnregisterRequest) if nothing_registered => {
            Misbehavior::NotRegistered { block: Default::default(), chunk: 1 }
        }
        (Due::Command, _) => return Ok(()),
        (Due::Deaf, _) => unreachable!("no receive is posted"),
    };
    Err(wrong.into())
}

//= spec/text/03-control-channel.md#ready
//= type=test
//# [CTL-23] A destination MUST reject a command for which it has sent no READY.
//= spec/text/03-control-channel.md#ready
//= type=test
//# [CTL-32] A destination MUST reject a message of a kind that is not a command.
//= spec/text/05-registration.md#request
//= type=test
//# [REG-20] A destination MUST reject a REGISTER_REQUEST where all RAM is pinned.
//= spec/text/05-registration.md#request
//= type=test
//# [REG-22] A destination MUST reject every command on RAM before the RAM blocks were exchanged.
//= spec/text/04-ram-blocks.md#exchange
//= type=test
//# [BLK-12] A destination MUST reject a second RAM_BLOCKS_REQUEST.
//= spec/text/03-control-channel.md#error
//= type=test
//# [CTL-27] Either side MAY send ERROR at any time, without a READY.
//= spec/text/03-control-channel.md#error
//= type=test
//# [CTL-31] A side that receives ERROR MUST end the migration.
//= spec/text/02-connection.md#closing
//= type=test
//# [CON-30] A side that fails for a reason that its peer cannot see MUST send ERROR before it
//# disconnects, if the connection still carries messages.
//= spec/text/02-connection.md#closing
//= type=test
//# [CON-31] A side MUST NOT send ERROR after it has received ERROR.
//= spec/text/05-registration.md#unregistration
//= type=test
//# [REG-35] A destination MUST reject an UNREGISTER_REQUEST where all RAM is pinned.
#[test]
fn a_destination_takes_the_command_that_is_due_and_ends_at_any_other_message() {
    for phase in all().iter().filter(|phase| phase.due != Due::Deaf) {
        for kind in Kind::ALL {
            let mut hand = phase.hand.clone();
            hand.receive_bytes(&message(kind));
            let context = format!("{}: {kind}", phase.name);
            let Err(error) = judgement(phase, kind) else {
                let goes_on = hand.machine.abort().is_ok();
                assert_eq!(goes_on, phase.calls.contains(&"abort"), "{context}");
                continue;
            };
            hand.broken = true;
            let Ending { closed, peer_told, disconnected } = hand.end();
            assert_eq!(closed, failed(error), "{context}");
            assert_eq!(peer_told, phase.connected && kind != Kind::Error, "{context}");
            assert!(disconnected, "{context}");
        }
    }
}

//= spec/text/02-connection.md#closing
//= type=test
//# [CON-30] A side that fails for a reason that its peer cannot see MUST send ERROR before it
//# disconnects, if the connection still carries messages.
#[test]
fn a_destination_ends_at_bytes_that_are_no_message_and_says_so() {
    for phase in all().iter().filter(|phase| !matches!(phase.due, Due::Deaf | Due::Ignored)) {
        let mut hand = phase.hand.clone();
        hand.receive_bytes(&[0; HEADER_BYTES - 1]);
        hand.broken = true;
        let Ending { closed, peer_told, .. } = hand.end();
        let malformed = Malformed::HeaderTruncated { received: HEADER_BYTES - 1 };
        assert_eq!(closed, failed(malformed.into()), "{}", phase.name);
        assert_eq!(peer_told, phase.connected, "{}", phase.name);
    }
}

/// Both ways in which a destination learns that its source is gone.
fn lose_source(hand: &mut ByHand<impl Machine<Event = DestinationEvent>>, way: usize) -> Error {
    hand.broken = true;
    if way == 0 {
        hand.connection(ConnectionEvent::Disconnected);
        return Error::PeerDisconnected;
    }
    let operation = FailedOperation::Receive { buffer: hand.posted.pop_front().unwrap() };
    let error = TransportError::RetryExceeded;
    hand.fail(operation, error);
    Error::Transport { operation, error }
}

//= spec/text/09-rounds.md#handover
//= type=test
//# [RND-6] A destination MUST NOT run the guest before its owner has found the stream complete.
//= spec/text/09-rounds.md#loss-of-the-connection
//= type=test
//# [RND-11] A destination whose connection ends before the RAM blocks were exchanged or inside a
//# round MUST end the migration as failed.
#[test]
fn a_destination_whose_source_is_gone_asks_its_owner_only_if_the_stream_may_be_complete() {
    for phase in all().iter().filter(|phase| phase.connected) {
        for way in 0..2 {
            let mut hand = phase.hand.clone();
            hand.events();
            let error = lose_source(&mut hand, way);
            if phase.quiet {
                assert_eq!(hand.events(), [DestinationEvent::StreamEnded], "{}", phase.name);
                assert_eq!(hand.orders(), []);
                assert_eq!(hand.machine.guest_owner(), GuestOwner::Source);
                hand.machine.abort().unwrap();
            }
            let ending = hand.end();
            let expected = Ending { closed: failed(error), peer_told: false, disconnected: true };
            assert_eq!(ending, expected, "{}", phase.name);
        }
    }
}

#[test]
fn what_is_flushed_after_the_loss_of_the_source_changes_nothing() {
    let mut hand = phase("between rounds");
    lose_source(&mut hand, 0);
    while let Some(buffer) = hand.posted.pop_front() {
        hand.fail(FailedOperation::Receive { buffer }, TransportError::Flushed);
    }
    assert_eq!(hand.events(), [DestinationEvent::StreamEnded]);
    hand.machine.finish().unwrap();
    let closed = Closed { result: Ok(()), guest: GuestOwner::Destination, regions_left: 0 };
    assert_eq!(hand.end(), Ending { closed, peer_told: false, disconnected: true });
}

#[test]
fn a_destination_tells_nobody_over_a_connection_that_has_failed() {
    let mut hand = phase("ERROR to send");
    let operation = FailedOperation::Receive { buffer: hand.posted.pop_front().unwrap() };
    hand.broken = true;
    hand.fail(operation, TransportError::Flushed);
    let Ending { closed, peer_told, .. } = hand.end();
    assert_eq!((closed, peer_told), (failed(Error::Aborted), false));
}

#[test]
fn a_destination_names_the_cause_even_if_it_learns_it_after_the_end() {
    let mut hand = phase("round open");
    lose_source(&mut hand, 0);
    assert_eq!(hand.orders(), [Order::Do(Operation::Disconnect)]);
    let error = lose_source(&mut hand, 1);
    assert_eq!(hand.end().closed, failed(error));
}

#[test]
fn a_destination_that_is_not_connected_ends_when_its_source_goes() {
    for phase in all().iter().filter(|phase| !phase.connected && phase.name != "source gone") {
        let mut hand = phase.hand.clone();
        hand.connection(ConnectionEvent::Disconnected);
        hand.broken = true;
        let Ending { closed, peer_told, disconnected } = hand.end();
        let error = if is_closing(phase) { Error::Aborted } else { Error::PeerDisconnected };
        assert_eq!((closed, peer_told), (failed(error), false), "{}", phase.name);
        let was_open = !["listening", "disconnecting", "releasing"].contains(&phase.name);
        assert_eq!(disconnected, was_open, "{}", phase.name);
    }
}

#[test]
fn an_owner_of_a_destination_can_abort_until_it_closes() {
    for phase in all().iter().filter(|phase| phase.calls.contains(&"abort")) {
        let mut hand = phase.hand.clone();
        hand.machine.abort().unwrap();
        let Ending { closed, peer_told, disconnected } = hand.end();
        let gone = phase.name == "source gone";
        let error = if gone { Error::PeerDisconnected } else { Error::Aborted };
        assert_eq!(closed, failed(error), "{}", phase.name);
        assert_eq!(peer_told, phase.connected, "{}", phase.name);
        assert_eq!(disconnected, phase.name != "listening", "{}", phase.name);
    }
}

//= spec/text/10-errors.md#bounded-waits
//= type=test
//# [ERR-1] Every wait for the peer MUST have a deadline.
//= spec/text/10-errors.md#bounded-waits
//= type=test
//# [ERR-2] A side whose wait for the peer reaches its deadline MUST end the migration.
#[test]
fn a_destination_names_the_wait_that_ended_it() {
    let mut fired = Vec::new();
    for phase in all() {
        let mut hand = phase.hand.clone();
        assert_eq!(hand.wait(), phase.wait, "{}", phase.name);
        let Some((reason, _)) = phase.wait else { continue };
        assert_eq!(hand.expire(), reason);
        fired.push(reason);
        hand.broken = true;
        if ["disconnecting", "releasing"].contains(&phase.name) {
            let expected = Closed { regions_left: 1, ..failed(Error::Aborted) };
            assert_eq!(hand.given_up(), expected, "{}", phase.name);
            continue;
        }
        let Ending { closed, peer_told, .. } = hand.end();
        let closing = reason == TimeoutReason::ErrorSent;
        let error = if closing { Error::Aborted } else { Error::Timeout(reason) };
        assert_eq!((closed, peer_told), (failed(error), phase.connected), "{}", phase.name);
    }
    fired.sort();
    fired.dedup();
    let never = TimeoutReason::ALL.into_iter().filter(|reason| !fired.contains(reason));
    let of_sources =
        [TimeoutReason::Ready, TimeoutReason::Reply, TimeoutReason::Write, TimeoutReason::Farewell];
    assert_eq!(never.collect::<Vec<_>>(), of_sources);
}

#[test]
fn a_destination_does_nothing_before_its_deadline() {
    for phase in all() {
        let mut hand = phase.hand.clone();
        hand.orders();
        let before = hand.machine.clone();
        let early = hand.machine.poll_timeout().map_or(0, |(at, _)| at.nanoseconds() - 1);
        hand.now = Instant::from_nanoseconds(early);
        hand.machine.handle_timeout(hand.now);
        assert_eq!(hand.machine, before, "{}", phase.name);
        assert_eq!(hand.all_orders(), [], "{}", phase.name);
        assert_eq!(hand.machine, before, "{}: polling in vain changes nothing", phase.name);
    }
}

//= spec/text/09-rounds.md#handover
//= type=test
//# [RND-4] A destination MUST have destroyed its queue pair before it lets the guest run.
#[test]
fn the_guest_is_released_behind_the_queue_pair_and_before_memory_is_given_back() {
    for name in ["between rounds", "tail held", "source gone"] {
        let mut hand = phase(name);
        hand.machine.finish().unwrap();
        assert_eq!(hand.orders(), [Order::Do(Operation::Disconnect)], "{name}");
        assert_eq!(hand.events(), []);
        assert_eq!(hand.machine.guest_owner(), GuestOwner::Source);
        hand.answer_all();
        assert_eq!(hand.events(), [DestinationEvent::GuestReleased]);
        assert_eq!(hand.machine.guest_owner(), GuestOwner::Destination);
        assert_eq!(hand.registered.len(), 1);
        let guest = GuestOwner::Destination;
        let closed = Closed { result: Ok(()), guest, regions_left: 0 };
        let expected = Ending { closed, peer_told: false, disconnected: false };
        assert_eq!(hand.end(), expected);
    }
}

#[test]
fn a_queue_pair_that_cannot_be_destroyed_keeps_the_guest_from_running() {
    let mut hand = phase("between rounds");
    hand.machine.finish().unwrap();
    hand.orders();
    assert_eq!(hand.expire(), TimeoutReason::Disconnection);
    let error = Error::Timeout(TimeoutReason::Disconnection);
    assert_eq!(hand.given_up(), Closed { regions_left: 1, ..failed(error) });
    assert_eq!(hand.machine.guest_owner(), GuestOwner::Source);
}
