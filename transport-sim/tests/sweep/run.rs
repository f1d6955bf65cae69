//! One run of a plan, held against the invariants at every instant and at the end.

use core::fmt;
use core::time::Duration;
use std::cell::RefCell;
use std::fs::File;
use std::io::BufWriter;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use rand::Rng;
use rdma_migration_protocol::address::BlockIndex;
use rdma_migration_protocol::connection::GuestOwner;
use rdma_migration_protocol::destination::Destination;
use rdma_migration_protocol::source::Source;
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{Machine, turn};
use rdma_migration_transport_sim::{
    Backing, CostModel, FAULTS, Fabric, FabricConfig, Fault, FaultKind, Figure, Side, Sides,
};

use crate::defect::Defect;
use crate::destination_owner::DestinationOwner;
use crate::guest;
use crate::invariants::{Broken, Invariant, at_every_instant, at_the_end};
use crate::plan::Plan;
use crate::source_owner::SourceOwner;
use crate::watch::{SharedWindows, Watched, Windows};

/// Steps after which a run counts as endless.
const STEPS_MAX: u32 = 1_000_000;

/// A migration on the fabric, under way.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) plan: Plan,
    pub(crate) fabric: Fabric,
    pub(crate) source: Watched<Source>,
    pub(crate) destination: Watched<Destination>,
    pub(crate) source_owner: SourceOwner,
    pub(crate) destination_owner: DestinationOwner,
    /// When the last side that had anything to end had ended.
    pub(crate) ended_at: Instant,
    ram_checked: bool,
}

/// How a run ended that broke nothing.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) ended_after: Duration,
    pub(crate) struck: Vec<Fault>,
    /// For each kind of fault the moments at which it could have struck.
    pub(crate) moments: Vec<(&'static FaultKind, u64)>,
    /// The most heap that each machine used, in bytes.
    pub(crate) heap_peak: Sides<i64>,
    /// Whether both sides said that it went well.
    pub(crate) well: bool,
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ended_after, struck, well, .. } = self;
        let names: Vec<_> = struck.iter().map(ToString::to_string).collect();
        write!(formatter, "ended well: {well}, after {ended_after:?}; struck: {}", names.join(", "))
    }
}

/// Writes what crosses the link in a run of this plan.
pub(crate) fn trace(plan: &Plan, output: File) {
    let mut run = Run::new(plan, Sides::default());
    run.fabric.recorder().start(Box::new(BufWriter::new(output))).expect("a file to write");
    // However it ends, it is written so far.
    let _ended = catch_unwind(AssertUnwindSafe(|| run.play()));
    run.fabric.recorder().finish().expect("a file to write");
}

/// Runs a plan. `usual_end`: when it ends without its faults, where that is known.
pub(crate) fn run(plan: &Plan, usual_end: Option<Duration>) -> Result<Outcome, Broken> {
    run_with(plan, usual_end, Sides::default())
}

/// Runs a plan with machines that have these bugs.
pub(crate) fn run_with(
    plan: &Plan,
    usual_end: Option<Duration>,
    defects: Sides<Option<Defect>>,
) -> Result<Outcome, Broken> {
    let whole = || {
        let mut run = Run::new(plan, defects);
        run.play()?;
        at_the_end(&mut run, usual_end)?;
        Ok(run.outcome())
    };
    catch_unwind(AssertUnwindSafe(whole)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(Broken::new(Invariant::Bounds, format!("a panic: {}", text.unwrap_or_default())))
    })
}

impl Run {
    fn new(plan: &Plan, defects: Sides<Option<Defect>>) -> Self {
        let faults = plan.faults.iter().copied().collect();
        let config =
            FabricConfig { seed: plan.seed, cost: cost(plan), faults, ..FabricConfig::default() };
        let mut fabric = Fabric::new(config);
        let source_owner = SourceOwner::new(plan);
        let mut windows = Windows::default();
        for bytes in &source_owner.ram {
            let stale = vec![guest::STALE; bytes.len()];
            fabric.port(Side::Source).add_block(Backing::Bytes(bytes.clone()));
            let mut destination = fabric.port(Side::Destination);
            let block = destination.add_block(Backing::Bytes(stale));
            windows.blocks.push(destination.host_address(block).expect("a block").get());
        }
        let windows: SharedWindows = Rc::new(RefCell::new(windows));
        let source = Source::new(plan.source_config()).expect("a good configuration");
        let destination = Destination::new(plan.destination_config());
        Self {
            plan: plan.clone(),
            fabric,
            source: Watched::new(source, &windows, defects.source),
            destination: Watched::new(destination, &windows, defects.destination),
            source_owner,
            destination_owner: DestinationOwner::new(plan),
            ended_at: Instant::ORIGIN,
            ram_checked: false,
        }
    }

    fn play(&mut self) -> Result<(), Broken> {
        for _ in 0..STEPS_MAX {
            self.take_turns();
            at_every_instant(self)?;
            if self.destination_owner.released && !self.ram_checked {
                self.check_ram()?;
                self.ram_checked = true;
            }
            self.note_end();
            if let Some(next) = self.next_instant() {
                self.fabric.advance(next);
            } else if self.ended() {
                return Ok(());
            } else {
                self.stop_listening()?;
            }
        }
        Err(Broken::new(Invariant::Waits, format!("no end after {STEPS_MAX} steps")))
    }

    /// Nobody will call any more: who runs the listener stops it.
    fn stop_listening(&mut self) -> Result<(), Broken> {
        let nobody_calls = self.source.is_closed() && !self.destination.record.begun;
        if nobody_calls && self.destination.call(Destination::abort).is_ok() {
            self.fabric.rouse(Side::Destination);
            return Ok(());
        }
        let what = format!("nothing will ever happen\n{:?}\n{:?}", self.source, self.destination);
        Err(Broken::new(Invariant::Waits, what))
    }

    fn take_turns(&mut self) {
        if is_due(&self.source, &mut self.fabric, Side::Source) {
            let mut port = self.fabric.port(Side::Source);
            turn(&mut self.source, &mut port, &mut self.source_owner);
            // From posting the last message on, and not before, the source is undecided.
            if self.source.machine().guest_owner() == GuestOwner::Undecided {
                self.fabric.mark_last_send();
            }
        }
        if is_due(&self.destination, &mut self.fabric, Side::Destination) {
            let mut port = self.fabric.port(Side::Destination);
            turn(&mut self.destination, &mut port, &mut self.destination_owner);
        }
    }

    fn ended(&self) -> bool {
        self.source.is_closed() && self.destination.is_closed()
    }

    fn note_end(&mut self) {
        let now = self.fabric.now();
        self.source.note_end(now);
        self.destination.note_end(now);
        for record in [&self.source.record, &self.destination.record] {
            // One that nobody has called never had anything to end.
            let ended = record.ended_at.filter(|_| record.begun);
            self.ended_at = self.ended_at.max(ended.unwrap_or_default());
        }
    }

    fn next_instant(&self) -> Option<Instant> {
        let deadlines = [self.source.poll_timeout(), self.destination.poll_timeout()];
        let deadlines = deadlines.into_iter().flatten().map(|(deadline, _)| deadline);
        deadlines.chain(self.fabric.next_event()).min()
    }

    /// The RAM of both sides is the same, to the byte.
    pub(crate) fn check_ram(&mut self) -> Result<(), Broken> {
        for (index, bytes) in (0..).zip(&self.source_owner.ram) {
            let arrived =
                self.fabric.port(Side::Destination).memory(BlockIndex::new(index)).to_vec();
            let wrong = bytes.iter().zip(&arrived).position(|(one, other)| one != other);
            if let Some(at) = wrong {
                let what = format!("byte {at:#x} of block {index} arrived wrong");
                return Err(Broken::new(Invariant::Bytes, what));
            }
        }
        Ok(())
    }

    fn went_well(&self) -> bool {
        let closed = self.source_owner.closed.iter().chain(&self.destination_owner.closed);
        { closed }.all(|closed| closed.result.is_ok())
    }

    fn outcome(&self) -> Outcome {
        let moments = FAULTS.iter().map(|kind| (kind, self.fabric.operations_for(kind)));
        Outcome {
            ended_after: self.ended_at.since(Instant::ORIGIN),
            struck: self.fabric.faults_struck().to_vec(),
            moments: moments.collect(),
            heap_peak: Sides {
                source: self.source.record.meter.peak,
                destination: self.destination.record.meter.peak,
            },
            well: self.went_well(),
        }
    }
}

/// Whether a side has anything to do: it was woken, or a deadline of its own has come.
fn is_due<M: Machine>(machine: &M, fabric: &mut Fabric, side: Side) -> bool {
    if machine.poll_timeout().is_some_and(|(deadline, _)| deadline <= fabric.now()) {
        fabric.rouse(side);
    }
    fabric.is_awake(side)
}

/// The costs of a plan: those of its preset, each made larger or smaller by chance.
fn cost(plan: &Plan) -> CostModel {
    let mut cost = plan.cost.model();
    let mut random = guest::random(plan, "costs", 0);
    let mut change = |figure: &mut Figure| {
        let up = 1 << random.random_range(0..=plan.jitter);
        let down = 1 << random.random_range(0..=plan.jitter);
        figure.value = figure.value * up / down;
    };
    let CostModel {
        wire_rate,
        one_way,
        wake_up,
        registration,
        deregistration,
        scan,
        zero,
        connection,
        queue_pair_destruction,
        ..
    } = &mut cost;
    let sides = [&mut wake_up.source, &mut wake_up.destination, &mut registration.source];
    let others = [
        &mut registration.destination,
        wire_rate,
        one_way,
        deregistration,
        scan,
        zero,
        connection,
        queue_pair_destruction,
    ];
    sides.into_iter().chain(others).for_each(&mut change);
    cost
}
