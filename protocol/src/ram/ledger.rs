//! How many regions of one side are being registered, are registered, are being released.

use crate::limits::DEREGISTRATION_FAILURES_MAX;
use crate::transport::RegionId;

/// The count of a side's regions, and where their release at the end has got to.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Ledger {
    registering: usize,
    registered: usize,
    releasing: usize,
    /// Deregistrations that failed; each was tried again.
    failures: u8,
    /// Regions that could not be released.
    lost: usize,
    /// While everything is released: regions before this one are done.
    released_before: usize,
}

/// What becomes of a region whose deregistration was answered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Released {
    /// It is not registered any more, or is given up for lost.
    Gone,
    /// It failed, and will be tried again at the end.
    Again,
}

impl Ledger {
    pub(crate) fn registration_began(&mut self) {
        self.registering += 1;
    }

    pub(crate) fn registration_ended(&mut self, region: RegionId, success: bool) {
        self.registering -= 1;
        if success {
            self.registered += 1;
            // Everything may be on its release already, and have passed this region over.
            self.released_before = self.released_before.min(index(region));
        }
    }

    pub(crate) fn release_began(&mut self) {
        self.registered -= 1;
        self.releasing += 1;
    }

    pub(crate) fn release_ended(&mut self, region: RegionId, success: bool) -> Released {
        self.releasing -= 1;
        if success {
            return Released::Gone;
        }
        if self.failures >= DEREGISTRATION_FAILURES_MAX {
            self.lost += 1;
            return Released::Gone;
        }
        self.failures += 1;
        self.registered += 1;
        self.released_before = self.released_before.min(index(region));
        Released::Again
    }

    /// While everything is released: the next entry of the table to look at.
    pub(crate) const fn released_before(&self) -> usize {
        self.released_before
    }

    /// While everything is released: that entry is done.
    pub(crate) fn step(&mut self) {
        self.released_before += 1;
    }

    pub(crate) const fn registering(&self) -> usize {
        self.registering
    }

    pub(crate) const fn releasing(&self) -> usize {
        self.releasing
    }

    /// Registrations and deregistrations that the transport has not answered.
    pub(crate) const fn unanswered(&self) -> usize {
        self.registering + self.releasing
    }

    /// Regions that are registered, or may be.
    pub(crate) const fn left(&self) -> usize {
        self.registering + self.registered + self.releasing + self.lost
    }

    /// Whether nothing is registered, and no answer is due.
    pub(crate) const fn all_released(&self) -> bool {
        self.registering == 0 && self.rest_released()
    }

    /// Whether nothing is registered but by registrations that were never answered.
    pub(crate) const fn rest_released(&self) -> bool {
        self.registered + self.releasing == 0
    }
}

/// A region's place in a table with an entry for each chunk.
pub(super) fn index(region: RegionId) -> usize {
    usize::try_from(region.0).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_release_is_tried_again_a_few_times_and_then_given_up() {
        let mut ledger = Ledger::default();
        ledger.registration_began();
        ledger.registration_ended(RegionId(4), true);
        for _ in 0..DEREGISTRATION_FAILURES_MAX {
            ledger.release_began();
            assert_eq!(ledger.release_ended(RegionId(4), false), Released::Again);
            assert!(!ledger.all_released());
        }
        ledger.release_began();
        assert_eq!(ledger.release_ended(RegionId(4), false), Released::Gone);
        assert_eq!((ledger.all_released(), ledger.left()), (true, 1));
    }

    #[test]
    fn a_failed_registration_leaves_nothing() {
        let mut ledger = Ledger::default();
        ledger.registration_began();
        assert_eq!((ledger.unanswered(), ledger.left()), (1, 1));
        ledger.registration_ended(RegionId(4), false);
        assert_eq!((ledger.unanswered(), ledger.left()), (0, 0));
    }
}
