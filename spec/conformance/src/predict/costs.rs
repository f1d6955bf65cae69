//! What a prediction is computed from: the simulator's cost model, and the rate of TCP.

use std::time::Duration;

use rdma_migration_transport_sim::{CostModel, CostPreset, Figure, Parameter, Side, Status, Unit};
use serde::Serialize;

use super::guest::CHUNK_BYTES;

/// Published as "approximately 8 Gb/s", beside 30 Gb/s for RDMA on the same link.
const TCP_RATE: Figure = Figure {
    value: 8_000_000_000,
    status: Status::Sourced,
    origin: "QEMU's documentation, April 2013: TCP over IPoIB on the \"40 Gb/s\" link",
};

/// Figures of the cost model that count only where something goes wrong, or after the guest runs.
const WITHOUT_INFLUENCE: [&str; 6] = [
    "deregistration",
    "acknowledgement timeout",
    "retries",
    "receiver-not-ready pause",
    "management timeout",
    "management retries",
];

/// Every figure of a prediction.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Costs {
    /// The preset that the figures come from, but for those that are given.
    pub preset: CostPreset,
    /// What RDMA costs.
    pub cost: CostModel,
    /// The rate of a migration over TCP, in bit/s.
    pub tcp_rate: Figure,
}

impl Costs {
    /// The figures of a preset.
    #[must_use]
    pub const fn of(preset: CostPreset) -> Self {
        Self { preset, cost: preset.model(), tcp_rate: TCP_RATE }
    }

    /// Every figure that has influence on a prediction.
    #[must_use]
    pub fn parameters(&self) -> Vec<ShownParameter> {
        let tcp =
            Parameter { name: "rate of TCP", unit: Unit::BitsPerSecond, figure: self.tcp_rate };
        let counts = |parameter: &Parameter| !WITHOUT_INFLUENCE.contains(&parameter.name);
        self.cost.parameters().filter(counts).chain([tcp]).map(ShownParameter::from).collect()
    }
}

/// A figure as it is printed.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ShownParameter {
    /// What it is.
    pub name: &'static str,
    /// The value, in `unit`.
    pub value: u64,
    /// The unit.
    pub unit: String,
    /// How far it can be trusted.
    pub status: String,
    /// Where it comes from.
    pub origin: &'static str,
    /// Value and unit as a person would write them.
    #[serde(skip)]
    pub shown: String,
}

impl From<Parameter> for ShownParameter {
    fn from(Parameter { name, unit, figure }: Parameter) -> Self {
        let Figure { value, status, origin } = figure;
        let shown = match unit {
            Unit::BitsPerSecond if value == 0 => "without limit".to_owned(),
            Unit::BitsPerSecond => scaled(value, &[(1_000_000_000, "Gb/s"), (1_000_000, "Mb/s")]),
            Unit::Nanoseconds => time(value, ""),
            Unit::NanosecondsPerMebibyte => time(value, "/MiB"),
            Unit::NanosecondsPerPage => time(value, "/page"),
            Unit::Times => value.to_string(),
        };
        let (unit, status) = (unit.to_string(), status.to_string());
        Self { name, value, unit, status, origin, shown }
    }
}

fn time(nanoseconds: u64, of: &str) -> String {
    let units = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs"), (1, "ns")];
    format!("{}{of}", scaled(nanoseconds, &units))
}

/// The value in the largest unit in which it is at least 1, with as many decimals as it has, at
/// most 3.
fn scaled(value: u64, units: &[(u64, &str)]) -> String {
    let fits = units.iter().find(|(size, _)| value >= *size).or(units.last());
    let (size, unit) = fits.copied().unwrap_or((1, ""));
    let thousandths = u128::from(value) * 1000 / u128::from(size);
    let text = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
    format!("{} {unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

/// What single steps take, in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Steps {
    /// From the first call until the connection is asked for.
    pub(super) connection: f64,
    /// The link, busy with one chunk.
    pub(super) wire: f64,
    /// A message to the destination that slept, and its answer back to the source that slept.
    pub(super) round_trip: f64,
    /// From the last byte of a write leaving to the source that slept knowing that it has arrived.
    pub(super) acknowledgement: f64,
    /// Registration of a chunk at the source.
    pub(super) registration_source: f64,
    /// Registration of a chunk at the destination.
    pub(super) registration_destination: f64,
    /// The walk over a chunk that is not zero.
    pub(super) walk_filled: f64,
    /// The walk over a chunk that is.
    pub(super) walk_zero: f64,
    /// Zeroing a chunk at the destination.
    pub(super) zeroing: f64,
    /// Destroying a queue pair.
    pub(super) destruction: f64,
    /// TCP, busy with one chunk.
    pub(super) tcp: f64,
}

impl Steps {
    pub(super) fn of(costs: &Costs) -> Self {
        const PAGES: u64 = CHUNK_BYTES / rdma_migration_transport_sim::PAGE_BYTES;
        let cost = &costs.cost;
        let one_way = cost.one_way();
        let [source, destination] = Side::BOTH.map(|side| cost.wake_up(side));
        let nanoseconds = |figure: Figure| Duration::from_nanos(figure.value).as_secs_f64();
        let tcp = CostModel { wire_rate: costs.tcp_rate, ..cost.clone() };
        Self {
            connection: nanoseconds(cost.connection),
            wire: cost.wire_time(CHUNK_BYTES).as_secs_f64(),
            round_trip: (one_way * 2 + source + destination).as_secs_f64(),
            acknowledgement: (one_way * 2 + source).as_secs_f64(),
            registration_source: cost.registration(Side::Source, CHUNK_BYTES).as_secs_f64(),
            registration_destination: cost
                .registration(Side::Destination, CHUNK_BYTES)
                .as_secs_f64(),
            walk_filled: cost.scan(PAGES, 1).as_secs_f64(),
            walk_zero: cost.scan(PAGES, PAGES).as_secs_f64(),
            zeroing: cost.zero(CHUNK_BYTES).as_secs_f64(),
            destruction: nanoseconds(cost.queue_pair_destruction),
            tcp: tcp.wire_time(CHUNK_BYTES).as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_of_the_parameters_is_a_parameter_and_the_rest_is_shown() {
        let costs = Costs::of(CostPreset::Qdr2013);
        let names: Vec<_> = costs.cost.parameters().map(|parameter| parameter.name).collect();
        assert!(WITHOUT_INFLUENCE.iter().all(|name| names.contains(name)));
        assert_eq!(costs.parameters().len(), names.len() - WITHOUT_INFLUENCE.len() + 1);
    }

    #[test]
    fn figures_are_shown_in_the_unit_that_a_person_would_choose() {
        assert_eq!(time(155_000, ""), "155 µs");
        assert_eq!(time(1_500, "/MiB"), "1.5 µs/MiB");
        assert_eq!(time(298, "/page"), "298 ns/page");
        assert_eq!(time(140_000_000, ""), "140 ms");
        assert_eq!(time(0, ""), "0 ns");
    }
}
