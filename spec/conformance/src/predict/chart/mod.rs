//! Curves of time: against guest size, and against the rate of the link.

mod scale;
mod svg;
mod terminal;

use rdma_migration_transport_sim::Figure;
use serde::Serialize;

use super::model::{Model, float};
use super::prediction::Plan;
use super::strategy::Strategy;
pub use svg::write_svg;
pub use terminal::Terminal;

/// What is drawn, slowest first. Where two strategies are one curve, one of them is.
const DRAWN: [(Strategy, &str); 6] = [
    (Strategy::Tcp, "QEMU, TCP"),
    (Strategy::QemuDynamic, "QEMU, dynamic = ours, chunk by chunk"),
    (Strategy::OursSpans, "ours, spans"),
    (Strategy::QemuPinAll, "QEMU, pin-all = ours, pin-all"),
    (Strategy::OursLookAhead, "ours, look-ahead"),
    (Strategy::WireLimit, "wire limit"),
];

/// Points of a curve against guest size.
const SIZES: u64 = 32;

/// Points of a curve against link rate.
const RATES: u32 = 33;

const RATE_MIN: f64 = 2.5e9;
const RATE_MAX: f64 = 400e9;

/// Several curves over the same places.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Curves {
    /// What the places are, with their unit.
    pub x: &'static str,
    /// The places, ascending.
    pub places: Vec<f64>,
    /// The curves.
    pub curves: Vec<Curve>,
}

/// Seconds over places.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Curve {
    /// Of which strategy.
    pub strategy: Strategy,
    /// What it is called in a chart.
    pub name: &'static str,
    /// A value for each place.
    pub seconds: Vec<f64>,
}

/// Time against guest size, up to twice the guest's.
#[must_use]
pub(super) fn by_guest_size(plan: &Plan) -> Curves {
    let model = Model::new(&plan.costs, plan.span_chunks);
    let sizes = (1..=SIZES)
        .map(|step| plan.guest.resized(plan.guest.ram_bytes().saturating_mul(2) / SIZES * step));
    let mut sizes: Vec<_> = sizes.collect();
    sizes.dedup();
    let curve = |(strategy, name)| Curve {
        strategy,
        name,
        seconds: sizes.iter().map(|guest| model.estimate(strategy, guest).seconds).collect(),
    };
    let curves = DRAWN.map(curve).to_vec();
    let places = sizes.iter().map(|guest| float(guest.ram_bytes())).collect();
    Curves { x: "guest RAM, bytes", places, curves }
}

/// Time against the rate of the link, all other figures as they are.
#[must_use]
pub(super) fn by_link_rate(plan: &Plan) -> Curves {
    let steps = f64::from(RATES - 1);
    let place = |step| RATE_MIN * (RATE_MAX / RATE_MIN).powf(f64::from(step) / steps);
    let places: Vec<f64> = (0..RATES).map(place).collect();
    let models: Vec<_> = places
        .iter()
        .map(|rate| {
            let mut costs = plan.costs.clone();
            costs.cost.wire_rate = Figure::given(whole(*rate));
            // TCP is not faster than the link either.
            costs.tcp_rate.value = costs.tcp_rate.value.min(whole(*rate));
            Model::new(&costs, plan.span_chunks)
        })
        .collect();
    let curve = |(strategy, name)| Curve {
        strategy,
        name,
        seconds: models.iter().map(|model| model.estimate(strategy, &plan.guest).seconds).collect(),
    };
    Curves { x: "link rate, bit/s", places, curves: DRAWN.map(curve).to_vec() }
}

impl Curves {
    /// The largest value of all curves.
    fn seconds_max(&self) -> f64 {
        self.values().fold(0.0, f64::max)
    }

    /// The smallest value above zero of all curves.
    fn seconds_min(&self) -> f64 {
        self.values().filter(|value| *value > 0.0).fold(f64::INFINITY, f64::min)
    }

    fn values(&self) -> impl Iterator<Item = f64> {
        self.curves.iter().flat_map(|curve| curve.seconds.iter().copied())
    }

    /// The last place.
    fn end(&self) -> f64 {
        self.places.last().copied().unwrap_or_default()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, as it should"
)]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predict::{Costs, Guest};
    use rdma_migration_transport_sim::CostPreset;

    pub(super) fn plan() -> Plan {
        Plan {
            guest: Guest::new(8 << 30, 0, 64).unwrap(),
            costs: Costs::of(CostPreset::Qdr2013),
            span_chunks: 64,
            max_pinned: None,
        }
    }

    #[test]
    fn strategies_that_are_not_drawn_are_the_same_curve_as_one_that_is() {
        let Plan { guest, costs, span_chunks, .. } = plan();
        let model = Model::new(&costs, span_chunks);
        let seconds = |strategy| model.estimate(strategy, &guest).seconds;
        for (left_out, drawn) in [
            (Strategy::OursChunks, Strategy::QemuDynamic),
            (Strategy::OursPinAll, Strategy::QemuPinAll),
        ] {
            assert!((seconds(left_out) - seconds(drawn)).abs() < 1e-9);
            assert!(DRAWN.iter().any(|(strategy, _)| *strategy == drawn));
        }
        assert_eq!(DRAWN.len() + 2, Strategy::ALL.len());
    }

    #[test]
    fn curves_rise_with_the_guest_and_fall_with_the_rate() {
        let size = by_guest_size(&plan());
        let rate = by_link_rate(&plan());
        for curves in [&size, &rate] {
            assert!(curves.places.is_sorted());
            assert_eq!(curves.curves.len(), DRAWN.len());
        }
        assert!(size.curves.iter().all(|curve| curve.seconds.is_sorted()));
        assert!(
            rate.curves.iter().all(|curve| curve.seconds.is_sorted_by(|one, next| one >= next))
        );
        let tiny = Plan { guest: Guest::new(1 << 20, 0, 64).unwrap(), ..plan() };
        assert_eq!(by_guest_size(&tiny).places, [1_048_576.0, 2_097_152.0]);
    }
}
