//! The chapter on the connection: what is agreed, which receives there are, how it closes.

use rdma_migration_protocol::connection::{
    Closed, GuestOwner, Negotiated, NewerVersion, PinAllOffer, PinAllPolicy,
};
use rdma_migration_protocol::destination::{Destination, DestinationConfig, DestinationEvent};
use rdma_migration_protocol::error::{Error, Incompatibility};
use rdma_migration_protocol::limits::{PRIVATE_DATA_BYTES, RECEIVE_BUFFERS};
use rdma_migration_protocol::source::{Source, SourceConfig, SourceEvent};
use rdma_migration_protocol::transport::{
    Completion, ConnectionEvent, FailedOperation, Machine, Operation, ReceiveBuffer, RegionId,
    TransportError,
};
use rdma_migration_protocol::wire::{Flags, Kind, Malformed, Message};
use rdma_migration_transport_sim::{Scripted, ScriptedSource};

use crate::by_hand::{ByHand, Ending, Last, Order};
use crate::play::{destination_closed, source_closed};
use crate::{destination_phases, source_phases};

const fn private_data(version: u8, flags: u8) -> [u8; PRIVATE_DATA_BYTES] {
    [0, 0, 0, version, 0, 0, 0, flags]
}

fn failed(error: Error) -> Closed {
    Closed { result: Err(error), guest: GuestOwner::Source, regions_left: 0 }
}

/// The order to post each receive, in the order of the buffers.
fn posts() -> Vec<Order> {
    let buffers = (0..).map(ReceiveBuffer).take(RECEIVE_BUFFERS);
    buffers.map(|buffer| Order::Do(Operation::PostReceive { buffer })).collect()
}

//= spec/text/02-connection.md#receives
//= type=test
//# [CON-20] A side MUST post its receives before it connects or accepts.
//= spec/text/02-connection.md#negotiation
//= type=test
//# [CON-10] A source MUST offer version 1.
#[test]
fn a_source_posts_its_receives_and_then_connects_with_version_1() {
    for (pin_all, flags) in
        [(PinAllOffer::Never, 0), (PinAllOffer::Preferred, 1), (PinAllOffer::Required, 1)]
    {
        let config = SourceConfig { pin_all, ..SourceConfig::default() };
        let mut hand = ByHand::new(Source::new(config).unwrap());
        hand.machine.connect().unwrap();
        let connect = Operation::Connect { private_data: private_data(1, flags) };
        assert_eq!(hand.all_orders(), [posts(), vec![Order::Do(connect)]].concat());
    }
}

//= spec/text/02-connection.md#receives
//= type=test
//# [CON-20] A side MUST post its receives before it connects or accepts.
//= spec/text/02-connection.md#negotiation
//= type=test
//# [CON-12] A destination MUST answer a request of a newer version with version 1, unless its
//# policy is to refuse newer versions.
//= spec/text/02-connection.md#negotiation
//= type=test
//# [CON-13] A destination MUST answer with no flag that it does not know or that was not offered.
//= spec/text/02-connection.md#negotiation
//= type=test
//# [CON-14] A destination MUST answer with PIN_ALL where it was offered, unless its policy is
//# another.
//= spec/text/02-connection.md#private-data
//= type=test
//# [CON-3] A receiver MUST ignore the bytes of the private data after the first 8.
#[test]
fn a_destination_posts_its_receives_and_then_accepts_what_it_knows() {
    let asked = [
        ([0, 0, 0, 1, 0, 0, 0, 0], 0),
        ([0, 0, 0, 1, 0, 0, 0, 1], 1),
        ([0, 0, 0, 1, 0xff, 0xff, 0xff, 0xfe], 0),
        ([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 1),
    ];
    for (request, flags) in asked {
        let mut area = [0xa5; 56];
        area[..PRIVATE_DATA_BYTES].copy_from_slice(&request);
        let mut hand = ByHand::new(Destination::new(DestinationConfig::default()));
        hand.connection(ConnectionEvent::Requested { private_data: &area });
        let accept = Operation::Accept { private_data: private_data(1, flags) };
        assert_eq!(hand.all_orders(), [posts(), vec![Order::Do(accept)]].concat());
        hand.connection(ConnectionEvent::Established { private_data: &[] });
        let negotiated = Negotiated { pin_all: flags == 1 };
        assert_eq!(hand.events(), [DestinationEvent::Connected(negotiated)]);
    }
    let decline =
        DestinationConfig { pin_all: PinAllPolicy::Decline, ..DestinationConfig::default() };
    let mut hand = ByHand::new(Destination::new(decline));
    hand.connection(ConnectionEvent::Requested { private_data: &private_data(1, 1) });
    let accept = Operation::Accept { private_data: private_data(1, 0) };
    assert_eq!(hand.orders(), [Order::Do(accept)]);
}

//= spec/text/02-connection.md#negotiation
//= type=test
//# [CON-11] A destination MUST refuse a request whose version is 0.
//= spec/text/02-connection.md#private-data
//= type=test
//# [CON-2] A receiver MUST reject private data that is shorter than 8 bytes.
#[test]
fn a_destination_refuses_what_it_cannot_agree_to() {
    let plain = DestinationConfig::default();
    let strict = DestinationConfig { newer_version: NewerVersion::Refuse, ..plain.clone() };
    let unpinned = DestinationConfig { pin_all: PinAllPolicy::Refuse, ..plain.clone() };
    let version = |received| Error::PeerIncompatible(Incompatibility::Version { received });
    let short = Malformed::PrivateDataTooShort { received: 7 };
    let refused = [
        (&plain, private_data(0, 0).to_vec(), version(0)),
        (&plain, private_data(1, 0)[..7].to_vec(), short.into()),
        (&strict, private_data(2, 0).to_vec(), version(2)),
        (&unpinned, private_data(1, 1).to_vec(), Incompatibility::PinAllRefused.into()),
    ];
    for (config, request, error) in refused {
        let mut hand = ByHand::new(Destination::new(config.clone()));
        hand.connection(ConnectionEvent::Requested { private_data: &request });
        assert_eq!(
            hand.all_orders()[..2],
            [Operation::Reject, Operation::Disconnect].map(Order::Do)
        );
        hand.answer_all();
        assert_eq!(hand.given_up(), failed(error));
    }
}

//= spec/text/02-connection.md#negotiation
//= type=test
//# [CON-16] A source MUST take a capability for agreed only where it offered it and the reply
//# carries it.
#[test]
fn a_source_pins_only_what_was_offered_and_granted() {
    let agreed = [
        (PinAllOffer::Never, Flags::PIN_ALL, false),
        (PinAllOffer::Preferred, Flags::NONE, false),
        (PinAllOffer::Preferred, Flags::from_bits(u32::MAX), true),
        (PinAllOffer::Required, Flags::PIN_ALL, true),
    ];
    for (offer, granted, pin_all) in agreed {
        let config = SourceConfig { pin_all: offer, ..SourceConfig::default() };
        let mut peer = Scripted::established_with(config, granted);
        peer.expect_event(&SourceEvent::Connected(Negotiated { pin_all }));
        assert_eq!(peer.violations(), [""; 0]);
    }
}

//= spec/text/02-connection.md#negotiation
//= type=test
//# [CON-17] A source MUST refuse a reply whose version is 0.
//= spec/text/02-connection.md#private-data
//= type=test
//# [CON-2] A receiver MUST reject private data that is shorter than 8 bytes.
#[test]
fn a_source_refuses_a_reply_that_it_cannot_agree_to_and_says_so() {
    let short = Malformed::PrivateDataTooShort { received: 7 };
    let version = Incompatibility::Version { received: 0 };
    let refused = [
        (private_data(0, 1).to_vec(), Error::from(version)),
        (private_data(1, 1)[..7].to_vec(), short.into()),
        (private_data(1, 0).to_vec(), Incompatibility::PinAllDeclined.into()),
    ];
    for (reply, error) in refused {
        let config = SourceConfig { pin_all: PinAllOffer::Required, ..SourceConfig::default() };
        let mut hand = ByHand::new(Source::new(config).unwrap());
        hand.machine.connect().unwrap();
        hand.orders();
        hand.connection(ConnectionEvent::Established { private_data: &reply });
        let expected = Ending { closed: failed(error), peer_told: true, disconnected: true };
        assert_eq!(hand.end(), expected);
    }
}

#[test]
fn a_source_that_is_rejected_or_finds_nobody_ends() {
    let mut peer = Scripted::connecting(SourceConfig::default());
    peer.reject();
    assert_eq!(source_closed(&mut peer), failed(Error::ConnectionRejected));
    assert_eq!(peer.violations(), [""; 0]);

    let mut hand = source_phases::phase("connecting");
    hand.connection(ConnectionEvent::Failed { error: TransportError::Unreachable });
    let ending = hand.end();
    assert_eq!(ending.closed, failed(Error::ConnectionFailed(TransportError::Unreachable)));
    assert!(ending.disconnected && !ending.peer_told);
}

#[test]
fn a_connection_that_cannot_be_made_ends_its_destination() {
    for name in ["to accept", "accepting"] {
        let mut hand = destination_phases::phase(name);
        hand.connection(ConnectionEvent::Failed { error: TransportError::Unreachable });
        let ending = hand.end();
        assert_eq!(ending.closed, failed(Error::ConnectionFailed(TransportError::Unreachable)));
        assert!(ending.disconnected && !ending.peer_told);
    }
}

//= spec/text/02-connection.md#closing
//= type=test
//# [CON-30] A side that fails for a reason that its peer cannot see MUST send ERROR before it
//# disconnects, if the connection still carries messages.
#[test]
fn an_abort_is_told_to_the_peer_before_the_connection_goes() {
    let mut peer = Scripted::established();
    peer.source.abort().unwrap();
    peer.expect_send(Kind::Error);
    peer.expect_no_send();
    assert!(peer.is_disconnected());
    assert_eq!(source_closed(&mut peer), failed(Error::Aborted));
    assert_eq!(peer.violations(), [""; 0]);

    let mut peer = ScriptedSource::established();
    peer.destination.abort().unwrap();
    peer.expect_send(Kind::Error);
    peer.expect_no_send();
    assert!(peer.is_disconnected());
    assert_eq!(destination_closed(&mut peer), failed(Error::Aborted));
    assert_eq!(peer.violations(), [""; 0]);
}

#[test]
fn error_leaves_before_the_queue_pair_is_destroyed() {
    for told_late in [false, true] {
        let mut hand = source_phases::phase("between rounds");
        hand.machine.abort().unwrap();
        assert_eq!(hand.orders(), [Order::Send(Kind::Error)]);
        if told_late {
            hand.fail(FailedOperation::Send, TransportError::RetryExceeded);
        } else {
            hand.complete(Completion::Sent);
        }
        assert_eq!(hand.orders(), [Order::Do(Operation::Disconnect)]);
    }
}

//= spec/text/02-connection.md#closing
//= type=test
//# [CON-31] A side MUST NOT send ERROR after it has received ERROR.
#[test]
fn a_side_that_is_about_to_send_error_does_not_once_it_has_received_error() {
    let mut hand = source_phases::phase("between rounds");
    hand.machine.abort().unwrap();
    hand.receive(&Message::Error);
    let expected = Ending { closed: failed(Error::Aborted), peer_told: false, disconnected: true };
    assert_eq!(hand.end(), expected);

    let mut hand = destination_phases::phase("between rounds");
    hand.machine.abort().unwrap();
    hand.receive(&Message::Error);
    assert_eq!(hand.end(), expected);
}

#[test]
fn nothing_follows_the_end() {
    // The queue pair is not destroyed in time; the last message is acknowledged only after that.
    let mut hand = source_phases::phase("last message on its way");
    hand.connection(ConnectionEvent::Disconnected);
    hand.orders();
    hand.expire();
    let guest = GuestOwner::Undecided;
    let closed = Closed { result: Err(Error::PeerDisconnected), guest, regions_left: 1 };
    assert_eq!(hand.given_up(), closed);
    hand.complete(Completion::Sent);
    assert_eq!(hand.events(), []);
    assert_eq!(hand.machine.guest_owner(), guest);
    hand.complete(Completion::Disconnected);
    assert_eq!((hand.events(), hand.all_orders()), (vec![], vec![]));

    let mut hand = destination_phases::phase("between rounds");
    hand.machine.finish().unwrap();
    hand.orders();
    hand.expire();
    hand.given_up();
    hand.complete(Completion::Disconnected);
    assert_eq!((hand.events(), hand.all_orders()), (vec![], vec![]));
    assert_eq!(hand.machine.guest_owner(), GuestOwner::Source);
}

//= spec/text/02-connection.md#closing
//= type=test
//# [CON-32] A side MUST NOT deregister memory before its queue pair is destroyed, unless its peer
//# has asked for it.
//= spec/text/02-connection.md#closing
//= type=test
//# [CON-33] A side MUST release everything that it has registered before it reports the end.
#[test]
fn memory_is_given_back_behind_the_queue_pair_and_before_the_end_is_reported() {
    fn close<M: Machine<Event: Last + core::fmt::Debug>>(mut hand: ByHand<M>) {
        let region = RegionId(1);
        assert_eq!(hand.orders(), [Order::Send(Kind::Error)]);
        hand.complete(Completion::Sent);
        assert_eq!(hand.orders(), [Order::Do(Operation::Disconnect)]);
        assert_eq!(hand.orders(), []);
        hand.complete(Completion::Disconnected);
        assert_eq!(hand.orders(), [Order::Do(Operation::DeregisterMemory { region })]);
        assert!(hand.events().is_empty() && !hand.machine.is_closed());
        hand.complete(Completion::MemoryDeregistered { region });
        assert_eq!(hand.given_up(), failed(Error::Aborted));
    }
    let mut hand = source_phases::phase("between rounds");
    hand.machine.abort().unwrap();
    close(hand);
    let mut hand = destination_phases::phase("between rounds");
    hand.machine.abort().unwrap();
    close(hand);
}

#[test]
fn a_region_that_cannot_be_given_back_is_tried_again_and_then_counted() {
    let region = RegionId(1);
    let deregister = [Order::Do(Operation::DeregisterMemory { region })];
    let failed_once = FailedOperation::DeregisterMemory { region };
    let error = TransportError::Os(5);
    for attempts in 1..=4 {
        let mut hand = source_phases::phase("releasing");
        for _ in 1..attempts {
            hand.fail(failed_once, error);
            assert_eq!(hand.orders(), deregister);
        }
        hand.complete(Completion::MemoryDeregistered { region });
        assert_eq!(hand.given_up(), failed(Error::Aborted));
    }
    let mut hand = source_phases::phase("releasing");
    for _ in 0..3 {
        hand.fail(failed_once, error);
        assert_eq!(hand.orders(), deregister);
    }
    hand.fail(failed_once, error);
    assert_eq!(hand.given_up(), Closed { regions_left: 1, ..failed(Error::Aborted) });

    let mut hand = destination_phases::phase("releasing");
    for _ in 0..3 {
        hand.fail(failed_once, error);
        assert_eq!(hand.orders(), deregister);
    }
    hand.fail(failed_once, error);
    assert_eq!(hand.given_up(), Closed { regions_left: 1, ..failed(Error::Aborted) });
}

#[test]
fn memory_that_is_still_being_registered_is_given_back_once_it_is() {
    let mut hand = source_phases::phase("registering here");
    hand.machine.abort().unwrap();
    hand.orders();
    hand.complete(Completion::Sent);
    hand.orders();
    hand.complete(Completion::Disconnected);
    assert_eq!(hand.orders(), []);
    assert_eq!(hand.events(), []);
    let region = RegionId(0);
    hand.complete(Completion::MemoryRegistered { region, rkey: crate::by_hand::rkey(region) });
    assert_eq!(hand.orders(), [Order::Do(Operation::DeregisterMemory { region })]);
    hand.complete(Completion::MemoryDeregistered { region });
    assert_eq!(hand.given_up(), failed(Error::Aborted));
}

#[test]
fn memory_that_is_still_being_looked_at_is_waited_for() {
    let mut hand = source_phases::phase("scanning");
    hand.machine.abort().unwrap();
    hand.orders();
    hand.complete(Completion::Sent);
    hand.orders();
    hand.complete(Completion::Disconnected);
    assert_eq!((hand.orders(), hand.events()), (vec![], vec![]));
    source_phases::scanned(&mut hand, 0, 0, true);
    assert_eq!(hand.given_up(), failed(Error::Aborted));

    let mut hand = destination_phases::phase("zeroing");
    hand.machine.abort().unwrap();
    hand.orders();
    hand.complete(Completion::Sent);
    hand.orders();
    hand.complete(Completion::Disconnected);
    let region = RegionId(0);
    assert_eq!(hand.orders(), [Order::Do(Operation::DeregisterMemory { region })]);
    hand.complete(Completion::MemoryDeregistered { region });
    assert_eq!((hand.orders(), hand.events()), (vec![], vec![]));
    hand.answer_all();
    assert_eq!(hand.given_up(), failed(Error::Aborted));
}

#[test]
fn the_cause_of_a_broken_queue_pair_is_named_whichever_flush_comes_first() {
    let error = TransportError::RemoteAccess;
    let cause = Error::Transport { operation: FailedOperation::WriteRam, error };
    let mut hand = source_phases::phase("writing");
    hand.connection(ConnectionEvent::Disconnected);
    hand.fail(FailedOperation::WriteRam, error);
    hand.broken = true;
    assert_eq!(hand.end().closed, failed(cause));
}
