//! The commands of a source: every field is checked here, once, before anything is done.

use super::state::{Command, Requested, ZeroRun};
use super::{Destination, DestinationEvent, Windows};
use crate::address::{BlockIndex, BlockOffset, RamAddress};
use crate::error::{Error, Incompatibility, Misbehavior};
use crate::ram::{Grants, Wanted};
use crate::transport::ReceiveBuffer;
use crate::wire::{Compress, Entries, Kind, Message, RegisterRequest, UnregisterRequest};

impl Destination {
    pub(super) fn take_command(
        &mut self,
        buffer: ReceiveBuffer,
        message: &Message<'_>,
    ) -> Result<(), Error> {
        self.check_window(message.kind())?;
        if let Message::QemuFile(stream) = message {
            self.incoming.arrived(buffer, stream.len());
            self.events.push_back(DestinationEvent::StreamReadable);
            return Ok(());
        }
        self.receives.release(buffer);
        self.window_open = !matches!(message, Message::RegisterFinished);
        match message {
            Message::RamBlocksRequest => self.take_blocks_request(),
            Message::Compress(runs) => self.take_compress(*runs),
            Message::RegisterRequest(requests) => self.take_register_request(*requests),
            Message::UnregisterRequest(requests) => self.take_unregister_request(*requests),
            Message::RegisterFinished => {
                self.events.push_back(DestinationEvent::RoundFinished);
                Ok(())
            }
            // `serve` has refused every other kind.
            _ => Err(Misbehavior::Unexpected { received: message.kind(), expected: None }.into()),
        }
    }

    fn check_window(&self, kind: Kind) -> Result<(), Misbehavior> {
        match (self.config.windows, kind, self.window_open) {
            (Windows::Announced, Kind::QemuFile, true) => Err(Misbehavior::StreamInsideWindow),
            (Windows::Announced, Kind::QemuFile, false) | (Windows::Announced, _, true) => Ok(()),
            (Windows::Announced, kind, false) => Err(Misbehavior::OutsideWindow(kind)),
            (Windows::Anywhere, _, _) => Ok(()),
        }
    }

    fn take_blocks_request(&mut self) -> Result<(), Error> {
        //= spec/text/04-ram-blocks.md#exchange
        //# [BLK-12] A destination MUST reject a second RAM_BLOCKS_REQUEST.
        if self.blocks.count() > 0 {
            return Err(Misbehavior::RamBlocksRequestedTwice.into());
        }
        self.command = Command::Blocks { placed: false, pin_next: 0 };
        self.events.push_back(DestinationEvent::BlocksRequested);
        Ok(())
    }

    fn take_compress(&mut self, received: Entries<'_, Compress>) -> Result<(), Error> {
        self.require_blocks(Kind::Compress)?;
        let mut runs = core::mem::take(&mut self.spare.runs);
        runs.reserve(received.len());
        for Compress { value, block, offset, length } in received {
            //= spec/text/07-zero-pages.md#use
            //# [ZERO-12] A destination MUST reject a COMPRESS whose `value` is not 0.
            if value != 0 {
                return Err(Misbehavior::NonZeroFill { value }.into());
            }
            //= spec/text/07-zero-pages.md#use
            //# [ZERO-13] A destination MUST reject a COMPRESS whose run is empty or not inside its RAM
            //# block.
            let offset = self.locate(block, offset, length)?;
            runs.push(ZeroRun { block, offset, length });
        }
        self.command = Command::Zero { runs, next: 0, unanswered: 0 };
        Ok(())
    }

    fn take_register_request(
        &mut self,
        received: Entries<'_, RegisterRequest>,
    ) -> Result<(), Error> {
        self.require_blocks(Kind::RegisterRequest)?;
        //= spec/text/05-registration.md#request
        //# [REG-20] A destination MUST reject a REGISTER_REQUEST where all RAM is pinned.
        if self.pin_all {
            return Err(Misbehavior::RegistrationWhilePinned(Kind::RegisterRequest).into());
        }
        let mut requested = core::mem::take(&mut self.spare.requested);
        requested.reserve(received.len());
        for request in received {
            match self.claim(request) {
                Ok(claimed) => requested.push(claimed),
                Err(misbehavior) => {
                    forget(&mut self.grants, &requested);
                    return Err(misbehavior.into());
                }
            }
        }
        if let Err(too_much) = self.check_pinned() {
            forget(&mut self.grants, &requested);
            return Err(too_much.into());
        }
        self.command = Command::Register { requested, next: 0 };
        Ok(())
    }

    /// Whether what is registered keeps to the bound of this side.
    pub(super) fn check_pinned(&self) -> Result<(), Incompatibility> {
        let Some(bytes_max) = self.config.pinned_bytes_max else { return Ok(()) };
        let chunks = u64::try_from(self.grants.chunks()).unwrap_or(u64::MAX);
        let bytes = chunks.saturating_mul(self.config.chunk_size.bytes());
        if bytes > bytes_max {
            return Err(Incompatibility::PinnedTooMuch { bytes, bytes_max });
        }
        Ok(())
    }

    /// Claims the region that a request asks for.
    fn claim(&mut self, request: RegisterRequest) -> Result<Requested, Misbehavior> {
        let RegisterRequest { address, block, chunks: further } = request;
        //= spec/text/05-registration.md#request
        //# [REG-12] A destination MUST reject a request whose address is not inside its RAM block.
        let offset = self.locate(block, address, 1)?;
        let chunk = self.config.chunk_size.of(offset.get());
        //= spec/text/05-registration.md#request
        //# [REG-13] A destination MUST reject a request for more chunks than the RAM block has from the
        //# address on.
        let too_many = Misbehavior::TooManyChunks { block, chunk, further };
        let count = further.checked_add(1).ok_or(too_many.clone())?;
        let last = chunk.checked_add(further).ok_or(too_many.clone())?;
        let first = self.blocks.numbered_chunk(block, chunk).ok_or(too_many.clone())?;
        let last = self.blocks.numbered_chunk(block, last).map(|_| count);
        let count = last.and_then(|count| usize::try_from(count).ok()).ok_or(too_many.clone())?;
        //= spec/text/05-registration.md#request
        //# [REG-14] A destination MUST register whole chunks: from the first byte of the chunk that
        //# holds the address to the end of the last chunk asked for.
        let (offset, length) =
            self.blocks.span(block, chunk, further.saturating_add(1)).ok_or(too_many)?;
        match self.grants.want(block, chunk, first, count)? {
            Wanted::New(region) => {
                Ok(Requested { block, region, register: Some((offset, length)) })
            }
            //= spec/text/05-registration.md#request
            //# [REG-15] A destination MUST answer a request for chunks of a region that is registered
            //# already with the key of that region.
            Wanted::Known(region) => Ok(Requested { block, region, register: None }),
        }
    }

    /// Takes back what was claimed by a request and will not be ordered any more: no answer comes.
    pub(super) fn forget_unordered(&mut self) {
        if let Command::Register { requested, next } = &mut self.command {
            forget(&mut self.grants, requested.get(*next..).unwrap_or_default());
            requested.truncate(*next);
        }
    }

    fn take_unregister_request(
        &mut self,
        received: Entries<'_, UnregisterRequest>,
    ) -> Result<(), Error> {
        self.require_blocks(Kind::UnregisterRequest)?;
        if self.pin_all {
            //= spec/text/05-registration.md#unregistration
            //# [REG-35] A destination MUST reject an UNREGISTER_REQUEST where all RAM is pinned.
            return Err(Misbehavior::RegistrationWhilePinned(Kind::UnregisterRequest).into());
        }
        let mut regions = core::mem::take(&mut self.spare.regions);
        regions.reserve(received.len());
        for UnregisterRequest { chunk, block } in received {
            self.require_block(block)?;
            //= spec/text/05-registration.md#unregistration
            //# [REG-31] A destination MUST reject an UNREGISTER_REQUEST for a chunk at which no registered
            //# region starts.
            let misbehavior = Misbehavior::NotRegistered { block, chunk };
            let region = self.blocks.numbered_chunk(block, chunk);
            let region = region
                .filter(|region| self.grants.rkey(*region).is_some() && !regions.contains(region));
            regions.push(region.ok_or(misbehavior)?);
        }
        self.command = Command::Unregister { regions, next: 0 };
        Ok(())
    }

    //= spec/text/05-registration.md#request
    //# [REG-22] A destination MUST reject every command on RAM before the RAM blocks were exchanged.
    fn require_blocks(&self, kind: Kind) -> Result<(), Misbehavior> {
        match self.blocks.count() {
            0 => Err(Misbehavior::RamBeforeRamBlocks(kind)),
            _ => Ok(()),
        }
    }

    //= spec/text/05-registration.md#request
    //# [REG-11] A destination MUST reject a command that names a RAM block which does not exist.
    fn require_block(&self, block: BlockIndex) -> Result<(), Misbehavior> {
        match self.blocks.length(block) {
            Some(_) => Ok(()),
            None => Err(Misbehavior::UnknownBlock { block, blocks: self.blocks.count() }),
        }
    }

    /// Where the two address spaces meet: a range in the RAM address space becomes one in its block.
    fn locate(
        &self,
        block: BlockIndex,
        address: RamAddress,
        length: u64,
    ) -> Result<BlockOffset, Misbehavior> {
        self.require_block(block)?;
        let index = usize::try_from(block.get()).unwrap_or(usize::MAX);
        let start = self.placed.get(index).map(|placed| placed.ram_address.get());
        let offset = start.and_then(|start| address.get().checked_sub(start)).map(BlockOffset::new);
        offset
            .filter(|offset| self.blocks.contains(block, *offset, length))
            .ok_or(Misbehavior::OutsideBlock { block, address, length })
    }
}

/// Takes back the claims of these requests.
fn forget(grants: &mut Grants, claimed: &[Requested]) {
    for requested in claimed.iter().filter(|requested| requested.register.is_some()) {
        grants.registered(requested.region, None);
    }
}
