//! The published table beside what the model makes of it.

use rdma_migration_transport_sim::CostPreset;
use serde::Serialize;

use super::costs::Costs;
use super::guest::Guest;
use super::model::Model;
use super::strategy::Strategy;

/// Where the table was published.
pub(super) const ORIGIN: &str = "QEMU's documentation of migration over RDMA, 2013: an idle guest of \
    8 GB, all of it in use, on a \"40 Gb/s\" InfiniBand link; all figures \"approximately\"";

/// A row of the table: the strategy, seconds, and bits a second.
const PUBLISHED: [(Strategy, f64, f64); 2] =
    [(Strategy::QemuDynamic, 7.5, 9.5e9), (Strategy::QemuPinAll, 4.0, 26e9)];

const GUEST_BYTES: u64 = 8 << 30;

/// A published row and the model's, from the preset that was fitted to it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Calibrated {
    /// Which row.
    pub strategy: Strategy,
    /// Seconds, as published.
    pub published_seconds: f64,
    /// Seconds, from the model.
    pub model_seconds: f64,
    /// The model's less the published, in per cent of the published.
    pub seconds_deviation_percent: f64,
    /// Bits a second while RAM moves, as published.
    pub published_bits_per_second: f64,
    /// Bits a second while RAM moves, from the model.
    pub model_bits_per_second: f64,
    /// The model's less the published, in per cent of the published.
    pub rate_deviation_percent: f64,
}

/// The published rows beside the model's.
#[must_use]
pub fn calibration() -> Vec<Calibrated> {
    let costs = Costs::of(CostPreset::Qdr2013);
    // Spans have no part in either row.
    let model = Model::new(&costs, 1);
    let Ok(guest) = Guest::new(GUEST_BYTES, 0, 1) else { return Vec::new() };
    let rows = PUBLISHED.iter().map(|(strategy, published_seconds, published_rate)| {
        let estimate = model.estimate(*strategy, &guest);
        let model_rate = estimate.bits_per_second().unwrap_or_default();
        Calibrated {
            strategy: *strategy,
            published_seconds: *published_seconds,
            model_seconds: estimate.seconds,
            seconds_deviation_percent: deviation_percent(estimate.seconds, *published_seconds),
            published_bits_per_second: *published_rate,
            model_bits_per_second: model_rate,
            rate_deviation_percent: deviation_percent(model_rate, *published_rate),
        }
    });
    rows.collect()
}

/// How much `value` differs from `from`, in per cent of `from`.
pub(super) fn deviation_percent(value: f64, from: f64) -> f64 {
    (value - from) / from * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_meets_both_published_rows_within_five_per_cent() {
        let rows = calibration();
        assert_eq!(rows.len(), 2);
        for row in rows {
            assert!(row.seconds_deviation_percent.abs() <= 5.0, "{row:?}");
            assert!(row.rate_deviation_percent.abs() <= 5.0, "{row:?}");
        }
    }
}
