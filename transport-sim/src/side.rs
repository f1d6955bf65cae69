//! The two ends of a migration.

use core::fmt;

/// One end of a migration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Side {
    /// The host that the guest leaves.
    Source,
    /// The host that the guest moves to.
    Destination,
}

impl Side {
    /// Both sides, the source first.
    pub const BOTH: [Self; 2] = [Self::Source, Self::Destination];

    /// The other end.
    #[must_use]
    pub const fn peer(self) -> Self {
        match self {
            Self::Source => Self::Destination,
            Self::Destination => Self::Source,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Source => "source",
            Self::Destination => "destination",
        })
    }
}

/// The same thing, once for each side.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Sides<T> {
    /// The source's.
    pub source: T,
    /// The destination's.
    pub destination: T,
}

impl<T> Sides<T> {
    /// Makes one for each side.
    pub fn from_fn(mut make: impl FnMut(Side) -> T) -> Self {
        Self { source: make(Side::Source), destination: make(Side::Destination) }
    }

    /// The one of `side`.
    pub const fn of(&self, side: Side) -> &T {
        match side {
            Side::Source => &self.source,
            Side::Destination => &self.destination,
        }
    }

    /// The one of `side`, to be changed.
    pub const fn of_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Source => &mut self.source,
            Side::Destination => &mut self.destination,
        }
    }

    /// The one of `side` and the one of its peer.
    pub(crate) const fn with_peer(&mut self, side: Side) -> (&mut T, &mut T) {
        match side {
            Side::Source => (&mut self.source, &mut self.destination),
            Side::Destination => (&mut self.destination, &mut self.source),
        }
    }
}
