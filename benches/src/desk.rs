//! A transport that does nothing and answers at once, with a stand-in for the peer. What is measured
//! over it is what a machine and the run loop cost.

use std::collections::VecDeque;

use rdma_migration_protocol::address::{BlockIndex, BlockOffset, Rkey};
use rdma_migration_protocol::limits::{CONTROL_BUFFER_BYTES, RECEIVE_BUFFERS};
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{
    Completion, ConnectionEvent, FailedOperation, Input, Machine, Operation, Owner, ReceiveBuffer,
    RegionId, Transport, TransportError, turn,
};
use rdma_migration_protocol::wire::Message;

/// Room for the answers that wait for the machine: it never has as much in flight.
const ANSWERS_MAX: usize = 1024;

/// What stands in for the peer's side.
pub trait Peer {
    /// Takes a message and answers it by `post`.
    fn hear(&mut self, message: &Message<'_>, post: &mut Post<'_>);

    /// The connection is up: the first to speak speaks.
    fn connected(&mut self, post: &mut Post<'_>);
}

/// Where the peer's messages go.
#[derive(Debug)]
pub struct Post<'a> {
    buffers: &'a mut [Box<[u8]>],
    posted: &'a mut VecDeque<ReceiveBuffer>,
    answers: &'a mut VecDeque<Answer>,
}

impl Post<'_> {
    /// Sends a message to the machine.
    ///
    /// # Panics
    /// If the machine has posted no receive.
    pub fn send(&mut self, message: &Message<'_>) {
        let buffer = self.posted.pop_front().expect("a receive is posted");
        let bytes = &mut self.buffers[usize::from(buffer.0)];
        let length = message.encode(bytes).expect("a control buffer holds every message");
        self.answers.push_back(Answer::Received { buffer, length });
    }
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Requested,
    Established,
    ConnectionLost,
    Received { buffer: ReceiveBuffer, length: usize },
    Sent,
    RamWritten,
    RamScanned { block: BlockIndex, offset: BlockOffset },
    RamZeroed { block: BlockIndex, offset: BlockOffset },
    MemoryRegistered(RegionId),
    MemoryDeregistered(RegionId),
    ReceiveFlushed(ReceiveBuffer),
    Disconnected,
}

/// The transport.
#[derive(Debug)]
pub struct Desk<P> {
    /// The peer's stand-in.
    pub peer: P,
    /// What every scan finds.
    pub ram_is_zero: bool,
    /// Bytes that were written so far.
    pub bytes_written: u64,
    /// Bytes that were registered so far.
    pub bytes_registered: u64,
    private_data: [u8; 8],
    send_buffer: Box<[u8]>,
    receive_buffers: Vec<Box<[u8]>>,
    posted: VecDeque<ReceiveBuffer>,
    answers: VecDeque<Answer>,
}

impl<P: Peer> Desk<P> {
    /// A transport to `peer`. `pin_all`: the peer agrees to have all RAM pinned.
    pub fn new(peer: P, pin_all: bool) -> Self {
        let buffer = || vec![0; CONTROL_BUFFER_BYTES].into_boxed_slice();
        Self {
            peer,
            ram_is_zero: false,
            bytes_written: 0,
            bytes_registered: 0,
            private_data: private_data(pin_all),
            send_buffer: buffer(),
            receive_buffers: (0..RECEIVE_BUFFERS).map(|_| buffer()).collect(),
            posted: VecDeque::with_capacity(RECEIVE_BUFFERS),
            answers: VecDeque::with_capacity(ANSWERS_MAX),
        }
    }

    /// A source asks to connect.
    pub fn request(&mut self) {
        self.answers.push_back(Answer::Requested);
    }

    /// The peer disconnects.
    pub fn hang_up(&mut self) {
        self.answers.push_back(Answer::ConnectionLost);
    }

    /// The peer says something of its own accord.
    pub fn speak(&mut self, speak: impl FnOnce(&mut P, &mut Post<'_>)) {
        let Self { peer, receive_buffers: buffers, posted, answers, .. } = self;
        speak(peer, &mut Post { buffers, posted, answers });
    }
}

fn private_data(pin_all: bool) -> [u8; 8] {
    [0, 0, 0, 1, 0, 0, 0, u8::from(pin_all)]
}

/// Turns the machine until nothing moves any more.
pub fn settle<M, P, O>(machine: &mut M, desk: &mut Desk<P>, owner: &mut O)
where
    M: Machine,
    P: Peer,
    O: Owner<M, Desk<P>>,
{
    turn(machine, desk, owner);
}

impl<P: Peer> Transport for Desk<P> {
    fn now(&self) -> Instant {
        Instant::ORIGIN
    }

    fn send_buffer(&mut self) -> &mut [u8] {
        &mut self.send_buffer
    }

    fn issue(&mut self, operation: Operation) {
        let answer = match operation {
            Operation::PostReceive { buffer } => return self.posted.push_back(buffer),
            Operation::Send { length } => {
                self.answers.push_back(Answer::Sent);
                let Self { peer, send_buffer, receive_buffers: buffers, posted, answers, .. } =
                    self;
                let message = Message::parse(&send_buffer[..length]).expect("it is well-formed");
                return peer.hear(&message, &mut Post { buffers, posted, answers });
            }
            Operation::WriteRam(write) => {
                self.bytes_written += write.length;
                if !write.signaled {
                    return;
                }
                Answer::RamWritten
            }
            Operation::ScanRam { block, offset, .. } => Answer::RamScanned { block, offset },
            Operation::ZeroRam { block, offset, .. } => Answer::RamZeroed { block, offset },
            Operation::RegisterMemory { region, length, .. } => {
                self.bytes_registered += length;
                Answer::MemoryRegistered(region)
            }
            Operation::DeregisterMemory { region } => Answer::MemoryDeregistered(region),
            Operation::Connect { .. } | Operation::Accept { .. } => {
                self.answers.push_back(Answer::Established);
                return self.speak(|peer, post| peer.connected(post));
            }
            Operation::Disconnect => {
                self.answers.extend(self.posted.drain(..).map(Answer::ReceiveFlushed));
                Answer::Disconnected
            }
            Operation::Reject => return,
        };
        self.answers.push_back(answer);
    }

    fn poll(&mut self) -> Option<Input<'_>> {
        let private_data = &self.private_data;
        Some(Input::Completion(match self.answers.pop_front()? {
            Answer::Requested => {
                return Some(Input::Connection(ConnectionEvent::Requested { private_data }));
            }
            Answer::Established => {
                return Some(Input::Connection(ConnectionEvent::Established { private_data }));
            }
            Answer::ConnectionLost => {
                return Some(Input::Connection(ConnectionEvent::Disconnected));
            }
            Answer::Received { buffer, length } => {
                let bytes = &self.receive_buffers[usize::from(buffer.0)][..length];
                Completion::Received { buffer, bytes }
            }
            Answer::Sent => Completion::Sent,
            Answer::RamWritten => Completion::RamWritten,
            Answer::RamScanned { block, offset } => {
                Completion::RamScanned { block, offset, zero: self.ram_is_zero }
            }
            Answer::RamZeroed { block, offset } => Completion::RamZeroed { block, offset },
            Answer::MemoryRegistered(region) => {
                // Any key but zero, which no region has.
                Completion::MemoryRegistered { region, rkey: Rkey::new(region.0 | 1) }
            }
            Answer::MemoryDeregistered(region) => Completion::MemoryDeregistered { region },
            Answer::ReceiveFlushed(buffer) => Completion::Failed {
                operation: FailedOperation::Receive { buffer },
                error: TransportError::Flushed,
            },
            Answer::Disconnected => Completion::Disconnected,
        }))
    }

    fn receive_buffer(&self, buffer: ReceiveBuffer) -> &[u8] {
        &self.receive_buffers[usize::from(buffer.0)]
    }
}
