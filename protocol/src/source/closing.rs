//! The end at the source.

use super::state::{Handover, Phase};
use super::{Source, SourceEvent};
use crate::connection::{Close, CloseOrder, Closed};
use crate::control::Sends;
use crate::error::{Error, Misuse};
use crate::ram::Writes;
use crate::transport::Operation;

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
        let Phase::Closing(close) = &mut self.phase else { return Ok(None) };
        Ok(match close.operation(&mut self.sends, self.keys.ledger(), buffer)? {
            CloseOrder::Issue(operation) => Some(operation),
            CloseOrder::Release => {
                self.keys.release_next().map(|region| Operation::DeregisterMemory { region })
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
        self.writes = Writes::new(self.config.signal_interval, self.config.writes_in_flight_max);
        Ok(())
    }

    /// Reports the end once nothing is left to do.
    pub(super) fn settle(&mut self) {
        let scanning = self.queue.scanning();
        let Phase::Closing(close) = &mut self.phase else { return };
        if !close.ends(self.keys.ledger(), scanning) {
            return;
        }
        // The stream had arrived whole before the connection went: that is how it is meant to end.
        let arrived = self.handover == Handover::Given && close.is_loss_of_connection();
        let result = if arrived { Ok(()) } else { close.result.clone() };
        let regions_left = self.keys.ledger().left();
        let closed = Closed { result, guest: self.guest_owner(), regions_left };
        self.events.push_back(SourceEvent::Closed(closed));
    }
}
