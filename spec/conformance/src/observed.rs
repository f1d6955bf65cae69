//! A transport that somebody looks over the shoulder of.

use std::io;

use rdma_migration_protocol::address::{BlockIndex, HostAddress};
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{
    BlockingTransport, Input, Operation, ReceiveBuffer, Statistics, Transport,
};

use crate::dialogue::Dialogue;
use crate::guest_memory::GuestMemory;

/// Counts what one side of a migration does and is told, and writes it down where that is wanted.
#[derive(Debug, Default)]
pub struct Observer {
    statistics: Statistics,
    dialogue: Option<Dialogue>,
}

impl Observer {
    /// An observer that writes a dialogue, or only counts.
    #[must_use]
    pub fn new(dialogue: Option<Dialogue>) -> Self {
        Self { statistics: Statistics::default(), dialogue }
    }

    /// What it has counted.
    #[must_use]
    pub const fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Writes the rest of the dialogue.
    ///
    /// # Errors
    /// The first error that writing the dialogue has met.
    pub fn finish(self) -> io::Result<()> {
        self.dialogue.map_or(Ok(()), Dialogue::finish)
    }

    fn operation(&mut self, operation: &Operation, message: &[u8], now: Instant) {
        self.statistics.operation(operation, message);
        if let Some(dialogue) = &mut self.dialogue {
            dialogue.operation(operation, message, now);
        }
    }

    fn input(&mut self, input: &Input<'_>, now: Instant) {
        if let Input::Completion(completion) = input {
            self.statistics.completion(completion);
        }
        if let Some(dialogue) = &mut self.dialogue {
            dialogue.input(input, now);
        }
    }
}

/// A transport and its observer.
#[derive(Debug)]
pub struct Observed<'o, T> {
    /// The transport.
    pub inner: T,
    /// The observer.
    pub observer: &'o mut Observer,
}

impl<T: Transport> Transport for Observed<'_, T> {
    fn now(&self) -> Instant {
        self.inner.now()
    }

    fn send_buffer(&mut self) -> &mut [u8] {
        self.inner.send_buffer()
    }

    fn issue(&mut self, operation: Operation) {
        let now = self.inner.now();
        // The machine has just encoded the message into this buffer, and it is still the next.
        self.observer.operation(&operation, self.inner.send_buffer(), now);
        self.inner.issue(operation);
    }

    fn poll(&mut self) -> Option<Input<'_>> {
        let now = self.inner.now();
        let input = self.inner.poll()?;
        self.observer.input(&input, now);
        Some(input)
    }

    fn receive_buffer(&self, buffer: ReceiveBuffer) -> &[u8] {
        self.inner.receive_buffer(buffer)
    }
}

impl<T: BlockingTransport> BlockingTransport for Observed<'_, T> {
    fn wait(&mut self, until: Option<Instant>) {
        self.inner.wait(until);
    }
}

impl<T: GuestMemory> GuestMemory for Observed<'_, T> {
    fn allocate(&mut self, length: u64) -> io::Result<BlockIndex> {
        self.inner.allocate(length)
    }

    fn address(&self, block: BlockIndex) -> Option<HostAddress> {
        self.inner.address(block)
    }

    fn read(&self, block: BlockIndex, offset: u64, bytes: &mut [u8]) -> bool {
        self.inner.read(block, offset, bytes)
    }

    fn write(&mut self, block: BlockIndex, offset: u64, bytes: &[u8]) -> bool {
        self.inner.write(block, offset, bytes)
    }
}
