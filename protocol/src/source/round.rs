//! A round at the source: runs are scanned, registered and written, in the order of the owner.

use super::state::{Asked, Phase};
use super::{Source, SourceEvent};
use crate::address::BlockIndex;
use crate::error::Error;
use crate::limits::WRITES_BEFORE_COMMAND_MAX;
use crate::ram::{Bounded, Local, Remote, Room, Run, Work};
use crate::transport::{Access, Operation, RegionId, WriteRam};
use crate::wire::Message;

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
        self.pass_over_unregistrations(finishing);
        if let Some(run) = self.next_scan(finishing) {
            let Run { block, offset, length, .. } = run;
            return Ok(Some(Operation::ScanRam { block, offset, length }));
        }
        if let Some(operation) = self.command_operation(finishing, buffer)? {
            return Ok(Some(operation));
        }
        if let Some(operation) = self.register_asked() {
            return Ok(Some(operation));
        }
        match self.queue.head(&self.blocks, finishing) {
            // What may still need a command, or waits for its scan, is not written.
            Some(Work::Run(_)) if self.queue.uncommanded_is_head() => Ok(None),
            Some(Work::Run(run)) => Ok(self.run_operation(run, finishing)),
            None if finishing => self.finish_operation(buffer),
            Some(Work::Unregister { .. }) | None => Ok(None),
        }
    }

    /// The next run whose contents decide between COMPRESS and registration.
    fn next_scan(&mut self, finishing: bool) -> Option<Run> {
        let (keys, blocks) = (&self.keys, &self.blocks);
        if self.config.registration.is_one_by_one() && !self.queue.unscanned_is_head() {
            return None;
        }
        self.queue.scan_next(blocks, finishing, |run| {
            //= spec/text/07-zero-pages.md#use
            //# [ZERO-10] A source MUST NOT send COMPRESS for a chunk that is registered at the
            //# destination or whose registration it has asked for.
            let region = keys.region(blocks, run.block, run.offset);
            let state = region.and_then(|region| keys.state(region));
            matches!(state, Some((Remote::Unknown, _)))
        })
    }

    /// Registers our own half of what the destination was asked for, while it registers its.
    fn register_asked(&mut self) -> Option<Operation> {
        if self.config.registration.is_one_by_one() {
            return None;
        }
        let Asked::Register { ours_next } = self.asked else { return None };
        let block = self.requested.requests.get(ours_next)?.block;
        let region = *self.requested.regions.get(ours_next)?;
        let registered = !matches!(self.keys.state(region), Some((_, Local::Absent)));
        let operation = self.register_operation(block, region);
        let ordered = matches!(operation, Some(Operation::RegisterMemory { .. }));
        if registered || ordered {
            self.asked = Asked::Register { ours_next: ours_next.saturating_add(1) };
        }
        operation
    }

    fn register_operation(&mut self, block: BlockIndex, region: RegionId) -> Option<Operation> {
        if !matches!(self.keys.state(region), Some((_, Local::Absent))) {
            return None;
        }
        let chunk = self.blocks.chunk_in_block(block, region)?;
        let chunks = self.keys.chunks(region);
        match self.keys.room(Bounded::Ours, chunks) {
            Room::Enough => {}
            Room::After(oldest) => return self.evict_ours(oldest),
            Room::Soon | Room::None => return None,
        }
        let chunks = u64::try_from(chunks).ok()?;
        let (offset, length) = self.blocks.span(block, chunk, chunks)?;
        self.keys.register(region);
        let access = Access::LocalRead;
        Some(Operation::RegisterMemory { region, block, offset, length, access })
    }

    /// Gives back our own registration of a region, and keeps the destination's key.
    fn evict_ours(&mut self, region: RegionId) -> Option<Operation> {
        let registered = matches!(self.keys.state(region), Some((_, Local::Registered)));
        if !registered || self.writes.use_region(region) {
            return None;
        }
        self.keys.give_up(region);
        self.keys.release_surplus().map(|region| Operation::DeregisterMemory { region })
    }

    fn run_operation(&mut self, run: Run, finishing: bool) -> Option<Operation> {
        let region = self.keys.region(&self.blocks, run.block, run.offset)?;
        match self.keys.state(region)? {
            //= spec/text/05-registration.md#keys
            //# [REG-10] A source MUST hold the destination's key for the place that it writes to.
            (Remote::Granted(_), Local::Registered) => self.write_operation(run, region, finishing),
            (Remote::Granted(_), Local::Absent) => self.register_operation(run.block, region),
            (Remote::Granted(_), Local::Registering | Local::Surplus | Local::Releasing)
            | (Remote::Unknown | Remote::Requested | Remote::Unregistering, _) => None,
        }
    }

    fn write_operation(
        &mut self,
        run: Run,
        region: RegionId,
        finishing: bool,
    ) -> Option<Operation> {
        let write = self.write_of(run, region).filter(|_| self.may_write(finishing))?;
        self.done();
        self.keys.used(region);
        let more = match self.queue.head(&self.blocks, finishing) {
            Some(Work::Run(next)) => self.is_writable(next),
            Some(Work::Unregister { .. }) | None => false,
        };
        let signaled = self.writes.issued(region, !more || self.command_is_next(finishing));
        Some(Operation::WriteRam(WriteRam { signaled, ..write }))
    }

    /// Whether a write may go now. While a command waits for its READY, which is on its way, few may:
    /// it would queue behind them.
    fn may_write(&self, finishing: bool) -> bool {
        let held_back = self.writes.acknowledgements_due() >= WRITES_BEFORE_COMMAND_MAX
            && self.command_is_next(finishing);
        self.writes.has_room() && !held_back
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

    /// Whether a command would leave now, were there a READY for it, and READY is what comes next.
    fn command_is_next(&self, finishing: bool) -> bool {
        let awaits_ready = self.exchange.reply_due().is_none() && !self.may_send_command();
        awaits_ready && self.config.registration.looks_ahead() && self.has_command_on_ram(finishing)
    }

    fn is_writable(&self, run: Run) -> bool {
        let region = self.keys.region(&self.blocks, run.block, run.offset);
        let state = region.and_then(|region| self.keys.state(region));
        matches!(state, Some((Remote::Granted(_), Local::Registered)))
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
        self.invite_ram();
    }

    /// Tells the owner that there is room again.
    pub(super) fn invite_ram(&mut self) {
        if self.ram_refused && self.queue.has_room() {
            self.ram_refused = false;
            self.events.push_back(SourceEvent::RamWritable);
        }
    }
}
