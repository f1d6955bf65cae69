//! The three sweeps: single faults, pairs of them, and random migrations.

use core::fmt;
use core::ops::Range;
use core::time::Duration;

use rdma_migration_transport_sim::{FAULTS, Fault, Side, Sides};

use crate::invariants::{Broken, Invariant};
use crate::kinds::kinds;
use crate::plan::Plan;
use crate::random;
use crate::run::{Outcome, run};
use crate::shrink::shrink;

/// What a sweep has done.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) runs: u64,
    pub(crate) faults_struck: u64,
    pub(crate) ended_well: u64,
    latest_end: Duration,
    heap_peak: Sides<i64>,
}

impl Tally {
    fn add(&mut self, outcome: &Outcome) {
        self.runs += 1;
        self.faults_struck += u64::try_from(outcome.struck.len()).unwrap();
        self.ended_well += u64::from(outcome.well);
        self.note(outcome.ended_after, outcome.heap_peak);
    }

    fn note(&mut self, ended_after: Duration, heap_peak: Sides<i64>) {
        self.latest_end = self.latest_end.max(ended_after);
        self.heap_peak = Sides::from_fn(|side| *self.heap_peak.of(side).max(heap_peak.of(side)));
    }

    pub(crate) fn sum<'a>(tallies: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut sum = Self::default();
        for tally in tallies {
            sum.runs += tally.runs;
            sum.faults_struck += tally.faults_struck;
            sum.ended_well += tally.ended_well;
            sum.note(tally.latest_end, tally.heap_peak);
        }
        sum
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} runs, {} faults struck, {} ended well; the last end after {:.1?} of virtual time; \
             heap of the machines: source {} bytes, destination {} bytes",
            self.runs,
            self.faults_struck,
            self.ended_well,
            self.latest_end,
            self.heap_peak.of(Side::Source),
            self.heap_peak.of(Side::Destination)
        )
    }
}

/// Every fault at every operation of every kind of migration; of those one in `stride`.
pub(crate) fn singles(stride: u64) -> Tally {
    let mut tally = Tally::default();
    for (number, (name, plan)) in (0..).zip(kinds()) {
        let before = tally.runs;
        let usual = usual(&plan);
        tally.add(&usual);
        for (row, (kind, moments)) in (0..).zip(&usual.moments) {
            for at in (1..=*moments).filter(|at| (at + row + number) % stride == 0) {
                let plan = plan.with([Fault { kind, at }]);
                let outcome = run(&plan, Some(usual.ended_after)).and_then(struck_once);
                tally.add(&outcome.unwrap_or_else(|broken| fail(&plan, &broken)));
            }
        }
        println!("{:>6} runs  {name}: {plan}", tally.runs - before);
    }
    tally
}

/// There is an operation for each moment that was counted.
fn struck_once(outcome: Outcome) -> Result<Outcome, Broken> {
    match outcome.struck.len() {
        1 => Ok(outcome),
        _ => Err(Broken::new(Invariant::Contract, "the fault did not strike")),
    }
}

/// Two faults by chance in a kind of migration, the same for the same number.
pub(crate) fn pairs(numbers: Range<u64>) -> Tally {
    let kinds: Vec<_> = kinds().map(|(_, plan)| (usual(&plan), plan)).collect();
    let mut tally = Tally::default();
    for number in numbers {
        let (usual, plan) = &kinds[usize::try_from(number).unwrap() % kinds.len()];
        let plan = Plan { seed: number, ..plan.with(random::faults(usual, 2, number)) };
        let outcome = run(&plan, Some(usual.ended_after));
        tally.add(&outcome.unwrap_or_else(|broken| fail(&plan, &broken)));
    }
    tally
}

/// Any migration, first without faults and then with up to four.
pub(crate) fn random_runs(numbers: Range<u64>) -> Tally {
    let mut tally = Tally::default();
    for number in numbers {
        let plan = random::plan(number);
        let usual = usual(&plan);
        tally.add(&usual);
        let count = usize::try_from(number % 4).unwrap() + 1;
        let plan = plan.with(random::faults(&usual, count, number));
        let outcome = run(&plan, Some(usual.ended_after));
        tally.add(&outcome.unwrap_or_else(|broken| fail(&plan, &broken)));
    }
    tally
}

/// How a migration goes without its faults.
fn usual(plan: &Plan) -> Outcome {
    let plan = plan.with([]);
    run(&plan, None).unwrap_or_else(|broken| fail(&plan, &broken))
}

/// Runs a plan without its faults and then with them.
pub(crate) fn judge(plan: &Plan) -> Result<Outcome, Broken> {
    let usual = run(&plan.with([]), None)?;
    run(plan, Some(usual.ended_after))
}

/// Reports a failure by the smallest run that fails in the same way, with the command that repeats it.
fn fail(plan: &Plan, broken: &Broken) -> ! {
    let smallest = shrink(plan, broken.invariant, |plan| judge(plan).err());
    let found = judge(&smallest).err().unwrap_or_else(|| broken.clone());
    panic!("found with: {plan}\n{broken}\n\n{}", repetition(&smallest, &found));
}

/// A failure as it is reported.
pub(crate) fn repetition(plan: &Plan, broken: &Broken) -> String {
    format!(
        "{broken}\nrepeat it with:\nSWEEP_RUN='{plan}' cargo test --release -p \
         rdma-migration-transport-sim --test sweep -- --ignored --exact --nocapture \
         the_run_that_was_asked_for"
    )
}

#[test]
fn every_kind_of_fault_has_its_moments_in_some_migration() {
    let struck = |name: &str| {
        kinds().any(|(_, plan)| {
            let moments = usual(&plan).moments;
            moments.iter().any(|(kind, count)| kind.name == name && *count > 0)
        })
    };
    let never: Vec<_> = FAULTS.iter().map(|kind| kind.name).filter(|name| !struck(name)).collect();
    assert_eq!(never, [""; 0]);
}
