//! RAM blocks that are regions of the vm-memory crate.

use std::ptr::NonNull;
use std::sync::Arc;

use rdma_migration_protocol::address::BlockIndex;
use vm_memory::bitmap::Bitmap;
use vm_memory::{GuestMemoryRegion, GuestRegionMmap};

use crate::ram_range::RamRange;
use crate::transport::VerbsTransport;

impl VerbsTransport {
    /// Attaches the next RAM block, in the order of the RAM block exchange, and keeps it mapped.
    ///
    /// What the peer writes by RDMA is not marked in the region's bitmap of dirty pages. `None`, and
    /// nothing is attached, if the region is too large for this process.
    pub fn attach_region<B>(&mut self, region: Arc<GuestRegionMmap<B>>) -> Option<BlockIndex>
    where
        B: Bitmap + Send + Sync + 'static,
    {
        let length = usize::try_from(region.len()).ok()?;
        let first = NonNull::new(region.as_ptr())?;
        // SAFETY: the region is mapped as long as it lives, and it is kept with the block. vm-memory
        // itself hands out volatile access only, never references.
        let range = unsafe { RamRange::new(first, length) };
        Some(self.blocks.attach(range, Some(region)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest_ram::RamBlocks;
    use rdma_migration_protocol::address::BlockOffset;
    use vm_memory::{GuestAddress, MmapRegion};

    #[test]
    fn a_region_stays_mapped_as_long_as_its_block() {
        let mapping = MmapRegion::<()>::new(8192).unwrap();
        let region = Arc::new(GuestRegionMmap::new(mapping, GuestAddress(0)).unwrap());
        let first = NonNull::new(region.as_ptr()).unwrap();
        // SAFETY: the region is kept with the block.
        let range = unsafe { RamRange::new(first, 8192) };
        let mut blocks = RamBlocks::default();
        let block = blocks.attach(range, Some(region));
        let range = blocks.range(block, BlockOffset::new(4096), 4).unwrap();
        range.write(b"page");
        let mut bytes = [0; 4];
        range.read(&mut bytes);
        assert_eq!(&bytes, b"page");
    }
}
