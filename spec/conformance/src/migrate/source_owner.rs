//! The owner of the guest at the source: rounds of pre-copy, until the rest fits the downtime.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::Arc;

use rdma_migration_protocol::address::{BlockIndex, BlockOffset};
use rdma_migration_protocol::connection::{Closed, Negotiated};
use rdma_migration_protocol::error::Misuse;
use rdma_migration_protocol::source::{Source, SourceEvent};
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{Machine, Owner};

use super::guest::GuestBlock;
use super::host::Host;
use super::progress::Progress;
use super::stream;
use super::workload::{DirtyPages, Workload};

/// Rounds of pre-copy after which a guest counts as one that cannot be moved while it runs.
pub(super) const ROUNDS_MAX: u32 = 60;

/// How often the bandwidth limit lets bytes through.
const BANDWIDTH_TICK: Duration = Duration::from_millis(10);

/// What the owner wants.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// The longest time that the guest may stand still.
    pub max_downtime: Duration,
    /// Bytes of RAM a second at the most; none is no limit.
    pub max_bandwidth: Option<u64>,
}

/// What follows once the stream bytes that are being written have been taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Next {
    ExchangeBlocks,
    Round,
    Finish,
    Nothing,
}

/// How a source's side went.
#[derive(Clone, Debug, Default)]
pub(super) struct SourceOutcome {
    /// What was agreed with the destination.
    pub(super) negotiated: Option<Negotiated>,
    /// When the migration began.
    pub(super) began: Option<Instant>,
    /// When the connection was made.
    pub(super) connected: Option<Instant>,
    /// When the guest was stopped for good.
    pub(super) stopped: Option<Instant>,
    /// When everything had arrived.
    pub(super) handed_over: Option<Instant>,
    /// Rounds of RAM, the last one included.
    pub(super) rounds: u32,
    /// Why the owner gave up, if it did.
    pub(super) gave_up: Option<GaveUp>,
    /// The end.
    pub(super) closed: Option<Closed>,
}

/// Why an owner gave up.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum GaveUp {
    /// Somebody asked for it.
    #[error("interrupted")]
    Interrupted,
    /// The guest is faster than the link.
    #[error(
        "after {ROUNDS_MAX} rounds the guest still dirties memory as fast as it is sent: allow a \
         longer --max-downtime, more --max-bandwidth, or a lower --dirty-rate"
    )]
    DoesNotConverge,
    /// A fault was asked for.
    #[error("the owner at the source was told to abort")]
    Fault,
}

/// The owner of the guest at the source.
pub(super) struct SourceOwner<P> {
    wishes: Wishes,
    blocks: Vec<GuestBlock>,
    dirty: Vec<DirtyPages>,
    workload: Workload,
    device_state: Vec<u8>,
    interrupted: Arc<AtomicBool>,
    progress: P,
    /// Stream bytes that the machine has not taken yet.
    pending: Vec<u8>,
    next: Next,
    /// Runs of this round that the machine has not taken yet, the next one last.
    runs: Vec<(BlockIndex, u64, u64)>,
    round_open: bool,
    round_began: Instant,
    round_bytes: u64,
    /// Bytes of this round that the limit has let through.
    let_through: u64,
    /// All stream bytes, in order.
    stream: Vec<u8>,
    outcome: SourceOutcome,
}

impl<P: Progress> SourceOwner<P> {
    /// An owner that will move these blocks, which are in the memory of its port already.
    pub(super) fn new(
        wishes: Wishes,
        blocks: Vec<GuestBlock>,
        workload: Workload,
        device_state: Vec<u8>,
        interrupted: Arc<AtomicBool>,
        progress: P,
    ) -> Self {
        let dirty = blocks.iter().map(|block| DirtyPages::all(block.length)).collect();
        Self {
            wishes,
            blocks,
            dirty,
            workload,
            device_state,
            interrupted,
            progress,
            pending: Vec::new(),
            next: Next::Nothing,
            runs: Vec::new(),
            round_open: false,
            round_began: Instant::ORIGIN,
            round_bytes: 0,
            let_through: 0,
            stream: Vec::new(),
            outcome: SourceOutcome::default(),
        }
    }

    /// How it went.
    pub(super) fn outcome(&self) -> &SourceOutcome {
        &self.outcome
    }

    /// All stream bytes that were handed to the machine.
    pub(super) fn stream(&self) -> &[u8] {
        &self.stream
    }

    fn take_event(
        &mut self,
        event: SourceEvent,
        source: &mut Source,
        port: &mut impl Host,
    ) -> Result<(), Misuse> {
        match event {
            SourceEvent::Connected(negotiated) => {
                self.outcome.negotiated = Some(negotiated);
                self.outcome.connected = Some(port.now());
                self.write(stream::setup(&self.blocks), Next::ExchangeBlocks);
            }
            // The window that opens with the RAM blocks stays empty, as QEMU leaves it.
            SourceEvent::BlocksExchanged => source.finish_round()?,
            SourceEvent::RoundFinished if self.outcome.stopped.is_some() => {
                let mut state = stream::device_state(&self.device_state);
                if port.fault_due("stream-truncated") {
                    state.truncate(state.len() / 2);
                }
                self.write(state, Next::Finish);
            }
            SourceEvent::RoundFinished => self.begin_round(source, port),
            SourceEvent::HandedOver => self.outcome.handed_over = Some(port.now()),
            SourceEvent::StreamWritable | SourceEvent::RamWritable => {}
            SourceEvent::Closed(closed) => self.outcome.closed = Some(closed),
        }
        Ok(())
    }

    /// Begins the next round, which is the last one if what is left fits the downtime.
    fn begin_round(&mut self, source: &mut Source, port: &mut impl Host) {
        let now = port.now();
        self.workload.run(now, port, &mut self.dirty[0]);
        let left: u64 = self.dirty.iter().map(DirtyPages::bytes).sum();
        let last = self.outcome.rounds > 0 && self.fits_downtime(left, now);
        if last {
            self.outcome.stopped = Some(now);
        } else if self.outcome.rounds == ROUNDS_MAX {
            self.give_up(GaveUp::DoesNotConverge, source);
            return;
        }
        self.outcome.rounds += 1;
        self.round_began = now;
        self.round_bytes = left;
        self.let_through = 0;
        let numbered = (0..).map(BlockIndex::new).zip(&mut self.dirty);
        let runs = numbered.flat_map(|(block, dirty)| {
            dirty.take_runs().into_iter().map(move |(offset, length)| (block, offset, length))
        });
        self.runs = runs.collect();
        self.runs.reverse();
        self.progress.round(self.outcome.rounds, left, last);
        self.write(stream::between_rounds(last), Next::Round);
    }

    /// Whether so many bytes move within the downtime, at the rate of the round before.
    fn fits_downtime(&self, left: u64, now: Instant) -> bool {
        let took = now.since(self.round_began).as_nanos().max(1);
        let needed = u128::from(left) * took / u128::from(self.round_bytes.max(1));
        needed <= self.wishes.max_downtime.as_nanos()
    }

    fn write(&mut self, bytes: Vec<u8>, next: Next) {
        self.stream.extend_from_slice(&bytes);
        self.pending = bytes;
        self.next = next;
    }

    /// Hands over what the machine takes now.
    fn push(&mut self, source: &mut Source, port: &mut impl Host) -> Result<(), Misuse> {
        if !self.pending.is_empty() {
            let taken = source.write_stream(&self.pending)?;
            self.pending.drain(..taken);
        }
        if self.pending.is_empty() {
            match core::mem::replace(&mut self.next, Next::Nothing) {
                Next::ExchangeBlocks => {
                    let lengths: Vec<_> = self.blocks.iter().map(|block| block.length).collect();
                    source.exchange_blocks(&lengths)?;
                }
                Next::Round => self.round_open = true,
                Next::Finish => source.finish()?,
                Next::Nothing => {}
            }
        }
        if self.round_open { self.push_runs(source, port) } else { Ok(()) }
    }

    fn push_runs(&mut self, source: &mut Source, port: &mut impl Host) -> Result<(), Misuse> {
        while let Some((block, offset, length)) = self.runs.last_mut() {
            let allowed = match self.wishes.max_bandwidth {
                None => *length,
                Some(limit) => {
                    let elapsed = port.now().since(self.round_began) + BANDWIDTH_TICK;
                    let budget = u128::from(limit) * elapsed.as_nanos() / 1_000_000_000;
                    let budget = u64::try_from(budget).unwrap_or(u64::MAX);
                    let page = super::guest::PAGE_BYTES;
                    let room = budget.saturating_sub(self.let_through) / page * page;
                    room.min(*length)
                }
            };
            if allowed == 0 {
                port.wake_at(port.now().after(BANDWIDTH_TICK));
                return Ok(());
            }
            let taken = source.write_ram(*block, BlockOffset::new(*offset), allowed)?;
            if taken == 0 {
                return Ok(());
            }
            *offset += taken;
            *length -= taken;
            self.let_through += taken;
            if *length == 0 {
                self.runs.pop();
            }
            self.progress.sent(self.let_through, self.round_bytes, port.now());
        }
        self.round_open = false;
        source.finish_round()
    }

    fn give_up(&mut self, why: GaveUp, source: &mut Source) {
        if self.outcome.gave_up.is_none() && source.abort().is_ok() {
            self.outcome.gave_up = Some(why);
        }
    }
}

impl<H: Host, P: Progress> Owner<Source, H> for SourceOwner<P> {
    fn attend(&mut self, source: &mut Source, port: &mut H) {
        let now = port.now();
        if self.outcome.began.is_none() && source.connect().is_ok() {
            self.outcome.began = Some(now);
        }
        if self.outcome.stopped.is_none() {
            self.workload.run(now, port, &mut self.dirty[0]);
        }
        if self.interrupted.load(Ordering::Relaxed) {
            self.give_up(GaveUp::Interrupted, source);
        }
        if port.fault_due("source-aborts") {
            self.give_up(GaveUp::Fault, source);
        }
        while let Some(event) = source.poll_event() {
            // A call that does not fit means that the migration is closing; its end is on the way.
            if self.take_event(event, source, port).is_err() {
                return;
            }
        }
        if self.push(source, port).is_err() {
            self.pending.clear();
            self.round_open = false;
            self.next = Next::Nothing;
        }
    }
}
