//! What must hold of both sides together, at every instant.

use core::fmt;

use rdma_migration_protocol::connection::GuestOwner;
use rdma_migration_protocol::time::Instant;

use crate::side::Sides;

/// Both sides took the guest for their own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SplitBrain {
    /// When it was first seen.
    pub at: Instant,
}

impl fmt::Display for SplitBrain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "both sides could run the guest at {}", self.at)
    }
}

/// Who owns the guest in the end, as both sides together tell.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FinalOwner {
    /// The source.
    Source,
    /// The destination.
    Destination,
    /// The source cannot know whether its last message arrived, and leaves the guest paused.
    Undecided,
    /// The source knows that everything arrived; the destination has not released the guest. It
    /// stays paused at the source until an operator decides.
    Nobody,
    /// Both: the one thing that must never be.
    Both,
}

impl FinalOwner {
    pub(crate) const fn of(owners: Sides<GuestOwner>) -> Self {
        match (owners.source, owners.destination) {
            (GuestOwner::Source, GuestOwner::Destination) => Self::Both,
            (GuestOwner::Source, GuestOwner::Source | GuestOwner::Undecided) => Self::Source,
            (GuestOwner::Destination, GuestOwner::Destination) => Self::Destination,
            (GuestOwner::Undecided, _) => Self::Undecided,
            (GuestOwner::Destination, GuestOwner::Source | GuestOwner::Undecided) => Self::Nobody,
        }
    }
}

impl fmt::Display for FinalOwner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Source => "source",
            Self::Destination => "destination",
            Self::Undecided => "undecided",
            Self::Nobody => "nobody",
            Self::Both => "both",
        })
    }
}

/// Watches who may run the guest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checker {
    split_brain: Option<SplitBrain>,
}

impl Checker {
    pub(crate) fn observe(&mut self, owners: Sides<GuestOwner>, at: Instant) {
        if FinalOwner::of(owners) == FinalOwner::Both {
            self.split_brain.get_or_insert(SplitBrain { at });
        }
    }

    pub(crate) fn split_brain(&self) -> impl Iterator<Item = &SplitBrain> {
        self.split_brain.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_owners_are_seen_even_if_only_for_an_instant() {
        let mut checker = Checker::default();
        let seen = |source, destination| Sides { source, destination };
        let at = Instant::from_nanoseconds(7);
        checker.observe(seen(GuestOwner::Undecided, GuestOwner::Destination), Instant::ORIGIN);
        assert_eq!(checker.split_brain().count(), 0);
        checker.observe(seen(GuestOwner::Source, GuestOwner::Destination), at);
        checker.observe(seen(GuestOwner::Destination, GuestOwner::Destination), Instant::ORIGIN);
        assert_eq!(checker.split_brain().collect::<Vec<_>>(), [&SplitBrain { at }]);
    }
}
