//! The end at the source: ERROR where the peer has to be told, disconnection, release.

use super::state::{Handover, Phase};
use super::{Source, SourceEvent, encode};
use crate::connection::{Close, CloseStep, Closed};
use crate::control::{SendPurpose, Sends};
use crate::error::{Error, Misuse};
use crate::ram::Writes;
use crate::transport::Operation;
use crate::wire::Message;

impl Source {
    /// Ends the migration for this reason, or adds it to the end that is under way.
    pub(super) fn fail(&mut self, error: Error) {
        match &mut self.phase {
            Phase::Closing(close) => close.also_failed(error),
            _ => self.close(Err(error)),
        }
    }

    pub(super) fn close(&mut self, result: Result<(), Error>) {
        let opened = !matches!(self.phase, Phase::Idle);
        self.phase = Phase::Closing(Close::begin(result, self.is_connected(), opened));
        self.settle();
    }

    pub(super) fn close_operation(
        &mut self,
        buffer: &mut [u8],
    ) -> Result<Option<Operation>, Error> {
        match self.close_step() {
            Some(CloseStep::SendError) if self.sends.has_room() => {
                let length = encode(&Message::Error, buffer)?;
                self.sends.issued(SendPurpose::Error);
                self.go_to(CloseStep::ErrorOnItsWay);
                Ok(Some(Operation::Send { length }))
            }
            Some(CloseStep::Disconnect) => {
                self.go_to(CloseStep::Disconnecting);
                Ok(Some(Operation::Disconnect))
            }
            Some(CloseStep::Release) if self.keys.registering() == 0 => {
                let region = self.keys.release_next();
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
        self.writes = Writes::new(self.config.signal_interval, self.config.writes_in_flight_max);
        self.go_to(CloseStep::Release);
        Ok(())
    }

    /// Reports the end once nothing is left to do.
    //= spec/text/02-connection.md#closing
    //# [CON-33] A side MUST release everything that it has registered before it reports the end.
    pub(super) fn settle(&mut self) {
        let handover = self.handover;
        let Phase::Closing(close) = &mut self.phase else { return };
        let released = close.step == CloseStep::Release
            && self.queue.scanning() == 0
            && self.keys.all_released();
        let given_up = close.step == CloseStep::Done && !self.end_reported;
        if !(released || given_up) {
            return;
        }
        close.step = CloseStep::Done;
        self.end_reported = true;
        // The stream had arrived whole before the connection went: that is how it is meant to end.
        let arrived = handover == Handover::Given && close.is_loss_of_connection();
        let result = if arrived { Ok(()) } else { close.result.clone() };
        let closed = Closed { result, guest: self.guest_owner(), regions_left: self.keys.left() };
        self.events.push_back(SourceEvent::Closed(closed));
    }

    fn go_to(&mut self, step: CloseStep) {
        if let Phase::Closing(close) = &mut self.phase {
            close.step = step;
        }
    }
}
