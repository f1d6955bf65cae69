//! Whole migrations between our source and our destination over a real device.

mod support;

use std::thread;
use std::time::Instant;

use rdma_migration_protocol::connection::{Closed, GuestOwner, PinAllOffer};
use rdma_migration_protocol::destination::{Destination, DestinationConfig};
use rdma_migration_protocol::error::Error;
use rdma_migration_protocol::source::{Source, SourceConfig};
use rdma_migration_protocol::transport::drive;
use rdma_migration_transport_verbs::{VerbsConfig, VerbsTransport};
use support::address;
use support::owners::{Arriving, Leaving, empty_guest, full_guest, same_ram};

const MIB: usize = 1024 * 1024;

/// 64 MiB in blocks of the sizes that a small QEMU guest has.
const BLOCKS: [usize; 5] = [63 * MIB, 128 * 1024, 256 * 1024, 4096, 4096];

/// Runs both sides, each on a thread of its own as on hosts of their own.
fn run(config: SourceConfig, leaving: &mut Leaving, arriving: &mut Arriving) {
    let here = VerbsConfig::default;
    let mut destination_transport = VerbsTransport::listen(&address(), 0, here()).unwrap();
    let port = destination_transport.local_address().unwrap().port();
    let mut source_transport = VerbsTransport::to(&address(), port, here()).unwrap();
    let mut source = Source::new(config).unwrap();
    source.connect().unwrap();
    let mut destination = Destination::new(DestinationConfig::default());
    thread::scope(|threads| {
        threads.spawn(move || drive(&mut destination, &mut destination_transport, arriving));
        threads.spawn(move || drive(&mut source, &mut source_transport, leaving));
    });
}

fn migrates(pin_all: PinAllOffer) {
    let (there, here) = (full_guest(&BLOCKS), empty_guest(&BLOCKS));
    assert!(!same_ram(&there, &here));
    let (mut leaving, mut arriving) = (Leaving::new(there.clone()), Arriving::new(here.clone()));
    let config = SourceConfig { pin_all, ..SourceConfig::default() };
    let begin = Instant::now();
    run(config, &mut leaving, &mut arriving);
    println!("migrated within {:.1} s", begin.elapsed().as_secs_f64());
    let end = Closed { result: Ok(()), guest: GuestOwner::Destination, regions_left: 0 };
    assert_eq!(leaving.closed, Some(end.clone()));
    assert_eq!(arriving.closed, Some(end));
    assert!(arriving.released);
    assert!(same_ram(&there, &here), "the guest has changed on the way");
}

#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn a_guest_arrives_as_it_left_where_chunks_are_registered_as_needed() {
    migrates(PinAllOffer::Never);
}

#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn a_guest_arrives_as_it_left_where_all_ram_is_pinned() {
    migrates(PinAllOffer::Required);
}

#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn a_destination_that_aborts_leaves_the_guest_to_the_source() {
    let blocks = [MIB];
    let mut leaving = Leaving::new(full_guest(&blocks));
    let mut arriving = Arriving::new(empty_guest(&blocks));
    arriving.aborts = true;
    run(SourceConfig::default(), &mut leaving, &mut arriving);
    let end =
        |reason| Some(Closed { result: Err(reason), guest: GuestOwner::Source, regions_left: 0 });
    assert_eq!(leaving.closed, end(Error::PeerReportedError));
    assert_eq!(arriving.closed, end(Error::Aborted));
    assert!(!arriving.released);
}
