//! What a destination does for a command, its reply, and the READY behind it.

use alloc::vec::Vec;

use super::Destination;
use super::state::{Command, Spare};
use crate::address::{BlockIndex, BlockOffset, HostAddress, Rkey};
use crate::control::SendPurpose;
use crate::error::{Error, Misuse};
use crate::transport::{Access, Operation};
use crate::wire::{Entries, Message, RamBlock, RegisterResult};

impl Destination {
    pub(super) fn serve_operation(
        &mut self,
        buffer: &mut [u8],
    ) -> Result<Option<Operation>, Error> {
        match &mut self.command {
            //= spec/text/03-control-channel.md#ready
            //# [CTL-22] A destination MUST send the reply to a command before the next READY.
            //= spec/text/03-control-channel.md#ready
            //# [CTL-33] A destination that holds no stream bytes MUST send READY of its own accord:
            //# once the connection is made, and after each command that it has carried out.
            Command::None => self.ready(buffer),
            Command::Blocks { placed: false, .. } => Ok(None),
            Command::Blocks { placed: true, pin_next } => {
                let block = BlockIndex::new(*pin_next);
                self.blocks_operation(block, buffer)
            }
            Command::Register { .. } => self.register_operation(buffer),
            Command::Zero { .. } => self.zero_operation(buffer),
            Command::Unregister { .. } => self.unregister_operation(buffer),
        }
    }

    //= spec/text/08-stream.md#messages
    //# [STR-4] A destination MUST NOT send READY while it holds stream bytes that its owner has not
    //# taken.
    fn ready(&mut self, buffer: &mut [u8]) -> Result<Option<Operation>, Error> {
        let may = self.serve.may_send_ready() && self.incoming.held().is_none();
        if !may || !self.sends.has_room() {
            return Ok(None);
        }
        let operation = self.send(&Message::Ready, buffer)?;
        self.serve.ready_sent();
        Ok(Some(operation))
    }

    fn blocks_operation(
        &mut self,
        block: BlockIndex,
        buffer: &mut [u8],
    ) -> Result<Option<Operation>, Error> {
        //= spec/text/04-ram-blocks.md#exchange
        //# [BLK-16] Where all RAM is pinned, a destination MUST register every RAM block before it sends
        //# RAM_BLOCKS_RESULT.
        if let Some(length) = self.blocks.length(block).filter(|_| self.pin_all) {
            return self.pin_operation(block, length);
        }
        if self.grants.ledger().registering() > 0 || !self.sends.has_room() {
            return Ok(None);
        }
        //= spec/text/04-ram-blocks.md#exchange
        //# [BLK-11] A destination MUST answer RAM_BLOCKS_REQUEST with one descriptor for each RAM block, in
        //# the order in which the stream has named them.
        let numbered = self.placed.iter().zip((0..).map(BlockIndex::new));
        let descriptors: Vec<_> = numbered
            .map(|(placed, block)| RamBlock {
                remote_address: placed.host_address,
                offset: placed.ram_address,
                length: placed.length,
                rkey: self.block_rkey(block),
            })
            .collect();
        let operation = self.send(&Message::RamBlocksResult(Entries::new(&descriptors)), buffer)?;
        self.carried_out();
        Ok(Some(operation))
    }

    fn pin_operation(
        &mut self,
        block: BlockIndex,
        length: u64,
    ) -> Result<Option<Operation>, Error> {
        let offset = BlockOffset::new(0);
        let chunks = usize::try_from(self.config.chunk_size.count(length)).unwrap_or(usize::MAX);
        let Some(region) = self.blocks.chunk(block, offset) else { return Ok(None) };
        self.grants.want(block, 0, region, chunks)?;
        if let Err(too_much) = self.check_pinned() {
            self.grants.registered(region, None);
            return Err(too_much.into());
        }
        let pin_next = block.get().saturating_add(1);
        self.command = Command::Blocks { placed: true, pin_next };
        let access = Access::RemoteWrite;
        Ok(Some(Operation::RegisterMemory { region, block, offset, length, access }))
    }

    //= spec/text/04-ram-blocks.md#exchange
    //# [BLK-17] Where chunks are registered as they are needed, a destination MUST send descriptors whose
    //# key is zero.
    fn block_rkey(&self, block: BlockIndex) -> Rkey {
        let region = self.blocks.chunk(block, BlockOffset::new(0));
        region.and_then(|region| self.grants.rkey(region)).unwrap_or_default()
    }

    fn register_operation(&mut self, buffer: &mut [u8]) -> Result<Option<Operation>, Error> {
        let Command::Register { requested, next } = &mut self.command else { return Ok(None) };
        while let Some(request) = requested.get(*next) {
            *next = next.saturating_add(1);
            if let Some((offset, length)) = request.register {
                let (region, block) = (request.region, request.block);
                let access = Access::RemoteWrite;
                return Ok(Some(Operation::RegisterMemory {
                    region,
                    block,
                    offset,
                    length,
                    access,
                }));
            }
        }
        if self.grants.ledger().registering() > 0 || !self.sends.has_room() {
            return Ok(None);
        }
        //= spec/text/05-registration.md#result
        //# [REG-16] A destination MUST answer a REGISTER_REQUEST with as many results as it has requests,
        //# in their order.
        let mut results = core::mem::take(&mut self.spare.results);
        results.extend(requested.iter().map(|request| RegisterResult {
            rkey: self.grants.rkey(request.region).unwrap_or_default(),
            host_address: host_address(&self.placed, request.block),
        }));
        let repeat = u32::try_from(results.len()).unwrap_or(u32::MAX);
        let message = Message::RegisterResult { repeat, results: Entries::new(&results) };
        let operation = self.send(&message, buffer)?;
        self.spare.results = Spare::emptied(results);
        self.carried_out();
        Ok(Some(operation))
    }

    fn zero_operation(&mut self, buffer: &mut [u8]) -> Result<Option<Operation>, Error> {
        let Command::Zero { runs, next, unanswered } = &mut self.command else { return Ok(None) };
        if let Some(run) = runs.get(*next) {
            *next = next.saturating_add(1);
            *unanswered = unanswered.saturating_add(1);
            let (block, offset, length) = (run.block, run.offset, run.length);
            return Ok(Some(Operation::ZeroRam { block, offset, length }));
        }
        if *unanswered > 0 {
            return Ok(None);
        }
        //= spec/text/07-zero-pages.md#use
        //# [ZERO-14] A destination MUST have set the run to zero before it sends the next READY.
        self.carried_out();
        self.ready(buffer)
    }

    fn unregister_operation(&mut self, buffer: &mut [u8]) -> Result<Option<Operation>, Error> {
        let Command::Unregister { regions, next } = &mut self.command else { return Ok(None) };
        if let Some(region) = regions.get(*next).copied() {
            *next = next.saturating_add(1);
            self.grants.release(region);
            return Ok(Some(Operation::DeregisterMemory { region }));
        }
        //= spec/text/05-registration.md#unregistration
        //# [REG-32] A destination MUST have deregistered the chunks before it sends UNREGISTER_FINISHED.
        if self.grants.ledger().releasing() > 0 || !self.sends.has_room() {
            return Ok(None);
        }
        //= spec/text/05-registration.md#unregistration
        //# [REG-33] UNREGISTER_FINISHED MUST carry the `repeat` of its request.
        let repeat = u32::try_from(regions.len()).unwrap_or(u32::MAX);
        let operation = self.send(&Message::UnregisterFinished { repeat }, buffer)?;
        self.carried_out();
        Ok(Some(operation))
    }

    /// The command is done; its memory is for the next one.
    fn carried_out(&mut self) {
        match core::mem::replace(&mut self.command, Command::None) {
            Command::None | Command::Blocks { .. } => {}
            Command::Register { requested, .. } => {
                self.spare.requested = Spare::emptied(requested);
            }
            Command::Zero { runs, .. } => self.spare.runs = Spare::emptied(runs),
            Command::Unregister { regions, .. } => self.spare.regions = Spare::emptied(regions),
        }
    }

    fn send(&mut self, message: &Message<'_>, buffer: &mut [u8]) -> Result<Operation, Error> {
        let bytes = buffer.len();
        let length = message.encode(buffer).map_err(|_| Misuse::SendBuffer { bytes })?;
        self.sends.issued(SendPurpose::Ordinary);
        Ok(Operation::Send { length })
    }
}

//= spec/text/05-registration.md#result
//# [REG-17] The host address of a result MUST be that of the first byte of the RAM block.
fn host_address(placed: &[super::PlacedBlock], block: BlockIndex) -> HostAddress {
    let index = usize::try_from(block.get()).unwrap_or(usize::MAX);
    placed.get(index).map(|placed| placed.host_address).unwrap_or_default()
}
