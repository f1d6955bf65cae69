//! What holds at any time, and at the end.

use rdma_migration_protocol::connection::GuestOwner;
use rdma_migration_protocol::error::Error;
use rdma_migration_protocol::transport::Operation;

use super::{DEADLINES_MAX, Driver, Subject};

impl<M: Subject> Driver<'_, M> {
    pub(super) fn check(&mut self) {
        let owner = self.machine.guest_owner();
        let rank = |owner| match owner {
            GuestOwner::Source => 0,
            GuestOwner::Undecided => 1,
            GuestOwner::Destination => 2,
        };
        assert!(rank(self.owner) <= rank(owner), "the guest went back to {owner:?}");
        self.owner = owner;
        if let Some(closed) = &self.closed {
            assert!(self.machine.is_closed());
            assert_eq!(closed.guest, owner, "another owner after the end");
            assert_eq!(self.machine.poll_timeout(), None);
        }
    }

    fn assert_bounded(&self) {
        let unsignaled =
            |open: &Operation| matches!(open, Operation::WriteRam(write) if !write.signaled);
        let transport = self.connecting || self.open.iter().any(|open| !unsignaled(open));
        // A destination whose source is gone waits for its owner alone.
        let peer = if M::SENDS_COMMANDS { self.reply.is_some() } else { self.ready };
        let waits = !self.lost && !self.broken && (transport || peer);
        if waits && self.closed.is_none() && !self.strayed {
            let deadline = self.machine.poll_timeout();
            assert!(deadline.is_some(), "it waits without end: {:?}", self.machine);
        }
    }

    pub(super) fn end(&mut self) {
        self.poll();
        self.assert_bounded();
        let machine = &mut self.machine;
        self.heap.during(|| machine.give_up());
        self.note_end();
        self.poll();
        let mut deadlines = 0;
        while self.closed.is_none() {
            if self.manner.answered_at_the_end {
                self.cooperate(false);
            }
            if self.closed.is_none() {
                deadlines += 1;
                assert!(deadlines <= DEADLINES_MAX, "no end of deadlines");
                assert!(
                    self.machine.poll_timeout().is_some(),
                    "it waits for nothing: {:?}",
                    self.machine
                );
                self.expire();
                self.poll();
            }
        }
        self.check();
        self.judge_end();
    }

    fn judge_end(&self) {
        let closed = self.closed.as_ref().expect("it has ended");
        if self.strayed {
            return;
        }
        let blamed_us = matches!(closed.result, Err(Error::ApiMisuse(_)));
        assert!(!blamed_us, "{:?} with a transport that kept the contract", closed.result);
        assert_eq!(Some(closed.regions_left), self.regions_at_the_end, "regions left behind");
        assert!(closed.regions_left == 0 || self.left_behind, "{closed:?}");
    }
}
