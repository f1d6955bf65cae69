//! What a reliable connection does about losses, to the nanosecond.

#[path = "common/bench.rs"]
mod bench;

use core::time::Duration;

use Side::{Destination, Source};
use bench::{BLOCK, Bench, CAPABILITIES, PAGE, SEND, free, receive, registration};
use rdma_migration_protocol::address::BlockOffset;
use rdma_migration_protocol::transport::{
    Access, FailedOperation, Operation, ReceiveBuffer, RegionId, Transport, TransportError,
    WriteRam,
};
use rdma_migration_transport_sim::{CostPreset, FabricConfig, Fault, Side};

/// A connected bench with the usual costs, receives posted on both sides, and these faults.
fn bench(faults: &[&str]) -> Bench {
    let faults = faults.iter().map(|name| name.parse::<Fault>().unwrap()).collect();
    let cost = CostPreset::Qdr2013.model();
    let mut bench = Bench::connected_with(FabricConfig { faults, cost, ..FabricConfig::default() });
    for side in Side::BOTH {
        for buffer in 0..3 {
            bench.issue(side, receive(buffer));
        }
    }
    bench
}

/// How long it takes until the side that issues `operations` is woken by what comes of them. What
/// comes after that happens too.
fn time(bench: &mut Bench, side: Side, operations: &[Operation]) -> Duration {
    let start = bench.0.now();
    for operation in operations {
        bench.0.port(side).issue(*operation);
    }
    while let Some(next) = bench.0.next_event().filter(|_| !bench.0.is_awake(side)) {
        bench.0.advance(next);
    }
    let taken = bench.0.now().since(start);
    bench.settle();
    taken
}

const TIMEOUT: Duration = Duration::from_nanos(67_108_864);

#[test]
fn a_message_that_is_always_lost_fails_after_all_retries() {
    let mut bench = bench(&["destination-send-lost@1"]);
    // Five repetitions, and the wait after the last.
    assert!(time(&mut bench, Destination, &[SEND]) >= 6 * TIMEOUT);
    assert!(bench.0.now().nanoseconds() < 10 * 1_000_000_000);
    let failures = bench.failures(Destination);
    assert_eq!(failures[0], (FailedOperation::Send, TransportError::RetryExceeded));
    // The peer knows nothing of it.
    assert_eq!(bench.inputs(Source), [""; 0]);
}

#[test]
fn retries_are_counted_anew_after_progress() {
    let losses: Vec<_> =
        (1..=7).map(|at| format!("acknowledgement-lost-to-destination@{at}")).collect();
    let losses: Vec<_> = losses.iter().map(String::as_str).collect();
    // Lost acknowledgements of one message count together: seven are too many.
    let mut together = bench(&losses);
    time(&mut together, Destination, &[SEND]);
    let failures = together.failures(Destination);
    assert_eq!(failures[0], (FailedOperation::Send, TransportError::RetryExceeded));
    // Of two messages, with progress between them, they do not.
    let mut apart = bench(
        &[
            &losses[..3],
            &[
                "acknowledgement-lost-to-destination@5",
                "acknowledgement-lost-to-destination@6",
                "acknowledgement-lost-to-destination@7",
            ],
        ]
        .concat(),
    );
    time(&mut apart, Destination, &[SEND]);
    time(&mut apart, Destination, &[SEND]);
    assert_eq!(apart.inputs(Destination), ["Completion(Sent)", "Completion(Sent)"]);
}

#[test]
fn a_lost_acknowledgement_costs_a_timeout_and_the_copy_is_not_delivered() {
    let mut bench = bench(&["acknowledgement-lost-to-destination@1"]);
    let taken = time(&mut bench, Destination, &[SEND]);
    assert!((TIMEOUT..2 * TIMEOUT).contains(&taken), "{taken:?}");
    assert_eq!(bench.inputs(Destination), ["Completion(Sent)"]);
    assert_eq!(bench.inputs(Source).len(), 1);
}

#[test]
fn a_gap_is_told_at_once_every_time() {
    // With more behind it a loss is noticed by the peer, long before the timeout.
    let mut bench = bench(&["packet-lost@1", "packet-lost@8"]);
    let write = bench.write();
    let start = bench.0.now();
    for _ in 0..6 {
        bench.0.port(Source).issue(Operation::WriteRam(write));
    }
    let soon = bench.0.now().after(TIMEOUT / 2);
    bench.0.advance(soon);
    let inputs = bench.inputs(Source);
    assert_eq!(inputs.iter().filter(|input| input.contains("RamWritten")).count(), 6);
    assert!(bench.0.now().since(start) < TIMEOUT);
    assert_eq!(bench.0.faults_struck().len(), 2);
}

#[test]
fn a_refusal_acknowledges_what_came_before_it() {
    // The acknowledgement of the first write is lost; the second write is refused.
    let mut bench = bench(&["acknowledgement-lost-to-source@1", "write-refused@2"]);
    let write = bench.write();
    time(&mut bench, Source, &[Operation::WriteRam(write), Operation::WriteRam(write)]);
    let inputs = bench.inputs(Source);
    assert_eq!(inputs[0], "Completion(RamWritten)");
    assert!(inputs[1].contains("RemoteAccess"), "{inputs:?}");
}

#[test]
fn a_failure_at_home_waits_for_what_is_on_its_way() {
    let mut bench = bench(&[]);
    let write = bench.write();
    let outside = WriteRam { offset: BlockOffset::new(4 * PAGE), ..write };
    time(&mut bench, Source, &[Operation::WriteRam(write), Operation::WriteRam(outside)]);
    let inputs = bench.inputs(Source);
    assert_eq!(inputs[0], "Completion(RamWritten)");
    assert!(inputs[1].contains("LocalProtection"), "{inputs:?}");
    assert_eq!(bench.0.port(Source).memory(BLOCK).len(), 1 << 16);
    bench.issue(Source, Operation::Disconnect);
    bench.issue(Source, Operation::DeregisterMemory { region: RegionId(1) });
}

#[test]
fn a_small_message_takes_its_wire_time_two_ways_and_a_wake_up() {
    let mut bench = bench(&[]);
    // The sleeping destination hears of the acknowledgement, there and back, 155 us later.
    let wire = CostPreset::Qdr2013.model().wire_time(16);
    let taken = time(&mut bench, Destination, &[SEND]);
    assert_eq!(taken, wire + Duration::from_nanos(2 * 1_500 + 155_000));
}

#[test]
fn writes_share_the_wire_one_after_the_other() {
    let mut bench = bench(&[]);
    let write = bench.write();
    let one = CostPreset::Qdr2013.model().wire_time(PAGE);
    let silent = Operation::WriteRam(WriteRam { signaled: false, ..write });
    let taken = time(&mut bench, Source, &[silent, silent, silent, Operation::WriteRam(write)]);
    assert_eq!(taken, 4 * one + Duration::from_nanos(2 * 1_500 + 155_000));
}

#[test]
fn a_receive_that_fails_as_a_message_meets_it_tells_both_sides() {
    let mut bench = bench(&["source-receive-unprotected@1"]);
    bench.issue(Destination, SEND);
    let receive = FailedOperation::Receive { buffer: ReceiveBuffer(0) };
    assert_eq!(bench.failures(Source)[0], (receive, TransportError::LocalProtection));
    let send = (FailedOperation::Send, TransportError::RemoteOperation);
    assert_eq!(bench.failures(Destination)[0], send);
}

#[test]
fn a_post_that_is_not_taken_leaves_the_queue_pair_as_it_was() {
    let mut bench = bench(&["destination-send-not-posted@1"]);
    bench.issue(Destination, SEND);
    let refused = (FailedOperation::Send, TransportError::QueueFull);
    assert_eq!(bench.failures(Destination), [refused]);
    bench.issue(Destination, SEND);
    assert_eq!(bench.inputs(Destination), ["Completion(Sent)"]);
    assert_eq!(bench.inputs(Source).len(), 1);
}

#[test]
fn an_answer_to_an_attempt_that_has_failed_is_too_late_and_no_breach() {
    let fault: Fault = "connection-dropped-at-destination@1".parse().unwrap();
    let mut bench = Bench::new(FabricConfig { faults: [fault].into_iter().collect(), ..free() });
    bench.issue(Source, Operation::Connect { private_data: CAPABILITIES });
    bench.issue(Destination, Operation::Accept { private_data: CAPABILITIES });
    bench.assert_breaches(Destination, []);
    let told = bench.inputs(Destination);
    assert!(told.iter().any(|input| input.contains("Failed")), "{told:?}");
}

#[test]
fn whoever_disconnects_waits_for_no_registration_that_is_stuck_or_behind_one() {
    let mut bench = bench(&["source-registration-stuck@1", "source-registration-refused@2"]);
    let begun = bench.0.now();
    for region in [1, 2] {
        let offset = u64::from(region) * 2 * PAGE;
        bench.0.port(Source).issue(registration(region, offset, 2 * PAGE, Access::LocalRead));
    }
    bench.0.port(Source).issue(Operation::Disconnect);
    let soon = begun.after(Duration::from_secs(1));
    bench.0.advance(soon);
    let failures = bench.failures(Source);
    for region in [RegionId(1), RegionId(2)] {
        let cancelled = (FailedOperation::RegisterMemory { region }, TransportError::Cancelled);
        assert!(failures.contains(&cancelled), "{failures:?}");
    }
}
