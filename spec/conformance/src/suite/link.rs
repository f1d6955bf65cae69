//! The way to the peer.

use core::time::Duration;
use std::collections::VecDeque;

use rand::RngCore;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rdma_migration_protocol::address::{BlockIndex, BlockOffset, HostAddress, Rkey};
use rdma_migration_protocol::limits::RECEIVE_BUFFERS;
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{
    self as verbs, Completion, ConnectionEvent, FailedOperation, Input, ReceiveBuffer, RegionId,
    Transport, TransportError, WriteRam,
};
use sha2::{Digest, Sha256};

use super::action::{Access, Operation};
use super::{Action, Aftermath, Bytes, Observation};
use crate::guest_memory::GuestMemory;
use crate::page::{for_each_piece, is_zero};

/// What a play is played on.
pub trait Link {
    /// The time since the play began.
    fn now(&self) -> Duration;

    /// Does something.
    fn act(&mut self, action: &Action);

    /// The next thing that is seen, or `None` if there is none before `until`.
    fn next(&mut self, until: Duration) -> Option<Observation>;

    /// Ends the connection, and says what has become of the peer.
    fn aftermath(&mut self) -> Aftermath;
}

/// A host with an adapter, on which the suite's side lives.
pub trait Host {
    /// The adapter and the memory.
    type Adapter<'a>: Transport + GuestMemory
    where
        Self: 'a;

    /// Lends the adapter.
    fn adapter(&mut self) -> Self::Adapter<'_>;

    /// The present instant of its clock.
    fn now(&self) -> Instant;

    /// Waits until there may be something to see, or `until` has come.
    fn wait(&mut self, until: Instant);

    /// What has become of the peer, now that the connection has ended.
    fn aftermath(&mut self) -> Aftermath;
}

/// A link that leads to a peer.
#[derive(Debug)]
pub struct Live<H> {
    host: H,
    began: Instant,
    /// What is known without the adapter.
    known: VecDeque<Observation>,
    posts_receives: bool,
    connected: bool,
}

impl<H: Host> Live<H> {
    /// A link whose receives are posted.
    pub fn new(mut host: H) -> Self {
        for buffer in (0..).map(ReceiveBuffer).take(RECEIVE_BUFFERS) {
            host.adapter().issue(verbs::Operation::PostReceive { buffer });
        }
        let began = host.now();
        Self { host, began, known: VecDeque::new(), posts_receives: true, connected: true }
    }

    fn send(&mut self, message: &[u8]) {
        if self.copy_to_send_buffer(message) {
            self.host.adapter().issue(verbs::Operation::Send { length: message.len() });
        } else {
            self.fail(Operation::Send, "the message does not fit a buffer");
        }
    }

    fn copy_to_send_buffer(&mut self, message: &[u8]) -> bool {
        let mut adapter = self.host.adapter();
        let room = adapter.send_buffer().get_mut(..message.len());
        room.is_some_and(|room| {
            room.copy_from_slice(message);
            true
        })
    }

    fn fail(&mut self, operation: Operation, error: &str) {
        self.known.push_back(Observation::Failed { operation, error: error.to_owned() });
    }

    fn allocate(&mut self, length: u64) {
        let given = self.host.adapter().allocate(length).ok();
        let address = given.and_then(|block| self.host.adapter().address(block));
        match given.zip(address) {
            Some((block, address)) => self
                .known
                .push_back(Observation::Allocated { block: block.get(), address: address.get() }),
            None => self.fail(Operation::Register, "no memory"),
        }
    }

    fn fill(&mut self, block: u32, offset: u64, length: u64, seed: u64) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut adapter = self.host.adapter();
        let filled = for_each_piece(length, |piece, bytes| {
            let mut bytes = vec![0; bytes];
            random.fill_bytes(&mut bytes);
            match adapter.write(BlockIndex::new(block), offset + piece, &bytes) {
                true => Ok(()),
                false => Err(()),
            }
        });
        debug_assert!(filled.is_ok(), "cases fill what they have allocated");
    }

    fn zero(&mut self, block: u32, offset: u64, length: u64) {
        let mut adapter = self.host.adapter();
        let zeroed = for_each_piece(length, |piece, bytes| {
            match adapter.write(BlockIndex::new(block), offset + piece, &vec![0; bytes]) {
                true => Ok(()),
                false => Err(()),
            }
        });
        debug_assert!(zeroed.is_ok(), "cases set to zero what they have allocated");
    }

    fn look(&mut self, block: u32, offset: u64, length: u64) {
        let adapter = self.host.adapter();
        let (mut zero, mut hash) = (true, Sha256::new());
        let looked = for_each_piece(length, |piece, bytes| {
            let mut bytes = vec![0; bytes];
            if !adapter.read(BlockIndex::new(block), offset + piece, &mut bytes) {
                return Err(());
            }
            zero &= is_zero(&bytes);
            hash.update(&bytes);
            Ok(())
        });
        debug_assert!(looked.is_ok(), "cases look at what they have allocated");
        let sha256 = hex::encode(hash.finalize());
        self.known.push_back(Observation::Ram { sha256, zero });
    }

    fn take_input(&mut self) -> Option<Observation> {
        loop {
            let seen = {
                let mut adapter = self.host.adapter();
                let (seen, buffer) = observe(adapter.poll()?);
                if let Some(buffer) = buffer.filter(|_| self.posts_receives && self.connected) {
                    adapter.issue(verbs::Operation::PostReceive { buffer });
                }
                seen
            };
            if let Some(seen) = seen {
                if matches!(seen, Observation::Disconnected | Observation::Closed) {
                    self.connected = false;
                }
                return Some(seen);
            }
        }
    }
}

impl<H: Host> Link for Live<H> {
    fn now(&self) -> Duration {
        self.host.now().since(self.began)
    }

    fn act(&mut self, action: &Action) {
        let block_index = BlockIndex::new;
        let operation = match action {
            Action::Connect { private_data } => {
                verbs::Operation::Connect { private_data: eight(private_data) }
            }
            Action::Accept { private_data } => {
                verbs::Operation::Accept { private_data: eight(private_data) }
            }
            Action::Reject => verbs::Operation::Reject,
            Action::Disconnect => verbs::Operation::Disconnect,
            Action::Send { message } => return self.send(&message.0),
            Action::WithholdReceives => {
                self.posts_receives = false;
                return;
            }
            Action::Allocate { length } => return self.allocate(*length),
            Action::Fill { block, offset, length, seed } => {
                return self.fill(*block, *offset, *length, *seed);
            }
            Action::Zero { block, offset, length } => {
                return self.zero(*block, *offset, *length);
            }
            Action::Look { block, offset, length } => return self.look(*block, *offset, *length),
            Action::Register { region, block, offset, length, access } => {
                verbs::Operation::RegisterMemory {
                    region: RegionId(*region),
                    block: block_index(*block),
                    offset: BlockOffset::new(*offset),
                    length: *length,
                    access: match access {
                        Access::LocalRead => verbs::Access::LocalRead,
                        Access::RemoteWrite => verbs::Access::RemoteWrite,
                    },
                }
            }
            Action::Deregister { region } => {
                verbs::Operation::DeregisterMemory { region: RegionId(*region) }
            }
            Action::Write { region, block, offset, length, remote_address, rkey } => {
                verbs::Operation::WriteRam(WriteRam {
                    region: RegionId(*region),
                    block: block_index(*block),
                    offset: BlockOffset::new(*offset),
                    length: *length,
                    remote_address: HostAddress::new(*remote_address),
                    rkey: Rkey::new(*rkey),
                    signaled: true,
                })
            }
        };
        self.host.adapter().issue(operation);
    }

    fn next(&mut self, until: Duration) -> Option<Observation> {
        let until = self.began.after(until);
        loop {
            if let Some(seen) = self.known.pop_front().or_else(|| self.take_input()) {
                return Some(seen);
            }
            if self.host.now() >= until {
                return None;
            }
            self.host.wait(until);
        }
    }

    fn aftermath(&mut self) -> Aftermath {
        self.host.aftermath()
    }
}

fn eight(bytes: &Bytes) -> [u8; 8] {
    let mut eight = [0; 8];
    for (to, from) in eight.iter_mut().zip(&bytes.0) {
        *to = *from;
    }
    eight
}

/// What an input of the adapter is to a play, and a receive buffer that can be posted again.
fn observe(input: Input<'_>) -> (Option<Observation>, Option<ReceiveBuffer>) {
    let bytes = |bytes: &[u8]| Bytes(bytes.to_vec());
    let seen = match input {
        Input::Connection(event) => match event {
            ConnectionEvent::Requested { private_data } => {
                Observation::Requested { private_data: bytes(private_data) }
            }
            ConnectionEvent::Established { private_data } => {
                Observation::Established { private_data: bytes(private_data) }
            }
            ConnectionEvent::Rejected => Observation::Rejected,
            ConnectionEvent::Failed { error } => {
                Observation::ConnectionFailed { error: error.to_string() }
            }
            ConnectionEvent::Disconnected => Observation::Disconnected,
        },
        Input::Completion(completion) => match completion {
            Completion::Received { buffer, bytes: message } => {
                return (Some(Observation::Received { message: bytes(message) }), Some(buffer));
            }
            Completion::Sent => Observation::Sent,
            Completion::RamWritten => Observation::Written,
            Completion::MemoryRegistered { region, rkey } => {
                Observation::Registered { region: region.0, rkey: rkey.get() }
            }
            Completion::MemoryDeregistered { region } => {
                Observation::Deregistered { region: region.0 }
            }
            Completion::Disconnected => Observation::Closed,
            // No play asks for these.
            Completion::RamScanned { .. } | Completion::RamZeroed { .. } => return (None, None),
            Completion::Failed { operation, error } => return (failed(operation, error), None),
        },
    };
    (Some(seen), None)
}

fn failed(operation: FailedOperation, error: TransportError) -> Option<Observation> {
    let operation = match operation {
        // What a closed queue pair gives back.
        FailedOperation::Receive { .. } if error == TransportError::Flushed => return None,
        FailedOperation::Receive { .. } => Operation::Receive,
        FailedOperation::Send => Operation::Send,
        FailedOperation::WriteRam => Operation::Write,
        FailedOperation::RegisterMemory { .. } => Operation::Register,
        FailedOperation::DeregisterMemory { .. } => Operation::Deregister,
        FailedOperation::ScanRam { .. } | FailedOperation::ZeroRam { .. } => return None,
    };
    Some(Observation::Failed { operation, error: error.to_string() })
}
