//! What has to be so when both sides have come to their end.

use rdma_migration_protocol::connection::GuestOwner;
use rdma_migration_protocol::error::Error;

use super::Course;
use super::lie::Lie;
use crate::guest::LENGTHS;

impl Course<'_> {
    pub(super) fn judge(&self) {
        let at_source = self.source.owner.closed.as_ref().expect("the source has ended");
        let at_destination = self.destination.owner.closed.as_ref().expect("so has the other");
        let regions = [self.source.regions_at_the_end, self.destination.regions_at_the_end];
        assert_eq!(
            regions,
            [Some(at_source.regions_left), Some(at_destination.regions_left)],
            "regions left behind"
        );
        if !matches!(self.lie, Lie::Failed { .. }) {
            assert_eq!(regions, [Some(0); 2], "regions left behind");
        }
        for closed in [at_source, at_destination] {
            let blamed = matches!(closed.result, Err(Error::ApiMisuse(_)));
            assert!(!blamed, "{closed:?}");
            let accused = matches!(
                closed.result,
                Err(Error::Malformed(_) | Error::PeerMisbehaved(_) | Error::PeerIncompatible(_))
            );
            assert!(!accused || self.has_lied(), "{closed:?} of an honest peer");
        }
        if !self.told {
            assert_eq!(at_source.result, Ok(()));
            assert_eq!(at_destination.result, Ok(()));
        }
        let arrived = at_destination.guest == GuestOwner::Destination;
        assert!(!arrived || at_source.guest != GuestOwner::Source, "two running guests");
        assert_eq!(at_destination.result.is_ok(), arrived);
        if arrived && !self.has_lied() {
            self.assert_arrived();
        }
    }

    fn assert_arrived(&self) {
        for block in 0..LENGTHS.len() {
            let here = &self.source.host.ram[block];
            let there = &self.destination.host.ram[block];
            let sent = &self.source.owner.sent[block];
            for (page, ((here, there), sent)) in here.iter().zip(there).zip(sent).enumerate() {
                let expected = if *sent > 0 { *here } else { 0xee };
                assert_eq!(*there, expected, "page {page} of block {block}");
            }
        }
    }
}
