//! Locking memory without the right to lock much: run with a low RLIMIT_MEMLOCK and without
//! CAP_IPC_LOCK.

mod support;

use rdma_migration_protocol::transport::{
    Access, FailedOperation, Operation, RegionId, TransportError,
};
use rdma_migration_transport_verbs::preflight::check_locked_memory;
use rdma_migration_transport_verbs::{VerbsConfig, VerbsError};
use support::{Seen, connected, offset};

const MIB: u64 = 1024 * 1024;

#[test]
#[ignore = "needs an RDMA device and a limit of 16 MiB: run it in the lab, \
            `transport-verbs/lab/run verbs-tests`"]
fn a_registration_over_the_limit_fails_by_name_and_the_preflight_knew() {
    let needed = check_locked_memory(64 * MIB).expect_err("the limit is 16 MiB");
    assert_eq!(needed.limit, 16 * MIB);
    assert!(check_locked_memory(4 * MIB).is_ok());

    let (mut source, _destination) = connected(1);
    let (_ram, block) = source.attach(64 << 20);
    let (region, access, length) = (RegionId(0), Access::LocalRead, 64 * MIB);
    source.issue(Operation::RegisterMemory { region, block, offset: offset(0), length, access });
    let operation = FailedOperation::RegisterMemory { region };
    assert_eq!(source.next(), Seen::Failed(operation, TransportError::MemoryLimit));
    let Some(VerbsError::LockedMemory(locked)) = source.transport.failure() else {
        panic!("{:?}", source.transport.failure());
    };
    assert_eq!((locked.needed, locked.limit), (64 * MIB, 16 * MIB));
    assert!(locked.locked >= 6 * MIB, "the control buffers of both sides are locked: {locked}");

    // What fits is still registered.
    let length = MIB;
    source.issue(Operation::RegisterMemory { region, block, offset: offset(0), length, access });
    assert!(matches!(source.next(), Seen::Registered(..)));
}

#[test]
#[ignore = "needs an RDMA device and a limit of 16 MiB: run it in the lab, \
            `transport-verbs/lab/run verbs-tests`"]
fn a_connection_for_which_not_even_the_control_buffers_can_be_locked_is_refused() {
    let mut pairs = Vec::new();
    // Each side locks 3 MiB: the third destination finds no room left.
    for _ in 0..2 {
        pairs.push(connected(0));
    }
    let mut destination = support::Side::listening(VerbsConfig::default());
    let mut source = destination.source(VerbsConfig::default());
    source.connect();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.extend(source.next_within(std::time::Duration::from_millis(20)));
        seen.extend(destination.next_within(std::time::Duration::from_millis(20)));
    }
    let limit = Seen::ConnectionFailed(TransportError::MemoryLimit);
    assert!(seen.contains(&limit) && seen.contains(&Seen::Rejected), "{seen:?}");
}
