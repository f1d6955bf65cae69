//! What a side does at the end about memory work that its transport does not answer.

use core::fmt;
use core::time::Duration;

use rdma_migration_protocol::connection::{Closed, GuestOwner};
use rdma_migration_protocol::deadline::TimeoutReason;
use rdma_migration_protocol::error::Error;
use rdma_migration_protocol::transport::{
    Completion, FailedOperation, Machine, Operation, RegionId, TransportError,
};
use rdma_migration_protocol::wire::{Kind, Message};

use crate::by_hand::{ByHand, Last, Order, rkey};
use crate::layout::MIB;
use crate::{destination_phases, source_phases};

const MEMORY: Duration = Duration::from_secs(60);
/// Regions by their first chunks: the first one is registered, the other one's registration is not
/// answered.
const REGISTERED: RegionId = RegionId(0);
const UNANSWERED: RegionId = RegionId(2);

fn aborted(regions_left: usize) -> Closed {
    Closed { result: Err(Error::Aborted), guest: GuestOwner::Source, regions_left }
}

const fn deregister(region: RegionId) -> Order {
    Order::Do(Operation::DeregisterMemory { region })
}

fn registered<M: Machine>(hand: &mut ByHand<M>, region: RegionId)
where
    M::Event: Last + fmt::Debug,
{
    hand.complete(Completion::MemoryRegistered { region, rkey: rkey(region) });
}

/// A side that was aborted destroys its queue pair, and waits in vain for what is not answered.
#[track_caller]
fn wait_in_vain<M: Machine>(hand: &mut ByHand<M>)
where
    M::Event: Last + fmt::Debug,
{
    assert_eq!(hand.orders(), [Order::Send(Kind::Error)]);
    hand.complete(Completion::Sent);
    assert_eq!(hand.orders(), [Order::Do(Operation::Disconnect)]);
    hand.complete(Completion::Disconnected);
    assert_eq!(hand.orders(), []);
    assert_eq!(hand.wait(), Some((TimeoutReason::Registration, MEMORY)));
    assert_eq!(hand.expire(), TimeoutReason::Registration);
}

/// The ends of a side that has one region and waits for another.
fn ends<M: Machine + Clone>(mut hand: ByHand<M>)
where
    M::Event: Last + fmt::Debug,
{
    wait_in_vain(&mut hand);
    assert!(!hand.machine.is_closed());
    assert_eq!(hand.orders(), [deregister(REGISTERED)]);
    assert_eq!(hand.wait(), Some((TimeoutReason::Registration, MEMORY)));

    let mut never = hand.clone();
    never.complete(Completion::MemoryDeregistered { region: REGISTERED });
    assert_eq!(never.given_up(), aborted(1));

    let mut nothing = hand.clone();
    assert_eq!(nothing.expire(), TimeoutReason::Registration);
    assert_eq!(nothing.given_up(), aborted(2));

    let mut late = hand.clone();
    registered(&mut late, UNANSWERED);
    assert_eq!(late.orders(), [deregister(UNANSWERED)]);
    late.complete(Completion::MemoryDeregistered { region: UNANSWERED });
    late.complete(Completion::MemoryDeregistered { region: REGISTERED });
    assert_eq!(late.given_up(), aborted(0));

    let operation = FailedOperation::RegisterMemory { region: UNANSWERED };
    hand.fail(operation, TransportError::Cancelled);
    hand.complete(Completion::MemoryDeregistered { region: REGISTERED });
    assert_eq!(hand.given_up(), aborted(0));
}

//= spec/text/02-connection.md#closing
//= type=test
//# [CON-33] A side MUST release everything that it has registered before it reports the end.
#[test]
fn a_source_gives_back_what_it_has_even_if_a_registration_is_never_answered() {
    let mut hand = source_phases::phase("pinning, answered");
    registered(&mut hand, REGISTERED);
    hand.machine.abort().unwrap();
    ends(hand);
}

//= spec/text/02-connection.md#closing
//= type=test
//# [CON-33] A side MUST release everything that it has registered before it reports the end.
#[test]
fn a_destination_gives_back_what_it_has_even_if_a_registration_is_never_answered() {
    let mut hand = destination_phases::phase("pinning");
    registered(&mut hand, REGISTERED);
    hand.machine.abort().unwrap();
    ends(hand);
}

#[test]
fn a_source_does_not_wait_on_for_a_scan_while_it_gives_back_the_rest() {
    let mut hand = source_phases::phase("registering here");
    registered(&mut hand, REGISTERED);
    hand.orders();
    hand.complete(Completion::RamWritten);
    source_phases::write(&mut hand, 0, MIB, MIB);
    hand.orders();
    source_phases::scanned(&mut hand, 0, MIB, false);
    hand.receive(&Message::Ready);
    hand.orders();
    hand.complete(Completion::Sent);
    // The second chunk is being registered, a third one is looked at.
    source_phases::write(&mut hand, 1, 0, 0x3000);
    assert!(matches!(hand.orders()[..], [Order::Do(Operation::ScanRam { .. })]));
    hand.machine.abort().unwrap();
    wait_in_vain(&mut hand);
    assert_eq!(hand.orders(), [deregister(REGISTERED)]);
    // The scan was due at the same moment.
    hand.machine.handle_timeout(hand.now);
    assert_eq!(hand.wait(), Some((TimeoutReason::Registration, MEMORY)));
    hand.complete(Completion::MemoryDeregistered { region: REGISTERED });
    assert_eq!(hand.given_up(), aborted(1));
}
