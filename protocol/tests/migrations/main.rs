//! Whole migrations of any guest, over the simulator: what must hold of each, with and without faults.

mod owners;
mod plan;

use owners::{DestinationOwner, SourceOwner};
use plan::{Plan, plan};
use proptest::prelude::*;
use rdma_migration_protocol::address::BlockIndex;
use rdma_migration_protocol::connection::{Closed, GuestOwner};
use rdma_migration_protocol::destination::{Destination, DestinationConfig, Windows};
use rdma_migration_protocol::ram::ChunkSize;
use rdma_migration_protocol::source::{Source, SourceConfig};
use rdma_migration_transport_sim::{
    Backing, FAULTS, Fabric, FabricConfig, Fault, FaultPlan, FinalOwner, PAGE_BYTES, Pair,
    Recovery, Side, Sides,
};

type Migration = Pair<SourceOwner, DestinationOwner>;

fn migration(plan: &Plan, faults: FaultPlan) -> Migration {
    let cost = plan.cost.model();
    let pinned_bytes_max = plan.pinned_chunks_max.map(|chunks| chunks * plan.chunk_bytes);
    // Nobody may pin more than the source allows, and only the source knows.
    let locked_memory_max = Sides {
        source: pinned_bytes_max,
        destination: pinned_bytes_max.filter(|_| plan.peer_unregisters),
    };
    let seed = plan.seed;
    let config = FabricConfig { seed, cost, faults, locked_memory_max, ..FabricConfig::default() };
    let mut fabric = Fabric::new(config);
    for (length, fills) in &plan.blocks {
        let length = usize::try_from(*length).unwrap();
        let mut bytes = vec![0; length];
        let pages = bytes.chunks_mut(usize::try_from(PAGE_BYTES).unwrap());
        for (page, fill) in pages.zip(fills.iter().cycle()) {
            page.fill(*fill);
        }
        fabric.port(Side::Source).add_block(Backing::Bytes(bytes));
        // What was there before has to go, zero pages included.
        fabric.port(Side::Destination).add_block(Backing::Bytes(vec![0xee; length]));
    }
    let chunk_size = ChunkSize::new(plan.chunk_bytes).unwrap();
    let source = SourceConfig {
        pin_all: plan.pin_all,
        chunk_size,
        signal_interval: plan.signal_interval,
        writes_in_flight_max: plan.writes_in_flight_max,
        registration: plan.registration,
        peer_unregisters: plan.peer_unregisters,
        pinned_bytes_max,
        ..SourceConfig::default()
    };
    let windows = if plan.windows_announced { Windows::Announced } else { Windows::Anywhere };
    let destination = DestinationConfig { chunk_size, windows, ..DestinationConfig::default() };
    let (source, destination) = (Source::new(source).unwrap(), Destination::new(destination));
    let owners = (SourceOwner::new(plan), DestinationOwner::new(plan));
    Pair::new(fabric, source, owners.0, destination, owners.1)
}

fn closed(migration: &Migration) -> Sides<Closed> {
    Sides {
        source: migration.source_owner.closed.clone().expect("the source has closed"),
        destination: migration
            .destination_owner
            .closed
            .clone()
            .expect("the destination has closed"),
    }
}

fn ram_is_equal(migration: &mut Migration, plan: &Plan) -> bool {
    let count = u32::try_from(plan.blocks.len()).unwrap();
    (0..count).map(BlockIndex::new).all(|block| {
        let source = migration.fabric.port(Side::Source).memory(block).to_vec();
        source == migration.fabric.port(Side::Destination).memory(block)
    })
}

/// What has to hold of every end, whatever went wrong. Returns whether all went well.
fn check_end(migration: &mut Migration, plan: &Plan) -> bool {
    let ended = closed(migration);
    let well = Sides {
        source: ended.source.result.is_ok(),
        destination: ended.destination.result.is_ok(),
    };
    let struck = migration.fabric.faults_struck().to_vec();
    // A host that does not give memory back in time leaves no other way than to say so.
    if !struck.iter().any(|fault| fault.kind.may_leave_regions()) {
        assert_eq!(migration.findings(well), [""; 0], "{ended:?}");
        assert_eq!(
            (ended.source.regions_left, ended.destination.regions_left),
            (0, 0),
            "{ended:?}: {struck:?}"
        );
        for side in Side::BOTH {
            assert_eq!(migration.fabric.pinned(side).bytes, 0, "{side}: {ended:?}");
        }
    }
    let released = migration.destination_owner.released;
    if released {
        assert!(ram_is_equal(migration, plan), "a wrong byte of RAM was called a success");
        assert_eq!(migration.destination_owner.stream, plan.stream());
        assert_eq!(migration.destination_owner.rounds, plan.rounds.len());
    }
    assert_eq!(released, ended.destination.guest == GuestOwner::Destination);
    match migration.final_owner() {
        FinalOwner::Source => assert!(!released && !well.source && !well.destination, "{ended:?}"),
        FinalOwner::Destination => assert!(released, "{ended:?}"),
        // Only the last message makes the guest undecided.
        FinalOwner::Undecided => {
            assert!(migration.source_owner.finishing && !well.source, "{ended:?}");
        }
        // Everything arrived and the destination failed after that.
        FinalOwner::Nobody => assert!(!released && !well.destination, "{ended:?}"),
        FinalOwner::Both => panic!("two owners: {ended:?}"),
    }
    well.source && well.destination
}

fn run(plan: &Plan, faults: FaultPlan) -> Migration {
    let mut migration = migration(plan, faults);
    if let Err(stuck) = migration.run() {
        panic!("{stuck}");
    }
    migration
}

fn check_success(plan: &Plan) {
    let mut migration = run(plan, FaultPlan::none());
    assert!(check_end(&mut migration, plan), "{:?}", closed(&migration));
    assert_eq!(migration.final_owner(), FinalOwner::Destination);
    assert!(migration.destination_owner.released);
}

/// So many cases, or as many as `PROPTEST_CASES` says.
fn config(cases: u32) -> ProptestConfig {
    let asked = std::env::var_os("PROPTEST_CASES").map(|_| ProptestConfig::default().cases);
    // The default names the file after the crate's `lib.rs`, which an integration test has not.
    let file = proptest::test_runner::FileFailurePersistence::Direct(
        "proptest-regressions/migrations.txt",
    );
    ProptestConfig {
        cases: asked.unwrap_or(cases),
        failure_persistence: Some(Box::new(file)),
        max_shrink_iters: 2000,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(96))]

    #[test]
    fn any_guest_arrives_whole(plan in plan()) {
        check_success(&plan);
    }
}

proptest! {
    #![proptest_config(config(192))]

    #[test]
    fn any_single_fault_ends_both_sides_and_is_never_called_a_success_wrongly(
        plan in plan(),
        kind in prop::sample::select(FAULTS.to_vec()),
        at in prop_oneof![1..20_u64, 1..300_u64],
    ) {
        let fault = Fault::named(kind.name).unwrap().at(at);
        let mut migration = run(&plan, FaultPlan::from_iter([fault]));
        let well = check_end(&mut migration, &plan);
        // A side that cannot give back what it was asked to in the middle of a round ends there; at
        // the end it tries again.
        let in_a_round = kind.name.ends_with("deregistration-failed") && plan.unregisters();
        let survives = kind.recovery == Recovery::Recovered && !in_a_round;
        if survives || migration.fabric.faults_struck().is_empty() {
            assert!(well, "{:?}", closed(&migration));
        }
    }

    #[test]
    fn any_mixture_of_faults_ends_both_sides(plan in plan(), faults in any::<u64>()) {
        let mut migration = run(&plan, FaultPlan::random(faults));
        check_end(&mut migration, &plan);
    }
}
