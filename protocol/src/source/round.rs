//! A round at the source: runs are scanned, registered and written, in the order of the owner.

use super::state::{Asked, Phase};
use super::{Source, SourceEvent};
use crate::address::RamAddress;
use crate::error::Error;
use crate::ram::{Local, Remote, Run, Scan, Work};
use crate::transport::{Access, Operation, RegionId, WriteRam};
use crate::wire::{Compress, Entries, Kind, Message, RegisterRequest, UnregisterRequest};

impl Source {
    pub(super) fn round_operation(
        &mut self,
        finishing: bool,
        buffer: &mut [u8],
    ) -> Result<Option<Operation>, Error> {
        //= spec/text/08-stream.md#messages
        //# [STR-2] A source MUST have sent all stream bytes up to the hook word before it sends the
        //# first other command of a round.
        if !self.outgoing.is_empty() {
            return self.send_stream(buffer);
        }
        if let Some(region) = self.keys.release_surplus() {
            return Ok(Some(Operation::DeregisterMemory { region }));
        }
        if let Some(run) = self.next_scan(finishing) {
            let Run { block, offset, length, .. } = run;
            return Ok(Some(Operation::ScanRam { block, offset, length }));
        }
        match self.queue.head(&self.blocks, finishing) {
            Some(Work::Run(run)) => self.run_operation(run, finishing, buffer),
            Some(Work::Unregister { block, chunk }) => {
                match self.blocks.numbered_chunk(block, chunk) {
                    Some(region) => {
                        let request = UnregisterRequest { chunk, block };
                        self.unregister_operation(request, region, finishing, buffer)
                    }
                    None => Ok(None),
                }
            }
            None if finishing => self.finish_operation(buffer),
            None => Ok(None),
        }
    }

    /// The next run whose contents decide between COMPRESS and registration.
    fn next_scan(&mut self, finishing: bool) -> Option<Run> {
        let (keys, blocks) = (&self.keys, &self.blocks);
        self.queue.scan_next(blocks, finishing, |run| {
            //= spec/text/07-zero-pages.md#use
            //# [ZERO-10] A source MUST NOT send COMPRESS for a chunk that is registered at the
            //# destination or whose registration it has asked for.
            let region = keys.region(blocks, run.block, run.offset);
            let state = region.and_then(|region| keys.state(region));
            matches!(state, Some((Remote::Unknown, _)))
        })
    }

    fn run_operation(
        &mut self,
        run: Run,
        finishing: bool,
        buffer: &mut [u8],
    ) -> Result<Option<Operation>, Error> {
        let Some(region) = self.keys.region(&self.blocks, run.block, run.offset) else {
            return Ok(None);
        };
        match (self.keys.state(region), run.scan) {
            //= spec/text/05-registration.md#keys
            //# [REG-10] A source MUST hold the destination's key for the place that it writes to.
            (Some((Remote::Granted(_), Local::Registered)), _) => {
                Ok(self.write_operation(run, region, finishing))
            }
            (Some((Remote::Requested | Remote::Granted(_), Local::Absent)), _) => {
                Ok(self.register_operation(run, region))
            }
            (Some((Remote::Unknown, _)), Scan::Zero) => self.compress_operation(run, buffer),
            (Some((Remote::Unknown, _)), Scan::NonZero) => {
                self.request_operation(run, region, buffer)
            }
            (Some((Remote::Unknown, _)), Scan::Unknown | Scan::Running)
            | (
                Some((
                    Remote::Requested | Remote::Granted(_),
                    Local::Registering | Local::Surplus | Local::Releasing,
                )),
                _,
            )
            | (Some((Remote::Requested, Local::Registered)), _)
            | (Some((Remote::Unregistering, _)) | None, _) => Ok(None),
        }
    }

    fn write_operation(
        &mut self,
        run: Run,
        region: RegionId,
        finishing: bool,
    ) -> Option<Operation> {
        let write = self.write_of(run, region).filter(|_| self.writes.has_room())?;
        self.done();
        let more = match self.queue.head(&self.blocks, finishing) {
            Some(Work::Run(next)) => self.is_writable(next),
            Some(Work::Unregister { .. }) | None => false,
        };
        let signaled = self.writes.issued(!more);
        Some(Operation::WriteRam(WriteRam { signaled, ..write }))
    }

    /// Where the two address spaces meet: a place in our block becomes one in the destination's
    /// virtual memory.
    fn write_of(&self, run: Run, region: RegionId) -> Option<WriteRam> {
        let Run { block, offset, length, .. } = run;
        let remote = self.remote_blocks.get(usize::try_from(block.get()).ok()?)?;
        //= spec/text/06-ram-writes.md#addresses
        //# [WRITE-5] A source MUST write each run to the address of its RAM block at the
        //# destination plus the run's place in the block.
        let remote_address = remote.address.checked_add(offset.get())?;
        let (Remote::Granted(rkey), _) = self.keys.state(region)? else { return None };
        let signaled = false;
        Some(WriteRam { region, block, offset, length, remote_address, rkey, signaled })
    }

    fn is_writable(&self, run: Run) -> bool {
        let region = self.keys.region(&self.blocks, run.block, run.offset);
        let state = region.and_then(|region| self.keys.state(region));
        matches!(state, Some((Remote::Granted(_), Local::Registered)))
    }

    /// Registers our own side of a chunk, while the destination registers its.
    fn register_operation(&mut self, run: Run, region: RegionId) -> Option<Operation> {
        let chunk = self.config.chunk_size.of(run.offset.get());
        let (offset, length) = self.blocks.span(run.block, chunk, 1)?;
        self.keys.register(region);
        let (block, access) = (run.block, Access::LocalRead);
        Some(Operation::RegisterMemory { region, block, offset, length, access })
    }

    fn request_operation(
        &mut self,
        run: Run,
        region: RegionId,
        buffer: &mut [u8],
    ) -> Result<Option<Operation>, Error> {
        let Some(address) = self.ram_address(run) else { return Ok(None) };
        let request = RegisterRequest { address, block: run.block, chunks: 0 };
        let message = Message::RegisterRequest(Entries::new(core::slice::from_ref(&request)));
        let operation = self.send_command(&message, Some(Kind::RegisterResult), buffer)?;
        if operation.is_some() {
            self.keys.set_remote(region, Remote::Requested);
            self.asked = Asked::Register { block: run.block, region };
        }
        Ok(operation)
    }

    fn compress_operation(
        &mut self,
        run: Run,
        buffer: &mut [u8],
    ) -> Result<Option<Operation>, Error> {
        let Some(offset) = self.ram_address(run) else { return Ok(None) };
        //= spec/text/07-zero-pages.md#use
        //# [ZERO-11] A source MUST send COMPRESS with a `value` of 0.
        //= spec/text/07-zero-pages.md#use
        //# [ZERO-15] A source MUST put one command into a COMPRESS message.
        let zero = Compress { value: 0, block: run.block, offset, length: run.length };
        let message = Message::Compress(Entries::new(core::slice::from_ref(&zero)));
        let operation = self.send_command(&message, None, buffer)?;
        if operation.is_some() {
            self.done();
        }
        Ok(operation)
    }

    fn unregister_operation(
        &mut self,
        request: UnregisterRequest,
        region: RegionId,
        finishing: bool,
        buffer: &mut [u8],
    ) -> Result<Option<Operation>, Error> {
        match self.keys.state(region) {
            //= spec/text/05-registration.md#unregistration
            //# [REG-30] A source MUST NOT ask to unregister a chunk while a write into it is in flight.
            Some((Remote::Granted(_), Local::Registered)) if self.writes.is_idle() => {
                let message =
                    Message::UnregisterRequest(Entries::new(core::slice::from_ref(&request)));
                let reply = Some(Kind::UnregisterFinished);
                let operation = self.send_command(&message, reply, buffer)?;
                if operation.is_some() {
                    //= spec/text/05-registration.md#unregistration
                    //# [REG-34] A source MUST NOT use a key whose unregistration it has asked for.
                    self.keys.set_remote(region, Remote::Unregistering);
                    self.asked = Asked::Unregister { region };
                }
                Ok(operation)
            }
            Some((Remote::Granted(_) | Remote::Unregistering | Remote::Requested, _)) => Ok(None),
            Some((Remote::Unknown, _)) | None => {
                self.done();
                self.round_operation(finishing, buffer)
            }
        }
    }

    //= spec/text/06-ram-writes.md#completions
    //# [WRITE-2] A source MUST have the completion of every write of a round before it sends
    //# REGISTER_FINISHED.
    fn finish_operation(&mut self, buffer: &mut [u8]) -> Result<Option<Operation>, Error> {
        if !self.writes.is_idle() {
            return Ok(None);
        }
        //= spec/text/09-rounds.md#rounds
        //# [RND-1] A source MUST end each round with REGISTER_FINISHED.
        let operation = self.send_command(&Message::RegisterFinished, None, buffer)?;
        if operation.is_some() {
            self.phase = Phase::Stream;
            self.events.push_back(SourceEvent::RoundFinished);
        }
        Ok(operation)
    }

    /// The head of the queue is done.
    pub(super) fn done(&mut self) {
        self.queue.pop();
        if self.ram_refused {
            self.ram_refused = false;
            self.events.push_back(SourceEvent::RamWritable);
        }
    }

    fn ram_address(&self, run: Run) -> Option<RamAddress> {
        let remote = self.remote_blocks.get(usize::try_from(run.block.get()).ok()?)?;
        remote.ram_address.checked_add(run.offset.get())
    }
}
