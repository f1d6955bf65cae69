//! What a destination makes of the inputs of its transport.

use super::state::{Command, Phase};
use super::{Destination, DestinationEvent};
use crate::address::Rkey;
use crate::connection::CloseStep;
use crate::control::SendPurpose;
use crate::deadline::TimeoutReason;
use crate::error::{Error, Misuse};
use crate::transport::{
    Completion, ConnectionEvent, FailedOperation, ReceiveBuffer, RegionId, TransportError,
};
use crate::wire::Message;

impl Destination {
    pub(super) fn take_connection(&mut self, event: ConnectionEvent<'_>) {
        match (&mut self.phase, event) {
            (Phase::Listening, ConnectionEvent::Requested { private_data }) => {
                self.phase = match self.negotiator().answer(private_data) {
                    Ok((answer, negotiated)) => {
                        Phase::Accept { private_data: answer.to_bytes(), negotiated }
                    }
                    Err(reason) => Phase::Refuse { reason },
                };
            }
            (Phase::Accepting { negotiated }, ConnectionEvent::Established { .. }) => {
                let negotiated = *negotiated;
                self.pin_all = negotiated.pin_all;
                self.phase = Phase::Serving;
                self.events.push_back(DestinationEvent::Connected(negotiated));
            }
            (_, ConnectionEvent::Failed { error }) => self.fail(Error::ConnectionFailed(error)),
            (Phase::Closing(close), _) => close.peer_gone(),
            (Phase::Ended { .. }, ConnectionEvent::Disconnected) => {}
            (_, ConnectionEvent::Disconnected) => self.lose_source(Error::PeerDisconnected),
            (
                _,
                ConnectionEvent::Requested { .. }
                | ConnectionEvent::Established { .. }
                | ConnectionEvent::Rejected,
            ) => self.fail(Misuse::UnexpectedCompletion.into()),
        }
    }

    pub(super) fn take_completion(&mut self, completion: Completion<'_>) -> Result<(), Error> {
        if self.close_step() == Some(CloseStep::Done) {
            // What a transport answers after that changes nothing any more.
            return Ok(());
        }
        match completion {
            Completion::Received { buffer, bytes } => self.take_message(buffer, bytes),
            Completion::Sent => {
                self.deadlines.progress(TimeoutReason::Send);
                self.take_sent()
            }
            Completion::RamZeroed { .. } => self.take_zeroed(),
            Completion::MemoryRegistered { region, rkey } => {
                self.take_registered(region, Some(rkey))?;
                //= spec/text/05-registration.md#result
                //# [REG-18] A destination MUST NOT answer with a key of zero.
                if rkey.get() == 0 { Err(Misuse::ZeroKey.into()) } else { Ok(()) }
            }
            Completion::MemoryDeregistered { region } => self.take_released(region, true),
            Completion::Disconnected => self.take_disconnected(),
            Completion::Failed { operation, error } => self.take_failed(operation, error),
            Completion::RamWritten | Completion::RamScanned { .. } => {
                Err(Misuse::UnexpectedCompletion.into())
            }
        }
    }

    pub(super) fn take_timeout(&mut self, reason: TimeoutReason) {
        match &mut self.phase {
            Phase::Closing(close) => close.timed_out(reason, self.grants.ledger()),
            //= spec/text/10-errors.md#bounded-waits
            //# [ERR-2] A side whose wait for the peer reaches its deadline MUST end the migration.
            _ => self.fail(Error::Timeout(reason)),
        }
    }

    fn take_message(&mut self, buffer: ReceiveBuffer, bytes: &[u8]) -> Result<(), Error> {
        self.receives.completed(buffer)?;
        // A message may overtake the news that the connection is up: it is judged like any other. Once
        // the source has closed, nothing it said matters any more.
        if let Phase::Closing(close) = &mut self.phase {
            close.heard(bytes);
            self.receives.release(buffer);
            return Ok(());
        }
        if matches!(self.phase, Phase::Ended { .. }) {
            self.receives.release(buffer);
            return Ok(());
        }
        let message = Message::parse(bytes)?;
        self.serve.received(message.kind())?;
        self.take_command(buffer, &message)
    }

    fn take_sent(&mut self) -> Result<(), Error> {
        match self.sends.answered()? {
            SendPurpose::Ordinary | SendPurpose::LastOfStream => {}
            SendPurpose::Error => self.error_has_left(),
        }
        Ok(())
    }

    fn take_zeroed(&mut self) -> Result<(), Error> {
        self.deadlines.progress(TimeoutReason::Memory);
        match &mut self.command {
            Command::Zero { unanswered, .. } if *unanswered > 0 => {
                *unanswered -= 1;
                Ok(())
            }
            _ => Err(Misuse::UnexpectedCompletion.into()),
        }
    }

    fn take_registered(&mut self, region: RegionId, rkey: Option<Rkey>) -> Result<(), Error> {
        self.deadlines.progress(TimeoutReason::Registration);
        if self.grants.registered(region, rkey) {
            Ok(())
        } else {
            Err(Misuse::UnexpectedCompletion.into())
        }
    }

    fn take_released(&mut self, region: RegionId, success: bool) -> Result<(), Error> {
        self.deadlines.progress(TimeoutReason::Registration);
        if self.grants.released(region, success) {
            Ok(())
        } else {
            Err(Misuse::UnexpectedCompletion.into())
        }
    }

    fn take_failed(
        &mut self,
        operation: FailedOperation,
        error: TransportError,
    ) -> Result<(), Error> {
        match operation {
            FailedOperation::Receive { buffer } => self.receives.completed(buffer)?,
            FailedOperation::Send => self.take_sent()?,
            FailedOperation::ZeroRam { .. } => self.take_zeroed()?,
            FailedOperation::RegisterMemory { region } => self.take_registered(region, None)?,
            FailedOperation::DeregisterMemory { region } => self.take_released(region, false)?,
            FailedOperation::WriteRam | FailedOperation::ScanRam { .. } => {
                return Err(Misuse::UnexpectedCompletion.into());
            }
        }
        let error = Error::Transport { operation, error };
        match self.phase {
            Phase::Serving if operation.breaks_connection() => self.lose_source(error),
            Phase::Ended { .. } => {}
            _ => return Err(error),
        }
        Ok(())
    }

    /// The connection is gone. If the stream may be complete, that is for the owner to say: a source
    /// disconnects as soon as its last message has arrived.
    fn lose_source(&mut self, reason: Error) {
        if matches!(self.phase, Phase::Serving) && self.is_quiet() {
            //= spec/text/09-rounds.md#loss-of-the-connection
            //# [RND-10] A destination whose connection ends between rounds MUST let its owner take
            //# the stream bytes that it holds before the migration ends.
            self.phase = Phase::Ended { reason };
            self.events.push_back(DestinationEvent::StreamEnded);
        } else {
            //= spec/text/09-rounds.md#loss-of-the-connection
            //# [RND-11] A destination whose connection ends before the RAM blocks were exchanged or
            //# inside a round MUST end the migration as failed.
            self.fail(reason);
        }
    }
}
