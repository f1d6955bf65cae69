//! Which command a source sends next in a round: COMPRESS, REGISTER_REQUEST or UNREGISTER_REQUEST.

use super::Source;
use super::state::Asked;
use crate::address::{BlockIndex, BlockOffset, RamAddress};
use crate::error::Error;
use crate::ram::{Bounded, Local, Remote, Room, Run, Scan, SpanSoFar, Work};
use crate::transport::{Operation, RegionId};
use crate::wire::{Compress, Entries, Kind, Message, RegisterRequest, UnregisterRequest};

/// What the first work that may need a command needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Need {
    /// No command, or none any more.
    Nothing,
    /// That something else happens first; then it may be a command.
    Patience,
    Compress(ZeroSpan),
    Register(Span),
    /// `evicted`: of our own accord, so that another has room.
    Unregister {
        block: BlockIndex,
        region: RegionId,
        evicted: bool,
    },
}

/// Adjacent chunks to be registered by one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Span {
    block: BlockIndex,
    /// A byte of the first chunk.
    offset: BlockOffset,
    first: RegionId,
    chunks: usize,
}

/// Adjacent runs of zero to be told by one command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct ZeroSpan {
    block: BlockIndex,
    offset: BlockOffset,
    length: u64,
    runs: usize,
}

impl Source {
    /// Drops unregistrations from the head that find nothing registered: no command and no answer
    /// follows, after which what is behind them would have its turn.
    pub(super) fn pass_over_unregistrations(&mut self, sealed: bool) {
        while matches!(self.queue.front(), Some(Work::Unregister { .. }))
            && self.need(sealed) == Some(Need::Nothing)
        {
            self.done();
        }
    }

    pub(super) fn command_operation(
        &mut self,
        sealed: bool,
        buffer: &mut [u8],
    ) -> Result<Option<Operation>, Error> {
        while let Some(need) = self.need(sealed) {
            self.remember_span(sealed);
            let alone = self.requested.requests.is_empty();
            match need {
                Need::Nothing => self.queue.commanded(),
                Need::Register(span) if self.may_claim() => self.claim(span),
                Need::Compress(span) if alone => return self.compress_operation(span, buffer),
                Need::Unregister { block, region, evicted } if alone => {
                    return self.unregister_operation(block, region, evicted, buffer);
                }
                Need::Register(_) | Need::Compress(_) | Need::Unregister { .. } => break,
                Need::Patience => break,
            }
        }
        self.request_operation(buffer)
    }

    /// Whether there is a command to send as soon as there is a READY.
    pub(super) fn has_command_on_ram(&self, sealed: bool) -> bool {
        let need = self.need(sealed);
        matches!(need, Some(Need::Compress(_) | Need::Register(_) | Need::Unregister { .. }))
    }

    fn need(&self, sealed: bool) -> Option<Need> {
        Some(match self.queue.uncommanded(&self.blocks, sealed)? {
            Work::Run(run) => self.need_of_run(run, sealed),
            Work::Unregister { block, chunk } => self.need_of_unregistration(block, chunk),
        })
    }

    fn need_of_run(&self, run: Run, sealed: bool) -> Need {
        let Run { block, offset, .. } = run;
        let Some(region) = self.keys.region(&self.blocks, block, offset) else {
            return Need::Patience;
        };
        let its_turn = self.config.registration.looks_ahead() || self.queue.uncommanded_is_head();
        match (self.keys.state(region), run.scan) {
            (_, Scan::Told) => Need::Nothing,
            (_, Scan::Running) => Need::Patience,
            (Some((Remote::Requested | Remote::Granted(_), _)), _) => Need::Nothing,
            (Some((Remote::Unknown, _)), _) if !its_turn => Need::Patience,
            (Some((Remote::Unknown, _)), Scan::Zero) => {
                self.zero_span(run, sealed).map_or(Need::Patience, Need::Compress)
            }
            (Some((Remote::Unknown, Local::Absent)), Scan::NonZero) => {
                let Some(chunks) = self.span_length(run, region, sealed) else {
                    return Need::Patience;
                };
                match self.keys.room(Bounded::Both, chunks) {
                    Room::Enough => Need::Register(Span { block, offset, first: region, chunks }),
                    Room::After(oldest) => self.need_of_eviction(oldest),
                    Room::Soon | Room::None => Need::Patience,
                }
            }
            // Our own half was not given back when the destination's was.
            (Some((Remote::Unknown, Local::Registered)), Scan::NonZero) => {
                let chunk = self.blocks.chunk_in_block(block, region);
                let start = chunk.and_then(|chunk| self.config.chunk_size.start(chunk));
                let offset = BlockOffset::new(start.unwrap_or(offset.get()));
                let chunks = self.keys.chunks(region);
                Need::Register(Span { block, offset, first: region, chunks })
            }
            (Some((Remote::Unknown | Remote::Unregistering, _)) | None, _) => Need::Patience,
        }
    }

    /// How many chunks from a run's on are registered by one request: those that follow one another in
    /// the work as in their block, and of which each has something in it. None while a scan decides.
    fn span_length(&self, run: Run, first: RegionId, sealed: bool) -> Option<usize> {
        let known = self.queue.span();
        let (span, decided) = self.follow_span(known, run.block, first, sealed);
        debug_assert_eq!(
            (span, decided),
            self.follow_span(SpanSoFar::default(), run.block, first, sealed),
            "what was remembered of a span is still true"
        );
        decided.then_some(span.further_chunks.saturating_add(1))
    }

    /// Goes on with a span from what is known of it. Returns false where a scan decides how it goes
    /// on from there.
    fn follow_span(
        &self,
        known: SpanSoFar,
        block: BlockIndex,
        first: RegionId,
        sealed: bool,
    ) -> (SpanSoFar, bool) {
        let chunks_max = self.config.span_chunks_max();
        let mut span = SpanSoFar { runs: known.runs.max(1), ..known };
        for next in self.queue.uncommanded_runs(&self.blocks, sealed, span.runs) {
            let Some(chunk) = self.blocks.chunk(next.block, next.offset) else {
                return (span, false);
            };
            let ahead = chunk.0.checked_sub(first.0).and_then(|ahead| usize::try_from(ahead).ok());
            let same_chunk = next.block == block && ahead == Some(span.further_chunks);
            if !same_chunk {
                let further_chunks = span.further_chunks.saturating_add(1);
                let follows = next.block == block && ahead == Some(further_chunks);
                if !follows || further_chunks >= chunks_max || !self.keys.is_free(chunk) {
                    break;
                }
                match next.scan {
                    Scan::NonZero => span.further_chunks = further_chunks,
                    Scan::Running => return (span, false),
                    Scan::Unknown | Scan::Zero | Scan::Told => break,
                }
            }
            span.runs = span.runs.saturating_add(1);
        }
        (span, true)
    }

    /// Keeps what was found of the span, so that each scan in it does not go through all of it again.
    /// It stays true until the first work that may need a command is another: only a command makes a
    /// free chunk anything else.
    fn remember_span(&mut self, sealed: bool) {
        if self.config.registration.chunks_max() == 1 {
            return;
        }
        let Some(Work::Run(run)) = self.queue.uncommanded(&self.blocks, sealed) else { return };
        let first = self.keys.region(&self.blocks, run.block, run.offset);
        let Some(first) = first.filter(|first| self.keys.is_free(*first)) else { return };
        if run.scan == Scan::NonZero {
            let known = self.queue.span();
            let (span, _) = self.follow_span(known, run.block, first, sealed);
            self.queue.set_span(span);
        }
    }

    /// What one command tells of zero: the runs that follow one another in the work as in their
    /// block. None while a scan decides.
    fn zero_span(&self, run: Run, sealed: bool) -> Option<ZeroSpan> {
        let Run { block, offset, length, .. } = run;
        let mut span = ZeroSpan { block, offset, length, runs: 1 };
        let length_max = self.config.zero_bytes_max();
        for next in self.queue.uncommanded_runs(&self.blocks, sealed, 1) {
            let length = span.length.saturating_add(next.length);
            let follows =
                next.block == block && offset.checked_add(span.length) == Some(next.offset);
            let chunk = self.keys.region(&self.blocks, next.block, next.offset);
            //= spec/text/07-zero-pages.md#use
            //# [ZERO-10] A source MUST NOT send COMPRESS for a chunk that is registered at the
            //# destination or whose registration it has asked for.
            let state = chunk.and_then(|chunk| self.keys.state(chunk));
            let unknown = matches!(state, Some((Remote::Unknown, _)));
            if !follows || !unknown || length > length_max {
                break;
            }
            match next.scan {
                Scan::Zero => {
                    span.length = length;
                    span.runs = span.runs.saturating_add(1);
                }
                Scan::Running => return None,
                Scan::Unknown | Scan::NonZero | Scan::Told => break,
            }
        }
        Some(span)
    }

    /// What was used longest ago gives way, unless it is still needed.
    fn need_of_eviction(&self, region: RegionId) -> Need {
        let state = self.keys.state(region);
        let held = matches!(state, Some((Remote::Granted(_), Local::Registered)));
        let awaited = self
            .queue
            .commanded_runs()
            .any(|run| self.keys.region(&self.blocks, run.block, run.offset) == Some(region));
        match self.blocks.block_of(region) {
            //= spec/text/05-registration.md#unregistration
            //# [REG-30] A source MUST NOT ask to unregister a chunk while a write into it is in flight.
            Some(block) if held && !awaited && !self.writes.use_region(region) => {
                Need::Unregister { block, region, evicted: true }
            }
            _ => Need::Patience,
        }
    }

    /// Everything before has to be done, and nothing behind may overtake it.
    fn need_of_unregistration(&self, block: BlockIndex, chunk: u64) -> Need {
        if !self.queue.uncommanded_is_head() {
            return Need::Patience;
        }
        let Some(region) = self.keys.region_of_chunk(&self.blocks, block, chunk) else {
            return Need::Nothing;
        };
        match self.keys.state(region) {
            //= spec/text/05-registration.md#unregistration
            //# [REG-30] A source MUST NOT ask to unregister a chunk while a write into it is in flight.
            Some((Remote::Granted(_), Local::Registered)) if !self.writes.use_region(region) => {
                Need::Unregister { block, region, evicted: false }
            }
            Some((Remote::Granted(_) | Remote::Unregistering | Remote::Requested, _)) => {
                Need::Patience
            }
            Some((Remote::Unknown, _)) | None => Need::Nothing,
        }
    }

    /// Whether the next message has room for one more request.
    fn may_claim(&self) -> bool {
        let one_at_a_time = self.requested.one_at_a_time;
        let most = if one_at_a_time { 1 } else { self.config.registration.requests_max() };
        self.may_send_command() && self.requested.requests.len() < most
    }

    /// Puts a request for a span into the message that leaves next.
    fn claim(&mut self, span: Span) {
        let Span { block, offset, first, chunks } = span;
        let Some(address) = self.ram_address(block, offset) else { return };
        let further = u64::try_from(chunks).unwrap_or(u64::MAX).saturating_sub(1);
        self.requested.requests.push(RegisterRequest { address, block, chunks: further });
        self.requested.regions.push(first);
        self.keys.join(first, chunks);
        self.keys.set_remote(first, Remote::Requested);
    }

    fn request_operation(&mut self, buffer: &mut [u8]) -> Result<Option<Operation>, Error> {
        if self.requested.requests.is_empty() || self.asked != Asked::Nothing {
            return Ok(None);
        }
        // Taken out so that the message can be encoded from it.
        let requests = core::mem::take(&mut self.requested.requests);
        let message = Message::RegisterRequest(Entries::new(&requests));
        let sent = self.send_command(&message, Some(Kind::RegisterResult), buffer);
        self.requested.requests = requests;
        self.asked = Asked::Register { ours_next: 0 };
        sent
    }

    fn compress_operation(
        &mut self,
        span: ZeroSpan,
        buffer: &mut [u8],
    ) -> Result<Option<Operation>, Error> {
        let ZeroSpan { block, offset, length, runs } = span;
        let Some(offset) = self.ram_address(block, offset) else { return Ok(None) };
        //= spec/text/07-zero-pages.md#use
        //# [ZERO-11] A source MUST send COMPRESS with a `value` of 0.
        //= spec/text/07-zero-pages.md#use
        //# [ZERO-15] A source MUST put one command into a COMPRESS message.
        let zero = Compress { value: 0, block, offset, length };
        let message = Message::Compress(Entries::new(core::slice::from_ref(&zero)));
        let operation = self.send_command(&message, None, buffer)?;
        if operation.is_some() {
            self.queue.told(runs);
            self.invite_ram();
        }
        Ok(operation)
    }

    fn unregister_operation(
        &mut self,
        block: BlockIndex,
        region: RegionId,
        evicted: bool,
        buffer: &mut [u8],
    ) -> Result<Option<Operation>, Error> {
        let Some(chunk) = self.blocks.chunk_in_block(block, region) else { return Ok(None) };
        let request = UnregisterRequest { chunk, block };
        let message = Message::UnregisterRequest(Entries::new(core::slice::from_ref(&request)));
        let operation = self.send_command(&message, Some(Kind::UnregisterFinished), buffer)?;
        if operation.is_some() {
            //= spec/text/05-registration.md#unregistration
            //# [REG-34] A source MUST NOT use a key whose unregistration it has asked for.
            self.keys.set_remote(region, Remote::Unregistering);
            self.asked = Asked::Unregister { region, evicted };
        }
        Ok(operation)
    }

    /// Where the two address spaces meet: a place in our block becomes one in the destination's RAM
    /// address space.
    fn ram_address(&self, block: BlockIndex, offset: BlockOffset) -> Option<RamAddress> {
        let remote = self.remote_blocks.get(usize::try_from(block.get()).ok()?)?;
        remote.ram_address.checked_add(offset.get())
    }
}
