//! The fault sweep: every migration, every operation, every way in which it can fail; then pairs, and
//! long random runs. What must hold of each run is in `invariants`.

mod defect;
mod destination_owner;
mod guest;
mod invariants;
mod kinds;
mod meter;
mod plan;
mod run;
mod source_owner;
mod watch;

use kinds::kinds;
use rdma_migration_transport_sim::Fault;
use run::run;

#[test]
fn every_kind_of_migration_ends_as_it_should() {
    for (name, plan) in kinds() {
        let outcome = run(&plan, None).unwrap_or_else(|broken| panic!("{name}: {plan}\n{broken}"));
        let moments: u64 = outcome.moments.iter().map(|(_, count)| count).sum();
        println!(
            "{name}: {plan}: {moments} singles, {:?} {:?}",
            outcome.ended_after, outcome.heap_peak
        );
    }
}

#[test]
fn singles() {
    let start = std::time::Instant::now();
    let mut runs = 0;
    for (name, plan) in kinds() {
        let usual = run(&plan, None).unwrap();
        for (kind, count) in usual.moments {
            for at in 1..=count {
                let plan = plan.with([Fault { kind, at }]);
                let outcome = run(&plan, Some(usual.ended_after));
                runs += 1;
                match outcome {
                    Ok(outcome) => assert_eq!(outcome.struck.len(), 1, "{plan}"),
                    Err(broken) => {
                        println!("{name}: {plan}\n{broken}");
                        break;
                    }
                }
            }
        }
    }
    println!("{runs} runs {:?}", start.elapsed());
}
