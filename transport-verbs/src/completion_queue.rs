//! Completion queues, and the channel that tells when one of them is no longer empty.

use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use rdma_sys::{
    ibv_ack_cq_events, ibv_comp_channel, ibv_cq, ibv_create_comp_channel, ibv_create_cq,
    ibv_destroy_comp_channel, ibv_destroy_cq, ibv_get_cq_event, ibv_poll_cq, ibv_req_notify_cq,
    ibv_wc,
};

use crate::connection_id::ConnectionId;
use crate::error::{Errno, VerbsError, WorkStatus};
use crate::readiness::set_nonblocking;

// rdma-sys writes structures with unions by hand: they have to be as long as those of rdma-core.
const _: () = assert!(size_of::<ibv_wc>() == 48);

/// The answer to a work request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct WorkCompletion {
    /// The number that the request was posted with.
    pub(crate) request: u64,
    pub(crate) status: WorkStatus,
    /// Bytes of a message that was received.
    pub(crate) bytes: u32,
    pub(crate) vendor_error: u32,
}

/// The channel of both completion queues.
pub(crate) struct CompletionChannel {
    raw: NonNull<ibv_comp_channel>,
    /// Keeps the device open.
    id: Arc<ConnectionId>,
}

// SAFETY: libibverbs may be called from any thread; the pointer is no thread's own.
unsafe impl Send for CompletionChannel {}
// SAFETY: as above; calls on one channel from several threads are allowed by libibverbs.
unsafe impl Sync for CompletionChannel {}

impl CompletionChannel {
    /// Opens a channel that never blocks.
    pub(crate) fn new(id: &Arc<ConnectionId>) -> Result<Arc<Self>, VerbsError> {
        let device = id.device()?;
        // SAFETY: the device stays open as long as `id` lives, which `_id` keeps alive.
        let raw = NonNull::new(unsafe { ibv_create_comp_channel(device.as_ptr()) });
        let raw = raw.ok_or_else(|| VerbsError::last("ibv_create_comp_channel", id.peer()))?;
        let channel = Self { raw, id: Arc::clone(id) };
        set_nonblocking(channel.descriptor()).map_err(|_| VerbsError::last("fcntl", None))?;
        Ok(Arc::new(channel))
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        // SAFETY: the channel is open.
        let descriptor = unsafe { (*self.raw.as_ptr()).fd };
        // SAFETY: the descriptor is open as long as the channel, which `&self` keeps.
        unsafe { BorrowedFd::borrow_raw(descriptor) }
    }

    /// Takes one notification, if there is one, and says which queue it is about.
    pub(crate) fn next(&self) -> Option<NonNull<ibv_cq>> {
        let (mut queue, mut context) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the channel is open, and both are valid places for the answer.
        let result =
            unsafe { ibv_get_cq_event(self.raw.as_ptr(), &raw mut queue, &raw mut context) };
        let queue = NonNull::new(queue).filter(|_| result == 0)?;
        // SAFETY: this one notification was just taken, and every queue of this channel is alive while
        // the transport takes notifications. Unacknowledged ones would hold up its destruction.
        unsafe { ibv_ack_cq_events(queue.as_ptr(), 1) };
        Some(queue)
    }
}

impl Drop for CompletionChannel {
    fn drop(&mut self) {
        // SAFETY: made in `new`; every queue holds an `Arc` to its channel, so none is left.
        let result = unsafe { ibv_destroy_comp_channel(self.raw.as_ptr()) };
        if result != 0 {
            tracing::error!(error = %Errno(result), "ibv_destroy_comp_channel");
        }
    }
}

/// A completion queue.
pub(crate) struct CompletionQueue {
    raw: NonNull<ibv_cq>,
    /// Whether the next completion will be notified.
    armed: bool,
    channel: Arc<CompletionChannel>,
}

// SAFETY: libibverbs may be called from any thread; the pointer is no thread's own.
unsafe impl Send for CompletionQueue {}

impl CompletionQueue {
    /// Completions that are taken at once.
    const BATCH: usize = 16;

    /// A queue with room for `depth` completions.
    pub(crate) fn new(channel: &Arc<CompletionChannel>, depth: u32) -> Result<Self, VerbsError> {
        let device = channel.id.device()?;
        let depth = i32::try_from(depth).unwrap_or(i32::MAX);
        let (device, events) = (device.as_ptr(), channel.raw.as_ptr());
        // SAFETY: device and channel are open, and `channel` is kept below. Vector 0 always exists.
        let raw = unsafe { ibv_create_cq(device, depth, ptr::null_mut(), events, 0) };
        let raw = NonNull::new(raw);
        let raw = raw.ok_or_else(|| VerbsError::last("ibv_create_cq", channel.id.peer()))?;
        Ok(Self { raw, armed: false, channel: Arc::clone(channel) })
    }

    pub(crate) const fn raw(&self) -> NonNull<ibv_cq> {
        self.raw
    }

    /// Takes what has completed and shows each to `show`; says whether there was anything.
    pub(crate) fn drain(
        &mut self,
        mut show: impl FnMut(WorkCompletion),
    ) -> Result<bool, VerbsError> {
        let mut batch = [const { MaybeUninit::<ibv_wc>::uninit() }; Self::BATCH];
        let room = i32::try_from(Self::BATCH).unwrap_or_default();
        let mut any = false;
        loop {
            let place = batch.as_mut_ptr().cast::<ibv_wc>();
            // SAFETY: the queue is alive, and `place` has room for `room` completions.
            let taken = unsafe { ibv_poll_cq(self.raw.as_ptr(), room, place) };
            let Ok(taken) = usize::try_from(taken) else {
                let (call, errno) = ("ibv_poll_cq", Errno(taken.saturating_neg()));
                return Err(VerbsError::Call { call, peer: self.channel.id.peer(), errno });
            };
            for completion in batch.iter().take(taken) {
                // SAFETY: the call has written the first `taken` completions.
                let completion = unsafe { completion.assume_init_ref() };
                show(WorkCompletion {
                    request: completion.wr_id,
                    status: WorkStatus(completion.status),
                    bytes: completion.byte_len,
                    vendor_error: completion.vendor_err,
                });
            }
            any |= taken > 0;
            if taken < Self::BATCH {
                return Ok(any);
            }
        }
    }

    /// Has the next completion notified. The caller then has to look once more: what completed
    /// before this call is not notified.
    pub(crate) fn arm(&mut self) -> Result<(), VerbsError> {
        if !self.armed {
            // SAFETY: the queue is alive.
            let result = unsafe { ibv_req_notify_cq(self.raw.as_ptr(), 0) };
            if result != 0 {
                let (call, errno) = ("ibv_req_notify_cq", Errno(result));
                return Err(VerbsError::Call { call, peer: self.channel.id.peer(), errno });
            }
            self.armed = true;
        }
        Ok(())
    }

    pub(crate) const fn is_armed(&self) -> bool {
        self.armed
    }

    /// A notification about `queue` was taken.
    pub(crate) fn notified(&mut self, queue: NonNull<ibv_cq>) {
        if queue == self.raw {
            self.armed = false;
        }
    }
}

impl Drop for CompletionQueue {
    fn drop(&mut self) {
        // SAFETY: made in `new`; the transport destroys the queue pair first, and every notification
        // was acknowledged as it was taken, so the call does not wait.
        let result = unsafe { ibv_destroy_cq(self.raw.as_ptr()) };
        if result != 0 {
            tracing::error!(error = %Errno(result), "ibv_destroy_cq");
        }
    }
}
