//! The RAM block exchange at the source.

use alloc::vec::Vec;

use super::state::{Phase, RemoteBlock};
use super::{Source, SourceEvent};
use crate::address::{BlockIndex, BlockOffset};
use crate::error::{Error, Misbehavior};
use crate::ram::Remote;
use crate::transport::{Access, Operation};
use crate::wire::{Entries, Kind, Message, RamBlock};

impl Source {
    pub(super) fn blocks_operation(
        &mut self,
        buffer: &mut [u8],
    ) -> Result<Option<Operation>, Error> {
        if !self.outgoing.is_empty() {
            return self.send_stream(buffer);
        }
        let Phase::Blocks { requested, answered, pin_next } = self.phase else { return Ok(None) };
        if !requested {
            let reply = Some(Kind::RamBlocksResult);
            let operation = self.send_command(&Message::RamBlocksRequest, reply, buffer)?;
            let requested = operation.is_some();
            self.phase = Phase::Blocks { requested, answered, pin_next };
            return Ok(operation);
        }
        Ok(self.pin_next_block(answered, pin_next))
    }

    /// Pins our own blocks while the destination pins its.
    fn pin_next_block(&mut self, answered: bool, pin_next: u32) -> Option<Operation> {
        let block = BlockIndex::new(pin_next);
        let offset = BlockOffset::new(0);
        let length = self.blocks.length(block).filter(|_| self.pin_all)?;
        let region = self.keys.region(&self.blocks, block, offset)?;
        self.keys.register(region);
        let pin_next = pin_next.saturating_add(1);
        self.phase = Phase::Blocks { requested: true, answered, pin_next };
        let access = Access::LocalRead;
        Some(Operation::RegisterMemory { region, block, offset, length, access })
    }

    /// Takes the destination's descriptors, all or none.
    pub(super) fn take_ram_blocks(&mut self, received: Entries<'_, RamBlock>) -> Result<(), Error> {
        //= spec/text/04-ram-blocks.md#exchange
        //# [BLK-13] A source MUST reject a result whose number of RAM blocks differs from its own.
        let (received_count, expected) = (received.len(), self.blocks.count());
        if received_count != expected {
            let received = received_count;
            return Err(Misbehavior::RamBlockCount { received, expected }.into());
        }
        let mut remote_blocks = Vec::with_capacity(expected);
        for ((theirs, length), index) in received.iter().zip(self.blocks.lengths()).zip(0..) {
            let block = BlockIndex::new(index);
            remote_blocks.push(check_ram_block(theirs, block, length, self.pin_all)?);
        }
        self.remote_blocks = remote_blocks;
        if self.pin_all {
            for (theirs, index) in received.iter().zip(0..) {
                let (block, offset) = (BlockIndex::new(index), BlockOffset::new(0));
                if let Some(region) = self.keys.region(&self.blocks, block, offset) {
                    self.keys.set_remote(region, Remote::Granted(theirs.rkey));
                }
            }
        }
        if let Phase::Blocks { answered, .. } = &mut self.phase {
            *answered = true;
        }
        self.blocks_done();
        Ok(())
    }

    /// Opens the first round once both sides are through.
    pub(super) fn blocks_done(&mut self) {
        let Phase::Blocks { answered: true, pin_next, .. } = self.phase else { return };
        let all_ordered = usize::try_from(pin_next).is_ok_and(|next| next >= self.blocks.count());
        if self.pin_all && !(all_ordered && self.keys.ledger().registering() == 0) {
            return;
        }
        self.phase = Phase::Round { finishing: false };
        self.events.push_back(SourceEvent::BlocksExchanged);
    }
}

fn check_ram_block(
    theirs: RamBlock,
    block: BlockIndex,
    expected: u64,
    pin_all: bool,
) -> Result<RemoteBlock, Misbehavior> {
    //= spec/text/04-ram-blocks.md#exchange
    //# [BLK-14] A source MUST reject a result in which the length of a RAM block differs from its own.
    if theirs.length != expected {
        return Err(Misbehavior::RamBlockLength { block, received: theirs.length, expected });
    }
    //= spec/text/04-ram-blocks.md#exchange
    //# [BLK-15] A source MUST reject a RAM block that wraps around the end of an address space.
    if !theirs.remote_address.has_room_for(expected) || !theirs.offset.has_room_for(expected) {
        return Err(Misbehavior::AddressOverflow { block, address: theirs.remote_address });
    }
    //= spec/text/04-ram-blocks.md#exchange
    //# [BLK-18] Where all RAM is pinned, a source MUST reject a RAM block whose key is zero.
    if pin_all && theirs.rkey.get() == 0 {
        return Err(Misbehavior::ZeroKey { block });
    }
    Ok(RemoteBlock { address: theirs.remote_address, ram_address: theirs.offset })
}
