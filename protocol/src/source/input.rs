//! What a source makes of the inputs of its transport.

use super::state::{Asked, Handover, Phase};
use super::{Source, SourceEvent};
use crate::address::{BlockIndex, BlockOffset};
use crate::connection::{CloseStep, confirm};
use crate::control::SendPurpose;
use crate::deadline::TimeoutReason;
use crate::error::{Error, Misbehavior, Misuse};
use crate::ram::{Remote, Scan};
use crate::transport::{
    Completion, ConnectionEvent, FailedOperation, ReceiveBuffer, RegionId, TransportError,
};
use crate::wire::{Entries, Message, RegisterResult};

impl Source {
    pub(super) fn take_connection(&mut self, event: ConnectionEvent<'_>) {
        match (&mut self.phase, event) {
            (Phase::Connecting, ConnectionEvent::Established { private_data }) => {
                match confirm(self.config.pin_all, private_data) {
                    Ok(negotiated) => {
                        self.pin_all = negotiated.pin_all;
                        self.phase = Phase::Stream;
                        self.events.push_back(SourceEvent::Connected(negotiated));
                    }
                    Err(error) => {
                        self.phase = Phase::Stream;
                        self.fail(error);
                    }
                }
            }
            (Phase::Connecting, ConnectionEvent::Rejected) => self.fail(Error::ConnectionRejected),
            (Phase::Connecting, ConnectionEvent::Failed { error }) => {
                self.fail(Error::ConnectionFailed(error));
            }
            (Phase::Closing(close), _) => close.peer_gone(),
            //= spec/text/09-rounds.md#handover
            //# [RND-9] After the last message has been acknowledged a source MUST NOT take the end
            //# of the connection for a failure.
            (Phase::Farewell, ConnectionEvent::Disconnected) => self.close(Ok(())),
            (_, ConnectionEvent::Disconnected) => self.fail(Error::PeerDisconnected),
            (
                _,
                ConnectionEvent::Requested { .. }
                | ConnectionEvent::Established { .. }
                | ConnectionEvent::Rejected
                | ConnectionEvent::Failed { .. },
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
            Completion::Sent => self.take_sent(),
            Completion::RamWritten => {
                self.deadlines.progress(TimeoutReason::Write);
                Ok(self.writes.completed()?)
            }
            Completion::RamScanned { block, offset, zero } => {
                let scan = if zero { Scan::Zero } else { Scan::NonZero };
                self.take_scanned(block, offset, scan)
            }
            Completion::MemoryRegistered { region, rkey: _ } => self.take_registered(region, true),
            Completion::MemoryDeregistered { region } => self.take_released(region, true),
            Completion::Disconnected => self.take_disconnected(),
            Completion::Failed { operation, error } => self.take_failed(operation, error),
            Completion::RamZeroed { .. } => Err(Misuse::UnexpectedCompletion.into()),
        }
    }

    pub(super) fn take_timeout(&mut self, reason: TimeoutReason) {
        match &mut self.phase {
            Phase::Closing(close) => close.timed_out(reason, self.keys.ledger()),
            //= spec/text/09-rounds.md#handover
            //# [RND-7] After the last message has been acknowledged a source MUST give the destination
            //# time to disconnect before it disconnects itself.
            Phase::Farewell => self.close(Ok(())),
            //= spec/text/10-errors.md#bounded-waits
            //# [ERR-2] A side whose wait for the peer reaches its deadline MUST end the migration.
            _ => self.fail(Error::Timeout(reason)),
        }
    }

    fn take_message(&mut self, buffer: ReceiveBuffer, bytes: &[u8]) -> Result<(), Error> {
        self.receives.completed(buffer)?;
        self.receives.release(buffer);
        if let Phase::Closing(close) = &mut self.phase {
            close.heard(bytes);
            return Ok(());
        }
        let message = Message::parse(bytes)?;
        self.exchange.received(message.kind())?;
        match message {
            Message::RamBlocksResult(blocks) => self.take_ram_blocks(blocks),
            Message::RegisterResult { results, .. } => self.take_register_result(results),
            Message::UnregisterFinished { .. } => self.take_unregistered(),
            // READY is credit, which `exchange` has counted; it has refused everything else.
            _ => Ok(()),
        }
    }

    fn take_register_result(&mut self, results: Entries<'_, RegisterResult>) -> Result<(), Error> {
        let Asked::Register { .. } = self.asked else {
            return Err(Misuse::UnexpectedCompletion.into());
        };
        self.asked = Asked::Nothing;
        let mut requested = core::mem::take(&mut self.requested);
        let (received, expected) = (results.len(), requested.requests.len());
        //= spec/text/05-registration.md#result
        //# [REG-24] A source MUST reject a REGISTER_RESULT that carries more results than it has
        //# sent requests.
        if received != expected && received != 1 {
            return Err(Misbehavior::ResultCount { received, expected }.into());
        }
        let asked = requested.requests.iter().zip(&requested.regions);
        for (result, (request, region)) in results.iter().zip(asked) {
            self.take_key(request.block, *region, result)?;
        }
        // What was not answered is asked for again, one by one.
        for region in requested.regions.iter().skip(received) {
            self.keys.set_remote(*region, Remote::Unknown);
        }
        if received < expected {
            requested.one_at_a_time = true;
            self.queue.command_again();
        }
        requested.requests.clear();
        requested.regions.clear();
        self.requested = requested;
        Ok(())
    }

    fn take_key(
        &mut self,
        block: BlockIndex,
        region: RegionId,
        result: RegisterResult,
    ) -> Result<(), Error> {
        //= spec/text/05-registration.md#result
        //# [REG-19] A source MUST reject a result whose key is zero.
        if result.rkey.get() == 0 {
            return Err(Misbehavior::ZeroKey { block }.into());
        }
        let index = usize::try_from(block.get()).unwrap_or(usize::MAX);
        let remote = self.remote_blocks.get_mut(index);
        if let (Some(remote), Some(length)) = (remote, self.blocks.length(block)) {
            let address = result.host_address;
            //= spec/text/05-registration.md#result
            //# [REG-23] A source MUST reject a result whose host address makes the RAM block wrap
            //# around the end of the address space.
            if !address.has_room_for(length) {
                return Err(Misbehavior::AddressOverflow { block, address }.into());
            }
            //= spec/text/06-ram-writes.md#addresses
            //# [WRITE-6] A source MUST take the address of a RAM block from the last
            //# REGISTER_RESULT for that block, and from RAM_BLOCKS_RESULT before the first.
            remote.address = address;
        }
        self.keys.set_remote(region, Remote::Granted(result.rkey));
        Ok(())
    }

    fn take_unregistered(&mut self) -> Result<(), Error> {
        let Asked::Unregister { region, evicted } = self.asked else {
            return Err(Misuse::UnexpectedCompletion.into());
        };
        self.asked = Asked::Nothing;
        self.keys.set_remote(region, Remote::Unknown);
        self.keys.give_up(region);
        self.queue.scan_again();
        if !evicted {
            self.done();
        }
        Ok(())
    }

    fn take_sent(&mut self) -> Result<(), Error> {
        let purpose = self.sends.answered()?;
        self.deadlines.progress(TimeoutReason::Send);
        match purpose {
            SendPurpose::Ordinary => {}
            SendPurpose::Error => self.error_has_left(),
            SendPurpose::LastOfStream => {
                self.handover = Handover::Given;
                if matches!(self.phase, Phase::Finish) {
                    self.phase = Phase::Farewell;
                }
                self.events.push_back(SourceEvent::HandedOver);
            }
        }
        Ok(())
    }

    fn take_scanned(
        &mut self,
        block: BlockIndex,
        offset: BlockOffset,
        scan: Scan,
    ) -> Result<(), Error> {
        self.deadlines.progress(TimeoutReason::Memory);
        if self.queue.scanned(block, offset, scan) {
            Ok(())
        } else {
            Err(Misuse::UnexpectedCompletion.into())
        }
    }

    fn take_registered(&mut self, region: RegionId, success: bool) -> Result<(), Error> {
        self.deadlines.progress(TimeoutReason::Registration);
        if !self.keys.registered(region, success) {
            return Err(Misuse::UnexpectedCompletion.into());
        }
        self.blocks_done();
        Ok(())
    }

    fn take_released(&mut self, region: RegionId, success: bool) -> Result<(), Error> {
        self.deadlines.progress(TimeoutReason::Registration);
        if self.keys.released(region, success) {
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
            FailedOperation::Send => drop(self.sends.answered()?),
            FailedOperation::WriteRam => {}
            FailedOperation::ScanRam { block, offset } => {
                self.take_scanned(block, offset, Scan::Unknown)?;
            }
            FailedOperation::RegisterMemory { region } => self.take_registered(region, false)?,
            FailedOperation::DeregisterMemory { region } => self.take_released(region, false)?,
            FailedOperation::ZeroRam { .. } => return Err(Misuse::UnexpectedCompletion.into()),
        }
        if matches!(self.phase, Phase::Farewell) && operation.breaks_connection() {
            self.close(Ok(()));
            return Ok(());
        }
        Err(Error::Transport { operation, error })
    }
}
