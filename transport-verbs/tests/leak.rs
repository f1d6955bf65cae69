//! Nothing of a transport outlives it. This program runs nothing else, so that all that the kernel
//! knows of the process is this test's.

mod support;

use rdma_migration_protocol::transport::{Access, Operation, RegionId, WriteRam};
use rdma_migration_transport_verbs::VerbsConfig;
use support::held::{descriptors, held, threads};
use support::{Side, connected, offset, requested, write};

const MIB: usize = 1024 * 1024;

#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn nothing_is_left_of_a_transport_wherever_it_is_dropped() {
    // librdmacm keeps its own list of devices, with a descriptor or two, from its first use on.
    drop(connected(0));
    let (descriptors_before, threads_before) = (descriptors(), threads());
    for scene in SCENES {
        scene();
        assert_eq!(held(), Vec::<String>::new());
        assert_eq!(descriptors(), descriptors_before);
        assert_eq!(threads(), threads_before);
    }
}

const SCENES: [fn(); 6] =
    [while_listening, while_connecting, while_requested, with_work, while_registering, closed];

fn while_listening() {
    let destination = Side::listening(VerbsConfig::default());
    assert!(!held().is_empty(), "a listener is something");
    drop(destination);
}

fn while_connecting() {
    let destination = Side::listening(VerbsConfig::default());
    for wait_milliseconds in [0, 2, 20] {
        let mut source = destination.source(VerbsConfig::default());
        source.post(0);
        source.connect();
        let wait = std::time::Duration::from_millis(wait_milliseconds);
        assert_eq!(source.next_within(wait), None);
    }
}

fn while_requested() {
    let mut destination = Side::listening(VerbsConfig::default());
    let mut source = destination.source(VerbsConfig::default());
    source.connect();
    requested(&mut source, &mut destination);
    destination.post(0);
}

fn with_work() {
    let (mut source, mut destination) = connected(3);
    let (_here, block) = source.attach(8 * MIB);
    let (_there, theirs) = destination.attach(8 * MIB);
    source.register(0, block, Access::LocalRead);
    let rkey = destination.register(0, theirs, Access::RemoteWrite);
    let kinds: Vec<_> = held().iter().map(|line| line[..2].to_owned()).collect();
    for kind in ["qp", "mr", "cq", "pd", "cm"] {
        assert!(kinds.iter().any(|held| held == kind), "no {kind} seen: {kinds:?}");
    }
    let remote = destination.host_address(theirs);
    for _ in 0..40 {
        let one = write(block, 8 * MIB as u64, remote, rkey);
        source.issue(Operation::WriteRam(WriteRam { signaled: false, ..one }));
    }
    source.send(b"on its way");
}

fn while_registering() {
    let (mut source, _destination) = connected(1);
    let (_ram, block) = source.attach(256 * MIB);
    let (region, access, length) = (RegionId(0), Access::LocalRead, 256 * MIB as u64);
    source.issue(Operation::RegisterMemory { region, block, offset: offset(0), length, access });
    source.issue(Operation::ScanRam { block, offset: offset(0), length });
}

fn closed() {
    let (mut source, mut destination) = connected(2);
    let (_ram, block) = source.attach(MIB);
    source.register(0, block, Access::LocalRead);
    source.disconnect();
    destination.disconnect();
}
