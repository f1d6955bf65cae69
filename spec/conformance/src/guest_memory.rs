//! RAM that a transport lends to an owner which has none of its own.

use std::io;

use rdma_migration_protocol::address::{BlockIndex, HostAddress};
use rdma_migration_transport_sim::{Backing, Port};

/// A host that gives out RAM blocks, and lets their owner read and write what is in them.
///
/// The peer writes into the blocks by RDMA at the same time; then what is read may be old or new,
/// byte by byte.
pub trait GuestMemory {
    /// Gives a further RAM block of `length` bytes, all zero. Blocks are numbered from 0 in the order
    /// in which they are given.
    ///
    /// # Errors
    /// What the system says if there is no memory for it.
    fn allocate(&mut self, length: u64) -> io::Result<BlockIndex>;

    /// Where the host has the first byte of a block.
    fn address(&self, block: BlockIndex) -> Option<HostAddress>;

    /// Copies bytes from `offset` of a block on. False, and `bytes` may be anything, if they do not
    /// all lie inside it.
    #[must_use]
    fn read(&self, block: BlockIndex, offset: u64, bytes: &mut [u8]) -> bool;

    /// Copies bytes to `offset` of a block. False, and nothing is copied, if they would not all lie
    /// inside it.
    #[must_use]
    fn write(&mut self, block: BlockIndex, offset: u64, bytes: &[u8]) -> bool;
}

impl<M: GuestMemory + ?Sized> GuestMemory for &mut M {
    fn allocate(&mut self, length: u64) -> io::Result<BlockIndex> {
        (**self).allocate(length)
    }

    fn address(&self, block: BlockIndex) -> Option<HostAddress> {
        (**self).address(block)
    }

    fn read(&self, block: BlockIndex, offset: u64, bytes: &mut [u8]) -> bool {
        (**self).read(block, offset, bytes)
    }

    fn write(&mut self, block: BlockIndex, offset: u64, bytes: &[u8]) -> bool {
        (**self).write(block, offset, bytes)
    }
}

impl GuestMemory for Port<'_> {
    fn allocate(&mut self, length: u64) -> io::Result<BlockIndex> {
        // The length may come from a peer, and memory that is not there would end the process.
        let bytes = usize::try_from(length).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let room = Vec::<u8>::new().try_reserve_exact(bytes);
        room.map_err(|error| io::Error::new(io::ErrorKind::OutOfMemory, error))?;
        Ok(self.add_block(Backing::zeroed(length)))
    }

    fn address(&self, block: BlockIndex) -> Option<HostAddress> {
        self.host_address(block)
    }

    fn read(&self, block: BlockIndex, offset: u64, bytes: &mut [u8]) -> bool {
        let range = usize::try_from(offset).ok().and_then(|start| {
            let end = start.checked_add(bytes.len())?;
            self.memory(block).get(start..end)
        });
        range.is_some_and(|range| {
            bytes.copy_from_slice(range);
            true
        })
    }

    fn write(&mut self, block: BlockIndex, offset: u64, bytes: &[u8]) -> bool {
        let range = usize::try_from(offset).ok().and_then(|start| {
            let end = start.checked_add(bytes.len())?;
            self.memory_mut(block).get_mut(start..end)
        });
        range.is_some_and(|range| {
            range.copy_from_slice(bytes);
            true
        })
    }
}
