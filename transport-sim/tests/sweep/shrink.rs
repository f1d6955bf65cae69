//! A smaller run that fails in the same way.

use core::time::Duration;

use rdma_migration_protocol::connection::PinAllOffer;
use rdma_migration_transport_sim::CostPreset;

use crate::invariants::{Broken, Invariant};
use crate::plan::{Fill, Plan};

/// Runs at the most, on the way to a smaller one.
const TRIALS_MAX: usize = 400;

/// Makes a plan smaller as long as `fails` breaks the same invariant with it.
pub(crate) fn shrink(
    plan: &Plan,
    invariant: Invariant,
    fails: impl Fn(&Plan) -> Option<Broken>,
) -> Plan {
    let mut smallest = plan.clone();
    let mut trials = 0;
    loop {
        let same = |broken: Broken| broken.invariant == invariant;
        let smaller = smaller(&smallest).into_iter().find(|plan| {
            trials += 1;
            trials <= TRIALS_MAX && fails(plan).is_some_and(same)
        });
        match smaller {
            Some(plan) => smallest = plan,
            None => return smallest,
        }
    }
}

/// Plans that are smaller than this one by one thing, the largest step first.
fn smaller(plan: &Plan) -> Vec<Plan> {
    let mut plans = Vec::new();
    for left_out in 0..plan.faults.len() {
        let mut faults = plan.faults.clone();
        faults.remove(left_out);
        plans.push(Plan { faults, ..plan.clone() });
    }
    for left_out in (0..plan.blocks.len()).filter(|_| plan.blocks.len() > 1) {
        let mut blocks = plan.blocks.clone();
        blocks.remove(left_out);
        plans.push(Plan { blocks, ..plan.clone() });
    }
    for at in 0..plan.blocks.len() {
        let mut one = plan.clone();
        let block = &mut one.blocks[at];
        (block.pages, block.fill) = (block.pages.div_ceil(2), Fill::Full);
        plans.push(one);
    }
    let usual = Plan::default();
    plans.extend([
        Plan { rounds: 1, ..plan.clone() },
        Plan { rounds: plan.rounds.div_ceil(2), ..plan.clone() },
        Plan { work: 0, ..plan.clone() },
        Plan { work: plan.work / 2, ..plan.clone() },
        Plan { unregisters: false, ..plan.clone() },
        Plan { pause: Duration::ZERO, ..plan.clone() },
        Plan { jitter: 0, ..plan.clone() },
        Plan { cost: CostPreset::Qdr2013, ..plan.clone() },
        Plan { head_bytes: usual.head_bytes, tail_bytes: usual.tail_bytes, ..plan.clone() },
        Plan { taken_at_once: usual.taken_at_once, ..plan.clone() },
        Plan { by_pages: false, ..plan.clone() },
        Plan { windows_announced: false, ..plan.clone() },
        Plan { finishes_late: false, ..plan.clone() },
        Plan { chunk_bytes: usual.chunk_bytes, ..plan.clone() },
        Plan { pinned_chunks_max: None, ..plan.clone() },
        Plan { registration: usual.registration, ..plan.clone() },
        Plan { pin: PinAllOffer::Never, ..plan.clone() },
        Plan { answer: usual.answer, ..plan.clone() },
        Plan {
            signal_interval: usual.signal_interval,
            writes_in_flight_max: usual.writes_in_flight_max,
            ..plan.clone()
        },
        Plan { seed: usual.seed, ..plan.clone() },
    ]);
    plans.retain(|smaller| smaller != plan && smaller.is_possible());
    plans
}
