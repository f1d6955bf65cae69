//! What a transport may not do: answers that fit nothing, buffers that are too small, keys of zero.

use rdma_migration_protocol::address::{BlockIndex, BlockOffset, Rkey};
use rdma_migration_protocol::connection::{Closed, GuestOwner};
use rdma_migration_protocol::error::{Error, Misuse};
use rdma_migration_protocol::limits::HEADER_BYTES;
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{
    Completion, ConnectionEvent, FailedOperation, Machine, Operation, ReceiveBuffer, RegionId,
    TransportError,
};
use rdma_migration_protocol::wire::{Kind, Message};

use crate::{destination_phases, source_phases};

/// Answers to operations that no machine has ordered.
fn unasked() -> [Completion<'static>; 14] {
    let (block, offset, region) = (BlockIndex::new(0), BlockOffset::new(0), RegionId(2));
    let error = TransportError::OutOfMemory;
    let failed = |operation| Completion::Failed { operation, error };
    let buffer = ReceiveBuffer(9);
    [
        Completion::Received { buffer, bytes: &[] },
        Completion::Sent,
        Completion::RamWritten,
        Completion::RamScanned { block, offset, zero: true },
        Completion::RamZeroed { block, offset },
        Completion::MemoryRegistered { region, rkey: Rkey::new(1) },
        Completion::MemoryDeregistered { region },
        Completion::Disconnected,
        failed(FailedOperation::Receive { buffer }),
        failed(FailedOperation::Send),
        failed(FailedOperation::ScanRam { block, offset }),
        failed(FailedOperation::ZeroRam { block, offset }),
        failed(FailedOperation::RegisterMemory { region }),
        failed(FailedOperation::DeregisterMemory { region }),
    ]
}

fn misused(guest: GuestOwner) -> Closed {
    let result = Err(Error::ApiMisuse(Misuse::UnexpectedCompletion));
    Closed { result, guest, regions_left: 0 }
}

#[test]
fn a_completion_that_answers_nothing_ends_a_migration_and_the_peer_is_told() {
    for completion in unasked() {
        let mut hand = source_phases::phase("between rounds");
        hand.complete(completion);
        hand.registered.remove(&RegionId(2));
        let ending = hand.end();
        assert_eq!(ending.closed, misused(GuestOwner::Source), "{completion:?}");
        assert!(ending.peer_told, "{completion:?}");

        let mut hand = destination_phases::phase("between rounds");
        hand.complete(completion);
        hand.registered.remove(&RegionId(2));
        let ending = hand.end();
        assert_eq!(ending.closed, misused(GuestOwner::Source), "{completion:?}");
        assert!(ending.peer_told, "{completion:?}");
    }
}

#[test]
fn a_zeroing_that_is_answered_twice_is_answered_once_too_often() {
    let mut hand = destination_phases::phase("zeroing");
    let zeroed = Completion::RamZeroed { block: BlockIndex::new(1), offset: BlockOffset::new(0) };
    hand.complete(zeroed);
    hand.complete(zeroed);
    assert_eq!(hand.end().closed, misused(GuestOwner::Source));
}

#[test]
fn a_connection_event_that_fits_no_phase_ends_a_migration() {
    let private_data = &[0, 0, 0, 1, 0, 0, 0, 0];
    let error = TransportError::Unreachable;
    let events = [
        ConnectionEvent::Requested { private_data },
        ConnectionEvent::Established { private_data },
        ConnectionEvent::Rejected,
    ];
    for event in events {
        let mut hand = source_phases::phase("between rounds");
        hand.connection(event);
        assert_eq!(hand.end().closed, misused(GuestOwner::Source), "{event:?}");
        let mut hand = destination_phases::phase("between rounds");
        hand.connection(event);
        assert_eq!(hand.end().closed, misused(GuestOwner::Source), "{event:?}");
    }
    let mut hand = source_phases::phase("between rounds");
    hand.connection(ConnectionEvent::Failed { error });
    assert_eq!(hand.end().closed, misused(GuestOwner::Source));
    let mut hand = destination_phases::phase("between rounds");
    hand.connection(ConnectionEvent::Failed { error });
    assert_eq!(hand.end().closed.result, Err(Error::ConnectionFailed(error)));
}

#[test]
fn a_receive_that_completes_out_of_order_is_not_taken() {
    let mut hand = destination_phases::phase("stream awaited");
    let buffer = hand.posted[1];
    let bytes = crate::one_of_each::message(Kind::QemuFile);
    hand.machine.handle_completion(Completion::Received { buffer, bytes: &bytes }, hand.now);
    assert_eq!(hand.end().closed, misused(GuestOwner::Source));
}

#[test]
fn a_send_buffer_that_is_too_small_ends_a_migration_and_nothing_is_sent() {
    const SMALL: usize = HEADER_BYTES - 1;
    let mut small = [0; SMALL];
    let expected = |guest| {
        let result = Err(Error::ApiMisuse(Misuse::SendBuffer { bytes: SMALL }));
        Closed { result, guest, regions_left: 0 }
    };
    // Even ERROR does not fit: the connection is closed without it.
    let mut source = source_phases::phase("RAM blocks to ask for");
    source.receive(&Message::Ready);
    let mut destination = destination_phases::phase("connected");
    let orders = [
        core::iter::from_fn(|| source.machine.poll_operation(&mut small, Instant::ORIGIN)).last(),
        core::iter::from_fn(|| destination.machine.poll_operation(&mut small, Instant::ORIGIN))
            .last(),
    ];
    let disconnect = Some(Operation::Disconnect);
    assert_eq!(orders, [disconnect, disconnect]);
    for buffer in core::mem::take(&mut source.posted) {
        let operation = FailedOperation::Receive { buffer };
        source.fail(operation, TransportError::Flushed);
    }
    source.complete(Completion::Disconnected);
    assert_eq!(source.given_up(), expected(GuestOwner::Source));
    destination.complete(Completion::Disconnected);
    assert_eq!(destination.given_up(), expected(GuestOwner::Source));
}

//= spec/text/05-registration.md#result
//= type=test
//# [REG-18] A destination MUST NOT answer with a key of zero.
#[test]
fn a_destination_never_answers_with_a_key_of_zero_and_gives_the_region_back() {
    for name in ["registering", "pinning"] {
        let mut hand = destination_phases::phase(name);
        let region = RegionId(0);
        hand.complete(Completion::MemoryRegistered { region, rkey: Rkey::new(0) });
        let ending = hand.end();
        let result = Err(Error::ApiMisuse(Misuse::ZeroKey));
        let closed = Closed { result, guest: GuestOwner::Source, regions_left: 0 };
        assert_eq!(ending.closed, closed, "{name}");
        assert!(ending.peer_told);
    }
}
