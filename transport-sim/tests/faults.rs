//! Every fault at every moment: both sides end, nobody owns the guest twice, nothing is left.

mod common;

use common::{PlainPair, closed, memory_is_equal, pair, succeeded};
use rdma_migration_protocol::connection::PinAllOffer;
use rdma_migration_transport_sim::{
    CostPreset, FAULTS, FabricConfig, Fault, FaultPlan, FinalOwner, Recovery,
};

const BOTH_MODES: [PinAllOffer; 2] = [PinAllOffer::Never, PinAllOffer::Preferred];
/// More than anything of the small guest happens.
const OPERATIONS: u64 = 130;

fn run(plan: FaultPlan, pin_all: PinAllOffer, seed: u64) -> PlainPair {
    let cost = CostPreset::Qdr2013.model();
    let config = FabricConfig { faults: plan.clone(), cost, seed, ..FabricConfig::default() };
    let mut pair = pair(config, pin_all);
    if let Err(stuck) = pair.run() {
        panic!("{plan:?}, {pin_all:?}: {stuck}");
    }
    pair
}

/// What has to hold of every end, whatever went wrong.
fn check(pair: &mut PlainPair, context: &str) {
    let ended = closed(pair);
    let context =
        format!("{context}\nsource: {:?}\ndestination: {:?}", ended.source, ended.destination);
    let orderly = succeeded(pair);
    let findings = pair.findings(orderly);
    assert!(findings.is_empty(), "{context}\n{findings:#?}");
    assert!(pair.closed_at().is_some(), "{context}");
    let owner = pair.final_owner();
    let released = pair.destination_owner.released_at.is_some();
    if released {
        assert!(memory_is_equal(pair), "a wrong byte: {context}");
    }
    match owner {
        FinalOwner::Source => {
            assert!(!released, "{context}");
            assert!(ended.source.result.is_err(), "{context}");
        }
        FinalOwner::Destination => assert!(released, "{context}"),
        FinalOwner::Undecided => assert!(ended.source.result.is_err(), "{context}"),
        // Everything arrived and the destination failed after that; it says so.
        FinalOwner::Nobody => assert!(ended.destination.result.is_err(), "{context}"),
        FinalOwner::Both => panic!("{context}"),
    }
    // A deregistration that fails is tried again.
    assert_eq!((ended.source.regions_left, ended.destination.regions_left), (0, 0), "{context}");
}

#[test]
fn every_fault_at_every_moment_ends_well_or_with_a_reason() {
    for kind in FAULTS {
        let mut struck = false;
        for pin_all in BOTH_MODES {
            for at in 1..=OPERATIONS {
                let fault = Fault::named(kind.name).unwrap().at(at);
                let mut pair = run([fault].into_iter().collect(), pin_all, at);
                let context = format!("{fault}, {pin_all:?}");
                check(&mut pair, &context);
                let ended = closed(&pair);
                let well = ended.source.result.is_ok() && ended.destination.result.is_ok();
                struck |= !pair.fabric.faults_struck().is_empty();
                if pair.fabric.faults_struck().is_empty() {
                    assert!(well, "{context}: {ended:?}");
                    break;
                }
                match kind.recovery {
                    Recovery::Recovered => assert!(well, "{context}: {ended:?}"),
                    Recovery::Fails => assert!(!well, "{context}: {ended:?}"),
                    Recovery::Either => {}
                }
            }
        }
        assert!(struck, "{} never strikes", kind.name);
    }
}

#[test]
fn any_mixture_of_faults_ends_well_or_with_a_reason() {
    for seed in 0..1500 {
        for pin_all in BOTH_MODES {
            let plan = FaultPlan::random(seed);
            let mut pair = run(plan.clone(), pin_all, seed);
            check(&mut pair, &format!("seed {seed}: {plan:?}, {pin_all:?}"));
        }
    }
}
