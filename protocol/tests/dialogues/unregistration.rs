//! The chapter on registration, at the destination: what is given back on demand.

use rdma_migration_protocol::address::BlockIndex;
use rdma_migration_protocol::error::{Error, Misbehavior};
use rdma_migration_protocol::transport::{
    Completion, FailedOperation, Operation, RegionId, TransportError,
};
use rdma_migration_protocol::wire::{Entries, Kind, Message};

use crate::by_hand::{Ending, Order, encode};
use crate::destination_phases::{request, unregister};
use crate::layout::MIB;
use crate::registration::{ask, destination, expect_answer, failed, register};

fn deregister(region: u32) -> Order {
    Order::Do(Operation::DeregisterMemory { region: RegionId(region) })
}

//= spec/text/05-registration.md#unregistration
//= type=test
//# [REG-31] A destination MUST reject an UNREGISTER_REQUEST for a chunk at which no registered region
//# starts.
#[test]
fn only_the_first_chunk_of_a_registered_region_can_be_unregistered() {
    let registered = || {
        let mut hand = destination(&[8 * MIB]);
        ask(&mut hand, &[request(0, 2 * MIB, 1)]);
        hand.run();
        hand
    };
    let block = BlockIndex::new(0);
    for chunk in [0, 1, 3, 4, 7, 8, 1 << 32, (1 << 32) + 2, u64::MAX] {
        let mut hand = registered();
        hand.receive(&Message::UnregisterRequest(Entries::new(&[unregister(0, chunk)])));
        let wrong = Misbehavior::NotRegistered { block, chunk };
        let expected = Ending { closed: failed(wrong), peer_told: true, disconnected: true };
        assert_eq!(hand.end(), expected, "chunk {chunk}");
    }
    // Twice in one message is once too often, and then none of them is carried out.
    let mut hand = registered();
    let twice = [unregister(0, 2), unregister(0, 2)];
    hand.receive(&Message::UnregisterRequest(Entries::new(&twice)));
    let wrong = Misbehavior::NotRegistered { block, chunk: 2 };
    assert_eq!(hand.end().closed, failed(wrong));
}

//= spec/text/05-registration.md#layout
//= type=test
//# [REG-36] A destination MUST ignore the `chunks` of an unregister request.
#[test]
fn a_region_is_given_back_whole_whatever_the_number_of_chunks_says() {
    for chunks in [1_u64, u64::MAX] {
        let mut hand = destination(&[8 * MIB]);
        ask(&mut hand, &[request(0, 0, 0), request(0, MIB, 2)]);
        hand.run();
        expect_answer(&mut hand, &[(0, 0), (1, 0)]);
        let asked = [unregister(0, 1)];
        let mut message = encode(&Message::UnregisterRequest(Entries::new(&asked)));
        message[16 + 16..].copy_from_slice(&chunks.to_be_bytes());
        hand.receive_bytes(&message);
        assert_eq!(hand.orders(), [deregister(1)]);
    }
}

//= spec/text/05-registration.md#unregistration
//= type=test
//# [REG-32] A destination MUST have deregistered the chunks before it sends UNREGISTER_FINISHED.
//= spec/text/05-registration.md#unregistration
//= type=test
//# [REG-33] UNREGISTER_FINISHED MUST carry the `repeat` of its request.
#[test]
fn unregistration_is_answered_once_every_region_is_deregistered() {
    let mut hand = destination(&[8 * MIB]);
    ask(&mut hand, &[request(0, 0, 0), request(0, MIB, 2), request(0, 7 * MIB, 0)]);
    hand.run();
    expect_answer(&mut hand, &[(0, 0), (1, 0), (7, 0)]);
    let asked = [unregister(0, 7), unregister(0, 1), unregister(0, 0)];
    hand.receive(&Message::UnregisterRequest(Entries::new(&asked)));
    assert_eq!(hand.orders(), [7, 1, 0].map(deregister));
    for region in [1, 0, 7].map(RegionId) {
        assert_eq!(hand.orders(), []);
        hand.complete(Completion::MemoryDeregistered { region });
    }
    assert_eq!(hand.orders(), [Kind::UnregisterFinished, Kind::Ready].map(Order::Send));
    let expected = encode(&Message::UnregisterFinished { repeat: 3 });
    assert_eq!(hand.message(Kind::UnregisterFinished), expected);
}

#[test]
fn what_was_unregistered_can_be_registered_anew_in_other_pieces() {
    let mut hand = destination(&[8 * MIB]);
    ask(&mut hand, &[request(0, MIB, 2)]);
    hand.run();
    hand.receive(&Message::UnregisterRequest(Entries::new(&[unregister(0, 1)])));
    hand.run();
    ask(&mut hand, &[request(0, 0, 1), request(0, 2 * MIB, 5)]);
    assert_eq!(hand.orders(), [register(0, 0, 0, 2 * MIB), register(2, 0, 2 * MIB, 6 * MIB)]);
    hand.run();
    assert_eq!(hand.registered.len(), 2);
    hand.machine.abort().unwrap();
    assert_eq!(hand.end().closed, failed(Error::Aborted));
}

#[test]
fn a_deregistration_that_fails_ends_the_destination_and_is_tried_again() {
    let mut hand = crate::destination_phases::phase("deregistering");
    let (region, error) = (RegionId(0), TransportError::Os(5));
    let operation = FailedOperation::DeregisterMemory { region };
    hand.fail(operation, error);
    let closed = failed(Error::Transport { operation, error });
    assert_eq!(hand.end(), Ending { closed, peer_told: true, disconnected: true });
}
