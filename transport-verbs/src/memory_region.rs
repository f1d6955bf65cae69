//! Protection domains and the memory that is registered in them.

use std::ptr::NonNull;
use std::sync::Arc;

use rdma_migration_protocol::address::Rkey;
use rdma_migration_protocol::transport::Access;
use rdma_sys::{ibv_access_flags, ibv_alloc_pd, ibv_dealloc_pd, ibv_dereg_mr, ibv_reg_mr};

use crate::connection_id::ConnectionId;
use crate::error::{Errno, VerbsError};
use crate::ram_range::RamRange;

/// The one protection domain of a migration.
pub(crate) struct ProtectionDomain {
    raw: NonNull<rdma_sys::ibv_pd>,
    /// Keeps the device open.
    _id: Arc<ConnectionId>,
}

// SAFETY: libibverbs may be called from any thread; the pointer is no thread's own.
unsafe impl Send for ProtectionDomain {}
// SAFETY: as above; calls on one domain from several threads are allowed by libibverbs.
unsafe impl Sync for ProtectionDomain {}

impl ProtectionDomain {
    pub(crate) fn new(id: &Arc<ConnectionId>) -> Result<Arc<Self>, VerbsError> {
        let device = id.device()?;
        // SAFETY: the device stays open as long as `id` lives, which `_id` keeps alive.
        let raw = NonNull::new(unsafe { ibv_alloc_pd(device.as_ptr()) });
        let raw = raw.ok_or_else(|| VerbsError::last("ibv_alloc_pd", id.peer()))?;
        Ok(Arc::new(Self { raw, _id: Arc::clone(id) }))
    }

    pub(crate) const fn raw(&self) -> NonNull<rdma_sys::ibv_pd> {
        self.raw
    }

    /// Pins and registers a range. It has to stay mapped for as long as the region lives; whoever
    /// made the range has promised that.
    pub(crate) fn register(
        self: &Arc<Self>,
        range: RamRange,
        access: Access,
    ) -> Result<MemoryRegion, Errno> {
        let flags = match access {
            // The adapter may always read what is registered; no flag is needed for that.
            Access::LocalRead => ibv_access_flags(0),
            // The verbs want the local right where they are to give the remote one.
            Access::RemoteWrite => {
                ibv_access_flags::IBV_ACCESS_LOCAL_WRITE | ibv_access_flags::IBV_ACCESS_REMOTE_WRITE
            }
        };
        self.register_with(range, flags)
    }

    /// As [`Self::register`], for memory that the adapter fills with received messages.
    pub(crate) fn register_for_receives(
        self: &Arc<Self>,
        range: RamRange,
    ) -> Result<MemoryRegion, Errno> {
        self.register_with(range, ibv_access_flags::IBV_ACCESS_LOCAL_WRITE)
    }

    fn register_with(
        self: &Arc<Self>,
        range: RamRange,
        flags: ibv_access_flags,
    ) -> Result<MemoryRegion, Errno> {
        let flags = i32::try_from(flags.0).map_err(|_| Errno(libc::EINVAL))?;
        let (first, length) = (range.first().as_ptr().cast(), range.length());
        // SAFETY: the domain is alive; a `RamRange` is mapped.
        let raw = NonNull::new(unsafe { ibv_reg_mr(self.raw.as_ptr(), first, length, flags) });
        let raw = raw.ok_or_else(Errno::last)?;
        Ok(MemoryRegion { raw, range, domain: Some(Arc::clone(self)) })
    }
}

impl Drop for ProtectionDomain {
    fn drop(&mut self) {
        // SAFETY: everything in the domain holds an `Arc` to it, so nothing is left in it.
        let result = unsafe { ibv_dealloc_pd(self.raw.as_ptr()) };
        if result != 0 {
            tracing::error!(error = %Errno(result), "ibv_dealloc_pd");
        }
    }
}

/// A registered range of memory, until it is dropped.
pub(crate) struct MemoryRegion {
    raw: NonNull<rdma_sys::ibv_mr>,
    range: RamRange,
    /// `None` once it is deregistered.
    domain: Option<Arc<ProtectionDomain>>,
}

// SAFETY: libibverbs may be called from any thread; the pointer is no thread's own.
unsafe impl Send for MemoryRegion {}

impl MemoryRegion {
    /// The key for local requests.
    pub(crate) fn lkey(&self) -> u32 {
        // SAFETY: the region is registered, so the structure is there; its keys never change.
        unsafe { (*self.raw.as_ptr()).lkey }
    }

    /// The key for the peer's requests.
    pub(crate) fn rkey(&self) -> Rkey {
        // SAFETY: as in `lkey`.
        Rkey::new(unsafe { (*self.raw.as_ptr()).rkey })
    }

    /// Whether a range of memory lies inside the region.
    pub(crate) fn contains(&self, range: RamRange) -> bool {
        let begin = self.range.first().addr().get();
        let start = range.first().addr().get();
        let inside = start.checked_sub(begin).and_then(|offset| offset.checked_add(range.length()));
        inside.is_some_and(|end| end <= self.range.length())
    }

    /// Gives the memory back. If that fails the region is returned, to be tried again.
    pub(crate) fn deregister(mut self) -> Result<(), (Self, Errno)> {
        match self.release() {
            Ok(()) => Ok(()),
            Err(errno) => Err((self, errno)),
        }
    }

    fn release(&mut self) -> Result<(), Errno> {
        if self.domain.is_none() {
            return Ok(());
        }
        // SAFETY: the region is registered: its domain is there until this has succeeded once.
        let result = unsafe { ibv_dereg_mr(self.raw.as_ptr()) };
        if result != 0 {
            return Err(Errno(result));
        }
        self.domain = None;
        Ok(())
    }
}

impl Drop for MemoryRegion {
    fn drop(&mut self) {
        if let Err(error) = self.release() {
            // The kernel takes it back with the process.
            tracing::error!(%error, "ibv_dereg_mr");
        }
    }
}
