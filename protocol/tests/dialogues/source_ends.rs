//! How a source ends, whatever happens in whatever phase.

use rdma_migration_protocol::connection::{Closed, GuestOwner};
use rdma_migration_protocol::deadline::TimeoutReason;
use rdma_migration_protocol::error::{Error, Misbehavior};
use rdma_migration_protocol::limits::HEADER_BYTES;
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{
    ConnectionEvent, FailedOperation, Machine, Operation, TransportError,
};
use rdma_migration_protocol::wire::{Kind, Malformed};

use crate::by_hand::{Ending, Order};
use crate::one_of_each::message;
use crate::source_phases::{Due, SourcePhase, all};

/// A source that is in its closing keeps the reason that it has.
fn is_closing(phase: &SourcePhase) -> bool {
    let last = ["ERROR to send", "ERROR on its way", "disconnecting", "releasing"];
    last.contains(&phase.name)
}

fn is_connected(phase: &SourcePhase) -> bool {
    !is_closing(phase) && !["idle", "to connect", "connecting"].contains(&phase.name)
}

fn failed(phase: &SourcePhase, error: Error) -> Closed {
    Closed { result: Err(error), guest: phase.guest, regions_left: 0 }
}

/// What a source has to say of a message of this kind.
fn judgement(due: Due, received: Kind) -> Result<(), Error> {
    let wrong: Misbehavior = match (due, received) {
        (Due::Ignored, _) | (Due::Ready, Kind::Ready) => return Ok(()),
        (_, Kind::Error) => return Err(Error::PeerReportedError),
        (Due::Reply(reply), received) if reply == received => return Ok(()),
        (Due::Reply(expected), Kind::Ready) => Misbehavior::ReadyBeforeReply { expected },
        (Due::Nothing, Kind::Ready) => Misbehavior::ReadyTwice,
        (Due::Reply(expected), received) => {
            Misbehavior::Unexpected { received, expected: Some(expected) }
        }
        (Due::Ready | Due::Nothing, received) => {
            Misbehavior::Unexpected { received, expected: None }
        }
        (Due::Deaf, _) => unreachable!("no receive is posted"),
    };
    Err(wrong.into())
}

//= spec/text/03-control-channel.md#ready
//= type=test
//# [CTL-24] A source MUST reject a READY that arrives before the reply that is due.
//= spec/text/03-control-channel.md#ready
//= type=test
//# [CTL-25] A source MUST reject a READY that arrives while an earlier one is unused.
//= spec/text/03-control-channel.md#ready
//= type=test
//# [CTL-26] A source MUST reject a reply of another kind than the one that is due.
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
#[test]
fn a_source_takes_the_message_that_is_due_and_ends_at_any_other() {
    for phase in all().iter().filter(|phase| phase.due != Due::Deaf) {
        for kind in Kind::ALL {
            let mut hand = phase.hand.clone();
            hand.receive_bytes(&message(kind));
            let context = format!("{}: {kind}", phase.name);
            let Err(error) = judgement(phase.due, kind) else {
                assert_eq!(hand.machine.guest_owner(), phase.guest, "{context}");
                let goes_on = hand.machine.abort().is_ok();
                assert_eq!(goes_on, phase.calls.contains(&"abort"), "{context}");
                continue;
            };
            hand.broken = true;
            let Ending { closed, peer_told, disconnected } = hand.end();
            assert_eq!(closed, failed(phase, error), "{context}");
            assert_eq!(peer_told, is_connected(phase) && kind != Kind::Error, "{context}");
            assert!(disconnected, "{context}");
        }
    }
}

//= spec/text/02-connection.md#closing
//= type=test
//# [CON-30] A side that fails for a reason that its peer cannot see MUST send ERROR before it
//# disconnects, if the connection still carries messages.
#[test]
fn a_source_ends_at_bytes_that_are_no_message_and_says_so() {
    for phase in all().iter().filter(|phase| !matches!(phase.due, Due::Deaf | Due::Ignored)) {
        let mut hand = phase.hand.clone();
        hand.receive_bytes(&[0; HEADER_BYTES - 1]);
        hand.broken = true;
        let Ending { closed, peer_told, .. } = hand.end();
        let malformed = Malformed::HeaderTruncated { received: HEADER_BYTES - 1 };
        assert_eq!(closed, failed(phase, malformed.into()), "{}", phase.name);
        assert_eq!(peer_told, is_connected(phase), "{}", phase.name);
    }
}

//= spec/text/09-rounds.md#handover
//= type=test
//# [RND-5] A source MUST report the guest as its own until it has posted the last message of the
//# stream, whatever fails before.
//= spec/text/09-rounds.md#handover
//= type=test
//# [RND-3] From posting the last message of the stream until its completion a source MUST report the
//# guest as undecided.
//= spec/text/09-rounds.md#handover
//= type=test
//# [RND-9] After the last message has been acknowledged a source MUST NOT take the end of the
//# connection for a failure.
#[test]
fn a_source_whose_destination_disconnects_knows_who_owns_the_guest() {
    for phase in all() {
        let mut hand = phase.hand.clone();
        assert_eq!(hand.machine.guest_owner(), phase.guest, "{}", phase.name);
        hand.broken = true;
        hand.connection(ConnectionEvent::Disconnected);
        let Ending { closed, peer_told, disconnected } = hand.end();
        let result = match phase.name {
            "farewell" => Ok(()),
            _ if is_closing(&phase) => Err(Error::Aborted),
            _ => Err(Error::PeerDisconnected),
        };
        let expected = Closed { result, guest: phase.guest, regions_left: 0 };
        assert_eq!(closed, expected, "{}", phase.name);
        assert!(!peer_told, "{}", phase.name);
        let was_open = !["idle", "disconnecting", "releasing"].contains(&phase.name);
        assert_eq!(disconnected, was_open, "{}", phase.name);
    }
}

//= spec/text/09-rounds.md#handover
//= type=test
//# [RND-5] A source MUST report the guest as its own until it has posted the last message of the
//# stream, whatever fails before.
//= spec/text/09-rounds.md#handover
//= type=test
//# [RND-9] After the last message has been acknowledged a source MUST NOT take the end of the
//# connection for a failure.
#[test]
fn a_source_whose_queue_pair_fails_says_how_and_ends_without_error() {
    let error = TransportError::RetryExceeded;
    for phase in all().iter().filter(|phase| is_connected(phase)) {
        let mut hand = phase.hand.clone();
        let operation = FailedOperation::Receive { buffer: hand.posted.pop_front().unwrap() };
        hand.broken = true;
        hand.fail(operation, error);
        let Ending { closed, peer_told, disconnected } = hand.end();
        // Everything had arrived: the destination may go as it likes.
        let given = phase.guest == GuestOwner::Destination;
        let result = if given { Ok(()) } else { Err(Error::Transport { operation, error }) };
        let expected = Closed { result, guest: phase.guest, regions_left: 0 };
        assert_eq!((closed, peer_told, disconnected), (expected, false, true), "{}", phase.name);
    }
}

#[test]
fn a_source_tells_nobody_over_a_connection_that_has_failed() {
    let phase = all().into_iter().find(|phase| phase.name == "ERROR to send").unwrap();
    let mut hand = phase.hand.clone();
    let operation = FailedOperation::Receive { buffer: hand.posted.pop_front().unwrap() };
    hand.broken = true;
    hand.fail(operation, TransportError::Flushed);
    let Ending { closed, peer_told, .. } = hand.end();
    assert_eq!((closed, peer_told), (failed(&phase, Error::Aborted), false));
}

#[test]
fn a_source_names_the_cause_even_if_it_learns_it_after_the_end() {
    let phase = all().into_iter().find(|phase| phase.name == "between rounds").unwrap();
    let mut hand = phase.hand.clone();
    hand.broken = true;
    hand.connection(ConnectionEvent::Disconnected);
    assert_eq!(hand.orders(), [Order::Do(Operation::Disconnect)]);
    let operation = FailedOperation::Receive { buffer: hand.posted.pop_front().unwrap() };
    let error = TransportError::RetryExceeded;
    hand.fail(operation, error);
    assert_eq!(hand.end().closed, failed(&phase, Error::Transport { operation, error }));
}

#[test]
fn an_owner_of_a_source_can_abort_until_the_guest_is_handed_over() {
    for phase in all().iter().filter(|phase| phase.calls.contains(&"abort")) {
        let mut hand = phase.hand.clone();
        hand.machine.abort().unwrap();
        let unacknowledged = phase.guest == GuestOwner::Undecided;
        hand.broken = unacknowledged;
        let Ending { closed, peer_told, disconnected } = hand.end();
        assert_eq!(closed, failed(phase, Error::Aborted), "{}", phase.name);
        assert_eq!(peer_told, is_connected(phase), "{}", phase.name);
        assert_eq!(disconnected, phase.name != "idle", "{}", phase.name);
    }
}

#[test]
fn an_aborted_source_still_learns_that_everything_had_arrived() {
    let phase = all().into_iter().find(|phase| phase.name == "last message on its way").unwrap();
    let mut hand = phase.hand;
    hand.machine.abort().unwrap();
    let ending = hand.end();
    let guest = GuestOwner::Destination;
    let closed = Closed { result: Err(Error::Aborted), guest, regions_left: 0 };
    assert_eq!(ending, Ending { closed, peer_told: true, disconnected: true });
}

#[test]
fn a_source_that_loses_the_connection_first_still_learns_that_everything_had_arrived() {
    let phase = all().into_iter().find(|phase| phase.name == "last message on its way").unwrap();
    let mut disconnected = phase.hand.clone();
    disconnected.connection(ConnectionEvent::Disconnected);
    let mut failed = phase.hand;
    let operation = FailedOperation::Receive { buffer: failed.posted.pop_front().unwrap() };
    failed.fail(operation, TransportError::RetryExceeded);
    for mut hand in [disconnected, failed] {
        // The acknowledgement of the last message was on its way as well.
        let ending = hand.end();
        let closed = Closed { result: Ok(()), guest: GuestOwner::Destination, regions_left: 0 };
        assert_eq!(ending, Ending { closed, peer_told: false, disconnected: true });
    }
}

//= spec/text/10-errors.md#bounded-waits
//= type=test
//# [ERR-1] Every wait for the peer MUST have a deadline.
//= spec/text/10-errors.md#bounded-waits
//= type=test
//# [ERR-2] A side whose wait for the peer reaches its deadline MUST end the migration.
#[test]
fn a_source_waits_for_one_thing_at_a_time_and_names_it_when_it_does_not_come() {
    let mut fired = Vec::new();
    // Before the orders of an abort are polled its waits are not known.
    for phase in all().into_iter().filter(|phase| phase.name != "ERROR to send") {
        let mut hand = phase.hand.clone();
        assert_eq!(hand.wait(), phase.wait, "{}", phase.name);
        let Some((reason, _)) = phase.wait else { continue };
        assert_eq!(hand.expire(), reason);
        fired.push(reason);
        // What has not come by then does not come any more.
        hand.broken = true;
        let result = match reason {
            TimeoutReason::Farewell => Ok(()),
            TimeoutReason::ErrorSent => Err(Error::Aborted),
            TimeoutReason::Disconnection => {
                let closed = failed(&phase, Error::Aborted);
                assert_eq!(hand.given_up(), Closed { regions_left: 1, ..closed });
                continue;
            }
            TimeoutReason::Registration if phase.name == "releasing" => {
                let closed = failed(&phase, Error::Aborted);
                assert_eq!(hand.given_up(), Closed { regions_left: 1, ..closed });
                continue;
            }
            reason => Err(Error::Timeout(reason)),
        };
        let Ending { closed, peer_told, .. } = hand.end();
        let expected = Closed { result, guest: phase.guest, regions_left: 0 };
        assert_eq!(closed, expected, "{}", phase.name);
        let told = is_connected(&phase) && expected.result.is_err();
        assert_eq!(peer_told, told, "{}", phase.name);
    }
    fired.sort();
    fired.dedup();
    let never = TimeoutReason::ALL.into_iter().filter(|reason| !fired.contains(reason));
    assert_eq!(never.collect::<Vec<_>>(), [TimeoutReason::Command]);
}

#[test]
fn a_source_does_nothing_before_its_deadline() {
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
