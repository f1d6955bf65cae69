//! From a value to a place on an axis, and the marks on it.

/// How values become places.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// Equal differences are equally far apart; begins at 0.
    Linear,
    /// Equal ratios are.
    Logarithmic,
}

/// One axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    kind: Kind,
    from: f64,
    to: f64,
}

/// Marks on an axis, about so many.
const MARKS: f64 = 6.0;

impl Scale {
    /// An axis from 0 to `to`.
    pub(super) fn linear(to: f64) -> Self {
        Self { kind: Kind::Linear, from: 0.0, to: if to > 0.0 { to } else { 1.0 } }
    }

    /// An axis from `from` to `to`, both above 0.
    pub(super) fn logarithmic(from: f64, to: f64) -> Self {
        let from = if from.is_finite() && from > 0.0 { from } else { 1.0 };
        Self { kind: Kind::Logarithmic, from, to: if to > from { to } else { from * 10.0 } }
    }

    /// Where a value is: 0 at the beginning of the axis, 1 at its end.
    pub(super) fn place(&self, value: f64) -> f64 {
        match self.kind {
            Kind::Linear => value / self.to,
            Kind::Logarithmic => {
                (value.max(self.from) / self.from).ln() / (self.to / self.from).ln()
            }
        }
    }

    /// Round values to be marked. `base` is what counts as round: 1000 for seconds and rates, or 2
    /// for bytes.
    pub(super) fn marks(&self, base: Round) -> Vec<f64> {
        match self.kind {
            Kind::Linear => {
                let step = base.at_least(self.to / MARKS);
                multiples(step, self.to)
            }
            Kind::Logarithmic => {
                let decades = -12..=18;
                let marks = decades
                    .flat_map(|decade| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(decade)));
                marks.filter(|mark| (self.from..=self.to * 1.0001).contains(mark)).collect()
            }
        }
    }
}

/// What counts as a round number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Round {
    /// 1, 2, 5, 10, 20, ...
    Decimal,
    /// Powers of two.
    Binary,
}

impl Round {
    /// The smallest round number that is at least `value`.
    fn at_least(self, value: f64) -> f64 {
        match self {
            Self::Binary => 2_f64.powf(value.log2().ceil()),
            Self::Decimal => {
                let decade = 10_f64.powf(value.log10().floor());
                let digits = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * decade);
                digits.into_iter().find(|round| *round >= value * 0.9999).unwrap_or(value)
            }
        }
    }
}

fn multiples(step: f64, to: f64) -> Vec<f64> {
    let multiples = (0..64_u32).map(|count| f64::from(count) * step);
    multiples.take_while(|mark| *mark <= to * 1.0001).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_and_inside_their_axis() {
        assert_eq!(Scale::linear(17.3).marks(Round::Decimal), [0.0, 5.0, 10.0, 15.0]);
        let gib = 1_073_741_824.0;
        let marks = Scale::linear(16.0 * gib).marks(Round::Binary);
        assert_eq!(marks, [0.0, 4.0, 8.0, 12.0, 16.0].map(|count| count * gib));
        let marks = Scale::logarithmic(2.5e9, 400e9).marks(Round::Decimal);
        assert_eq!(marks, [5e9, 10e9, 20e9, 50e9, 100e9, 200e9]);
    }

    #[test]
    fn an_axis_runs_from_zero_to_one() {
        for scale in [Scale::logarithmic(2.0, 32.0), Scale::linear(32.0)] {
            assert!((scale.place(32.0) - 1.0).abs() < 1e-9);
        }
        assert!((Scale::logarithmic(2.0, 32.0).place(8.0) - 0.5).abs() < 1e-9);
        assert!((Scale::linear(32.0).place(8.0) - 0.25).abs() < 1e-9);
        // Nothing to show is no reason to fail.
        assert!(Scale::linear(0.0).place(0.0).abs() < 1e-9);
        assert!(Scale::logarithmic(f64::INFINITY, 0.0).place(0.0).abs() < 1e-9);
    }
}
