//! A prediction: everything that is said, with everything that it was computed from.

use serde::Serialize;

use super::chart::{Curves, by_guest_size, by_link_rate};
use super::costs::{Costs, ShownParameter};
use super::guest::Guest;
use super::model::Model;
use super::published::{self, Calibrated, deviation_percent};
use super::simulation::{SimulationError, simulate};
use super::strategy::Strategy;

/// What kind of statement all of this is, for whoever finds the JSON alone.
pub const NATURE: &str =
    "a prediction, computed from the parameters below by a calibrated model; never a measurement";

/// What is asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Plan {
    /// The guest to be moved.
    pub guest: Guest,
    /// What everything costs.
    pub costs: Costs,
    /// Chunks of one request, at the most, where requests are for spans.
    pub span_chunks: u32,
    /// Bytes that the destination may pin at the most; none is no limit.
    pub max_pinned: Option<u64>,
}

/// The answer.
#[derive(Clone, Debug, Serialize)]
pub struct Prediction {
    /// That it is a prediction.
    pub nature: &'static str,
    /// The preset that the parameters come from, but for those that are given.
    pub preset: &'static str,
    /// Everything that the model was told of the hardware.
    pub parameters: Vec<ShownParameter>,
    /// Where the published table comes from.
    pub published_origin: &'static str,
    /// The published table beside the model's, from the preset that was fitted to it.
    pub published: Vec<Calibrated>,
    /// The guest.
    pub guest: Guest,
    /// Chunks of one request, at the most.
    pub span_chunks: u32,
    /// Bytes that the destination may pin at the most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_pinned_bytes: Option<u64>,
    /// The guest with every strategy.
    pub rows: Vec<Row>,
    /// Time against guest size.
    pub by_guest_size: Curves,
    /// Time against the rate of the link.
    pub by_link_rate: Curves,
}

/// One strategy's row.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Row {
    /// Which.
    pub strategy: Strategy,
    /// From the first call until the guest may run at the destination.
    pub seconds: f64,
    /// While RAM moves: without making the connection and pinning all RAM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits_per_second: Option<f64>,
    /// `seconds` as a multiple of the wire limit's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times_wire_limit: Option<f64>,
    /// Bytes of RAM that cross the link.
    pub bytes: u64,
    /// The most bytes that the destination pins at any one time.
    pub pinned_bytes: u64,
    /// Whether that is within what it may pin.
    pub fits: bool,
    /// What the simulator made of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub simulated: Option<SimulatedRow>,
}

/// The same on the simulator.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SimulatedRow {
    /// From the first call until the guest may run at the destination, in virtual time.
    pub seconds: f64,
    /// The most bytes that the destination had pinned at any one time.
    pub pinned_bytes: u64,
    /// The closed form's seconds less the simulator's, in per cent of the simulator's.
    pub deviation_percent: f64,
}

/// Computes it.
#[must_use]
pub fn predict(plan: &Plan) -> Prediction {
    let Plan { guest, costs, span_chunks, max_pinned } = plan;
    let model = Model::new(costs, *span_chunks);
    let limit = model.estimate(Strategy::WireLimit, guest).seconds;
    let rows = Strategy::ALL.map(|strategy| {
        let estimate = model.estimate(strategy, guest);
        Row {
            strategy,
            seconds: estimate.seconds,
            bits_per_second: estimate.bits_per_second(),
            times_wire_limit: (limit > 0.0).then(|| estimate.seconds / limit),
            bytes: estimate.bytes,
            pinned_bytes: estimate.pinned_bytes,
            fits: max_pinned.is_none_or(|max| estimate.pinned_bytes <= max),
            simulated: None,
        }
    });
    Prediction {
        nature: NATURE,
        preset: costs.preset.name(),
        parameters: costs.parameters(),
        published_origin: published::ORIGIN,
        published: published::calibration(),
        guest: *guest,
        span_chunks: *span_chunks,
        max_pinned_bytes: *max_pinned,
        rows: rows.to_vec(),
        by_guest_size: by_guest_size(plan),
        by_link_rate: by_link_rate(plan),
    }
}

impl Prediction {
    /// Runs the machines on the simulator for every row of this protocol.
    ///
    /// # Errors
    /// [`SimulationError`] if one of the runs does not move the guest.
    pub fn simulate(&mut self, plan: &Plan) -> Result<(), SimulationError> {
        for row in &mut self.rows {
            let Some(machines) = row.strategy.machines(plan.span_chunks) else { continue };
            let simulated = simulate(machines, &plan.guest, &plan.costs.cost)?;
            row.simulated = Some(SimulatedRow {
                seconds: simulated.seconds,
                pinned_bytes: simulated.pinned_bytes,
                deviation_percent: deviation_percent(row.seconds, simulated.seconds),
            });
        }
        Ok(())
    }
}
