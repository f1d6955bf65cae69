//! Time as the machines see it: an instant that the caller supplies, never a clock.

use core::fmt;
use core::time::Duration;

/// A point on the caller's monotonic clock, in nanoseconds since an origin that the caller chose.
///
/// The machines compare instants and add durations to them; they never ask what time it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Instant {
    nanoseconds: u64,
}

impl Instant {
    /// The origin of the caller's clock.
    pub const ORIGIN: Self = Self { nanoseconds: 0 };

    /// The instant `nanoseconds` after the origin.
    #[must_use]
    pub const fn from_nanoseconds(nanoseconds: u64) -> Self {
        Self { nanoseconds }
    }

    /// Nanoseconds since the origin.
    #[must_use]
    pub const fn nanoseconds(self) -> u64 {
        self.nanoseconds
    }

    /// The time from `earlier` to this instant, zero where `earlier` is the later one.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.nanoseconds.saturating_sub(earlier.nanoseconds))
    }

    /// The instant `duration` later; the end of time (584 years) where that is not representable.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let duration = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self { nanoseconds: self.nanoseconds.saturating_add(duration) }
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{:06} ms", self.nanoseconds / 1_000_000, self.nanoseconds % 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_saturate_at_both_ends() {
        let early = Instant::from_nanoseconds(5);
        let late = Instant::from_nanoseconds(9);
        assert_eq!(late.since(early), Duration::from_nanos(4));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(late.after(Duration::MAX).nanoseconds(), u64::MAX);
    }
}
