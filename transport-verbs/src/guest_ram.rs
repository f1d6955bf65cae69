//! Guest RAM for owners that have none of their own, and the table of RAM blocks of a transport.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use rdma_migration_protocol::address::{BlockIndex, BlockOffset, HostAddress};

use crate::ram_range::RamRange;

/// A mapping of memory that serves as guest RAM: anonymous, or a file of memfd or hugetlbfs.
///
/// It may be read and written while a migration reads and writes it too; then what is read may be
/// old or new, byte by byte.
pub struct GuestRam {
    range: RamRange,
}

impl GuestRam {
    /// `length` bytes of zeroed memory that nobody else sees. Pages are given when first touched.
    ///
    /// # Errors
    ///
    /// What the system says: `EINVAL` for a length of 0, `ENOMEM` for too long a one.
    pub fn anonymous(length: usize) -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        Self::map(length, flags, -1, 0)
    }

    /// `length` bytes of a file from `offset` on, shared with whoever else maps it. The file must not
    /// become shorter while it is mapped: touching what is gone ends the process.
    ///
    /// # Errors
    ///
    /// What the system says: `EINVAL` for a length of 0 or an offset that is no multiple of the page
    /// size, `EACCES` for a file that cannot be read and written.
    pub fn from_file(file: &File, offset: i64, length: usize) -> io::Result<Self> {
        Self::map(length, libc::MAP_SHARED, file.as_raw_fd(), offset)
    }

    fn map(length: usize, flags: i32, file: i32, offset: i64) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at a place that the kernel chooses touches no memory in use.
        let address =
            unsafe { libc::mmap(ptr::null_mut(), length, protection, flags, file, offset) };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let first = NonNull::new(address.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        // SAFETY: the mapping is there until this value is dropped; it is reachable by no other way.
        Ok(Self { range: unsafe { RamRange::new(first, length) } })
    }

    /// Length in bytes, at least 1.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there are no empty mappings")]
    pub const fn len(&self) -> usize {
        self.range.length()
    }

    /// Copies bytes from `offset` on out of the RAM. False, and nothing is copied, if they do not lie
    /// inside it.
    #[must_use]
    pub fn read(&self, offset: usize, target: &mut [u8]) -> bool {
        match self.range.part(offset, target.len()) {
            Some(part) => {
                part.read(target);
                true
            }
            None => false,
        }
    }

    /// Copies bytes into the RAM from `offset` on. False, and nothing is copied, if they would not
    /// lie inside it.
    #[must_use]
    pub fn write(&self, offset: usize, source: &[u8]) -> bool {
        match self.range.part(offset, source.len()) {
            Some(part) => {
                part.write(source);
                true
            }
            None => false,
        }
    }
}

impl Drop for GuestRam {
    fn drop(&mut self) {
        let (first, length) = (self.range.first(), self.range.length());
        // SAFETY: this is the mapping that `map` has made; whoever else uses it holds an `Arc` to it.
        unsafe { libc::munmap(first.as_ptr().cast(), length) };
    }
}

impl fmt::Debug for GuestRam {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("GuestRam").field("length", &self.len()).finish_non_exhaustive()
    }
}

/// What keeps the memory of a RAM block mapped.
type Keeper = Arc<dyn Send + Sync>;

/// The RAM blocks of one side, in the order of the RAM block exchange.
#[derive(Default)]
pub(crate) struct RamBlocks {
    blocks: Vec<(RamRange, Option<Keeper>)>,
}

impl RamBlocks {
    pub(crate) fn attach(&mut self, range: RamRange, keeper: Option<Keeper>) -> BlockIndex {
        let index = BlockIndex::new(u32::try_from(self.blocks.len()).unwrap_or(u32::MAX));
        self.blocks.push((range, keeper));
        index
    }

    pub(crate) fn attach_ram(&mut self, ram: Arc<GuestRam>) -> BlockIndex {
        self.attach(ram.range, Some(ram))
    }

    pub(crate) fn host_address(&self, block: BlockIndex) -> Option<HostAddress> {
        self.block(block).map(|range| HostAddress::new(range.address()))
    }

    pub(crate) fn length(&self, block: BlockIndex) -> Option<u64> {
        u64::try_from(self.block(block)?.length()).ok()
    }

    /// A range of a block, if the block exists and the range lies inside it.
    pub(crate) fn range(
        &self,
        block: BlockIndex,
        offset: BlockOffset,
        length: u64,
    ) -> Option<RamRange> {
        let offset = usize::try_from(offset.get()).ok()?;
        self.block(block)?.part(offset, usize::try_from(length).ok()?)
    }

    fn block(&self, block: BlockIndex) -> Option<RamRange> {
        self.blocks.get(usize::try_from(block.get()).ok()?).map(|(range, _)| *range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guest_ram_starts_as_zeroes_and_keeps_what_is_written() {
        let ram = GuestRam::anonymous(10_000).unwrap();
        let mut bytes = [1; 4];
        assert!(ram.read(9_996, &mut bytes));
        assert_eq!(bytes, [0; 4]);
        assert!(ram.write(9_996, &[1, 2, 3, 4]));
        assert!(ram.read(9_996, &mut bytes));
        assert_eq!(bytes, [1, 2, 3, 4]);
        assert!(!ram.write(9_997, &[5; 4]) && !ram.read(usize::MAX, &mut bytes));
        assert!(GuestRam::anonymous(0).is_err());
    }

    #[test]
    fn blocks_are_numbered_in_the_order_in_which_they_are_attached() {
        let mut blocks = RamBlocks::default();
        let ram = Arc::new(GuestRam::anonymous(8192).unwrap());
        assert_eq!(blocks.attach_ram(Arc::clone(&ram)), BlockIndex::new(0));
        assert_eq!(blocks.attach_ram(ram), BlockIndex::new(1));
        assert_eq!(blocks.length(BlockIndex::new(1)), Some(8192));
        assert_eq!(blocks.length(BlockIndex::new(2)), None);
    }

    #[test]
    fn a_range_outside_its_block_is_refused() {
        let mut blocks = RamBlocks::default();
        let block = blocks.attach_ram(Arc::new(GuestRam::anonymous(8192).unwrap()));
        let range = |offset, length| blocks.range(block, BlockOffset::new(offset), length);
        assert!(range(4096, 4096).is_some());
        assert!(range(4096, 4097).is_none());
        assert!(range(u64::MAX, 1).is_none());
        assert!(blocks.range(BlockIndex::new(7), BlockOffset::new(0), 1).is_none());
    }

    #[test]
    fn an_attached_block_outlives_its_owner() {
        let mut blocks = RamBlocks::default();
        let ram = Arc::new(GuestRam::anonymous(4096).unwrap());
        assert!(ram.write(0, b"x"));
        let block = blocks.attach_ram(ram);
        let mut byte = [0];
        blocks.range(block, BlockOffset::new(0), 1).unwrap().read(&mut byte);
        assert_eq!(&byte, b"x");
    }
}
