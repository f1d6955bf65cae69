//! The suite notices every mutant of the reference.
#![cfg(feature = "mutants")]

use rdma_migration_conformance::suite::mutants::Measure;

#[test]
fn every_mutant_is_killed() {
    std::panic::set_hook(Box::new(|_| {}));
    let measure = Measure::new(1);
    let killed: Vec<_> =
        rdma_migration_mutants::all().map(|mutant| measure.kill(mutant, false)).collect();
    let survivors: Vec<_> = killed
        .iter()
        .filter(|killed| killed.by.is_empty())
        .map(|killed| (killed.mutant.name, killed.mutant.requirement))
        .collect();
    let _ = std::panic::take_hook();
    assert!(survivors.is_empty(), "{survivors:#?}");
}

#[test]
fn nothing_between_machine_and_adapter_is_not_killed() {
    let measure = Measure::new(1);
    for nothing in &rdma_migration_mutants::NO_MUTANTS {
        let by = measure.kill(nothing, true).by;
        let by: Vec<_> = by.iter().map(|case| case.id).collect();
        assert!(by.is_empty(), "{:?}: {by:?}", nothing.side);
    }
}
