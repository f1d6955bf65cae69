//! Work on a real device: messages, writes, registration, and what the adapter refuses.

mod support;

use std::time::Duration;

use rdma_migration_protocol::address::{BlockIndex, HostAddress, Rkey};
use rdma_migration_protocol::limits::CONTROL_BUFFER_BYTES;
use rdma_migration_protocol::transport::{
    Access, FailedOperation, Operation, ReceiveBuffer, RegionId, Transport, TransportError,
    WriteRam,
};
use rdma_migration_transport_verbs::{VerbsConfig, VerbsError};
use support::{Seen, Side, connected, connected_with, offset, write};

const MIB: usize = 1024 * 1024;

fn pattern(bytes: usize, seed: u8) -> Vec<u8> {
    (0..251_u8).map(|byte| byte.wrapping_add(seed)).cycle().take(bytes).collect()
}

/// A source with a registered block, and a destination with one that it may write into.
struct Ready {
    source: Side,
    destination: Side,
    block: BlockIndex,
    remote: HostAddress,
    rkey: Rkey,
    there: std::sync::Arc<rdma_migration_transport_verbs::GuestRam>,
    here: std::sync::Arc<rdma_migration_transport_verbs::GuestRam>,
}

fn ready(bytes: usize) -> Ready {
    let (mut source, mut destination) = connected(1);
    let (here, block) = source.attach(bytes);
    let (there, theirs) = destination.attach(bytes);
    source.register(0, block, Access::LocalRead);
    let rkey = destination.register(0, theirs, Access::RemoteWrite);
    let remote = destination.host_address(theirs);
    Ready { source, destination, block, remote, rkey, there, here }
}

#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn messages_of_every_length_go_both_ways_and_fill_receives_in_order() {
    let (mut source, mut destination) = connected(3);
    let buffers = (0..3).cycle();
    for (buffer, length) in buffers.zip([1, 16, 4096, 4097, CONTROL_BUFFER_BYTES]) {
        let (there, back) = (pattern(length, 1), pattern(length, 77));
        source.send(&there);
        assert_eq!(destination.next(), Seen::Received(buffer, there));
        destination.send(&back);
        assert_eq!(source.next(), Seen::Sent);
        assert_eq!(source.next(), Seen::Received(buffer, back));
        assert_eq!(destination.next(), Seen::Sent);
        source.post(buffer);
        destination.post(buffer);
    }
}

#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn a_received_message_stays_readable_until_its_buffer_is_posted_again() {
    let (mut source, mut destination) = connected(1);
    source.send(b"held");
    assert_eq!(destination.next(), Seen::Received(0, b"held".to_vec()));
    let buffer = ReceiveBuffer(0);
    assert_eq!(destination.transport.receive_buffer(buffer), b"held");
    destination.post(0);
    assert_eq!(destination.transport.receive_buffer(buffer), b"");
}

#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn a_write_lands_where_it_should_and_nowhere_else() {
    let mut ready = ready(MIB);
    let bytes = pattern(MIB, 3);
    assert!(ready.here.write(0, &bytes));
    ready.source.issue(Operation::WriteRam(WriteRam {
        offset: offset(4096),
        remote_address: ready.remote.checked_add(8192).unwrap(),
        ..write(ready.block, 100_000, ready.remote, ready.rkey)
    }));
    assert_eq!(ready.source.next(), Seen::Written);
    let mut arrived = vec![0; MIB];
    assert!(ready.there.read(0, &mut arrived));
    assert_eq!(arrived[8192..108_192], bytes[4096..104_096]);
    assert!(arrived[..8192].iter().chain(&arrived[108_192..]).all(|byte| *byte == 0));
    ready.destination.expect_nothing();
}

#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn one_signaled_write_stands_for_all_before_it() {
    let mut ready = ready(MIB);
    assert!(ready.here.write(0, &pattern(MIB, 9)));
    for batch in 0..3_u64 {
        for index in 0..64_u64 {
            let at = (batch * 64 + index) * 4096;
            ready.source.issue(Operation::WriteRam(WriteRam {
                offset: offset(at),
                remote_address: ready.remote.checked_add(at).unwrap(),
                signaled: index == 63,
                ..write(ready.block, 4096, ready.remote, ready.rkey)
            }));
        }
    }
    // A message behind them says when the last has landed, as REGISTER_FINISHED does.
    ready.source.send(b"finished");
    let seen: Vec<_> = (0..4).map(|_| ready.source.next()).collect();
    assert_eq!(seen, [Seen::Written, Seen::Written, Seen::Written, Seen::Sent]);
    assert_eq!(ready.destination.next(), Seen::Received(0, b"finished".to_vec()));
    let (mut here, mut there) = (vec![0; 192 * 4096], vec![0; 192 * 4096]);
    assert!(ready.here.read(0, &mut here) && ready.there.read(0, &mut there));
    assert_eq!(here, there);
    ready.source.expect_nothing();
}

#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn a_write_longer_than_the_adapter_takes_at_once_arrives_whole() {
    let bytes = 24 * MIB;
    let mut ready = ready(bytes);
    let contents = pattern(bytes, 5);
    assert!(ready.here.write(0, &contents));
    let length = u64::try_from(bytes).unwrap();
    let all = write(ready.block, length, ready.remote, ready.rkey);
    ready.source.issue(Operation::WriteRam(all));
    assert_eq!(ready.source.next(), Seen::Written);
    let mut arrived = vec![0; bytes];
    assert!(ready.there.read(0, &mut arrived));
    assert!(arrived == contents, "the bytes differ");
    ready.source.expect_nothing();
}

#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn a_message_waits_for_a_late_receive() {
    let (mut source, mut destination) = connected(0);
    source.send(b"early");
    assert_eq!(source.next_within(Duration::from_millis(500)), None);
    destination.post(2);
    assert_eq!(destination.next(), Seen::Received(2, b"early".to_vec()));
    assert_eq!(source.next(), Seen::Sent);
}

#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn without_patience_a_message_that_finds_no_receive_breaks_the_connection() {
    let impatient = VerbsConfig { rnr_retry_count: 0, ..VerbsConfig::default() };
    let (mut source, mut destination) = connected_with(VerbsConfig::default(), impatient, 0);
    source.post(0);
    source.send(b"nobody expects this");
    let refused = Seen::Failed(FailedOperation::Send, TransportError::ReceiverNotReady);
    assert_eq!(source.next(), refused);
    let buffer = ReceiveBuffer(0);
    let flushed = Seen::Failed(FailedOperation::Receive { buffer }, TransportError::Flushed);
    assert_eq!(source.next(), flushed);
    let failure = source.transport.failure().unwrap().to_string();
    assert!(failure.contains("peer ") && failure.contains("no receive"), "{failure}");
    assert_eq!(source.disconnect(), [Seen::Disconnected]);
    assert_eq!(destination.next(), Seen::Lost);
}

fn refused_write(forge: impl FnOnce(&mut Ready) -> WriteRam) {
    let mut ready = ready(MIB);
    assert!(ready.here.write(0, &pattern(MIB, 1)));
    let forged = forge(&mut ready);
    ready.source.issue(Operation::WriteRam(forged));
    let refused = Seen::Failed(FailedOperation::WriteRam, TransportError::RemoteAccess);
    assert_eq!(ready.source.next(), refused);
    let failure = ready.source.transport.failure().unwrap();
    assert!(matches!(failure, VerbsError::Work { operation, peer: Some(_), .. }
        if operation == "RDMA WRITE"));
    let mut arrived = vec![1; MIB];
    assert!(ready.there.read(0, &mut arrived));
    assert!(arrived.iter().all(|byte| *byte == 0), "a refused write has written");
}

#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn a_write_with_a_wrong_key_is_refused_by_the_peers_adapter() {
    refused_write(|ready| {
        let rkey = Rkey::new(ready.rkey.get() ^ 0x55);
        write(ready.block, 4096, ready.remote, rkey)
    });
}

#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn a_write_past_the_end_of_a_region_is_refused_by_the_peers_adapter() {
    refused_write(|ready| WriteRam {
        remote_address: ready.remote.checked_add(MIB as u64 - 4095).unwrap(),
        ..write(ready.block, 4096, ready.remote, ready.rkey)
    });
}

#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn a_key_that_was_taken_back_opens_nothing() {
    refused_write(|ready| {
        ready.destination.deregister(0);
        write(ready.block, 4096, ready.remote, ready.rkey)
    });
}

#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn the_memory_of_a_source_is_never_remotely_writable() {
    let (mut source, mut destination) = connected(1);
    let (here, block) = source.attach(MIB);
    let (_there, theirs) = destination.attach(MIB);
    let rkey = source.register(0, block, Access::LocalRead);
    destination.register(0, theirs, Access::RemoteWrite);
    let remote = source.host_address(block);
    destination.issue(Operation::WriteRam(write(theirs, 4096, remote, rkey)));
    let refused = Seen::Failed(FailedOperation::WriteRam, TransportError::RemoteAccess);
    assert_eq!(destination.next(), refused);
    let mut bytes = vec![1; MIB];
    assert!(here.read(0, &mut bytes) && bytes.iter().all(|byte| *byte == 0));
}

#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn a_write_of_memory_that_is_not_registered_or_not_there_never_leaves() {
    let mut ready = ready(MIB);
    let (_other, unregistered) = ready.source.attach(MIB);
    let protection = Seen::Failed(FailedOperation::WriteRam, TransportError::LocalProtection);
    let length = Seen::Failed(FailedOperation::WriteRam, TransportError::LocalLength);
    let mut expect = |forged: WriteRam, seen: &Seen| {
        ready.source.issue(Operation::WriteRam(forged));
        assert_eq!(&ready.source.next(), seen);
    };
    let good = write(ready.block, 4096, ready.remote, ready.rkey);
    expect(WriteRam { region: RegionId(9), ..good }, &protection);
    expect(WriteRam { block: unregistered, ..good }, &protection);
    expect(WriteRam { block: BlockIndex::new(9), ..good }, &length);
    expect(WriteRam { offset: offset(MIB as u64 - 4095), ..good }, &length);
    // The connection has not noticed.
    ready.source.issue(Operation::WriteRam(good));
    assert_eq!(ready.source.next(), Seen::Written);
}

#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn more_writes_than_the_queue_holds_are_refused_by_name() {
    let mut ready = ready(MIB);
    let unsignaled =
        WriteRam { signaled: false, ..write(ready.block, 64, ready.remote, ready.rkey) };
    for _ in 0..512 {
        ready.source.issue(Operation::WriteRam(unsignaled));
    }
    ready.source.expect_nothing();
    ready.source.issue(Operation::WriteRam(unsignaled));
    let full = Seen::Failed(FailedOperation::WriteRam, TransportError::QueueFull);
    assert_eq!(ready.source.next(), full);
    let all = ready.source.disconnect();
    let flushed = Seen::Failed(FailedOperation::WriteRam, TransportError::Flushed);
    assert!(all.iter().filter(|seen| **seen == flushed).count() <= 512);
    assert_eq!(all.last(), Some(&Seen::Disconnected));
}

#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn what_is_in_flight_when_the_connection_ends_is_answered_unsignaled_writes_too() {
    let (mut source, mut destination) = connected(0);
    let (_here, block) = source.attach(MIB);
    let (there, theirs) = destination.attach(MIB);
    assert!(there.write(0, b"untouched"));
    source.register(0, block, Access::LocalRead);
    let rkey = destination.register(0, theirs, Access::RemoteWrite);
    let one = write(block, 4096, destination.host_address(theirs), rkey);
    // Nobody has posted a receive for this, and it is tried again without end; what follows waits.
    source.send(b"stuck");
    for index in 0..8 {
        source.issue(Operation::WriteRam(WriteRam { signaled: index % 4 == 3, ..one }));
    }
    source.expect_nothing();
    let flushed = |operation| Seen::Failed(operation, TransportError::Flushed);
    let mut expected = vec![flushed(FailedOperation::Send)];
    expected.extend((0..8).map(|_| flushed(FailedOperation::WriteRam)));
    expected.push(Seen::Disconnected);
    assert_eq!(source.disconnect(), expected);
    let mut bytes = [0; 9];
    assert!(there.read(0, &mut bytes));
    assert_eq!(&bytes, b"untouched");
    source.deregister(0);
}

#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn scans_and_fills_are_answered_whether_long_or_short() {
    let (mut source, _destination) = connected(0);
    let (ram, block) = source.attach(4 * MIB);
    let all = 4 * MIB as u64;
    for (place, length) in [(100, 4096), (3 * MIB, all)] {
        assert!(ram.write(place, b"x"));
        source.issue(Operation::ScanRam { block, offset: offset(0), length });
        assert_eq!(source.next(), Seen::Scanned(false));
        source.issue(Operation::ZeroRam { block, offset: offset(0), length });
        assert_eq!(source.next(), Seen::Zeroed);
        source.issue(Operation::ScanRam { block, offset: offset(0), length });
        assert_eq!(source.next(), Seen::Scanned(true));
    }
    source.issue(Operation::ScanRam { block, offset: offset(1), length: all });
    let operation = FailedOperation::ScanRam { block, offset: offset(1) };
    assert_eq!(source.next(), Seen::Failed(operation, TransportError::LocalLength));
}

#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn a_long_registration_is_cancelled_by_the_end_of_the_connection() {
    let (mut source, _destination) = connected(0);
    let (_ram, block) = source.attach(384 * MIB);
    let (region, access) = (RegionId(0), Access::RemoteWrite);
    let length = 384 * MIB as u64;
    source.issue(Operation::RegisterMemory { region, block, offset: offset(0), length, access });
    source.issue(Operation::Disconnect);
    let mut all = vec![source.next(), source.next()];
    let cancelled =
        Seen::Failed(FailedOperation::RegisterMemory { region }, TransportError::Cancelled);
    assert!(all.contains(&cancelled) && all.contains(&Seen::Disconnected), "{all:?}");
    all.clear();
    source.expect_nothing();
}
