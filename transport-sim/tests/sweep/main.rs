//! The fault sweep: every migration, every operation, every way in which it can fail; then pairs of
//! faults, and random migrations with random faults. What must hold of each run is in `invariants`.
//!
//! `cargo test` runs a part. All of it, with a line for each property at the end:
//!
//! ```text
//! cargo test --release -p rdma-migration-transport-sim --test sweep -- --ignored --nocapture whole
//! ```
//!
//! `PROVE_LONG=1` makes the random part fifty times as long.

mod defect;
mod destination_owner;
mod found;
mod guest;
mod invariants;
mod kinds;
mod meter;
mod plan;
mod random;
mod run;
mod shrink;
mod source_owner;
mod sweeps;
mod watch;

use invariants::Invariant;
use kinds::kinds;
use plan::Plan;
use sweeps::{Tally, judge, pairs, random_runs, singles};

/// Runs of the whole sweep of single faults. It changes with the kinds of migrations, the kinds of
/// faults and what the machines order; it may not change by accident.
const SINGLES: u64 = 27_336;
const PAIRS: u64 = 20_000;
const RANDOM: u64 = 20_000;
/// How much longer the random part may be asked to be.
const LONG: u64 = 50;

#[test]
fn every_kind_of_migration_ends_as_it_should_without_faults() {
    for (name, plan) in kinds() {
        run::run(&plan, None).unwrap_or_else(|broken| panic!("{name}: {plan}\n{broken}"));
    }
}

/// Another part of the moments for each migration and fault, so that all of them are reached
/// somewhere.
#[test]
fn single_faults_in_part() {
    let tally = singles(10);
    assert!(tally.runs > SINGLES / 12, "{tally:?}");
}

#[test]
fn pairs_of_faults_in_part() {
    pairs(0..600);
}

#[test]
fn random_migrations_with_random_faults_in_part() {
    random_runs(0..400);
}

#[test]
#[ignore = "minutes: .ci/run prove"]
fn the_whole_sweep() {
    let longer = if std::env::var_os("PROVE_LONG").is_some() { LONG } else { 1 };
    let single = singles(1);
    println!("{single}");
    assert_eq!(single.runs, SINGLES, "the sweep has changed: if that is meant, change the number");
    let paired = pairs(0..PAIRS * longer);
    let random = random_runs(0..RANDOM * longer);
    let all = Tally::sum([&single, &paired, &random]);
    println!("{all}");
    let kinds = kinds().count();
    let prove = |property: &str, method: &str, runs: u64| {
        println!("prove | {property} | {method} | {} runs | pass", thousands(runs));
    };
    let method = "single faults exhaustively, pairs, random runs";
    for invariant in Invariant::ALL {
        prove(&invariant.to_string(), method, all.runs);
    }
    let method = format!("{kinds} kinds of migration, every fault at every operation");
    prove("every single failure ends both sides well or with a reason", &method, single.runs);
}

/// Repeats the run that `SWEEP_RUN` describes, as a failure of the sweep prints it. Everything that
/// crosses the link goes to the file `SWEEP_TRACE`, if it is named, for Wireshark and
/// `rdma-migration inspect`.
#[test]
#[ignore = "a run by hand, described by SWEEP_RUN"]
fn the_run_that_was_asked_for() {
    let text = std::env::var("SWEEP_RUN").expect("SWEEP_RUN describes a run");
    let plan: Plan = text.parse().unwrap();
    if let Some(path) = std::env::var_os("SWEEP_TRACE") {
        run::trace(&plan, std::fs::File::create(path).unwrap());
    }
    match judge(&plan) {
        Ok(outcome) => println!("nothing is broken: {outcome}"),
        Err(broken) => panic!("{plan}\n{broken}"),
    }
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let (head, rest) = digits.split_at(first);
    let groups = rest.as_bytes().chunks(3).map(|group| String::from_utf8_lossy(group).into_owned());
    let head = Some(head.to_owned()).filter(|head| !head.is_empty());
    head.into_iter().chain(groups).collect::<Vec<_>>().join(",")
}

#[test]
fn numbers_have_separators() {
    let written = [0, 999, 1000, 1_234_567].map(thousands);
    assert_eq!(written, ["0", "999", "1,000", "1,234,567"]);
}
