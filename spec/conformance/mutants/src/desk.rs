//! What a mutation can do between a machine and its adapter.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rdma_migration_protocol::limits::RECEIVE_BUFFERS;
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{
    Completion, FailedOperation, Operation, ReceiveBuffer, RegionId, Transport,
};
use rdma_migration_protocol::wire::{Kind, Message};
use rdma_migration_transport_sim::Port;

use crate::message::{self, is};
use crate::mutation::{Arrival, Order, Raw};
use crate::ram_list;

/// Orders and arrivals after which a migration is given up: no case needs a tenth of them.
const STEPS_MAX: u64 = 500_000;

/// For whom the answer to a `Send` is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    Machine,
    /// The machine knows nothing of the message.
    Nobody,
    /// There was no message, and the machine is to believe that there was.
    Pretended,
}

/// A RAM block of the destination, as RAM_BLOCKS_RESULT has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Block {
    pub(crate) address: u64,
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) rkey: u32,
}

/// A region that the machine has ordered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Region {
    pub(crate) id: RegionId,
    pub(crate) block: u32,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// All that is remembered of a migration, from one turn of the machine to the next.
#[derive(Debug)]
pub(crate) struct State {
    steps: u64,
    /// For the machine, in order.
    pub(crate) inbox: VecDeque<Arrival>,
    sends: VecDeque<Answer>,
    /// Buffers that the machine has posted, the first to be filled first.
    posted: VecDeque<ReceiveBuffer>,
    /// Buffers of the adapter that are not posted. They need not be those that the machine thinks of:
    /// it reads copies.
    free: VecDeque<ReceiveBuffer>,
    /// What the machine's buffers hold.
    pub(crate) held: BTreeMap<u8, Vec<u8>>,
    /// Regions whose end the machine is not told of.
    hidden: BTreeSet<RegionId>,
    /// Regions that only the machine believes in.
    pretended: BTreeSet<RegionId>,
    /// Fills that the machine believes to be done already.
    late_fills: usize,
    regions: Vec<Region>,
    blocks: Vec<Block>,
    own_lengths: Vec<u64>,
    pin_all: bool,
    disconnecting: bool,
    stopped_at: Option<Instant>,
    lost: Duration,
}

impl State {
    pub(crate) fn new() -> Self {
        Self {
            steps: 0,
            inbox: VecDeque::new(),
            sends: VecDeque::new(),
            posted: VecDeque::new(),
            free: (0..).map(ReceiveBuffer).take(RECEIVE_BUFFERS).collect(),
            held: BTreeMap::new(),
            hidden: BTreeSet::new(),
            pretended: BTreeSet::new(),
            late_fills: 0,
            regions: Vec::new(),
            blocks: Vec::new(),
            own_lengths: Vec::new(),
            pin_all: false,
            disconnecting: false,
            stopped_at: None,
            lost: Duration::ZERO,
        }
    }

    /// Counts a step.
    ///
    /// # Panics
    /// After too many of them, so that a mutant that goes round in circles comes to an end.
    pub(crate) fn step(&mut self) {
        self.steps += 1;
        assert!(self.steps < STEPS_MAX, "the mutant does not come to an end");
    }

    /// The time of the machine at an instant of the adapter.
    pub(crate) fn machine_time(&self, now: Instant) -> Instant {
        let now = self.stopped_at.unwrap_or(now);
        let lost = u64::try_from(self.lost.as_nanos()).unwrap_or(u64::MAX);
        Instant::from_nanoseconds(now.nanoseconds().saturating_sub(lost))
    }

    /// The instant of the adapter at a time of the machine, if it ever comes.
    pub(crate) fn adapter_time(&self, at: Instant) -> Option<Instant> {
        self.stopped_at.is_none().then(|| at.after(self.lost))
    }
}

/// The place of a mutation: the machine on one side, the adapter on the other.
#[derive(Debug)]
pub struct Desk<'d, 'f> {
    pub(crate) port: &'d mut Port<'f>,
    pub(crate) state: &'d mut State,
}

impl Desk<'_, '_> {
    /// Carries out an order of the machine.
    pub(crate) fn issue(&mut self, order: Order) {
        self.state.step();
        match order.operation {
            Operation::PostReceive { buffer } => return self.post(buffer),
            Operation::Send { .. } => self.state.sends.push_back(Answer::Machine),
            Operation::Disconnect => self.state.disconnecting = true,
            Operation::DeregisterMemory { region } if self.state.pretended.remove(&region) => {
                return self.skip(&order);
            }
            _ => {}
        }
        self.carry_out(order);
    }

    /// Carries out something that the machine knows nothing of.
    pub(crate) fn add(&mut self, order: Order) {
        self.state.step();
        match order.operation {
            Operation::Send { .. } => self.state.sends.push_back(Answer::Nobody),
            Operation::DeregisterMemory { region } => {
                self.state.hidden.insert(region);
            }
            Operation::ZeroRam { .. } => self.state.late_fills += 1,
            _ => {}
        }
        self.carry_out(order);
    }

    /// Sends a message that the machine knows nothing of.
    pub(crate) fn say(&mut self, message: &Message<'_>) {
        self.say_bytes(message::encode(message));
    }

    /// The same with the bytes of one.
    pub(crate) fn say_bytes(&mut self, message: Vec<u8>) {
        self.add(Order::send(message));
    }

    /// Lets the machine believe that an order was carried out. A registration needs a key, so that
    /// is for [`Self::deliver`].
    pub(crate) fn skip(&mut self, order: &Order) {
        match order.operation {
            Operation::Send { .. } => {
                self.state.sends.push_back(Answer::Pretended);
                self.pretend();
            }
            Operation::WriteRam(write) if write.signaled => {
                self.deliver(Arrival::Answer(Completion::RamWritten));
            }
            Operation::DeregisterMemory { region } => {
                self.deliver(Arrival::Answer(Completion::MemoryDeregistered { region }));
            }
            Operation::ZeroRam { block, offset, .. } => {
                self.deliver(Arrival::Answer(Completion::RamZeroed { block, offset }));
            }
            Operation::PostReceive { buffer } => self.state.posted.push_back(buffer),
            _ => {}
        }
    }

    /// Lets the machine believe in a region that there is not, or not any more.
    pub(crate) fn pretend_region(&mut self, region: RegionId) {
        self.state.pretended.insert(region);
    }

    /// Hands something to the machine.
    pub(crate) fn deliver(&mut self, arrival: Arrival) {
        self.state.inbox.push_back(arrival);
    }

    /// Hands a failure to the machine, with the buffer that is due if it is one of a receive.
    pub(crate) fn fail(&mut self, failure: Completion<'static>) {
        let arrival = self.answered(failure);
        self.state.inbox.extend(arrival);
    }

    /// Hands a message to the machine that did not come.
    pub(crate) fn pretend_message(&mut self, message: &Message<'_>) {
        self.deliver(Arrival::Message(message::encode(message)));
    }

    /// Calls the mutation again after some time, if nothing else happens before.
    pub(crate) fn wake_after(&mut self, time: Duration) {
        let at = self.port.now().after(time);
        self.port.wake_at(at);
    }

    /// The time that is not the machine's.
    pub(crate) fn now(&self) -> Instant {
        self.port.now()
    }

    /// Stops the machine's clock.
    pub(crate) fn stop_clock(&mut self) {
        self.state.stopped_at.get_or_insert(self.port.now());
    }

    /// Lets it go on from where it was stopped.
    pub(crate) fn start_clock(&mut self) {
        if let Some(stopped_at) = self.state.stopped_at.take() {
            self.state.lost += self.port.now().since(stopped_at);
        }
    }

    /// The destination's RAM blocks, once they are known.
    pub(crate) fn blocks(&self) -> &[Block] {
        &self.state.blocks
    }

    /// One of them.
    pub(crate) fn block(&self, index: u32) -> Option<Block> {
        self.state.blocks.get(usize::try_from(index).ok()?).copied()
    }

    /// The lengths of the RAM blocks as the source's stream has them.
    pub(crate) fn own_lengths(&self) -> &[u64] {
        &self.state.own_lengths
    }

    /// The regions of the machine's side.
    pub(crate) fn regions(&self) -> &[Region] {
        &self.state.regions
    }

    /// Whether all RAM is pinned.
    pub(crate) const fn pin_all(&self) -> bool {
        self.state.pin_all
    }

    /// Whether the machine has ordered the end of the connection.
    pub(crate) const fn is_disconnecting(&self) -> bool {
        self.state.disconnecting
    }

    /// Takes something from the adapter. `None` where that is no concern of the machine.
    pub(crate) fn arrived(&mut self, raw: Raw) -> Option<Arrival> {
        self.state.step();
        match raw {
            Raw::Received(buffer, bytes) => {
                self.state.free.push_back(buffer);
                self.learn(&bytes, false);
                Some(Arrival::Message(bytes))
            }
            Raw::Other(Arrival::Answer(completion)) => self.answered(completion),
            Raw::Other(other) => {
                if let Arrival::Established(private_data) = &other {
                    self.state.pin_all |= message::get_u32(private_data, 4) & 1 == 1;
                }
                Some(other)
            }
        }
    }

    /// Posts a receive: for a message that the machine is not told of, or one that the machine thinks
    /// has been posted already.
    pub(crate) fn post_one(&mut self) {
        if let Some(buffer) = self.state.free.pop_front() {
            self.carry_out(Order::bare(Operation::PostReceive { buffer }));
        }
    }

    /// The next thing for the machine, with the buffer of a message.
    pub(crate) fn take(&mut self) -> Option<(Arrival, Option<ReceiveBuffer>)> {
        loop {
            let arrival = self.state.inbox.pop_front()?;
            let Arrival::Message(bytes) = &arrival else { return Some((arrival, None)) };
            // A message that was made up needs a buffer as well, and has none where the peer has
            // filled all of them.
            let Some(buffer) = self.state.posted.pop_front() else { continue };
            self.state.held.insert(buffer.0, bytes.clone());
            return Some((arrival, Some(buffer)));
        }
    }

    fn answered(&mut self, completion: Completion<'static>) -> Option<Arrival> {
        let answer = Some(Arrival::Answer(completion));
        match completion {
            Completion::Sent | Completion::Failed { operation: FailedOperation::Send, .. } => {
                let whose = self.state.sends.pop_front();
                if whose == Some(Answer::Nobody) {
                    self.pretend();
                    return None;
                }
                self.pretend_after(answer)
            }
            Completion::Failed { operation: FailedOperation::Receive { .. }, error } => {
                let buffer = self.state.posted.pop_front()?;
                let operation = FailedOperation::Receive { buffer };
                Some(Arrival::Answer(Completion::Failed { operation, error }))
            }
            Completion::MemoryDeregistered { region }
            | Completion::Failed {
                operation: FailedOperation::DeregisterMemory { region }, ..
            } if self.state.hidden.remove(&region) => None,
            Completion::RamZeroed { .. } if self.state.late_fills > 0 => {
                self.state.late_fills -= 1;
                None
            }
            _ => answer,
        }
    }

    /// Answers the sends that were never made, as far as it is their turn.
    fn pretend(&mut self) {
        while self.state.sends.front() == Some(&Answer::Pretended) {
            self.state.sends.pop_front();
            self.deliver(Arrival::Answer(Completion::Sent));
        }
    }

    /// The same behind an answer that is handed on first.
    fn pretend_after(&mut self, answer: Option<Arrival>) -> Option<Arrival> {
        if self.state.sends.front() != Some(&Answer::Pretended) {
            return answer;
        }
        self.state.inbox.extend(answer);
        self.pretend();
        None
    }

    fn post(&mut self, buffer: ReceiveBuffer) {
        self.state.posted.push_back(buffer);
        self.state.held.remove(&buffer.0);
        self.post_one();
    }

    fn carry_out(&mut self, order: Order) {
        let Order { operation, message } = order;
        match operation {
            Operation::Send { .. } => {
                self.learn(&message, true);
                if let Some(room) = self.port.send_buffer().get_mut(..message.len()) {
                    room.copy_from_slice(&message);
                }
            }
            Operation::Accept { private_data } => {
                self.state.pin_all = message::get_u32(&private_data, 4) & 1 == 1;
            }
            Operation::RegisterMemory { region: id, block, offset, length, .. } => {
                let (block, offset) = (block.get(), offset.get());
                self.state.regions.push(Region { id, block, offset, length });
            }
            Operation::DeregisterMemory { region } => {
                self.state.regions.retain(|known| known.id != region);
            }
            _ => {}
        }
        self.port.issue(operation);
    }

    /// What messages say of the guest's RAM.
    fn learn(&mut self, message: &[u8], ours: bool) {
        if is(message, Kind::RamBlocksResult) {
            self.state.blocks = message::entries(message, 32)
                .map(|entry| Block {
                    address: message::get_u64(entry, 0),
                    offset: message::get_u64(entry, 8),
                    length: message::get_u64(entry, 16),
                    rkey: message::get_u32(entry, 24),
                })
                .collect();
        } else if ours && is(message, Kind::QemuFile) && self.state.own_lengths.is_empty() {
            let list = ram_list::find(message::payload(message));
            self.state.own_lengths = list
                .map(|list| list.entries.iter().map(|entry| entry.length).collect())
                .unwrap_or_default();
        }
    }
}
