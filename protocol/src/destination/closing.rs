//! The end at the destination: ERROR where the peer has to be told, disconnection, hand-over, release.

use super::state::Phase;
use super::{Destination, DestinationEvent};
use crate::connection::{Close, CloseStep, Closed};
use crate::control::{SendPurpose, Sends};
use crate::error::{Error, Misuse};
use crate::transport::Operation;
use crate::wire::Message;

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

    pub(super) fn close_operation(
        &mut self,
        buffer: &mut [u8],
    ) -> Result<Option<Operation>, Error> {
        match self.close_step() {
            Some(CloseStep::SendError) if self.sends.has_room() => {
                let bytes = buffer.len();
                let encoded = Message::Error.encode(buffer);
                let length = encoded.map_err(|_| Misuse::SendBuffer { bytes })?;
                self.sends.issued(SendPurpose::Error);
                self.go_to(CloseStep::ErrorOnItsWay);
                Ok(Some(Operation::Send { length }))
            }
            Some(CloseStep::Disconnect) => {
                self.go_to(CloseStep::Disconnecting);
                Ok(Some(Operation::Disconnect))
            }
            Some(CloseStep::Release) if self.grants.registering() == 0 => {
                let region = self.grants.release_next();
                Ok(region.map(|region| Operation::DeregisterMemory { region }))
            }
            _ => Ok(None),
        }
    }

    pub(super) fn error_has_left(&mut self) {
        if self.close_step() == Some(CloseStep::ErrorOnItsWay) {
            self.go_to(CloseStep::Disconnect);
        }
    }

    pub(super) fn take_disconnected(&mut self) -> Result<(), Error> {
        if self.close_step() != Some(CloseStep::Disconnecting) {
            return Err(Misuse::UnexpectedCompletion.into());
        }
        self.sends = Sends::new();
        self.go_to(CloseStep::Release);
        //= spec/text/09-rounds.md#handover
        //# [RND-4] A destination MUST have destroyed its queue pair before it lets the guest run.
        if self.finished {
            self.released = true;
            self.events.push_back(DestinationEvent::GuestReleased);
        }
        Ok(())
    }

    /// Reports the end once nothing is left to do.
    //= spec/text/02-connection.md#closing
    //# [CON-32] A side MUST NOT deregister memory before its queue pair is destroyed, unless its peer
    //# has asked for it.
    pub(super) fn settle(&mut self) {
        let zeroing = self.zeroing();
        let Phase::Closing(close) = &mut self.phase else { return };
        let released =
            close.step == CloseStep::Release && zeroing == 0 && self.grants.all_released();
        let given_up = close.step == CloseStep::Done;
        if self.end_reported || !(released || given_up) {
            return;
        }
        close.step = CloseStep::Done;
        self.end_reported = true;
        let result = close.result.clone();
        let closed = Closed { result, guest: self.guest_owner(), regions_left: self.grants.left() };
        self.events.push_back(DestinationEvent::Closed(closed));
    }

    fn go_to(&mut self, step: CloseStep) {
        if let Phase::Closing(close) = &mut self.phase {
            close.step = step;
        }
    }
}
