//! What verbs punish is acted out and named.

use Side::{Destination, Source};
#[path = "common/bench.rs"]
mod bench;

use bench::{BLOCK, Bench, CAPABILITIES, PAGE, SEND, free, receive, registration};
use rdma_migration_protocol::address::{BlockOffset, HostAddress, Rkey};
use rdma_migration_protocol::limits::CONTROL_BUFFER_BYTES;
use rdma_migration_protocol::transport::{
    Access, ConnectionEvent, FailedOperation, Input, Operation, ReceiveBuffer, RegionId, Transport,
    TransportError, WriteRam,
};
use rdma_migration_transport_sim::{Backing, Breach, FabricConfig, Side, Sides, Violation};

#[test]
fn a_send_without_a_receive_ends_the_connection() {
    let mut bench = Bench::connected();
    bench.issue(Destination, SEND);
    bench.assert_breaches(Destination, [Breach::SendWithoutReceive { bytes: 16 }]);
    let failures = bench.failures(Destination);
    assert_eq!(failures, [(FailedOperation::Send, TransportError::ReceiverNotReady)]);
}

#[test]
fn a_send_without_a_receive_waits_where_the_peer_grants_retries() {
    let retries = Sides { source: 0, destination: 7 };
    let config = FabricConfig { receiver_not_ready_retries: retries, ..free() };
    let mut bench = Bench::connected_with(config);
    bench.0.port(Destination).issue(SEND);
    let pause = bench.0.now().after(core::time::Duration::from_millis(2));
    bench.0.advance(pause);
    bench.issue(Source, receive(0));
    assert!(matches!(&bench.inputs(Destination)[..], [sent] if sent.contains("Sent")));
    assert!(matches!(&bench.inputs(Source)[..], [received] if received.contains("Received")));
}

#[test]
fn a_send_that_is_too_long_fails_on_both_sides() {
    let mut bench = Bench::connected_with(FabricConfig { receive_buffer_bytes: 15, ..free() });
    bench.issue(Source, receive(0));
    bench.issue(Destination, SEND);
    bench.assert_breaches(Destination, [Breach::SendTooLong { bytes: 16, room: 15 }]);
    let failures = bench.failures(Destination);
    assert_eq!(failures, [(FailedOperation::Send, TransportError::RemoteInvalidRequest)]);
    let buffer = ReceiveBuffer(0);
    let failures = bench.failures(Source);
    assert_eq!(failures, [(FailedOperation::Receive { buffer }, TransportError::LocalLength)]);
}

#[test]
fn a_send_has_at_least_one_byte_and_fits_its_buffer() {
    let mut bench = Bench::connected();
    for bytes in [0, CONTROL_BUFFER_BYTES + 1] {
        bench.issue(Destination, Operation::Send { length: bytes });
    }
    let breach = |bytes| Breach::SendLength { bytes };
    bench.assert_breaches(Destination, [0, CONTROL_BUFFER_BYTES + 1].map(breach));
    let failure = (FailedOperation::Send, TransportError::LocalLength);
    assert_eq!(bench.failures(Destination), [failure, failure]);
}

#[test]
fn a_third_send_at_a_time_is_one_too_many() {
    let mut bench = Bench::connected();
    for buffer in 0..3 {
        bench.issue(Source, receive(buffer));
    }
    for _ in 0..3 {
        bench.0.port(Destination).issue(SEND);
    }
    bench.assert_breaches(Destination, [Breach::TooManySends { outstanding: 2 }]);
}

#[test]
fn a_send_queue_has_an_end_and_only_looking_at_completions_frees_it() {
    let mut bench = Bench::connected_with(FabricConfig { send_queue_depth: 2, ..free() });
    let write = bench.write();
    bench.issue(Source, Operation::WriteRam(WriteRam { signaled: false, ..write }));
    bench.issue(Source, Operation::WriteRam(write));
    assert_eq!(bench.0.violations(), []);
    bench.issue(Source, Operation::WriteRam(write));
    bench.assert_breaches(Source, [Breach::SendQueueFull { depth: 2 }]);
    let failures = bench.failures(Source);
    assert_eq!(failures, [(FailedOperation::WriteRam, TransportError::QueueFull)]);
    bench.issue(Source, Operation::WriteRam(WriteRam { signaled: false, ..write }));
    bench.issue(Source, Operation::WriteRam(write));
    assert_eq!(bench.0.violations().len(), 1);
}

#[test]
fn a_receive_queue_has_an_end() {
    let mut bench = Bench::connected_with(FabricConfig { receive_queue_depth: 1, ..free() });
    bench.issue(Source, receive(0));
    bench.issue(Source, receive(1));
    bench.assert_breaches(Source, [Breach::ReceiveQueueFull { depth: 1 }]);
    let failed = FailedOperation::Receive { buffer: ReceiveBuffer(1) };
    assert_eq!(bench.failures(Source), [(failed, TransportError::QueueFull)]);
}

#[test]
fn a_receive_buffer_is_posted_once_and_exists() {
    let mut bench = Bench::connected();
    for buffer in [0, 0, 9] {
        bench.issue(Source, receive(buffer));
    }
    let twice = Breach::ReceivePostedTwice(ReceiveBuffer(0));
    let unknown = Breach::UnknownReceiveBuffer(ReceiveBuffer(9));
    bench.assert_breaches(Source, [twice, unknown]);
}

#[test]
fn a_receive_buffer_is_read_only_while_it_holds_a_message() {
    let mut bench = Bench::connected();
    let buffer = ReceiveBuffer(0);
    bench.issue(Source, receive(0));
    assert_eq!(bench.0.port(Source).receive_buffer(buffer), [0; 0]);
    bench.inputs(Source);
    bench.assert_breaches(Source, [Breach::ReceiveBufferNotHeld(buffer)]);
    bench.issue(Destination, SEND);
    assert_eq!(bench.0.port(Source).receive_buffer(buffer).len(), 16);
    bench.inputs(Source);
    assert_eq!(bench.0.violations().len(), 1);
}

#[test]
fn a_good_write_moves_bytes_and_breaks_no_rule() {
    let mut bench = Bench::connected();
    let write = bench.write();
    bench.0.port(Source).memory_mut(BLOCK)[..4096].fill(3);
    bench.issue(Source, Operation::WriteRam(write));
    assert_eq!(bench.inputs(Source), ["Completion(RamWritten)"]);
    assert_eq!(bench.0.port(Destination).memory(BLOCK)[..4097], [&[3; 4096][..], &[7]].concat());
    assert_eq!(bench.0.violations(), []);
}

/// A write that the destination's adapter refuses, and the rule that it broke.
fn refused(spoil: impl FnOnce(&mut Bench, WriteRam) -> (WriteRam, Breach)) {
    let mut bench = Bench::connected();
    let write = bench.write();
    bench.issue(Destination, receive(0));
    let (write, breach) = spoil(&mut bench, write);
    bench.issue(Source, Operation::WriteRam(write));
    bench.assert_breaches(Source, [breach]);
    let failed = FailedOperation::WriteRam;
    assert_eq!(bench.failures(Source), [(failed, TransportError::RemoteAccess)]);
    // The destination's queue pair has failed too.
    let failed = FailedOperation::Receive { buffer: ReceiveBuffer(0) };
    assert_eq!(bench.failures(Destination), [(failed, TransportError::Flushed)]);
    assert!(bench.0.port(Destination).memory(BLOCK).iter().all(|byte| *byte == 7));
}

#[test]
fn a_key_that_was_never_given_out_grants_nothing() {
    refused(|_, write| {
        let rkey = Rkey::new(write.rkey.get() ^ 1);
        (WriteRam { rkey, ..write }, Breach::UnknownKey(rkey))
    });
}

#[test]
fn a_key_that_was_taken_back_grants_nothing() {
    refused(|bench, write| {
        bench.issue(Destination, Operation::DeregisterMemory { region: RegionId(1) });
        bench.inputs(Destination);
        (write, Breach::KeyTakenBack(write.rkey))
    });
}

#[test]
fn a_key_grants_its_region_and_not_a_byte_more() {
    refused(|_, write| {
        let address = write.remote_address.get() + PAGE + 1;
        let rkey = write.rkey;
        let breach = Breach::OutsideRegion { rkey, address, length: PAGE };
        (WriteRam { remote_address: HostAddress::new(address), ..write }, breach)
    });
    refused(|_, write| {
        let address = write.remote_address.get() - 1;
        let rkey = write.rkey;
        let breach = Breach::OutsideRegion { rkey, address, length: PAGE };
        (WriteRam { remote_address: HostAddress::new(address), ..write }, breach)
    });
}

#[test]
fn a_key_grants_only_its_access() {
    refused(|bench, write| {
        let rkey = bench.register(Destination, 2, Access::LocalRead);
        (WriteRam { rkey, ..write }, Breach::WrongAccess(rkey))
    });
}

#[test]
fn a_write_reads_only_registered_memory() {
    let mut bench = Bench::connected();
    let write = bench.write();
    let outside = BlockOffset::new(PAGE + 1);
    bench.issue(Source, Operation::WriteRam(WriteRam { offset: outside, ..write }));
    bench.assert_breaches(Source, [Breach::LocalBufferNotRegistered(RegionId(1))]);
    let failed = FailedOperation::WriteRam;
    assert_eq!(bench.failures(Source), [(failed, TransportError::LocalProtection)]);
}

#[test]
fn a_write_has_at_least_one_byte() {
    let mut bench = Bench::connected();
    let write = bench.write();
    bench.issue(Source, Operation::WriteRam(WriteRam { length: 0, ..write }));
    bench.assert_breaches(Source, [Breach::EmptyWrite]);
}

#[test]
fn a_region_is_registered_once_inside_its_block_and_given_back_once() {
    let mut bench = Bench::connected();
    bench.register(Source, 1, Access::LocalRead);
    bench.issue(Source, registration(1, 0, PAGE, Access::LocalRead));
    bench.issue(Source, registration(2, 0, (1 << 16) + 1, Access::LocalRead));
    bench.issue(Source, registration(3, 0, 0, Access::LocalRead));
    bench.issue(Source, Operation::DeregisterMemory { region: RegionId(2) });
    bench.issue(Source, Operation::DeregisterMemory { region: RegionId(1) });
    bench.issue(Source, Operation::DeregisterMemory { region: RegionId(1) });
    bench.assert_breaches(
        Source,
        [
            Breach::RegisteredTwice(RegionId(1)),
            Breach::RegionOutsideBlock(RegionId(2)),
            Breach::RegionOutsideBlock(RegionId(3)),
            Breach::NotRegistered(RegionId(2)),
            Breach::NotRegistered(RegionId(1)),
        ],
    );
    assert_eq!(bench.0.pinned(Source).bytes, 0);
}

#[test]
fn a_region_is_given_back_after_its_last_write() {
    let mut bench = Bench::connected_with(FabricConfig::default());
    let write = bench.write();
    bench.0.port(Source).issue(Operation::WriteRam(write));
    bench.0.port(Source).issue(Operation::DeregisterMemory { region: RegionId(1) });
    bench.assert_breaches(Source, [Breach::WriteInFlight(RegionId(1))]);
}

#[test]
fn scans_and_fills_stay_inside_their_block() {
    let mut bench = Bench::connected();
    let (block, offset, length) = (BLOCK, BlockOffset::new(0), (1 << 16) + 1);
    bench.issue(Source, Operation::ScanRam { block, offset, length });
    bench.issue(Source, Operation::ZeroRam { block, offset, length: 0 });
    bench.assert_breaches(Source, [Breach::RunOutsideBlock, Breach::RunOutsideBlock]);
    assert_eq!(bench.failures(Source).len(), 2);
}

#[test]
fn nothing_is_sent_before_the_connection_is_up() {
    let mut bench = Bench::new(free());
    bench.issue(Source, SEND);
    bench.issue(Source, Operation::Connect { private_data: CAPABILITIES });
    bench.0.port(Destination).issue(Operation::Accept { private_data: CAPABILITIES });
    // Accepted, and the source does not know of it yet.
    bench.0.port(Destination).issue(SEND);
    let breach = |side| Violation { side, breach: Breach::NotConnected(SEND) };
    assert_eq!(bench.0.violations(), [breach(Source), breach(Destination)]);
}

#[test]
fn connection_management_follows_its_states() {
    let mut bench = Bench::connected();
    let connect = Operation::Connect { private_data: CAPABILITIES };
    bench.issue(Source, connect);
    bench.issue(Source, Operation::Reject);
    let breaches = [connect, Operation::Reject].map(Breach::ConnectionState);
    bench.assert_breaches(Source, breaches);
    let accept = Operation::Accept { private_data: CAPABILITIES };
    bench.issue(Destination, accept);
    let last = bench.0.violations().last().cloned();
    let breach = Breach::ConnectionState(accept);
    assert_eq!(last, Some(Violation { side: Destination, breach }));
}

#[test]
fn nothing_follows_disconnect_but_giving_back() {
    let mut bench = Bench::connected();
    let write = bench.write();
    bench.issue(Source, Operation::Disconnect);
    let late = [
        Operation::Disconnect,
        SEND,
        receive(0),
        Operation::WriteRam(write),
        registration(2, 0, PAGE, Access::LocalRead),
    ];
    for operation in late {
        bench.issue(Source, operation);
    }
    bench.issue(Source, Operation::DeregisterMemory { region: RegionId(1) });
    bench.assert_breaches(Source, late.map(Breach::AfterDisconnect));
}

#[test]
fn disconnect_answers_everything_before_the_last_word() {
    let mut bench = Bench::connected_with(FabricConfig::default());
    let write = bench.write();
    for buffer in 0..2 {
        bench.issue(Source, receive(buffer));
    }
    let silent = WriteRam { signaled: false, ..write };
    for operation in [Operation::WriteRam(silent), SEND, Operation::Disconnect] {
        bench.0.port(Source).issue(operation);
    }
    bench.settle();
    let inputs = bench.inputs(Source);
    let failed = |operation: &str| {
        format!("Completion(Failed {{ operation: {operation}, error: Flushed }})")
    };
    let receive = |buffer: u8| failed(&format!("Receive {{ buffer: ReceiveBuffer({buffer}) }}"));
    let expected = [
        failed("WriteRam"),
        failed("Send"),
        receive(0),
        receive(1),
        "Completion(Disconnected)".into(),
    ];
    assert_eq!(inputs, expected);
    assert_eq!(bench.inputs(Destination), ["Connection(Disconnected)"]);
}

#[test]
fn what_is_left_at_the_end_is_named() {
    let mut bench = Bench::connected();
    let write = bench.write();
    bench.issue(Source, Operation::WriteRam(WriteRam { signaled: false, ..write }));
    bench.issue(Source, Operation::Disconnect);
    bench.issue(Source, Operation::DeregisterMemory { region: RegionId(1) });
    bench.0.settle(Sides { source: true, destination: true });
    let left = [
        Violation { side: Source, breach: Breach::UnsignaledWritesLeft(1) },
        Violation { side: Destination, breach: Breach::Leak(RegionId(1)) },
    ];
    assert_eq!(bench.0.violations(), left);
}

#[test]
fn a_source_without_credit_and_a_destination_with_too_much_are_named() {
    let mut bench = Bench::connected();
    let ready = [0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0];
    let finished = [0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 0];
    for side in Side::BOTH {
        for buffer in 0..3 {
            bench.issue(side, receive(buffer));
        }
    }
    let send = |bench: &mut Bench, side, message: [u8; 16]| {
        bench.0.port(side).send_buffer()[..16].copy_from_slice(&message);
        bench.issue(side, SEND);
    };
    send(&mut bench, Destination, ready);
    send(&mut bench, Source, finished);
    assert_eq!(bench.0.violations(), []);
    send(&mut bench, Source, finished);
    send(&mut bench, Destination, ready);
    send(&mut bench, Destination, ready);
    let kind = rdma_migration_protocol::wire::Kind::RegisterFinished;
    let named = [
        Violation { side: Source, breach: Breach::CommandWithoutReady(kind) },
        Violation { side: Destination, breach: Breach::ReadyTwice },
    ];
    assert_eq!(bench.0.violations(), named);
}

#[test]
fn private_data_arrives_padded_as_on_roce() {
    let mut bench = Bench::new(free());
    bench.issue(Source, Operation::Connect { private_data: CAPABILITIES });
    bench.0.rouse(Destination);
    let mut port = bench.0.port(Destination);
    let requested = port.poll();
    let Some(Input::Connection(ConnectionEvent::Requested { private_data })) = requested else {
        panic!("{requested:?}");
    };
    assert_eq!((private_data.len(), &private_data[..8]), (56, &CAPABILITIES[..]));
    bench.issue(Destination, Operation::Accept { private_data: CAPABILITIES });
    bench.0.rouse(Source);
    let mut port = bench.0.port(Source);
    let established = port.poll();
    let Some(Input::Connection(ConnectionEvent::Established { private_data })) = established else {
        panic!("{established:?}");
    };
    assert_eq!((private_data.len(), &private_data[8..]), (196, &[0; 188][..]));
}

#[test]
fn a_sent_message_does_not_stay_in_the_buffer() {
    let mut bench = Bench::connected();
    bench.issue(Source, receive(0));
    bench.0.port(Destination).send_buffer()[..16].fill(1);
    bench.issue(Destination, SEND);
    assert_eq!(bench.0.port(Destination).send_buffer()[..16], [0xa5; 16]);
    assert_eq!(bench.0.port(Source).receive_buffer(ReceiveBuffer(0)), [1; 16]);
}

#[test]
fn a_limit_on_locked_memory_is_a_failure_and_no_breach() {
    let locked_memory_max = Sides { source: Some(2 * PAGE), destination: None };
    let mut bench = Bench::connected_with(FabricConfig { locked_memory_max, ..free() });
    bench.register(Source, 1, Access::LocalRead);
    bench.issue(Source, registration(2, 4 * PAGE, 1, Access::LocalRead));
    let failed = FailedOperation::RegisterMemory { region: RegionId(2) };
    assert_eq!(bench.failures(Source), [(failed, TransportError::MemoryLimit)]);
    bench.issue(Source, Operation::DeregisterMemory { region: RegionId(1) });
    bench.register(Source, 2, Access::LocalRead);
    assert_eq!(bench.0.violations(), []);
}

#[test]
fn a_write_between_bytes_and_no_bytes_is_named() {
    let mut bench = Bench::connected();
    let write = bench.write();
    let map = rdma_migration_transport_sim::ZeroMap::zero(1 << 16);
    *bench.0.port(Destination).backing_mut(BLOCK).unwrap() = Backing::ZeroMap(map);
    bench.issue(Source, Operation::WriteRam(write));
    bench.assert_breaches(Source, [Breach::BackingsDiffer]);
}

#[test]
fn an_adapter_that_has_failed_does_not_come_back_with_the_connection() {
    let fault = "source-device-fatal@1".parse::<rdma_migration_transport_sim::Fault>().unwrap();
    let faults = [fault].into_iter().collect();
    let mut bench = Bench::connected_with(FabricConfig { faults, ..free() });
    bench.issue(Source, receive(0));
    let failed = FailedOperation::Receive { buffer: ReceiveBuffer(0) };
    assert_eq!(bench.failures(Source), [(failed, TransportError::Flushed)]);
}
