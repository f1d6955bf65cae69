//! `rdma-migration send`: the source of one migration, which plays a recording.

use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use rdma_migration_protocol::address::{BlockIndex, BlockOffset};
use rdma_migration_protocol::connection::{Closed, Negotiated};
use rdma_migration_protocol::error::{Error, Misuse};
use rdma_migration_protocol::source::{Source, SourceEvent};
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{Machine, Owner, Transport};

use crate::recording::{Layout, Recording, Round, Run};

/// Is told how a recording goes out.
pub trait Progress {
    /// The destination has accepted.
    fn connected(&mut self, negotiated: Negotiated);

    /// A round begins, the first one being 0, with so many bytes of RAM.
    fn round(&mut self, number: usize, ram_bytes: u64);

    /// Of the RAM of this round so many bytes have been handed over.
    fn sent(&mut self, bytes: u64, now: Instant);
}

/// Nobody who waits.
impl Progress for () {
    fn connected(&mut self, _negotiated: Negotiated) {}
    fn round(&mut self, _number: usize, _ram_bytes: u64) {}
    fn sent(&mut self, _bytes: u64, _now: Instant) {}
}

/// What the player does next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    Connect,
    /// Stream bytes up to the hook word of this round, or to the end after the last.
    Stream {
        round: usize,
    },
    /// RAM of this round, from this run and this byte of it on.
    Ram {
        round: usize,
        run: usize,
        offset: u64,
    },
    /// An event of the machine has to come first, and then what is known to follow.
    Wait {
        round: usize,
    },
    Over,
}

/// The owner of a [`Source`] that plays a recording: its stream up to each hook word, the RAM of the
/// round behind it, and the rest of the stream. The RAM is in the memory of the transport already
/// ([`Recording::load`]), so the zero runs are found by the machine as those of a live guest are.
#[derive(Debug)]
pub struct Player<P> {
    stream: Vec<u8>,
    /// Bytes of the stream that the machine has taken.
    streamed: usize,
    rounds: Vec<Round>,
    lengths: Vec<u64>,
    step: Step,
    /// Bytes of RAM of this round that the machine has taken.
    handed_over: u64,
    interrupted: Arc<AtomicBool>,
    was_interrupted: bool,
    misuse: Option<Misuse>,
    progress: P,
    negotiated: Option<Negotiated>,
    called: Option<Instant>,
    began: Option<Instant>,
    handed_over_at: Option<Instant>,
    closed: Option<Closed>,
}

impl<P: Progress> Player<P> {
    /// A player of a complete recording that gives up once `interrupted` is set.
    pub fn new(recording: &Recording, interrupted: Arc<AtomicBool>, progress: P) -> Self {
        let lengths = recording.layout().map(Layout::lengths).unwrap_or_default();
        let (stream, rounds) = (recording.stream().to_vec(), recording.rounds().to_vec());
        Self::of(stream, rounds, lengths, interrupted, progress)
    }

    /// A player of this stream, in which these rounds lie, for RAM blocks of these lengths.
    pub fn of(
        stream: Vec<u8>,
        rounds: Vec<Round>,
        lengths: Vec<u64>,
        interrupted: Arc<AtomicBool>,
        progress: P,
    ) -> Self {
        Self {
            stream,
            streamed: 0,
            rounds,
            lengths,
            step: Step::Connect,
            handed_over: 0,
            interrupted,
            was_interrupted: false,
            misuse: None,
            progress,
            negotiated: None,
            called: None,
            began: None,
            handed_over_at: None,
            closed: None,
        }
    }

    /// What was agreed with the destination.
    #[must_use]
    pub const fn negotiated(&self) -> Option<Negotiated> {
        self.negotiated
    }

    /// When the connection was asked for.
    #[must_use]
    pub const fn called(&self) -> Option<Instant> {
        self.called
    }

    /// When the connection was made.
    #[must_use]
    pub const fn began(&self) -> Option<Instant> {
        self.began
    }

    /// When the last byte of the stream had arrived.
    #[must_use]
    pub const fn handed_over_at(&self) -> Option<Instant> {
        self.handed_over_at
    }

    /// The end, once it has come.
    #[must_use]
    pub const fn closed(&self) -> Option<&Closed> {
        self.closed.as_ref()
    }

    /// Whether somebody interrupted it.
    #[must_use]
    pub const fn was_interrupted(&self) -> bool {
        self.was_interrupted
    }

    /// Why the migration did not come to its end, if it did not.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        match (&self.closed, &self.misuse) {
            (Some(Closed { result: Ok(()), .. }), _) => None,
            (_, Some(misuse)) => Some(misuse.to_string()),
            (Some(Closed { result: Err(Error::Aborted), .. }), _) if self.was_interrupted => {
                Some("interrupted".to_owned())
            }
            (Some(Closed { result: Err(error), .. }), _) => Some(error.to_string()),
            (None, _) => Some("it has not ended".to_owned()),
        }
    }

    fn take_event(&mut self, event: SourceEvent, now: Instant) {
        match event {
            SourceEvent::Connected(negotiated) => {
                self.negotiated = Some(negotiated);
                self.began = Some(now);
                self.progress.connected(negotiated);
                self.step = Step::Stream { round: 0 };
            }
            SourceEvent::BlocksExchanged => self.begin_round(0),
            SourceEvent::RoundFinished => {
                if let Step::Wait { round } = self.step {
                    self.step = Step::Stream { round: round + 1 };
                }
            }
            SourceEvent::StreamWritable | SourceEvent::RamWritable => {}
            SourceEvent::HandedOver => self.handed_over_at = Some(now),
            SourceEvent::Closed(closed) => {
                self.closed = Some(closed);
                self.step = Step::Over;
            }
        }
    }

    fn begin_round(&mut self, round: usize) {
        let (zero, other) = self.rounds.get(round).map(Round::bytes).unwrap_or_default();
        self.handed_over = 0;
        self.progress.round(round, zero.saturating_add(other));
        self.step = Step::Ram { round, run: 0, offset: 0 };
    }

    /// Does one step. False if there is nothing to do before the next event.
    fn act(&mut self, source: &mut Source, now: Instant) -> Result<bool, Misuse> {
        match self.step {
            Step::Connect => {
                source.connect()?;
                self.called = Some(now);
                self.step = Step::Wait { round: 0 };
                Ok(true)
            }
            Step::Stream { round } => self.stream_on(round, source),
            Step::Ram { round, run, offset } => self.write_ram(round, run, offset, source, now),
            Step::Wait { .. } | Step::Over => Ok(false),
        }
    }

    fn stream_on(&mut self, round: usize, source: &mut Source) -> Result<bool, Misuse> {
        let end = self.rounds.get(round).map(|round| usize::try_from(round.stream_bytes));
        let end = end.and_then(Result::ok).unwrap_or(self.stream.len());
        let due = self.stream.get(self.streamed..end).unwrap_or_default();
        self.streamed += source.write_stream(due)?;
        if self.streamed < end {
            return Ok(false);
        }
        if round == 0 {
            source.exchange_blocks(&self.lengths)?;
            self.step = Step::Wait { round };
        } else if round < self.rounds.len() {
            self.begin_round(round);
        } else {
            source.finish()?;
            self.step = Step::Wait { round };
        }
        Ok(true)
    }

    fn write_ram(
        &mut self,
        round: usize,
        run: usize,
        done: u64,
        source: &mut Source,
        now: Instant,
    ) -> Result<bool, Misuse> {
        let Some(Run { block, offset, length, .. }) =
            self.rounds.get(round).and_then(|round| round.runs.get(run)).copied()
        else {
            source.finish_round()?;
            self.step = Step::Wait { round };
            return Ok(true);
        };
        let from = BlockOffset::new(offset.saturating_add(done));
        let left = length.saturating_sub(done);
        let taken = source.write_ram(BlockIndex::new(block), from, left)?;
        self.handed_over = self.handed_over.saturating_add(taken);
        self.progress.sent(self.handed_over, now);
        self.step = match taken == left {
            true => Step::Ram { round, run: run + 1, offset: 0 },
            false => Step::Ram { round, run, offset: done + taken },
        };
        Ok(taken > 0)
    }
}

impl<T: Transport, P: Progress> Owner<Source, T> for Player<P> {
    fn attend(&mut self, source: &mut Source, transport: &mut T) {
        let now = transport.now();
        while let Some(event) = source.poll_event() {
            self.take_event(event, now);
        }
        if self.interrupted.load(Ordering::Relaxed) && !self.was_interrupted {
            // Refused once the guest is handed over, which is as it should be.
            self.was_interrupted = source.abort().is_ok();
        }
        loop {
            match self.act(source, now) {
                Ok(true) => {}
                Ok(false) => break,
                // A machine that is closing takes no calls, and why it closes comes as an event. One
                // that is not has been asked for what it cannot do.
                Err(misuse) => {
                    self.step = Step::Over;
                    if source.abort().is_ok() {
                        self.misuse = Some(misuse);
                    }
                    break;
                }
            }
        }
    }
}
