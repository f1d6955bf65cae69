//! The end at the destination, and the hand-over of the guest in it.

use super::state::Phase;
use super::{Destination, DestinationEvent};
use crate::connection::{Close, CloseOrder, Closed};
use crate::control::Sends;
use crate::error::{Error, Misuse};
use crate::transport::Operation;

impl Destination {
    /// Ends the migration for this reason, or adds it to the end that is under way.
    pub(super) fn fail(&mut self, error: Error) {
        match &mut self.phase {
            Phase::Closing(close) => close.also_failed(error),
            _ => self.close(Err(error)),
        }
    }

    pub(super) fn close(&mut self, result: Result<(), Error>) {
        if let Some(buffer) = self.incoming.drop_held() {
            self.receives.release(buffer);
        }
        self.forget_unordered();
        let opened = !matches!(self.phase, Phase::Listening);
        self.phase = Phase::Closing(Close::begin(result, self.is_connected(), opened));
        self.settle();
    }

    //= spec/text/02-connection.md#closing
    //# [CON-32] A side MUST NOT deregister memory before its queue pair is destroyed, unless its peer
    //# has asked for it.
    pub(super) fn close_operation(
        &mut self,
        buffer: &mut [u8],
    ) -> Result<Option<Operation>, Error> {
        let Phase::Closing(close) = &mut self.phase else { return Ok(None) };
        Ok(match close.operation(&mut self.sends, self.grants.ledger(), buffer)? {
            CloseOrder::Issue(operation) => Some(operation),
            CloseOrder::Release => {
                self.grants.release_next().map(|region| Operation::DeregisterMemory { region })
            }
            CloseOrder::Wait => None,
        })
    }

    pub(super) fn error_has_left(&mut self) {
        if let Phase::Closing(close) = &mut self.phase {
            close.error_has_left();
        }
    }

    pub(super) fn take_disconnected(&mut self) -> Result<(), Error> {
        let Phase::Closing(close) = &mut self.phase else {
            return Err(Misuse::UnexpectedCompletion.into());
        };
        close.disconnected()?;
        self.sends = Sends::new();
        //= spec/text/09-rounds.md#handover
        //# [RND-4] A destination MUST have destroyed its queue pair before it lets the guest run.
        if self.finished {
            self.released = true;
            self.events.push_back(DestinationEvent::GuestReleased);
        }
        Ok(())
    }

    /// Reports the end once nothing is left to do.
    pub(super) fn settle(&mut self) {
        let zeroing = self.zeroing();
        let Phase::Closing(close) = &mut self.phase else { return };
        if !close.ends(self.grants.ledger(), zeroing) {
            return;
        }
        let result = close.result.clone();
        let regions_left = self.grants.ledger().left();
        let closed = Closed { result, guest: self.guest_owner(), regions_left };
        self.events.push_back(DestinationEvent::Closed(closed));
    }
}
