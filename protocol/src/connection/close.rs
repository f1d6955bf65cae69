//! How a connection ends: who tells whom, and in which order things are given back.

use core::fmt;

use crate::control::{SendPurpose, Sends};
use crate::deadline::TimeoutReason;
use crate::error::{Error, Misuse};
use crate::ram::Ledger;
use crate::transport::{Operation, TransportError};
use crate::wire::Message;

/// Who may run the guest, as far as one side can know.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum GuestOwner {
    /// The source: the migration has not moved the guest.
    Source,
    /// The destination: all of the guest has arrived there.
    Destination,
    /// The last message of the stream is on its way and the link was cut before its fate was known.
    /// The source leaves the guest paused; an operator decides, after a look at the destination.
    Undecided,
}

impl fmt::Display for GuestOwner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Source => "source",
            Self::Destination => "destination",
            Self::Undecided => "undecided",
        })
    }
}

/// How a migration ended for one side.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Closed {
    /// Completion, or the reason of the failure.
    pub result: Result<(), Error>,
    /// Who may run the guest.
    pub guest: GuestOwner,
    /// Regions of this side that the transport could not give back. Zero unless the transport
    /// failed to deregister or did not answer.
    pub regions_left: usize,
}

/// Where the closing of a connection has got to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum CloseStep {
    /// ERROR is to be sent.
    SendError,
    /// ERROR is on its way.
    ErrorOnItsWay,
    /// The queue pair is to be destroyed.
    Disconnect,
    /// The queue pair is being destroyed.
    Disconnecting,
    /// Registered memory is being given back, once no registration is under way.
    Release,
    /// Work on memory was not answered in time and is given up; the rest is being given back.
    ReleaseRest,
    /// Nothing is left to do.
    Done,
}

/// What a closing side does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CloseOrder {
    Issue(Operation),
    /// Deregister the next region.
    Release,
    Wait,
}

/// The closing of a connection, the same for both sides.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Close {
    pub(crate) result: Result<(), Error>,
    pub(crate) step: CloseStep,
    /// Whether the end has been reported.
    reported: bool,
}

impl Close {
    /// Begins to close for `result`. `connected`: whether a message can reach the peer;
    /// `opened`: whether there is anything to disconnect.
    pub(crate) fn begin(result: Result<(), Error>, connected: bool, opened: bool) -> Self {
        let step = if !opened {
            CloseStep::Release
        } else if connected && peer_must_be_told(&result) {
            CloseStep::SendError
        } else {
            CloseStep::Disconnect
        };
        Self { result, step, reported: false }
    }

    /// Takes a further failure. The reason stays the first one, except where a later one says more:
    /// a queue pair that fails flushes its other requests, and those may be reported first. What our
    /// own disconnection flushes or cancels says nothing.
    pub(crate) fn also_failed(&mut self, error: Error) {
        let vague = matches!(
            self.result,
            Err(Error::PeerDisconnected | Error::Transport { error: TransportError::Flushed, .. })
        );
        let precise = matches!(
            &error,
            Error::Transport { error, .. }
                if *error != TransportError::Flushed && *error != TransportError::Cancelled
        );
        let memory = matches!(
            error,
            Error::Transport { operation, .. } if !operation.breaks_connection()
        );
        if vague && precise {
            self.result = Err(error);
        }
        if !memory {
            self.peer_gone();
        }
    }

    /// Whether the reason is the loss of the connection, and no more than that.
    pub(crate) fn is_loss_of_connection(&self) -> bool {
        match &self.result {
            Err(Error::PeerDisconnected) => true,
            Err(Error::Transport { operation, .. }) => operation.breaks_connection(),
            _ => false,
        }
    }

    /// A message that arrives in closing. Only ERROR matters: the peer is closing as well.
    pub(crate) fn heard(&mut self, bytes: &[u8]) {
        //= spec/text/02-connection.md#closing
        //# [CON-31] A side MUST NOT send ERROR after it has received ERROR.
        if Message::parse(bytes) == Ok(Message::Error) {
            self.peer_gone();
        }
    }

    /// The peer has gone: nothing more can be said to it.
    pub(crate) fn peer_gone(&mut self) {
        self.step = self.step.max(CloseStep::Disconnect);
    }

    /// What to do next.
    pub(crate) fn operation(
        &mut self,
        sends: &mut Sends,
        ledger: &Ledger,
        buffer: &mut [u8],
    ) -> Result<CloseOrder, Misuse> {
        match self.step {
            CloseStep::SendError if sends.has_room() => {
                let bytes = buffer.len();
                let encoded = Message::Error.encode(buffer);
                let length = encoded.map_err(|_| Misuse::SendBuffer { bytes })?;
                sends.issued(SendPurpose::Error);
                self.step = CloseStep::ErrorOnItsWay;
                Ok(CloseOrder::Issue(Operation::Send { length }))
            }
            CloseStep::Disconnect => {
                self.step = CloseStep::Disconnecting;
                Ok(CloseOrder::Issue(Operation::Disconnect))
            }
            CloseStep::Release if ledger.registering() == 0 => Ok(CloseOrder::Release),
            CloseStep::ReleaseRest => Ok(CloseOrder::Release),
            CloseStep::SendError
            | CloseStep::ErrorOnItsWay
            | CloseStep::Disconnecting
            | CloseStep::Release
            | CloseStep::Done => Ok(CloseOrder::Wait),
        }
    }

    /// ERROR has left, or never will.
    pub(crate) fn error_has_left(&mut self) {
        if self.step == CloseStep::ErrorOnItsWay {
            self.step = CloseStep::Disconnect;
        }
    }

    /// The queue pair is gone. An error if nobody asked for that.
    pub(crate) fn disconnected(&mut self) -> Result<(), Misuse> {
        if self.step != CloseStep::Disconnecting {
            return Err(Misuse::UnexpectedCompletion);
        }
        self.step = CloseStep::Release;
        Ok(())
    }

    /// Whether the end has come now and has to be reported. `busy`: memory work that is not answered.
    //= spec/text/02-connection.md#closing
    //# [CON-33] A side MUST release everything that it has registered before it reports the end.
    pub(crate) fn ends(&mut self, ledger: &Ledger, busy: usize) -> bool {
        let released = match self.step {
            CloseStep::Release => ledger.all_released() && busy == 0,
            CloseStep::ReleaseRest => ledger.rest_released(),
            _ => false,
        };
        if released {
            self.step = CloseStep::Done;
        }
        if self.step != CloseStep::Done || self.reported {
            return false;
        }
        self.reported = true;
        true
    }

    /// A deadline of the closing itself has come: go on without what was awaited.
    pub(crate) fn timed_out(&mut self, reason: TimeoutReason, ledger: &Ledger) {
        if self.result.is_ok() {
            self.result = Err(Error::Timeout(reason));
        }
        self.step = match self.step {
            CloseStep::SendError | CloseStep::ErrorOnItsWay => CloseStep::Disconnect,
            // A registration that is never answered must not keep the others registered.
            CloseStep::Release if ledger.registering() > 0 => CloseStep::ReleaseRest,
            CloseStep::Disconnect
            | CloseStep::Disconnecting
            | CloseStep::Release
            | CloseStep::ReleaseRest
            | CloseStep::Done => CloseStep::Done,
        };
    }
}

/// Whether the peer learns of this end only by being told.
//= spec/text/02-connection.md#closing
//# [CON-30] A side that fails for a reason that its peer cannot see MUST send ERROR before it
//# disconnects, if the connection still carries messages.
fn peer_must_be_told(result: &Result<(), Error>) -> bool {
    match result {
        Ok(()) => false,
        Err(
            Error::Malformed(_)
            | Error::PeerMisbehaved(_)
            | Error::PeerIncompatible(_)
            | Error::Timeout(_)
            | Error::Aborted
            | Error::ApiMisuse(_),
        ) => true,
        //= spec/text/02-connection.md#closing
        //# [CON-31] A side MUST NOT send ERROR after it has received ERROR.
        Err(Error::PeerReportedError) => false,
        Err(Error::PeerDisconnected | Error::ConnectionRejected | Error::ConnectionFailed(_)) => {
            false
        }
        // Work on the queue pair failed, and the queue pair with it; memory is another matter.
        Err(Error::Transport { operation, .. }) => !operation.breaks_connection(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::{FailedOperation, RegionId};

    #[test]
    fn a_failure_on_the_queue_pair_is_not_told_and_one_of_memory_is() {
        let failed = |operation| {
            Close::begin(
                Err(Error::Transport { operation, error: TransportError::OutOfMemory }),
                true,
                true,
            )
            .step
        };
        assert_eq!(failed(FailedOperation::Send), CloseStep::Disconnect);
        let memory = FailedOperation::RegisterMemory { region: RegionId(0) };
        assert_eq!(failed(memory), CloseStep::SendError);
    }

    #[test]
    fn a_flush_gives_way_to_the_failure_that_caused_it() {
        let flushed =
            Error::Transport { operation: FailedOperation::Send, error: TransportError::Flushed };
        let cause = Error::Transport {
            operation: FailedOperation::WriteRam,
            error: TransportError::RemoteAccess,
        };
        let mut close = Close::begin(Err(flushed.clone()), true, true);
        close.also_failed(cause.clone());
        close.also_failed(flushed);
        assert_eq!(close.result, Err(cause));
    }

    #[test]
    fn nothing_opened_leaves_nothing_to_disconnect() {
        assert_eq!(Close::begin(Err(Error::Aborted), false, false).step, CloseStep::Release);
    }
}
