//! What things cost in virtual time, as data that says where each figure comes from.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use crate::side::{Side, Sides};

const MEBIBYTE: u64 = 1 << 20;
const SECOND_NANOSECONDS: u64 = 1_000_000_000;

/// How far a figure can be trusted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Status {
    /// Published by somebody who measured it.
    Sourced,
    /// Computed from published figures.
    Derived,
    /// Chosen so that the model meets a published result.
    Fitted,
    /// A guess.
    Assumed,
    /// Named by whoever asked.
    Given,
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Sourced => "sourced",
            Self::Derived => "derived",
            Self::Fitted => "fitted",
            Self::Assumed => "assumed",
            Self::Given => "given",
        })
    }
}

/// What a figure counts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Unit {
    /// Bits a second; 0 stands for a link without a limit.
    BitsPerSecond,
    /// Nanoseconds.
    Nanoseconds,
    /// Nanoseconds for each MiB.
    NanosecondsPerMebibyte,
    /// Nanoseconds for each page of 4 KiB.
    NanosecondsPerPage,
    /// A number of times.
    Times,
}

impl fmt::Display for Unit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::BitsPerSecond => "bit/s",
            Self::Nanoseconds => "ns",
            Self::NanosecondsPerMebibyte => "ns/MiB",
            Self::NanosecondsPerPage => "ns/page",
            Self::Times => "times",
        })
    }
}

/// One figure and where it comes from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Figure {
    /// The value, in the unit of its [`Parameter`].
    pub value: u64,
    /// How far it can be trusted.
    pub status: Status,
    /// Where it comes from.
    pub origin: &'static str,
}

impl Figure {
    const fn sourced(value: u64, origin: &'static str) -> Self {
        Self { value, status: Status::Sourced, origin }
    }

    const fn derived(value: u64, origin: &'static str) -> Self {
        Self { value, status: Status::Derived, origin }
    }

    const fn fitted(value: u64, origin: &'static str) -> Self {
        Self { value, status: Status::Fitted, origin }
    }

    const fn assumed(value: u64, origin: &'static str) -> Self {
        Self { value, status: Status::Assumed, origin }
    }

    /// A figure that somebody named instead of the preset's.
    #[must_use]
    pub const fn given(value: u64) -> Self {
        Self { value, status: Status::Given, origin: "instead of the preset's" }
    }

    const fn free() -> Self {
        Self::assumed(0, "free of cost, for tests")
    }
}

/// A figure of a model with its name, as it is printed beside results.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Parameter {
    /// What it is.
    pub name: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// The figure.
    pub figure: Figure,
}

/// What everything costs. Output of a model is a prediction, never a measurement: print
/// [`Self::parameters`] beside it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CostModel {
    /// Rate at which a link carries bytes, each way, in bit/s. 0: without a limit.
    pub wire_rate: Figure,
    /// From the last byte of a message leaving to its arrival, in ns.
    pub one_way: Figure,
    /// From an arrival to a side that slept seeing it, in ns.
    pub wake_up: Sides<Figure>,
    /// Registration of memory, in ns/MiB.
    pub registration: Sides<Figure>,
    /// Deregistration of memory, in ns/MiB.
    pub deregistration: Figure,
    /// A scan for zero, in ns for each page that was looked at.
    pub scan: Figure,
    /// The walk over a run before it is sent, in ns for each page of the run, looked at or not.
    pub walk: Figure,
    /// Zeroing memory, in ns/MiB.
    pub zero: Figure,
    /// Resolving the address and the route before a connection is asked for, in ns.
    pub connection: Figure,
    /// Destroying a queue pair, in ns.
    pub queue_pair_destruction: Figure,
    /// From a transmission to its repetition when no acknowledgement came, in ns.
    pub acknowledgement_timeout: Figure,
    /// Repetitions before the peer counts as gone.
    pub retries: Figure,
    /// Pause before a message that met no posted receive is repeated, in ns.
    pub receiver_not_ready_pause: Figure,
    /// From a connection management message to its repetition, in ns.
    pub management_timeout: Figure,
    /// Repetitions of a connection management message.
    pub management_retries: Figure,
}

impl CostModel {
    /// Every figure with its name and unit.
    pub fn parameters(&self) -> impl Iterator<Item = Parameter> {
        let parameter = |name, unit, figure| Parameter { name, unit, figure };
        [
            parameter("wire rate", Unit::BitsPerSecond, self.wire_rate),
            parameter("one-way latency", Unit::Nanoseconds, self.one_way),
            parameter("wake-up, source", Unit::Nanoseconds, self.wake_up.source),
            parameter("wake-up, destination", Unit::Nanoseconds, self.wake_up.destination),
            parameter(
                "registration, source",
                Unit::NanosecondsPerMebibyte,
                self.registration.source,
            ),
            parameter(
                "registration, destination",
                Unit::NanosecondsPerMebibyte,
                self.registration.destination,
            ),
            parameter("deregistration", Unit::NanosecondsPerMebibyte, self.deregistration),
            parameter("scan for zero", Unit::NanosecondsPerPage, self.scan),
            parameter("page walk", Unit::NanosecondsPerPage, self.walk),
            parameter("zeroing", Unit::NanosecondsPerMebibyte, self.zero),
            parameter("connection", Unit::Nanoseconds, self.connection),
            parameter("queue pair destruction", Unit::Nanoseconds, self.queue_pair_destruction),
            parameter("acknowledgement timeout", Unit::Nanoseconds, self.acknowledgement_timeout),
            parameter("retries", Unit::Times, self.retries),
            parameter("receiver-not-ready pause", Unit::Nanoseconds, self.receiver_not_ready_pause),
            parameter("management timeout", Unit::Nanoseconds, self.management_timeout),
            parameter("management retries", Unit::Times, self.management_retries),
        ]
        .into_iter()
    }

    /// How long the link is busy with `bytes`.
    #[must_use]
    pub fn wire_time(&self, bytes: u64) -> Duration {
        let rate = u128::from(self.wire_rate.value);
        let nanoseconds =
            (u128::from(bytes) * 8 * u128::from(SECOND_NANOSECONDS)).checked_div(rate).unwrap_or(0);
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }

    /// From the last byte of a message leaving to its arrival.
    #[must_use]
    pub const fn one_way(&self) -> Duration {
        Duration::from_nanos(self.one_way.value)
    }

    /// From an arrival to that side seeing it, if it slept.
    #[must_use]
    pub const fn wake_up(&self, side: Side) -> Duration {
        Duration::from_nanos(self.wake_up.of(side).value)
    }

    /// How long that side takes to register `bytes`.
    #[must_use]
    pub fn registration(&self, side: Side, bytes: u64) -> Duration {
        per_mebibyte(*self.registration.of(side), bytes)
    }

    /// How long a side takes to deregister `bytes`.
    #[must_use]
    pub fn deregistration(&self, bytes: u64) -> Duration {
        per_mebibyte(self.deregistration, bytes)
    }

    /// How long a source takes to walk over a run of so many pages of which it looks at `looked_at`
    /// before it knows whether the run is zero.
    #[must_use]
    pub const fn scan(&self, pages: u64, looked_at: u64) -> Duration {
        let walked = self.walk.value.saturating_mul(pages);
        Duration::from_nanos(walked.saturating_add(self.scan.value.saturating_mul(looked_at)))
    }

    /// How long a side takes to zero `bytes`.
    #[must_use]
    pub fn zero(&self, bytes: u64) -> Duration {
        per_mebibyte(self.zero, bytes)
    }
}

fn per_mebibyte(figure: Figure, bytes: u64) -> Duration {
    let nanoseconds = u128::from(figure.value) * u128::from(bytes) / u128::from(MEBIBYTE);
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

/// The models that can be asked for by name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum CostPreset {
    /// The set that reproduces the migration figures published in 2013: 26 Gb/s of useful rate.
    #[default]
    Qdr2013,
    /// A current 100 Gb/s RoCE adapter: assumed figures, checked against nothing.
    Roce100g,
    /// Nothing costs anything; only order remains.
    Free,
}

impl CostPreset {
    /// All presets.
    pub const ALL: [Self; 3] = [Self::Qdr2013, Self::Roce100g, Self::Free];

    /// The name by which it is asked for.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Qdr2013 => "qdr-2013",
            Self::Roce100g => "roce-100g",
            Self::Free => "free",
        }
    }

    /// The model.
    #[must_use]
    pub const fn model(self) -> CostModel {
        match self {
            Self::Qdr2013 => QDR_2013,
            Self::Roce100g => ROCE_100G,
            Self::Free => FREE,
        }
    }
}

impl fmt::Display for CostPreset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A name that is no preset's.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no cost preset is named `{0}`")]
pub struct UnknownPreset(String);

impl FromStr for CostPreset {
    type Err = UnknownPreset;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|preset| preset.name() == name);
        found.ok_or_else(|| UnknownPreset(name.to_owned()))
    }
}

const WAKE_UP_FIT: &str =
    "fit, both sides alike: one chunk after the other, 8 GiB take 7.42 s (published: 7.5 s)";

const QDR_2013: CostModel = CostModel {
    wire_rate: Figure::derived(
        26_000_000_000,
        "QDR 40 Gb/s, 8b/10b, then PCIe gen2 x8 8b/10b: 40 x 0.8 x 0.8",
    ),
    one_way: Figure::sourced(1_500, "published range 0.8 to 1.6 us"),
    wake_up: Sides {
        source: Figure::fitted(155_000, WAKE_UP_FIT),
        destination: Figure::fitted(155_000, WAKE_UP_FIT),
    },
    registration: Sides {
        source: Figure::fitted(103_000, "fit inside the sourced range 98 to 174 us/MB"),
        destination: Figure::fitted(150_000, "fit inside the sourced range 98 to 174 us/MB"),
    },
    deregistration: Figure::derived(24_642, "Mooncake pull 855: 23.5 us/MB"),
    scan: Figure::assumed(400, "about 10 GB/s, one core of the time"),
    walk: Figure::assumed(
        298,
        "with the scan of its first page, a full chunk takes 0.30 us a page",
    ),
    zero: Figure::assumed(100_000, "about 10 GB/s"),
    connection: Figure::fitted(140_000_000, "fit: 0.13 to 0.15 s"),
    queue_pair_destruction: Figure::assumed(50_000, "no figure found"),
    acknowledgement_timeout: Figure::assumed(67_108_864, "4.096 us x 2^14, a usual setting"),
    retries: Figure::sourced(5, "what QEMU's source asks for"),
    receiver_not_ready_pause: Figure::assumed(655_360, "a usual setting: 0.66 ms"),
    management_timeout: Figure::assumed(4_294_967_296, "4.096 us x 2^20, the kernel's setting"),
    management_retries: Figure::assumed(15, "the kernel's setting"),
};

const ROCE_100G: CostModel = CostModel {
    wire_rate: Figure::assumed(92_000_000_000, "100 Gb/s less framing at MTU 4096"),
    one_way: Figure::assumed(1_000, "one switch"),
    wake_up: Sides {
        source: Figure::assumed(8_000, "interrupt and scheduling on a current host"),
        destination: Figure::assumed(8_000, "interrupt and scheduling on a current host"),
    },
    registration: Sides {
        source: Figure::derived(102_760, "Mooncake pull 855: 98 us/MB, touched pages"),
        destination: Figure::derived(182_452, "Mooncake issue 848: 174 us/MB, untouched pages"),
    },
    deregistration: Figure::derived(24_642, "Mooncake pull 855: 23.5 us/MB"),
    scan: Figure::assumed(200, "about 20 GB/s"),
    walk: Figure::assumed(100, "a third of what the older preset has"),
    zero: Figure::assumed(60_000, "about 17 GB/s"),
    connection: Figure::assumed(5_000_000, "address resolution on a quiet network"),
    ..QDR_2013
};

const FREE: CostModel = CostModel {
    wire_rate: Figure::free(),
    one_way: Figure::free(),
    wake_up: Sides { source: Figure::free(), destination: Figure::free() },
    registration: Sides { source: Figure::free(), destination: Figure::free() },
    deregistration: Figure::free(),
    scan: Figure::free(),
    walk: Figure::free(),
    zero: Figure::free(),
    connection: Figure::free(),
    queue_pair_destruction: Figure::free(),
    ..QDR_2013
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mebibyte_takes_a_third_of_a_millisecond_at_26_gigabits() {
        let model = CostPreset::Qdr2013.model();
        assert_eq!(model.wire_time(MEBIBYTE), Duration::from_nanos(322_638));
        assert_eq!(CostPreset::Free.model().wire_time(MEBIBYTE), Duration::ZERO);
    }

    #[test]
    fn the_walk_over_a_full_chunk_takes_three_tenths_of_a_microsecond_a_page() {
        let model = CostPreset::Qdr2013.model();
        let page = model.scan(256, 1).as_nanos() / 256;
        assert!((295..=305).contains(&page), "{page}");
        // A page that is walked over and looked at costs both.
        assert_eq!(model.scan(2, 2) - model.scan(2, 1), Duration::from_nanos(400));
        assert_eq!(model.scan(2, 1) - model.scan(1, 1), Duration::from_nanos(298));
    }

    #[test]
    fn presets_are_found_by_name() {
        for preset in CostPreset::ALL {
            assert_eq!(preset.name().parse(), Ok(preset));
        }
        assert_eq!("none".parse::<CostPreset>(), Err(UnknownPreset("none".to_owned())));
    }

    #[test]
    fn parameters_name_every_figure_once() {
        let names: Vec<_> = QDR_2013.parameters().map(|parameter| parameter.name).collect();
        let mut unique = names.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), names.len());
        // A field of `CostModel` that the list forgets changes this number.
        let figures = size_of::<CostModel>() / size_of::<Figure>();
        assert_eq!(names.len(), figures);
    }
}
