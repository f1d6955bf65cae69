//! The source of a migration: the side that the guest leaves.
//!
//! The owner calls, in this order: [`connect`](Source::connect);
//! [`write_stream`](Source::write_stream) up to and with the hook word that follows the list of RAM
//! blocks; [`exchange_blocks`](Source::exchange_blocks); for each round
//! [`write_ram`](Source::write_ram) and [`finish_round`](Source::finish_round), with
//! [`write_stream`](Source::write_stream) between rounds; at last [`finish`](Source::finish).
//! [`abort`](Source::abort) ends it at any moment. Everything between the calls goes by
//! [`Machine`]: see the [contract](crate::transport).

mod blocks;
mod closing;
mod commands;
mod config;
mod event;
mod input;
mod round;
mod state;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

pub use config::{Registration, SourceConfig};
pub use event::SourceEvent;
use state::{Asked, Handover, Phase, RemoteBlock, Requested};

use crate::address::{BlockIndex, BlockOffset};
use crate::connection::{GuestOwner, offer};
use crate::control::{Exchange, Receives, SendPurpose, Sends};
use crate::deadline::{Deadlines, TimeoutReason};
use crate::error::{Error, Misuse};
use crate::ram::{Blocks, Bounded, Keys, Queue, Writes};
use crate::stream::Outgoing;
use crate::time::Instant;
use crate::transport::{Completion, ConnectionEvent, Machine, Operation};
use crate::wire::{Kind, Message};

/// The source of one migration.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Source {
    config: SourceConfig,
    phase: Phase,
    handover: Handover,
    receives: Receives,
    sends: Sends,
    exchange: Exchange,
    outgoing: Outgoing,
    /// The owner was told that a write of the stream took less than it was given.
    stream_refused: bool,
    blocks: Blocks,
    remote_blocks: Vec<RemoteBlock>,
    keys: Keys,
    asked: Asked,
    requested: Requested,
    queue: Queue,
    /// The owner was told that RAM was not taken.
    ram_refused: bool,
    writes: Writes,
    pin_all: bool,
    events: VecDeque<SourceEvent>,
    deadlines: Deadlines,
}

impl Source {
    /// A source that has not connected.
    ///
    /// # Errors
    ///
    /// [`Misuse::Limit`] if a number of the configuration is out of its range.
    pub fn new(config: SourceConfig) -> Result<Self, Misuse> {
        config.check()?;
        let writes = Writes::new(config.signal_interval, config.writes_in_flight_max);
        Ok(Self {
            config,
            phase: Phase::Idle,
            handover: Handover::Kept,
            receives: Receives::new(),
            sends: Sends::new(),
            exchange: Exchange::new(),
            outgoing: Outgoing::default(),
            stream_refused: false,
            blocks: Blocks::default(),
            remote_blocks: Vec::new(),
            keys: Keys::default(),
            asked: Asked::Nothing,
            requested: Requested::default(),
            queue: Queue::default(),
            ram_refused: false,
            writes,
            pin_all: false,
            events: VecDeque::new(),
            deadlines: Deadlines::default(),
        })
    }

    /// Opens the connection. [`SourceEvent::Connected`] follows.
    ///
    /// # Errors
    ///
    /// [`Misuse::WrongPhase`] on the second call.
    pub fn connect(&mut self) -> Result<(), Misuse> {
        match self.phase {
            Phase::Idle => {
                self.phase = Phase::Connect;
                Ok(())
            }
            _ => Err(Misuse::WrongPhase { call: "connect" }),
        }
    }

    /// Takes stream bytes and returns how many, which may be none: then
    /// [`SourceEvent::StreamWritable`] follows once there is room. They may stay here until more
    /// follow or [`Self::flush_stream`] is called.
    ///
    /// # Errors
    ///
    /// [`Misuse::WrongPhase`] unless connected and between rounds.
    pub fn write_stream(&mut self, bytes: &[u8]) -> Result<usize, Misuse> {
        self.require_stream("write_stream")?;
        let taken = self.outgoing.write(bytes);
        self.stream_refused |= taken < bytes.len();
        Ok(taken)
    }

    /// Lets the stream bytes that were written leave. The last bytes of the stream leave by
    /// [`Self::finish`], not by this.
    ///
    /// # Errors
    ///
    /// [`Misuse::WrongPhase`] unless connected and between rounds.
    pub fn flush_stream(&mut self) -> Result<(), Misuse> {
        self.require_stream("flush_stream")?;
        self.outgoing.flush();
        Ok(())
    }

    /// Exchanges the RAM blocks, with these lengths in bytes, in the order in which the stream has
    /// named them. The stream bytes before leave first; their last word has to be the hook. Opens
    /// the first round: [`SourceEvent::BlocksExchanged`] follows.
    ///
    /// # Errors
    ///
    /// [`Misuse::WrongPhase`] unless connected and between rounds, or on the second call;
    /// [`Misuse::RamBlocks`] or [`Misuse::RamBlock`] if the blocks cannot be described.
    pub fn exchange_blocks(&mut self, lengths: &[u64]) -> Result<(), Misuse> {
        self.require_stream("exchange_blocks")?;
        //= spec/text/04-ram-blocks.md#exchange
        //# [BLK-10] A source MUST send RAM_BLOCKS_REQUEST exactly once.
        if self.blocks.count() > 0 {
            return Err(Misuse::WrongPhase { call: "exchange_blocks" });
        }
        self.blocks = Blocks::new(self.config.chunk_size, lengths.iter().copied())?;
        self.keys = Keys::new(&self.blocks, self.pin_all);
        if let Some(chunks_max) = self.config.pinned_chunks_max() {
            let both = self.config.peer_unregisters;
            let bounded = if both { Bounded::Both } else { Bounded::Ours };
            self.keys = core::mem::take(&mut self.keys).bounded(bounded, chunks_max);
        }
        // Nothing is allocated any more once the guest's RAM moves.
        self.requested.reserve(self.config.registration.requests_max());
        self.queue.reserve();
        self.writes.reserve();
        self.outgoing.reserve();
        self.outgoing.flush();
        self.phase = Phase::Blocks { requested: false, answered: false, pin_next: 0 };
        Ok(())
    }

    /// Takes RAM to be written and returns how many bytes of it, which may be none: then
    /// [`SourceEvent::RamWritable`] follows once there is room. Opens a round if none is open: the
    /// stream bytes before leave first; their last word has to be the hook.
    ///
    /// # Errors
    ///
    /// [`Misuse::WrongPhase`] before the RAM blocks are exchanged and after
    /// [`Self::finish_round`], until the round is finished; [`Misuse::Range`] if the range is empty
    /// or not inside its block.
    pub fn write_ram(
        &mut self,
        block: BlockIndex,
        offset: BlockOffset,
        length: u64,
    ) -> Result<u64, Misuse> {
        self.require_round("write_ram")?;
        //= spec/text/06-ram-writes.md#runs
        //# [WRITE-1] A source MUST write only inside its RAM blocks.
        if !self.blocks.contains(block, offset, length) {
            return Err(Misuse::Range { block, offset: offset.get(), length });
        }
        self.open_round(false);
        let taken = self.queue.push(&self.blocks, block, offset, length);
        self.ram_refused |= taken < length;
        Ok(taken)
    }

    /// Gives a chunk's registration back on both sides, once everything before is written. Returns
    /// false if there was no room: [`SourceEvent::RamWritable`] follows. A chunk that is not
    /// registered is passed over.
    ///
    /// # Errors
    ///
    /// [`Misuse::WrongPhase`] as for [`Self::write_ram`], where all RAM is pinned, and unless the
    /// configuration says that the destination takes it; [`Misuse::Range`] if the block has no such
    /// chunk.
    pub fn unregister(&mut self, block: BlockIndex, chunk: u64) -> Result<bool, Misuse> {
        self.require_round("unregister")?;
        if self.pin_all || !self.config.peer_unregisters {
            return Err(Misuse::WrongPhase { call: "unregister" });
        }
        if self.blocks.numbered_chunk(block, chunk).is_none() {
            let offset = self.config.chunk_size.start(chunk).unwrap_or(u64::MAX);
            return Err(Misuse::Range { block, offset, length: self.config.chunk_size.bytes() });
        }
        self.open_round(false);
        let taken = self.queue.push_unregister(block, chunk);
        self.ram_refused |= !taken;
        Ok(taken)
    }

    /// Everything of this round has been handed over. [`SourceEvent::RoundFinished`] follows once it
    /// has arrived.
    ///
    /// # Errors
    ///
    /// [`Misuse::WrongPhase`] as for [`Self::write_ram`].
    pub fn finish_round(&mut self) -> Result<(), Misuse> {
        self.require_round("finish_round")?;
        self.open_round(true);
        Ok(())
    }

    /// The stream bytes that were written are the last. The guest must not run here any more.
    /// [`SourceEvent::HandedOver`] and [`SourceEvent::Closed`] follow, or only the latter.
    ///
    /// # Errors
    ///
    /// [`Misuse::WrongPhase`] unless the RAM blocks are exchanged and no round is open;
    /// [`Misuse::NothingLeftToFinish`] if all stream bytes have left: then the destination may have
    /// started the guest already, and nothing can be said of it.
    pub fn finish(&mut self) -> Result<(), Misuse> {
        self.require_stream("finish")?;
        if self.blocks.count() == 0 {
            return Err(Misuse::WrongPhase { call: "finish" });
        }
        if self.outgoing.is_empty() {
            return Err(Misuse::NothingLeftToFinish);
        }
        self.outgoing.flush();
        self.phase = Phase::Finish;
        Ok(())
    }

    /// Ends the migration. [`SourceEvent::Closed`] follows and says who owns the guest.
    ///
    /// # Errors
    ///
    /// [`Misuse::WrongPhase`] once the guest is handed over or the migration is closing.
    pub fn abort(&mut self) -> Result<(), Misuse> {
        let over = matches!(self.phase, Phase::Closing(_)) || self.handover == Handover::Given;
        if over {
            return Err(Misuse::WrongPhase { call: "abort" });
        }
        self.fail(Error::Aborted);
        Ok(())
    }

    /// Who may run the guest, as far as this side knows now.
    #[must_use]
    pub const fn guest_owner(&self) -> GuestOwner {
        //= spec/text/09-rounds.md#handover
        //# [RND-5] A source MUST report the guest as its own until it has posted the last message of
        //# the stream, whatever fails before.
        match self.handover {
            Handover::Kept => GuestOwner::Source,
            //= spec/text/09-rounds.md#handover
            //# [RND-3] From posting the last message of the stream until its completion a source
            //# MUST report the guest as undecided.
            Handover::Undecided => GuestOwner::Undecided,
            //= spec/text/09-rounds.md#handover
            //# [RND-8] From the acknowledgement of the last message of the stream on, a source MUST
            //# report the guest as the destination's, whatever fails after.
            Handover::Given => GuestOwner::Destination,
        }
    }

    //= spec/text/08-stream.md#messages
    //# [STR-3] A source MUST NOT send QEMU_FILE from the first other command of a round until
    //# REGISTER_FINISHED.
    fn require_stream(&self, call: &'static str) -> Result<(), Misuse> {
        match self.phase {
            Phase::Stream => Ok(()),
            _ => Err(Misuse::WrongPhase { call }),
        }
    }

    fn require_round(&self, call: &'static str) -> Result<(), Misuse> {
        match self.phase {
            Phase::Round { finishing: false } => Ok(()),
            Phase::Stream if self.blocks.count() > 0 => Ok(()),
            _ => Err(Misuse::WrongPhase { call }),
        }
    }

    fn open_round(&mut self, finishing: bool) {
        self.outgoing.flush();
        self.phase = Phase::Round { finishing };
    }

    fn next_operation(&mut self, buffer: &mut [u8]) -> Result<Option<Operation>, Error> {
        match &self.phase {
            Phase::Idle => return Ok(None),
            Phase::Closing(_) => return self.close_operation(buffer),
            //= spec/text/02-connection.md#receives
            //# [CON-20] A side MUST post its receives before it connects or accepts.
            _ => {
                if let Some(buffer) = self.receives.post() {
                    return Ok(Some(Operation::PostReceive { buffer }));
                }
            }
        }
        match &self.phase {
            Phase::Connect => {
                self.phase = Phase::Connecting;
                let private_data = offer(self.config.pin_all).to_bytes();
                Ok(Some(Operation::Connect { private_data }))
            }
            Phase::Stream | Phase::Finish => self.send_stream(buffer),
            Phase::Blocks { .. } => self.blocks_operation(buffer),
            Phase::Round { finishing } => {
                let finishing = *finishing;
                self.round_operation(finishing, buffer)
            }
            Phase::Idle | Phase::Connecting | Phase::Farewell | Phase::Closing(_) => Ok(None),
        }
    }

    /// Sends the stream bytes that may leave.
    fn send_stream(&mut self, buffer: &mut [u8]) -> Result<Option<Operation>, Error> {
        if !self.may_send_command() {
            return Ok(None);
        }
        let Some(bytes) = self.outgoing.due() else { return Ok(None) };
        let length = encode(&Message::QemuFile(bytes), buffer)?;
        self.outgoing.sent();
        if self.stream_refused {
            self.stream_refused = false;
            self.events.push_back(SourceEvent::StreamWritable);
        }
        let purpose = if matches!(self.phase, Phase::Finish) {
            self.handover = Handover::Undecided;
            SendPurpose::LastOfStream
        } else {
            SendPurpose::Ordinary
        };
        Ok(Some(self.issue_command(length, purpose, None)))
    }

    /// Sends a command, if there is a READY for it.
    fn send_command(
        &mut self,
        message: &Message<'_>,
        reply: Option<Kind>,
        buffer: &mut [u8],
    ) -> Result<Option<Operation>, Error> {
        if !self.may_send_command() {
            return Ok(None);
        }
        let length = encode(message, buffer)?;
        Ok(Some(self.issue_command(length, SendPurpose::Ordinary, reply)))
    }

    //= spec/text/03-control-channel.md#receives
    //# [CTL-30] A source MUST have posted the receives for the reply and for the next READY before it
    //# sends a command.
    fn may_send_command(&self) -> bool {
        self.exchange.may_send() && self.sends.has_room() && !self.receives.can_post()
    }

    fn issue_command(
        &mut self,
        length: usize,
        purpose: SendPurpose,
        reply: Option<Kind>,
    ) -> Operation {
        self.exchange.sent(reply);
        self.sends.issued(purpose);
        Operation::Send { length }
    }

    /// Brings the deadlines in line with what is awaited now.
    fn arm(&mut self, now: Instant) {
        self.deadlines.arm(self.waits(), &self.config.timeouts, now);
    }
}

fn encode(message: &Message<'_>, buffer: &mut [u8]) -> Result<usize, Error> {
    let bytes = buffer.len();
    message.encode(buffer).map_err(|_| Misuse::SendBuffer { bytes }.into())
}

impl Machine for Source {
    type Event = SourceEvent;

    fn handle_connection(&mut self, event: ConnectionEvent<'_>, now: Instant) {
        self.take_connection(event);
        self.arm(now);
    }

    fn handle_completion(&mut self, completion: Completion<'_>, now: Instant) {
        if let Err(error) = self.take_completion(completion) {
            self.fail(error);
        }
        self.settle();
        self.arm(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let Some(reason) = self.deadlines.expired(now) {
            self.deadlines.progress(reason);
            self.take_timeout(reason);
            self.settle();
        }
        self.arm(now);
    }

    fn poll_operation(&mut self, send_buffer: &mut [u8], now: Instant) -> Option<Operation> {
        let operation = loop {
            match self.next_operation(send_buffer) {
                Ok(operation) => break operation,
                Err(error) => self.fail(error),
            }
        };
        self.arm(now);
        operation
    }

    fn poll_event(&mut self) -> Option<SourceEvent> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<(Instant, TimeoutReason)> {
        self.deadlines.next()
    }

    fn is_closed(&self) -> bool {
        self.close_step() == Some(crate::connection::CloseStep::Done)
    }
}
