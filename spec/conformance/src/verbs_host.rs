//! A host with an RDMA adapter, which gives out anonymous memory as guest RAM.

use std::io;
use std::sync::Arc;

use rdma_migration_protocol::address::{BlockIndex, HostAddress};
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{
    BlockingTransport, Input, Operation, ReceiveBuffer, Transport,
};
use rdma_migration_transport_verbs::{GuestRam, VerbsTransport};

use crate::guest_memory::GuestMemory;

/// A verbs transport and the RAM blocks that were attached to it.
#[derive(Debug)]
pub struct VerbsHost {
    /// The transport.
    pub transport: VerbsTransport,
    ram: Vec<Arc<GuestRam>>,
}

impl VerbsHost {
    /// A host without RAM blocks.
    #[must_use]
    pub const fn new(transport: VerbsTransport) -> Self {
        Self { transport, ram: Vec::new() }
    }

    fn block(&self, block: BlockIndex) -> Option<&GuestRam> {
        self.ram.get(usize::try_from(block.get()).ok()?).map(Arc::as_ref)
    }
}

impl GuestMemory for VerbsHost {
    fn allocate(&mut self, length: u64) -> io::Result<BlockIndex> {
        let length = usize::try_from(length).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let ram = Arc::new(GuestRam::anonymous(length)?);
        self.ram.push(Arc::clone(&ram));
        Ok(self.transport.attach_ram(ram))
    }

    fn address(&self, block: BlockIndex) -> Option<HostAddress> {
        self.transport.host_address(block)
    }

    fn read(&self, block: BlockIndex, offset: u64, bytes: &mut [u8]) -> bool {
        let offset = usize::try_from(offset).ok();
        let ram = self.block(block).zip(offset);
        ram.is_some_and(|(ram, offset)| ram.read(offset, bytes))
    }

    fn write(&mut self, block: BlockIndex, offset: u64, bytes: &[u8]) -> bool {
        let offset = usize::try_from(offset).ok();
        let ram = self.block(block).zip(offset);
        ram.is_some_and(|(ram, offset)| ram.write(offset, bytes))
    }
}

impl Transport for VerbsHost {
    fn now(&self) -> Instant {
        self.transport.now()
    }

    fn send_buffer(&mut self) -> &mut [u8] {
        self.transport.send_buffer()
    }

    fn issue(&mut self, operation: Operation) {
        self.transport.issue(operation);
    }

    fn poll(&mut self) -> Option<Input<'_>> {
        self.transport.poll()
    }

    fn receive_buffer(&self, buffer: ReceiveBuffer) -> &[u8] {
        self.transport.receive_buffer(buffer)
    }
}

impl BlockingTransport for VerbsHost {
    fn wait(&mut self, until: Option<Instant>) {
        self.transport.wait(until);
    }
}
